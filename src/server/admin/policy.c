/* SPDX-License-Identifier: Apache-2.0 */
/* Who may use the admin socket, and that each change is in the audit log first. */
#include "server/admin/ask.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

static bool
number_is(const char *text, uint64_t id)
{
    int64_t value;

    return coat_integer_parse(coat_span_of(text), &value) == COAT_OK && value >= 0 &&
           (uint64_t)value == id;
}

static bool
user_listed(const coat_strings *users, uid_t uid)
{
    for (size_t i = 0; i < users->count; i++) {
        const struct passwd *entry;

        if (number_is(users->list[i], uid))
            return true;
        entry = getpwnam(users->list[i]);
        if (entry != NULL && entry->pw_uid == uid)
            return true;
    }
    return false;
}

static bool
group_listed(const coat_strings *groups, gid_t gid)
{
    for (size_t i = 0; i < groups->count; i++) {
        const struct group *entry;

        if (number_is(groups->list[i], gid))
            return true;
        entry = getgrnam(groups->list[i]);
        if (entry != NULL && entry->gr_gid == gid)
            return true;
    }
    return false;
}

/* getpwnam and getgrnam are not reentrant: one lock for all loops, on a rare path. */
static bool
peer_allowed(const coat_http_peer *peer, const coat_config *config)
{
    static pthread_mutex_t names = PTHREAD_MUTEX_INITIALIZER;
    bool allowed;

    if (!peer->has_cred)
        return false;
    if (peer->uid == 0 || peer->uid == geteuid())
        return true;
    (void)pthread_mutex_lock(&names);
    allowed = user_listed(&config->admin_users, peer->uid) ||
              group_listed(&config->admin_groups, peer->gid);
    (void)pthread_mutex_unlock(&names);
    return allowed;
}

bool
coat_admin_admit(const coat_http_listener *listener, const coat_http_peer *peer)
{
    const coat_settings *set;
    coat_process *process;

    memcpy(&process, &listener->user, sizeof process);
    set = atomic_load_explicit(&process->app.settings, memory_order_acquire);
    if (peer_allowed(peer, set->config))
        return true;
    coat_log_line(process->app.log, COAT_LOG_WARNING,
                  "admin socket: this process may not use it (admin.users, admin.groups)",
                  COAT_LOG_FIELDS(coat_log_number(COAT_LOG_F_PID, peer->pid)));
    return false;
}

/* No browser can leave these away on a request it was made to send (AD-2). */
static bool
from_browser(const coat_http_request *req)
{
    for (size_t i = 0; i < req->field_count; i++) {
        coat_span name = req->fields[i].name;

        if (coat_span_is_nocase(name, COAT_LIT("Origin")) ||
            (name.len > 10 &&
             coat_span_is_nocase((coat_span){name.ptr, 10}, COAT_LIT("Sec-Fetch-"))))
            return true;
    }
    return false;
}

static void
written_ahead(coat_audit_call *call)
{
    coat_ask *ask = call->ctx;

    if (call->result != COAT_OK && ask->set->config->audit_required)
        coat_ask_fail(ask, COAT_AUDIT_DOWN);
    else
        coat_http_continue(ask->req);
}

/* The event names the route and its object: a session, or an account. */
static void
write_ahead(coat_ask *ask)
{
    coat_event *event = &ask->audit.event;

    event->type = COAT_EVENT_ADMIN_ACTION;
    event->reason = ask->req->route->pattern;
    if (ask->req->capture_count > 0) {
        /* A name may look like a handle: the pattern tells which it is. */
        if (strstr(ask->req->route->pattern, "{handle}") == NULL)
            event->user = ask->req->captures[0];
        else
            event->has_handle =
                coat_handle_decode(ask->req->captures[0], &event->handle) == COAT_OK;
    } else {
        (void)coat_ask_text(ask, "user", &event->user);
        if (event->user.len == 0)
            (void)coat_ask_text(ask, "name", &event->user);
    }
    ask->audit.origin = ask->origin;
    ask->audit.done = written_ahead;
    ask->audit.ctx = ask;
    coat_audit_start(ask->at->audit, &ask->audit);
}

static coat_ask *
begin(coat_http_request *req)
{
    coat_ask *ask = coat_http_alloc(req, sizeof *ask);

    if (ask == NULL) {
        coat_http_error(req, 500, "internal");
        return NULL;
    }
    memset(ask, 0, sizeof *ask);
    ask->req = req;
    ask->at = req->loop_data;
    /* Listeners are borrowed as const; the process behind this one is ours to change. */
    memcpy(&ask->process, &req->listener->user, sizeof ask->process);
    ask->set = atomic_load_explicit(&ask->at->app->settings, memory_order_acquire);
    ask->origin = (coat_audit_origin){.request_id = coat_span_of(req->id)};
    req->user = ask;
    return ask;
}

void
coat_admin_policy(coat_http_request *req)
{
    uint32_t flags = req->route->flags;
    coat_ask *ask = begin(req);

    if (ask == NULL)
        return;
    if (from_browser(req)) {
        coat_ask_error(ask, 403, "browser_refused");
        return;
    }
    if (coat_http_body(req) == COAT_HTTP_BODY_JSON) {
        coat_err err = coat_http_json(req, &ask->body);

        if (err != COAT_OK || !json_is_object(ask->body)) {
            coat_ask_error(ask, 400, "bad_json");
            return;
        }
    }
    if (flags & COAT_ADMIN_CHANGES)
        write_ahead(ask);
    else
        coat_http_continue(req);
}
