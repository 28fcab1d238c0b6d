/* SPDX-License-Identifier: Apache-2.0 */
/* Moving to another store. */
#include "server/admin/handlers.h"

static const char *
name_of(coat_moving_state state)
{
    static const char *const names[] = {[COAT_MOVING_NONE] = "none",
                                        [COAT_MOVING_COPYING] = "copying",
                                        [COAT_MOVING_IN_STEP] = "in_step",
                                        [COAT_MOVING_FAILED] = "failed",
                                        [COAT_MOVING_CANCELLING] = "cancelling",
                                        [COAT_MOVING_CANCELLED] = "cancelled"};

    return names[state];
}

static void
send_status(coat_ask *ask, unsigned status)
{
    coat_moving_status s;

    coat_moving_look(ask->process->moving, &s);
    coat_ask_json(
        ask, status,
        json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "state", name_of(s.state),
                  "from", ask->process->store_url, "to", s.to, "message", s.message, "passes",
                  (json_int_t)s.counts.passes, "sessions", (json_int_t)s.counts.sessions,
                  "accounts", (json_int_t)s.counts.accounts, "meta", (json_int_t)s.counts.meta,
                  "written", (json_int_t)s.counts.written, "removed",
                  (json_int_t)s.counts.removed, "unreadable", (json_int_t)s.counts.unreadable));
}

void
coat_admin_store_copy_show(coat_http_request *req)
{
    send_status(coat_ask_of(req), 200);
}

/** Absent: false. @return false if it is something else than a boolean */
static bool
take_flag(const coat_ask *ask, const char *name, bool *out)
{
    const json_t *value = json_object_get(ask->body, name);

    *out = json_is_true(value);
    return value == NULL || json_is_boolean(value);
}

void
coat_admin_store_copy(coat_http_request *req)
{
    coat_ask *ask = coat_ask_of(req);
    bool sessions_only, cancel;
    char url[COAT_MARK_URL_MAX + 1];
    coat_span to, from;
    coat_err err;

    if (!coat_ask_text(ask, "to", &to) || !coat_ask_text(ask, "from", &from) || to.len == 0 ||
        to.len >= sizeof url || memchr(to.ptr, 0, to.len) != NULL ||
        !take_flag(ask, "sessions_only", &sessions_only) ||
        !take_flag(ask, "cancel", &cancel)) {
        coat_ask_error(ask, 400, "invalid_fields");
        return;
    }
    if (from.len > 0 && !coat_span_is(from, coat_span_of(ask->process->store_url))) {
        coat_ask_error(ask, 409, "other_store");
        return;
    }
    memcpy(url, to.ptr, to.len);
    url[to.len] = '\0';
    err = cancel ? coat_moving_cancel(ask->process->moving, url)
                 : coat_moving_start(ask->process->moving, url, sessions_only);
    if (err == COAT_INVALID)
        coat_ask_error(ask, 400, "same_store");
    else if (err == COAT_EXISTS)
        coat_ask_error(ask, 409, "other_copy");
    else if (err != COAT_OK)
        coat_ask_fail(ask, err);
    else
        send_status(ask, 202);
}
