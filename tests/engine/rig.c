/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <string.h>

static void
note(void *ctx, const coat_event *event)
{
    rig *r = ctx;
    rig_event *e = &r->events[r->event_count % RIG_EVENTS];
    size_t len = event->user.len < sizeof e->user ? event->user.len : sizeof e->user - 1;

    memset(e, 0, sizeof *e);
    e->type = event->type;
    if (event->reason != NULL)
        snprintf(e->reason, sizeof e->reason, "%s", event->reason);
    if (len > 0)
        memcpy(e->user, event->user.ptr, len);
    e->has_handle = event->has_handle;
    e->handle = event->handle;
    r->event_count++;
}

static coat_err
rng(void *ctx, uint8_t *buf, size_t len)
{
    rig *r = ctx;

    if (r->rng_left == 0)
        return COAT_RNG_FAILED;
    if (r->rng_left > 0)
        r->rng_left--;
    return test_rng_fill(&r->random, buf, len);
}

void
rig_prepare(rig *r, const char *url, unsigned engines)
{
    coat_store_conf conf = {.url = url != NULL ? url : "memory:"};

    if (url != NULL)
        test_not_under_valgrind("it has no room for a map of full size");
    memset(r, 0, sizeof *r);
    REQUIRE_OK(coat_init());
    r->wall = (int64_t)1800000000 * 1000;
    r->mono = 5000000;
    r->random.state = 42;
    r->rng_left = -1;
    r->engines = engines;
    REQUIRE_OK(coat_store_open(&conf, &r->inner));
    /* Scheduling is for a store that answers at once. */
    r->store = url == NULL ? sched_store_new(r->inner) : r->inner;
    REQUIRE_OK(coat_keys_generate(r->wall, rng, r, &r->keys));
    coat_engine_conf_default(&r->conf);
    r->conf.keys = r->keys;
    r->conf.store = r->store;
    r->conf.table_slots = engines > 1 ? 0 : 1024;
    if (url != NULL) /* a real server has real time, these engines have the test's */
        r->conf.clock_off_ms = 0;
    r->conf.rng = rng;
    r->conf.rng_ctx = r;
    r->conf.clock = test_clock;
    r->conf.clock_ctx = &r->wall;
    r->conf.monotonic = test_clock;
    r->conf.monotonic_ctx = &r->mono;
    r->conf.events = note;
    r->conf.events_ctx = r;
}

void
rig_start(rig *r)
{
    for (unsigned i = 0; i < r->engines; i++) {
        REQUIRE_OK(coat_engine_new(&r->conf, &r->engine[i]));
        REQUIRE_OK(coat_desk_open(r->engine[i], NULL, &r->desk[i]));
    }
}

static void
stop_engines(rig *r)
{
    coat_session_free(r->call.session);
    r->call.session = NULL;
    for (unsigned i = 0; i < r->engines; i++) {
        coat_desk_close(r->desk[i]);
        coat_engine_free(r->engine[i]);
        r->desk[i] = NULL;
        r->engine[i] = NULL;
    }
}

void
rig_stop(rig *r)
{
    stop_engines(r);
    if (r->store != r->inner)
        coat_store_close(r->store);
    coat_store_close(r->inner);
    coat_keys_free(r->keys);
}

void
rig_restart(rig *r)
{
    stop_engines(r);
    rig_start(r);
}

void
rig_open(rig *r, unsigned engines)
{
    rig_prepare(r, NULL, engines);
    rig_start(r);
}

void
rig_pass(rig *r, int64_t ms)
{
    r->wall += ms;
    r->mono += ms;
}

unsigned
rig_events(const rig *r, coat_event_type type)
{
    unsigned count = 0;

    for (unsigned i = 0; i < r->event_count && i < RIG_EVENTS; i++)
        count += r->events[i].type == type;
    return count;
}

void
rig_forget(rig *r)
{
    r->event_count = 0;
}

coat_span
rig_span(const rig_token *token)
{
    return (coat_span){(const uint8_t *)token->text, sizeof token->text};
}

coat_err
rig_run(rig *r, unsigned engine, coat_call call)
{
    coat_session_free(r->call.session);
    do { /* a slow disk is no fault; LMDB gives up before it begins, never in the middle */
        r->call = call;
        r->call.session = NULL;
        r->call.result = coat_call_run(r->desk[engine], &r->call);
    } while (r->store == r->inner && coat_err_kind_of(r->call.result) == COAT_KIND_RETRY);
    return r->call.result;
}

rig_token
rig_token_of(const rig *r)
{
    rig_token token;

    memcpy(token.text, r->call.token_text, sizeof token.text);
    return token;
}

rig_token
rig_sign_in(rig *r, unsigned engine, const char *user)
{
    REQUIRE_OK(rig_run(r, engine,
                       (coat_call){.op = COAT_CALL_CREATE,
                                   .user = coat_span_of(user),
                                   .roles = COAT_LIT("reader writer"),
                                   .methods = COAT_LIT("pwd")}));
    return rig_token_of(r);
}

coat_err
rig_check(rig *r, unsigned engine, const rig_token *token)
{
    return rig_run(r, engine, (coat_call){.op = COAT_CALL_CHECK, .token = rig_span(token)});
}

coat_err
rig_knock(rig *r, unsigned engine, const rig_token *token)
{
    coat_table_query query = {.token = rig_span(token),
                              .now_ms = coat_engine_now_ms(r->engine[engine])};
    coat_table_answer answer;

    coat_engine_peek(r->engine[engine], &query, &answer);
    if (answer.verdict == COAT_TABLE_LIVE)
        return COAT_OK;
    if (answer.verdict == COAT_TABLE_REFUSE)
        return COAT_NO_SESSION;
    return rig_check(r, engine, token);
}

coat_err
rig_end(rig *r, unsigned engine, const rig_token *token)
{
    return rig_run(r, engine, (coat_call){.op = COAT_CALL_END, .token = rig_span(token)});
}

coat_err
rig_end_user(rig *r, unsigned engine, const char *user)
{
    return rig_run(r, engine,
                   (coat_call){.op = COAT_CALL_END_USER, .user = coat_span_of(user)});
}

coat_err
rig_patch(rig *r, unsigned engine, const rig_token *token, const char *json)
{
    return rig_run(r, engine,
                   (coat_call){.op = COAT_CALL_PATCH,
                               .token = rig_span(token),
                               .data = coat_span_of(json)});
}

coat_handle
rig_handle(const rig_token *token)
{
    coat_token decoded;

    REQUIRE_OK(coat_token_decode(rig_span(token), &decoded));
    return decoded.handle;
}

unsigned
rig_listed(rig *r, unsigned engine, const char *user)
{
    REQUIRE_OK(
        rig_run(r, engine, (coat_call){.op = COAT_CALL_LIST, .user = coat_span_of(user)}));
    return r->call.count;
}

bool
rig_data_is(const rig *r, const char *json)
{
    return r->call.session != NULL &&
           coat_span_is(coat_session_record(r->call.session)->data, coat_span_of(json));
}
