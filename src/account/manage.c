/* SPDX-License-Identifier: Apache-2.0 */
#include "account/work.h"

#include "core/bytes.h"
#include <sodium.h>

static void
event(coat_work *work, coat_event_type type, const char *reason)
{
    coat_work_event(work, type, false, reason, coat_name_span(&work->name), 0);
}

/* ---- changing what is there ---- */

static void
step_cleared_unknown(coat_work *work)
{
    coat_work_finish(work, work->result);
}

static void
step_cleared_known(coat_work *work)
{
    if (work->result != COAT_OK) {
        coat_work_finish(work, work->result);
        return;
    }
    work->place =
        coat_throttle_address(work->policy, &work->account, COAT_CLIENT_UNKNOWN, false);
    coat_work_remove(work, COAT_SPACE_META, &work->place, step_cleared_unknown);
}

static void
clear_counters(coat_work *work)
{
    work->place = coat_throttle_address(work->policy, &work->account, COAT_CLIENT_KNOWN, false);
    coat_work_remove(work, COAT_SPACE_META, &work->place, step_cleared_known);
}

static void
changed(coat_work *work)
{
    switch (work->call->op) {
    case COAT_ACCOUNT_SET_PASSWORD:
        event(work, COAT_EVENT_PASSWORD_CHANGED, NULL);
        clear_counters(work);
        return;
    case COAT_ACCOUNT_ENABLE:
        event(work, COAT_EVENT_ACCOUNT_CHANGED, "enabled");
        clear_counters(work);
        return;
    case COAT_ACCOUNT_DELETE:
        event(work, COAT_EVENT_ACCOUNT_CHANGED, "deleted");
        clear_counters(work);
        return;
    case COAT_ACCOUNT_DISABLE:
        event(work, COAT_EVENT_ACCOUNT_DISABLED, NULL);
        break;
    default:
        event(work, COAT_EVENT_ACCOUNT_CHANGED, "roles");
    }
    coat_work_finish(work, COAT_OK);
}

static void step_loaded(coat_work *work);

static void
step_replaced(coat_work *work)
{
    if (work->result == COAT_OK)
        changed(work);
    else if (work->result == COAT_NO_SESSION)
        coat_work_finish(work, COAT_NOT_FOUND);
    else if (work->result == COAT_CONFLICT && ++work->tries < COAT_TRIES_MAX)
        coat_work_load(work, COAT_SPACE_ACCOUNT, &work->account, step_loaded);
    else
        coat_work_finish(work, work->result == COAT_CONFLICT ? COAT_BUSY : work->result);
}

static coat_span
new_hash(const coat_work *work)
{
    return work->call->hash.len > 0 ? work->call->hash : coat_span_of(work->job.hash);
}

static void
change_entry(coat_work *work)
{
    coat_entry *entry = &work->entry;
    int64_t now = coat_work_now_ms(work);

    entry->changed_ms = now;
    switch (work->call->op) {
    case COAT_ACCOUNT_SET_PASSWORD:
        entry->hash = new_hash(work);
        entry->password_ms = now;
        break;
    case COAT_ACCOUNT_SET_ROLES:
        entry->roles = work->call->roles;
        break;
    case COAT_ACCOUNT_DISABLE:
        entry->flags |= COAT_ENTRY_DISABLED;
        break;
    default: /* ENABLE */
        entry->flags &= (uint8_t)~COAT_ENTRY_DISABLED;
    }
}

static void
report(coat_work *work, const coat_entry *entry)
{
    coat_account_call *call = work->call;
    coat_account account = {
        .name = entry->name,
        .roles = entry->roles,
        .disabled = (entry->flags & COAT_ENTRY_DISABLED) != 0,
        .has_password = entry->hash.len > 0,
        .created_ms = entry->created_ms,
        .changed_ms = entry->changed_ms,
        .password_ms = entry->password_ms,
        .last_login_ms = entry->last_login_ms,
    };
    coat_hash hash;

    if (entry->hash.len > 0 && coat_hash_parse(entry->hash, &hash, NULL, 0) == COAT_OK)
        account.hash_kind = coat_span_of(coat_hash_kind_name(hash.kind));
    if (call->item != NULL)
        call->item(call, &account);
}

static void
step_loaded(coat_work *work)
{
    coat_err err = work->result;

    if (err == COAT_OK && work->call->op != COAT_ACCOUNT_DELETE)
        err = coat_work_read_entry(work);
    if (err != COAT_OK) {
        coat_work_finish(work, err == COAT_NO_SESSION ? COAT_NOT_FOUND : err);
        return;
    }
    switch (work->call->op) {
    case COAT_ACCOUNT_SHOW:
        report(work, &work->entry);
        coat_work_finish(work, COAT_OK);
        return;
    case COAT_ACCOUNT_DELETE: /* also one that cannot be read */
        coat_work_remove(work, COAT_SPACE_ACCOUNT, &work->account, step_replaced);
        return;
    default:
        change_entry(work);
        coat_work_write_entry(work, work->entry_version, step_replaced);
    }
}

/* ---- adding ---- */

static void
step_added(coat_work *work)
{
    if (work->result == COAT_OK)
        event(work, COAT_EVENT_ACCOUNT_CREATED, NULL);
    coat_work_finish(work, work->result);
}

static void
add_entry(coat_work *work)
{
    coat_account_call *call = work->call;
    int64_t now = coat_work_now_ms(work);

    work->entry = (coat_entry){
        .name = coat_name_span(&work->name),
        .roles = call->roles,
        .created_ms = now,
        .changed_ms = now,
    };
    if (call->hash.len > 0 || call->password.len > 0) {
        work->entry.hash = new_hash(work);
        work->entry.password_ms = now;
    }
    coat_work_write_entry(work, 0, step_added);
}

static void
step_password_ready(coat_work *work)
{
    if (work->call->password.len > 0 && work->job.result != COAT_OK)
        coat_work_finish(work, work->job.result);
    else if (work->call->op == COAT_ACCOUNT_ADD)
        add_entry(work);
    else
        coat_work_load(work, COAT_SPACE_ACCOUNT, &work->account, step_loaded);
}

static void
begin_password(coat_work *work)
{
    coat_account_call *call = work->call;

    if (call->hash.len > 0) {
        if (call->password.len > 0 || coat_hash_check(call->hash, NULL, NULL, 0) != COAT_OK)
            coat_work_finish(work, COAT_INVALID);
        else
            step_password_ready(work);
        return;
    }
    if (call->password.len == 0 && call->op == COAT_ACCOUNT_ADD) {
        step_password_ready(work); /* nobody can sign in until a password is set */
        return;
    }
    call->fault = coat_password_judge(coat_name_span(&work->name), call->password,
                                      work->policy->service_name);
    if (call->fault != COAT_PASSWORD_FINE) {
        coat_work_finish(work, COAT_INVALID);
        return;
    }
    if (work->policy->rng(work->policy->rng_ctx, work->job.salt, sizeof work->job.salt) !=
        COAT_OK) {
        coat_work_finish(work, COAT_RNG_FAILED);
        return;
    }
    (void)coat_work_take_password(work);
    coat_work_hash(work, COAT_JOB_MAKE, step_password_ready);
}

/* ---- listing ---- */

static void
on_scanned(coat_store_req *req, const coat_store_item *item)
{
    coat_work *work = req->ctx;
    coat_span payload;
    coat_entry entry;
    coat_err err;

    if (work->clerk == NULL)
        return;
    work->call->next = item->address;
    err = coat_policy_unmark(work->policy, COAT_SPACE_ACCOUNT, &item->address, item->value,
                             &payload);
    if (err == COAT_OK)
        err = coat_entry_decode(payload, &entry);
    if (err == COAT_OK)
        report(work, &entry);
    else
        coat_work_event(work,
                        err == COAT_NEWER_FORMAT ? COAT_EVENT_RECORD_UNREADABLE
                                                 : COAT_EVENT_RECORD_TAMPERED,
                        true, "account", (coat_span){NULL, 0}, 0);
}

static void
step_scanned(coat_work *work)
{
    work->call->more = work->result == COAT_OK && work->req.more;
    coat_work_finish(work, work->result);
}

static void
begin_list(coat_work *work)
{
    coat_account_call *call = work->call;

    work->req = (coat_store_req){
        .op = COAT_OP_SCAN,
        .space = COAT_SPACE_ACCOUNT,
        .has_cursor = call->has_cursor,
        .cursor = call->cursor,
        .limit = call->limit == 0 || call->limit > COAT_STORE_LIST_MAX ? COAT_STORE_LIST_MAX
                                                                       : call->limit,
        .item = on_scanned,
    };
    coat_work_submit(work, step_scanned);
}

void
coat_manage_begin(coat_work *work)
{
    coat_account_call *call = work->call;

    if (call->op == COAT_ACCOUNT_LIST) {
        begin_list(work);
        return;
    }
    if (coat_name_read(call->name, &work->name) != COAT_OK) {
        coat_work_finish(work, call->op == COAT_ACCOUNT_ADD ? COAT_INVALID : COAT_NOT_FOUND);
        return;
    }
    work->account = coat_policy_address(work->policy, coat_name_span(&work->name));
    switch (call->op) {
    case COAT_ACCOUNT_ADD:
    case COAT_ACCOUNT_SET_ROLES:
        if (coat_roles_check(call->roles) != COAT_OK) {
            coat_work_finish(work, COAT_INVALID);
            return;
        }
        if (call->op == COAT_ACCOUNT_ADD)
            begin_password(work);
        else
            coat_work_load(work, COAT_SPACE_ACCOUNT, &work->account, step_loaded);
        return;
    case COAT_ACCOUNT_SET_PASSWORD:
        begin_password(work);
        return;
    case COAT_ACCOUNT_DISABLE:
    case COAT_ACCOUNT_ENABLE:
    case COAT_ACCOUNT_DELETE:
    case COAT_ACCOUNT_SHOW:
        coat_work_load(work, COAT_SPACE_ACCOUNT, &work->account, step_loaded);
        return;
    default:
        coat_work_finish(work, COAT_INVALID);
    }
}
