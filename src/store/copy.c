/* SPDX-License-Identifier: Apache-2.0 */
#include "store/copy.h"

#include "store/copy_put.h"
#include "store/mark.h"
#include "store/order.h"

#include <stdlib.h>
#include <string.h>

/* What the last pass has left in the target, in the order in which the source reports; so one
 * walk through the source beside it finds what is new, changed or gone. */
typedef struct known {
    coat_handle address;
    uint64_t version; /* in the source; 0: not known, to be compared */
} known;

typedef struct known_list {
    known *at;
    size_t count, cap;
} known_list;

static const coat_space spaces[] = {COAT_SPACE_SESSION, COAT_SPACE_ACCOUNT, COAT_SPACE_META};
enum { SPACES = sizeof spaces / sizeof spaces[0] };

struct coat_copy {
    coat_lane *from, *to;
    coat_clock_fn clock;
    void *clock_ctx;
    bool looked;                    /* the target was looked through */
    bool doubt;                     /* something sent to it was not answered */
    bool broken;                    /* what is there is not known any more */
    known_list before[SPACES], now; /* of the last pass, of this one */
    size_t first, spaces;           /* from this one, up to that */
    size_t space, next;             /* where this pass is; next of before[space] */
    bool begun;                     /* the pass has compared the global epochs */
    bool has_cursor;                /* of the slice to come */
    coat_handle cursor;
    uint64_t epoch_global;            /* of the source, as the target has it */
    uint64_t unreadable_from;         /* the source's count when the pass began */
    uint64_t changes, changes_before; /* of this pass, of the last one */
    coat_copy_counts counts, pass;
    coat_slice slice;
};

bool
coat_copy_stays(const coat_handle *address)
{
    static const coat_handle stamp = {.bytes = "table-stamp-0001"}; /* engine/stamp.c */

    return coat_handle_equal(address, coat_mark_address(COAT_MARK_OF_STORE)) ||
           coat_handle_equal(address, coat_mark_address(COAT_MARK_OF_ACCOUNTS)) ||
           coat_handle_equal(address, &stamp);
}

static coat_err
add_known(known_list *list, const coat_handle *address, uint64_t version)
{
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 1024 : list->cap * 2;
        known *grown = reallocarray(list->at, cap, sizeof *grown);

        if (grown == NULL)
            return COAT_NO_MEMORY;
        list->at = grown;
        list->cap = cap;
    }
    list->at[list->count++] = (known){*address, version};
    return COAT_OK;
}

static int64_t
now_ms(const coat_copy *copy)
{
    return copy->clock(copy->clock_ctx);
}

static int
compare(const coat_copy *copy, const coat_handle *a, const coat_handle *b)
{
    return coat_scan_compare(coat_store_caps_of(copy->from->store), a, b);
}

static int
by_address(const void *a, const void *b)
{
    return coat_scan_compare(0, &((const known *)a)->address, &((const known *)b)->address);
}

static int
by_owner(const void *a, const void *b)
{
    return coat_scan_compare(COAT_CAP_CACHE, &((const known *)a)->address,
                             &((const known *)b)->address);
}

/** As the source reports. */
static void
sort_known(const coat_copy *copy, known_list *list)
{
    bool by_owners = (coat_store_caps_of(copy->from->store) & COAT_CAP_CACHE) != 0;

    if (list->count > 0)
        qsort(list->at, list->count, sizeof *list->at, by_owners ? by_owner : by_address);
}

/* ---- the target as it is found ---- */

typedef struct look {
    known_list *list;
    coat_handle last;
    bool has_last;
    coat_err err;
} look;

static void
found_there(coat_store_req *req, const coat_store_item *item)
{
    look *l = req->ctx;

    l->last = item->address;
    l->has_last = true;
    if (l->err == COAT_OK &&
        !(req->space == COAT_SPACE_META && coat_copy_stays(&item->address)))
        l->err = add_known(l->list, &item->address, 0);
}

static coat_err
look_through(coat_copy *copy, size_t space)
{
    look l = {.list = &copy->before[space]};
    bool more = true;

    copy->before[space].count = 0;
    while (more) {
        coat_store_req req = {.op = COAT_OP_SCAN,
                              .space = spaces[space],
                              .now_ms = COAT_COPY_NO_TIME,
                              .timeout_ms = COAT_COPY_TIMEOUT_MS,
                              .has_cursor = l.has_last,
                              .cursor = l.last,
                              .item = found_there,
                              .ctx = &l};
        coat_err err = coat_store_run(copy->to, &req);

        if (err == COAT_OK)
            err = l.err;
        if (err != COAT_OK)
            return err;
        more = req.more;
        l.has_last =
            coat_scan_behind(coat_store_caps_of(copy->to->store), &req, l.has_last, &l.last);
    }
    sort_known(copy, &copy->before[space]);
    return COAT_OK;
}

/** What was sent and not answered has taken place by now, or never will. */
static coat_err
settle(coat_copy *copy)
{
    coat_store_req req = {
        .op = COAT_OP_SWEEP, .now_ms = COAT_COPY_NO_TIME, .timeout_ms = COAT_COPY_TIMEOUT_MS};

    return coat_store_run(copy->to, &req);
}

/**
 * What a copy that was cut off has left there is to be compared, and removed if it is gone from
 * the source. Into a cache that cannot say what it holds no copy is gone on with (move.c).
 */
static coat_err
look_at_target(coat_copy *copy)
{
    bool is_cache = (coat_store_caps_of(copy->to->store) & COAT_CAP_CACHE) != 0;
    coat_err err = COAT_OK;

    for (size_t i = copy->first; i < copy->spaces && err == COAT_OK; i++)
        err = look_through(copy, i);
    return is_cache && err == COAT_UNSUPPORTED ? COAT_OK : err;
}

/* ---- epochs ---- */

static coat_err
read_global(coat_copy *copy, coat_lane *lane, uint64_t *epoch)
{
    coat_store_req req = {
        .op = COAT_OP_EPOCHS, .now_ms = now_ms(copy), .timeout_ms = COAT_COPY_TIMEOUT_MS};
    coat_err err = coat_store_run(lane, &req);

    *epoch = req.epoch_global;
    return err;
}

/**
 * Records name the global epoch they were made under, so the target must have the source's; and
 * a higher one has ended what was put there under the lower. Epochs of owners need not be
 * copied: what they have ended is not there to be copied, and entries are put in under the
 * target's own.
 */
static coat_err
carry_global(coat_copy *copy)
{
    uint64_t here, there;
    coat_err err = read_global(copy, copy->from, &here);

    if (err == COAT_OK)
        err = read_global(copy, copy->to, &there);
    if (err == COAT_OK && there > here)
        err = COAT_REVOKED;
    if (err == COAT_OK && there < here) {
        coat_store_req req = {.op = COAT_OP_END_ALL,
                              .again = here,
                              .now_ms = now_ms(copy),
                              .timeout_ms = COAT_COPY_TIMEOUT_MS};

        err = coat_store_run(copy->to, &req);
    }
    if (err == COAT_OK && here != copy->epoch_global) {
        for (size_t i = 0; i < copy->before[0].count; i++)
            copy->before[0].at[i].version = 0;
        copy->epoch_global = here;
    }
    return err;
}

/* ---- a pass ---- */

static uint64_t
unreadable(const coat_copy *copy)
{
    coat_store_stats stats = {0};

    return coat_store_stats_get(copy->from->store, &stats) == COAT_OK ? stats.unreadable : 0;
}

static coat_err
begin_pass(coat_copy *copy)
{
    coat_err err = copy->doubt ? settle(copy) : COAT_OK;

    if (err != COAT_OK)
        return err;
    copy->doubt = false;
    if (!copy->looked)
        err = look_at_target(copy);
    copy->looked = err == COAT_OK;
    if (err == COAT_OK && copy->first == 0) { /* accounts know no epochs */
        err = carry_global(copy);
        copy->doubt = err != COAT_OK;
    }
    if (err != COAT_OK)
        return err;
    copy->pass = (coat_copy_counts){0};
    copy->changes = 0;
    copy->unreadable_from = unreadable(copy);
    copy->now.count = 0;
    copy->space = copy->first;
    copy->next = 0;
    copy->has_cursor = false;
    copy->begun = true;
    return COAT_OK;
}

static void
count_entry(coat_copy *copy)
{
    uint64_t *const counters[SPACES] = {&copy->pass.sessions, &copy->pass.accounts,
                                        &copy->pass.meta};

    (*counters[copy->space])++;
}

static coat_err
drop(coat_copy *copy, const coat_handle *address)
{
    return coat_slice_drop(&copy->slice, copy->to, now_ms(copy), address);
}

/** Compare a slice of the source with what the target has: what is to be done becomes units.
 * @param next  of before[space]; moved on only when all is done */
static coat_err
plan(coat_copy *copy, size_t *next)
{
    const known_list *before = &copy->before[copy->space];
    const coat_slice *s = &copy->slice;
    coat_err err = COAT_OK;

    for (size_t i = 0; i < s->count && err == COAT_OK; i++) {
        coat_unit *unit = &s->units[i];
        bool had = false;

        while (*next < before->count && err == COAT_OK) {
            const known *k = &before->at[*next];
            int order = compare(copy, &k->address, &unit->address);

            if (order > 0)
                break;
            ++*next;
            had = order == 0;
            if (had) {
                unit->step = k->version == unit->version ? COAT_UNIT_DONE : COAT_UNIT_LOAD;
                break;
            }
            err = drop(copy, &k->address);
        }
        if (!had)
            unit->step = COAT_UNIT_INSERT;
    }
    /* Behind the last of the source nothing of the target has a reason to be there. */
    for (; !s->more && *next < before->count && err == COAT_OK; ++*next)
        err = drop(copy, &before->at[*next].address);
    return err;
}

/** All of it is in the target now. */
static coat_err
note_slice(coat_copy *copy)
{
    const coat_slice *s = &copy->slice;
    size_t count = copy->now.count;

    for (size_t i = 0; i < s->count; i++) {
        coat_err err = add_known(&copy->now, &s->units[i].address, s->units[i].version);

        if (err != COAT_OK) {
            copy->now.count = count;
            return err;
        }
        count_entry(copy);
    }
    copy->counts.written += s->written;
    copy->counts.removed += s->removed;
    copy->changes += s->written + s->removed;
    return COAT_OK;
}

static void
end_space(coat_copy *copy)
{
    known_list former = copy->before[copy->space];

    copy->before[copy->space] = copy->now;
    copy->now = former;
    copy->now.count = 0;
    copy->space++;
    copy->next = 0;
    copy->has_cursor = false;
}

static void
end_pass(coat_copy *copy)
{
    copy->begun = false;
    copy->changes_before = copy->changes;
    copy->pass.unreadable = unreadable(copy) - copy->unreadable_from;
    copy->counts.unreadable = copy->pass.unreadable;
    copy->counts.passes++;
}

static void
show_counts(coat_copy *copy)
{
    copy->counts.sessions = copy->pass.sessions;
    copy->counts.accounts = copy->pass.accounts;
    copy->counts.meta = copy->pass.meta;
}

/**
 * Some of the slice may be in the target, and may be gone from the source before it is tried
 * again: so it goes on the list of what is there, to be compared, and the pass begins anew.
 */
static void
give_up(coat_copy *copy)
{
    known_list *before = &copy->before[copy->space];
    size_t next = copy->next, i = 0;
    coat_err err = COAT_OK;

    while (err == COAT_OK && (i < copy->slice.count || next < before->count)) {
        const coat_handle *a = i < copy->slice.count ? &copy->slice.units[i].address : NULL;
        const coat_handle *b = next < before->count ? &before->at[next].address : NULL;
        int order = a == NULL ? 1 : b == NULL ? -1 : compare(copy, a, b);

        err = add_known(&copy->now, order <= 0 ? a : b, 0);
        i += order <= 0;
        next += order >= 0;
    }
    copy->broken = err != COAT_OK;
    end_space(copy);
    copy->begun = false;
    copy->doubt = true;
}

static coat_err
slice(coat_copy *copy)
{
    size_t next = copy->next;
    coat_err err = coat_slice_read(&copy->slice, copy->from, spaces[copy->space],
                                   copy->has_cursor ? &copy->cursor : NULL);

    if (err != COAT_OK)
        return err;
    err = plan(copy, &next);
    if (err == COAT_OK)
        err = coat_slice_put(&copy->slice, copy->to, now_ms(copy));
    if (err == COAT_OK)
        err = note_slice(copy);
    if (err != COAT_OK) {
        give_up(copy);
        return err;
    }
    copy->next = next;
    copy->has_cursor = copy->slice.has_last;
    copy->cursor = copy->slice.last;
    if (!copy->slice.more)
        end_space(copy);
    show_counts(copy);
    return COAT_OK;
}

coat_err
coat_copy_step(coat_copy *copy, bool *complete)
{
    coat_err err = COAT_OK;

    *complete = false;
    if (copy->broken)
        return COAT_NO_MEMORY;
    if (!copy->begun)
        err = begin_pass(copy);
    if (err == COAT_OK)
        err = slice(copy);
    if (err == COAT_OK && copy->space == copy->spaces) {
        end_pass(copy);
        *complete = true;
    }
    return err;
}

coat_err
coat_copy_pass(coat_copy *copy)
{
    coat_err err = COAT_OK;
    bool complete = !copy->begun; /* what is under way may have seen what is no more */

    while (err == COAT_OK && !complete)
        err = coat_copy_step(copy, &complete);
    complete = false;
    while (err == COAT_OK && !complete)
        err = coat_copy_step(copy, &complete);
    return err;
}

coat_err
coat_copy_new(coat_lane *from, coat_lane *to, coat_copy_what what, coat_clock_fn clock,
              void *clock_ctx, coat_copy **out)
{
    coat_copy *copy = calloc(1, sizeof *copy);

    if (copy == NULL)
        return COAT_NO_MEMORY;
    copy->from = from;
    copy->to = to;
    copy->first = what == COAT_COPY_ACCOUNTS ? 1 : 0;
    copy->spaces = what == COAT_COPY_SESSIONS ? 1 : SPACES;
    copy->clock = clock;
    copy->clock_ctx = clock_ctx;
    *out = copy;
    return COAT_OK;
}

void
coat_copy_free(coat_copy *copy)
{
    if (copy == NULL)
        return;
    for (size_t i = 0; i < SPACES; i++)
        free(copy->before[i].at);
    free(copy->now.at);
    coat_slice_free(&copy->slice);
    free(copy);
}

uint64_t
coat_copy_changes(const coat_copy *copy)
{
    return copy->changes_before;
}

const coat_copy_counts *
coat_copy_count(const coat_copy *copy)
{
    return &copy->counts;
}
