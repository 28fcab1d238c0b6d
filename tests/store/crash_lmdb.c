/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The crash loop. A child signs in and out on an embedded store and tells through a pipe what
 * it is about to do and what has been acknowledged; it is killed at a random moment; then the
 * store is opened and compared with what was told. The same store lives through all kills.
 */

#include "lmdb_fixture.h"
#include "requests.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { OWNERS = 12, SERIALS_MAX = 400000, FLIGHT = 24, NOTE_INTENT = 1, NOTE_ACK = 2 };

/** What a child writes into the pipe: short enough to be written whole or not at all. */
typedef struct note {
    uint32_t kind, op, owner, serial;
} note;

/* ---- the child ---- */

static int note_fd;

static void
tell(uint32_t kind, coat_op op, uint32_t owner, uint32_t serial)
{
    note n = {kind, op, owner, serial};

    if (write(note_fd, &n, sizeof n) != sizeof n)
        _exit(3);
}

typedef struct task {
    coat_store_req req;
    uint32_t owner, serial;
} task;

static void
acknowledge(coat_store_req *req)
{
    task *t = req->ctx;

    if (req->result == COAT_OK)
        tell(NOTE_ACK, req->op, t->owner, t->serial);
    else if (req->result != COAT_REVOKED)
        _exit(4);
}

static void
start_task(coat_lane *lane, task *t, coat_op op, uint32_t owner, uint32_t serial)
{
    static const uint8_t bytes[300];
    coat_store_req epochs = session_req(COAT_OP_EPOCHS, owner, 0);

    if (coat_store_run(lane, &epochs) != COAT_OK)
        _exit(5);
    *t = (task){session_req(op, owner, serial), owner, serial};
    t->req.value = (coat_span){bytes, serial % sizeof bytes};
    t->req.epoch_owner = epochs.epoch_owner;
    t->req.epoch_global = epochs.epoch_global;
    t->req.done = acknowledge;
    t->req.ctx = t;
    tell(NOTE_INTENT, op, owner, serial);
    coat_store_submit(lane, &t->req);
}

static void
child_main(coat_store *store, uint64_t seed, uint32_t first)
{
    static task tasks[FLIGHT];
    test_rng rng = {seed};
    coat_lane *lane;
    uint32_t serial = first;

    if (coat_lane_open(store, NULL, &lane) != COAT_OK)
        _exit(6);
    while (serial < first + 1500) {
        size_t n = 1 + test_rng_below(&rng, FLIGHT);

        for (size_t i = 0; i < n; i++) {
            uint64_t choice = test_rng_below(&rng, 100);
            uint32_t back = (uint32_t)test_rng_below(&rng, 60);

            if (choice < 60 || back >= serial - 1)
                start_task(lane, &tasks[i], COAT_OP_INSERT, serial % OWNERS, serial), serial++;
            else if (choice < 97)
                start_task(lane, &tasks[i], COAT_OP_REMOVE, (serial - 1 - back) % OWNERS,
                           serial - 1 - back);
            else
                start_task(lane, &tasks[i], COAT_OP_REMOVE_OWNER, serial % OWNERS, 0);
        }
        for (size_t i = 0; i < n; i++)
            store->ops->wait(lane, &tasks[i].req);
    }
    _exit(0);
}

/* ---- the parent ---- */

typedef enum fate {
    FATE_ABSENT = 0, /* never inserted, or its removal was acknowledged */
    FATE_OPEN,       /* something was begun and not acknowledged: either is right */
    FATE_INSERTING,  /* as open, until its insertion is acknowledged */
    FATE_REMOVING,   /* as open, until its removal is acknowledged */
    FATE_REVOKING,   /* as open, until the end of its owner's sessions is acknowledged */
    FATE_LIVE,       /* its insertion was acknowledged, and nothing begun against it */
} fate;

static uint8_t fates[SERIALS_MAX];
static lmdb_fixture fx = {.map_bytes = (uint64_t)1 << 30};
static uint32_t next_serial = 1;

/** What becomes of a fate when `from` is met; others stay. */
static void
turn(uint8_t *f, uint8_t from, uint8_t to)
{
    if (*f == from)
        *f = to;
}

/** An end of session s was begun or acknowledged; `ending` marks which kind of end. */
static void
note_end(uint8_t *f, uint32_t kind, uint8_t ending)
{
    if (kind == NOTE_ACK) {
        turn(f, ending, FATE_ABSENT);
        return;
    }
    /* Ended while its insertion was under way: both orders are right. */
    turn(f, FATE_INSERTING, FATE_OPEN);
    turn(f, FATE_LIVE, ending);
}

static void
take_note(const note *n)
{
    REQUIRE(n->serial < SERIALS_MAX);
    if (n->op == COAT_OP_INSERT) {
        if (n->serial >= next_serial)
            next_serial = n->serial + 1;
        if (n->kind == NOTE_INTENT)
            fates[n->serial] = FATE_INSERTING;
        else
            turn(&fates[n->serial], FATE_INSERTING, FATE_LIVE);
    } else if (n->op == COAT_OP_REMOVE) {
        note_end(&fates[n->serial], n->kind, FATE_REMOVING);
    } else {
        for (uint32_t s = n->owner; s < next_serial; s += OWNERS)
            note_end(&fates[s], n->kind, FATE_REVOKING);
    }
}

/** Let a child work until it has told `notes` things, and a bit longer; kill it. */
static void
run_and_kill(test_rng *rng)
{
    uint64_t seed = test_rng_next(rng), notes = test_rng_below(rng, 1500), seen = 0;
    useconds_t longer = (useconds_t)test_rng_below(rng, 3000);
    int ends[2], status;
    note n;
    pid_t pid;

    REQUIRE(pipe(ends) == 0);
    pid = test_fork();
    if (pid == 0) {
        coat_store *store = NULL;

        close(ends[0]);
        note_fd = ends[1];
        if (fixture_open(&fx, &store) != COAT_OK)
            _exit(7);
        child_main(store, seed, next_serial);
    }
    close(ends[1]);
    while (seen < notes && read(ends[0], &n, sizeof n) == sizeof n) {
        take_note(&n);
        seen++;
    }
    usleep(longer);
    REQUIRE(kill(pid, SIGKILL) == 0);
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    while (read(ends[0], &n, sizeof n) == sizeof n)
        take_note(&n);
    close(ends[0]);
}

typedef struct listed {
    coat_lane *lane;
    uint64_t sum, count;
} listed;

static void
on_listed(coat_store_req *req, const coat_store_item *item)
{
    listed *l = req->ctx;

    l->sum += coat_load64be(item->address.bytes);
    l->count++;
    if (run_op(l->lane, COAT_OP_LOAD, 0, 0) == COAT_OK)
        test_fail(__FILE__, __LINE__, "a session that never was");
}

/** All sessions of one owner, or (owner NULL) of everybody. */
static listed
list(coat_lane *lane, const coat_owner *owner)
{
    listed l = {.lane = lane};
    coat_store_req req = session_req(owner != NULL ? COAT_OP_LIST_OWNER : COAT_OP_SCAN, 0, 0);
    uint64_t before;

    req.item = on_listed;
    req.ctx = &l;
    if (owner != NULL)
        req.owner = *owner;
    /* No owner has 1000 sessions here but when many kills pass without "end all". */
    before = l.count;
    REQUIRE_OK(coat_store_run(lane, &req));
    CHECK(l.count - before == req.count && !req.more);
    return l;
}

static void
check_fates(coat_lane *lane, listed *live)
{
    *live = (listed){0};
    for (uint32_t s = 1; s < next_serial; s++) {
        coat_err err = run_op(lane, COAT_OP_LOAD, s % OWNERS, s);
        coat_err want = fates[s] == FATE_LIVE ? COAT_OK : COAT_NO_SESSION;

        if ((fates[s] == FATE_LIVE || fates[s] == FATE_ABSENT) && err != want)
            test_fail(__FILE__, __LINE__, "session %u: %s, expected %s", s, coat_err_name(err),
                      coat_err_name(want));
        fates[s] = err == COAT_OK ? FATE_LIVE : FATE_ABSENT; /* from now on we know */
        live->sum += err == COAT_OK ? s : 0;
        live->count += err == COAT_OK;
    }
}

/** Index and sessions agree; nothing is listed that is not live, nor the other way round. */
static void
check_index(coat_lane *lane, const listed *live)
{
    listed scanned = list(lane, NULL), owned = {0};

    for (uint32_t o = 0; o < OWNERS; o++) {
        coat_owner owner = owner_of(o);
        listed l = list(lane, &owner);

        owned.sum += l.sum;
        owned.count += l.count;
    }
    CHECK_INT(scanned.count, live->count);
    CHECK_INT(scanned.sum, live->sum);
    CHECK_INT(owned.count, live->count);
    CHECK_INT(owned.sum, live->sum);
}

static void
check_store(bool end_some)
{
    coat_store *store = NULL;
    coat_lane *lane = NULL;
    listed live;

    REQUIRE_OK(fixture_open(&fx, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    check_fates(lane, &live);
    check_index(lane, &live);
    if (end_some) {
        for (uint32_t o = 0; o < OWNERS; o++)
            CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, o, 0), COAT_OK);
        for (uint32_t s = 1; s < next_serial; s++) {
            CHECK_ERR(run_op(lane, COAT_OP_LOAD, s % OWNERS, s), COAT_NO_SESSION);
            fates[s] = FATE_ABSENT;
        }
        sweep_all(lane, NOW_MS);
        CHECK_INT(list(lane, NULL).count, 0);
        /* Forget them: the next round begins with an empty store. */
        memset(fates, 0, sizeof fates);
        next_serial = 1;
    }
    coat_lane_close(lane);
    coat_store_close(store);
}

static void
crash_loop(void)
{
    long kills = test_scaled(2000, 30);
    test_rng rng = {20240607};

    fixture_fresh(&fx);
    for (long i = 0; i < kills; i++) {
        run_and_kill(&rng);
        check_store(next_serial > 700 || i + 1 == kills);
    }
    fixture_remove(&fx);
}

static const coat_test tests[] = {
    {"LC-8 ST-9: killed at any moment, it keeps what it acknowledged, and its index agrees",
     crash_loop},
};
COAT_TEST_MAIN(tests)
