/* SPDX-License-Identifier: Apache-2.0 */
#include "account/work.h"

#include "account/device.h"
#include "core/bytes.h"
#include <sodium.h>

/*
 * Network limit -> account -> counter -> (wait) -> count -> hash -> account -> uncount.
 *
 * An account that does not exist, has no password, is disabled or locked goes the same way with
 * the same operations and one hash of the configured cost (LG-5, LG-6); only what it is checked
 * against differs.
 */

static bool
is_step_up(const coat_work *work)
{
    return work->call->op == COAT_ACCOUNT_VERIFY;
}

static void
throttled(coat_work *work, uint32_t seconds, bool report, const char *reason, uint64_t count)
{
    if (report)
        coat_work_event(work, COAT_EVENT_LOGIN_THROTTLED, true, reason, work->call->name,
                        count);
    work->call->retry_after_s = seconds;
    coat_work_finish(work, COAT_THROTTLED);
}

static void
refuse(coat_work *work, const char *reason)
{
    coat_work_event(work,
                    is_step_up(work) ? COAT_EVENT_STEP_UP_FAILURE : COAT_EVENT_LOGIN_FAILURE,
                    true, reason, work->call->name, 0);
    atomic_fetch_add(&work->directory->failures, 1);
    coat_work_finish(work, COAT_DENIED);
}

static void
failed(coat_work *work, const char *reason)
{
    bool first = false;

    (void)coat_limiter_failed(work->directory->limiter, &work->call->address,
                              coat_throttle_whose(&work->account), coat_work_now_ms(work),
                              &first);
    if (first)
        coat_work_event(work, COAT_EVENT_LOGIN_THROTTLED, true, "network_accounts",
                        work->call->name, 0);
    if (!work->absent && work->counter.failures == work->limit)
        coat_work_event(work, COAT_EVENT_LOGIN_LOCKED, true,
                        work->client == COAT_CLIENT_KNOWN ? "known_clients" : "unknown_clients",
                        work->call->name, work->limit);
    refuse(work, reason);
}

/* ---- counting ---- */

static void
counter_write(coat_work *work, coat_step then)
{
    coat_counter_encode(work->policy, &work->place, &work->counter, work->value);
    coat_work_write(work, COAT_SPACE_META, &work->place, COAT_COUNTER_STORED,
                    work->counter_version, then);
}

static bool
lost_race(coat_err result)
{
    return result == COAT_CONFLICT || result == COAT_EXISTS || result == COAT_NO_SESSION;
}

/* What was loaded from the counter's place; false: finished. */
static bool
counter_read(coat_work *work)
{
    uint64_t whose = coat_throttle_whose(&work->account);

    if (work->result != COAT_OK && work->result != COAT_NO_SESSION) {
        coat_work_finish(work, work->result);
        return false;
    }
    work->counter = (coat_counter){0, 0, whose};
    work->counter_version = 0;
    if (work->result == COAT_NO_SESSION)
        return true;
    work->counter_version = work->version;
    if (coat_counter_decode(work->policy, &work->place,
                            (coat_span){work->found_counter, work->found_counter_len}, whose,
                            &work->counter) == COAT_OK)
        return true;
    /* Somebody has changed it by hand: the account's password is disabled until an
     * administrator enables it again. */
    coat_work_event(work, COAT_EVENT_RECORD_TAMPERED, true, "counter", work->call->name, 0);
    work->counter = (coat_counter){work->limit, 0, whose};
    return true;
}

/* The hash was never computed: the attempt does not count. */
static void step_returned(coat_work *work);

static void
step_return_again(coat_work *work)
{
    if (!counter_read(work))
        return;
    if (work->counter_version == 0 || work->counter.failures == 0) {
        coat_work_finish(work, COAT_BUSY);
        return;
    }
    work->counter.failures--;
    counter_write(work, step_returned);
}

static void
step_returned(coat_work *work)
{
    if (work->result == COAT_CONFLICT && ++work->tries < COAT_TRIES_MAX)
        coat_work_load(work, COAT_SPACE_META, &work->place, step_return_again);
    else
        coat_work_finish(work, COAT_BUSY);
}

/* ---- success ---- */

static void
copy_text(char *to, coat_span from)
{
    if (from.len > 0)
        memcpy(to, from.ptr, from.len);
    to[from.len] = '\0';
}

static void
step_cleared(coat_work *work)
{
    coat_account_call *call = work->call;
    uint32_t before = work->before.failures;

    if (work->result != COAT_OK) {
        coat_work_finish(work, work->result);
        return;
    }
    copy_text(call->user, work->entry.name);
    copy_text(call->user_roles, work->entry.roles);
    if (work->job.renewed) {
        atomic_fetch_add(&work->directory->rehashes, 1);
        coat_work_event(work, COAT_EVENT_PASSWORD_REHASHED, false, NULL, work->entry.name, 0);
    }
    if (is_step_up(work)) {
        coat_work_event(work, COAT_EVENT_STEP_UP_SUCCESS, false, NULL, work->entry.name, 0);
    } else {
        coat_device_make(work->policy, &work->account, work->entry.password_ms,
                         coat_work_now_ms(work), call->device_text);
        coat_work_event(work, COAT_EVENT_LOGIN_SUCCESS, false, NULL, work->entry.name, 0);
        if (before > 0)
            coat_work_event(work, COAT_EVENT_LOGIN_SUCCESS_AFTER_FAILURES, false, NULL,
                            work->entry.name, before);
    }
    atomic_fetch_add(&work->directory->sign_ins, 1);
    coat_work_finish(work, COAT_OK);
}

static void step_recheck(coat_work *work);
static void step_hashed(coat_work *work);

static void
step_recorded(coat_work *work)
{
    if (work->result == COAT_OK)
        coat_work_remove(work, COAT_SPACE_META, &work->place, step_cleared);
    else if (work->result == COAT_CONFLICT && ++work->tries < COAT_TRIES_MAX)
        coat_work_load(work, COAT_SPACE_ACCOUNT, &work->account, step_recheck);
    else if (work->result == COAT_NO_SESSION)
        failed(work, "deleted");
    else
        coat_work_finish(work, work->result == COAT_CONFLICT ? COAT_BUSY : work->result);
}

/* The write is what decides: it fails if the account was disabled, deleted or given another
 * password since it was read. */
static void
record(coat_work *work)
{
    if (work->job.renewed)
        work->entry.hash = coat_span_of(work->job.hash);
    if (!is_step_up(work))
        work->entry.last_login_ms = coat_work_now_ms(work);
    coat_work_write_entry(work, work->entry_version, step_recorded);
}

static bool
take_stored_hash(coat_work *work)
{
    coat_span hash = work->entry.hash;

    if (hash.len == 0 || hash.len > sizeof work->stored)
        return false;
    memcpy(work->stored, hash.ptr, hash.len);
    return coat_hash_parse((coat_span){work->stored, hash.len}, &work->hash, NULL, 0) ==
           COAT_OK;
}

static void
step_recheck(coat_work *work)
{
    if (work->result == COAT_NO_SESSION) {
        failed(work, "deleted");
        return;
    }
    if (work->result != COAT_OK) {
        coat_work_finish(work, work->result);
        return;
    }
    if (coat_work_read_entry(work) != COAT_OK) {
        failed(work, "unreadable");
        return;
    }
    if ((work->entry.flags & COAT_ENTRY_DISABLED) != 0) {
        failed(work, "disabled");
    } else if (coat_span_is(work->entry.hash, work->hash.text)) {
        record(work);
    } else if (take_stored_hash(work)) {
        /* Rehashed by a sign-in at the same time, or changed: look again. */
        coat_work_hash(work, COAT_JOB_VERIFY, step_hashed);
    } else {
        failed(work, "no_password");
    }
}

/* ---- the way there ---- */

static const char *
failure_reason(const coat_work *work)
{
    if (work->absent)
        return "unknown_user";
    if (work->counter.failures > work->limit)
        return "locked";
    if (!work->usable)
        return "no_password";
    return work->job.match ? "disabled" : "wrong_password";
}

static void
step_hashed(coat_work *work)
{
    if (work->job.result == COAT_BUSY) {
        work->counter = work->before;
        counter_write(work, step_returned);
        return;
    }
    if (work->job.kind == COAT_JOB_VERIFY && work->job.result == COAT_OK && work->job.match &&
        !work->absent && (work->entry.flags & COAT_ENTRY_DISABLED) == 0)
        record(work);
    else
        failed(work, failure_reason(work));
}

static void step_counter(coat_work *work);

static void
step_counted(coat_work *work)
{
    if (lost_race(work->result)) {
        if (++work->tries < COAT_TRIES_MAX)
            coat_work_load(work, COAT_SPACE_META, &work->place, step_counter);
        else
            coat_work_finish(work, COAT_BUSY);
        return;
    }
    if (work->result != COAT_OK) {
        coat_work_finish(work, work->result);
        return;
    }
    work->counter_version = work->version;
    if (work->rewound) {
        throttled(work, (uint32_t)(coat_throttle_wait_ms(work->counter.failures) / 1000), false,
                  NULL, 0);
        return;
    }
    if (work->usable && work->counter.failures <= work->limit) {
        coat_work_hash(work, COAT_JOB_VERIFY, step_hashed);
    } else {
        coat_policy_decoy_salt(work->policy, &work->account, work->job.salt);
        coat_work_hash(work, COAT_JOB_DECOY, step_hashed);
    }
}

static void
step_counter(coat_work *work)
{
    int64_t now = coat_work_now_ms(work), left;

    if (!counter_read(work))
        return;
    left = coat_throttle_left_ms(&work->counter, now);
    work->rewound = left > 0 && work->counter.last_ms > now;
    if (left > 0 && !work->rewound) {
        uint64_t count =
            coat_directory_throttled(work->directory, coat_throttle_whose(&work->account), now);

        throttled(work, (uint32_t)((left + 999) / 1000), count > 0, "account", count);
        return;
    }
    work->before = work->counter;
    work->counter.last_ms = now;
    if (!work->rewound && work->counter.failures < UINT32_MAX)
        work->counter.failures++;
    counter_write(work, step_counted);
}

static void
step_account(coat_work *work)
{
    coat_account_call *call = work->call;
    int64_t password_ms = 0;
    bool known;

    if (work->result != COAT_OK && work->result != COAT_NO_SESSION) {
        coat_work_finish(work, work->result);
        return;
    }
    work->absent = work->result != COAT_OK || coat_work_read_entry(work) != COAT_OK;
    if (!work->absent) {
        work->usable = take_stored_hash(work);
        password_ms = work->entry.password_ms;
    }
    known = coat_device_known(work->policy, &work->account, password_ms, coat_work_now_ms(work),
                              call->device);
    work->client =
        is_step_up(work) || (known && !work->absent) ? COAT_CLIENT_KNOWN : COAT_CLIENT_UNKNOWN;
    work->limit = work->client == COAT_CLIENT_KNOWN ? work->policy->failures_known
                                                    : work->policy->failures_unknown;
    work->place =
        coat_throttle_address(work->policy, &work->account, work->client, work->absent);
    coat_work_load(work, COAT_SPACE_META, &work->place, step_counter);
}

void
coat_signin_begin(coat_work *work)
{
    coat_account_call *call = work->call;
    bool first = false;
    uint32_t wait;

    wait = coat_limiter_hit(work->directory->limiter, &call->address, coat_work_now_ms(work),
                            &first);
    if (wait > 0) {
        throttled(work, wait, first, "network", 0);
        return;
    }
    if (call->password.len == 0 || call->password.len > COAT_PASSWORD_MAX) {
        refuse(work, "password_length"); /* says nothing about any account */
        return;
    }
    if (coat_pool_full(work->directory->pool)) {
        coat_work_finish(work, COAT_BUSY);
        return;
    }
    if (work->policy->rng(work->policy->rng_ctx, work->job.salt, sizeof work->job.salt) !=
        COAT_OK) {
        coat_work_finish(work, COAT_RNG_FAILED);
        return;
    }
    (void)coat_work_take_password(work);
    if (coat_name_read(call->name, &work->name) == COAT_OK)
        work->account = coat_policy_address(work->policy, coat_name_span(&work->name));
    else /* nobody can have such a name; it takes the same way */
        work->account = coat_policy_address(work->policy, call->name);
    coat_work_load(work, COAT_SPACE_ACCOUNT, &work->account, step_account);
}
