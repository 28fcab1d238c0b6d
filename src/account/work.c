/* SPDX-License-Identifier: Apache-2.0 */
#include "account/work.h"

#include "core/bytes.h"
#include <sodium.h>

void
coat_work_event(const coat_work *work, coat_event_type type, bool failed, const char *reason,
                coat_span user, uint64_t count)
{
    const coat_policy *policy = work->policy;
    coat_event event = {.type = type,
                        .failed = failed,
                        .reason = reason,
                        .user = user,
                        .count = count,
                        .cause = work->call->ctx};

    if (policy->events != NULL)
        policy->events(policy->events_ctx, &event);
}

bool
coat_work_take_password(coat_work *work)
{
    coat_span password = work->call->password;
    coat_err err;

    err = coat_text_nfc(password, work->password, sizeof work->password, &work->password_len);
    if (err == COAT_OK)
        return true;
    if (password.len > sizeof work->password)
        return false;
    memcpy(work->password, password.ptr, password.len);
    work->password_len = password.len;
    return false;
}

coat_err
coat_work_read_entry(coat_work *work)
{
    coat_span name = coat_name_span(&work->name), payload;
    coat_err err;

    err = coat_policy_unmark(work->policy, COAT_SPACE_ACCOUNT, &work->account,
                             (coat_span){work->found, work->found_len}, &payload);
    if (err == COAT_OK)
        err = coat_entry_decode(payload, &work->entry);
    if (err == COAT_OK && !coat_span_is(work->entry.name, name))
        err = COAT_TAMPERED;
    work->entry_version = work->version;
    if (err == COAT_OK)
        return COAT_OK;
    coat_work_event(work,
                    err == COAT_NEWER_FORMAT ? COAT_EVENT_RECORD_UNREADABLE
                                             : COAT_EVENT_RECORD_TAMPERED,
                    true, "account", name, 0);
    return err;
}

void
coat_work_write_entry(coat_work *work, uint64_t version, coat_step then)
{
    size_t len = coat_entry_encode(&work->entry, work->value);

    if (len == 0) {
        coat_work_finish(work, COAT_INVALID);
        return;
    }
    coat_policy_mark(work->policy, COAT_SPACE_ACCOUNT, &work->account, work->value, len);
    coat_work_write(work, COAT_SPACE_ACCOUNT, &work->account, len + COAT_MARK_BYTES, version,
                    then);
}
