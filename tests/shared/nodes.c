/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <stdlib.h>

enum { STARTED_MAX = 16384 };

static started *calls[STARTED_MAX];
static size_t calls_count;

void
nodes_end(void)
{
    for (unsigned n = 0; n < WORLD_NODES; n++)
        node_stop(n);
    for (size_t i = 0; i < calls_count; i++) {
        coat_session_free(calls[i]->call.session);
        free(calls[i]);
    }
    calls_count = 0;
}

void
node_start(unsigned n)
{
    REQUIRE_OK(coat_engine_new(&nodes[n].conf, &nodes[n].engine));
    REQUIRE_OK(coat_desk_open(nodes[n].engine, NULL, &nodes[n].desk));
    coat_shared_pulse(nodes[n].desk);
    channel_join(n);
    channel_deliver(n, SIZE_MAX);
    coat_shared_pulse(nodes[n].desk);
    channel_deliver(n, SIZE_MAX);
}

void
node_stop(unsigned n)
{
    if (nodes[n].engine == NULL)
        return;
    coat_desk_close(nodes[n].desk);
    coat_engine_free(nodes[n].engine);
    nodes[n].engine = NULL;
    nodes[n].desk = NULL;
}

static bool
runs(unsigned n)
{
    return nodes[n].engine != NULL && !nodes[n].stopped;
}

void
world_settle(void)
{
    bool moved = true;

    while (moved) {
        moved = false;
        for (unsigned n = 0; n < WORLD_NODES; n++)
            while (runs(n) && !nodes[n].silent && channel_waiting(n) > 0) {
                channel_deliver(n, 1);
                moved = true;
            }
    }
}

void
world_pass(int64_t ms)
{
    while (ms > 0) {
        int64_t step = ms < 50 ? ms : 50;

        for (unsigned n = 0; n < WORLD_NODES; n++) {
            nodes[n].wall += step;
            nodes[n].mono += step;
        }
        for (unsigned n = 0; n < WORLD_NODES; n++)
            if (runs(n))
                coat_shared_pulse(nodes[n].desk);
        world_settle();
        ms -= step;
    }
}

static void
over(coat_call *call)
{
    ((started *)call->ctx)->done = true;
}

static started *
prepare(coat_call_op op, const world_token *token, const char *user)
{
    started *s = calloc(1, sizeof *s);

    REQUIRE(s != NULL && calls_count < STARTED_MAX);
    calls[calls_count++] = s;
    s->call.op = op;
    if (token != NULL) {
        s->token = *token;
        s->call.token = (coat_span){(const uint8_t *)s->token.text, sizeof s->token.text};
    }
    if (user != NULL) {
        snprintf(s->user, sizeof s->user, "%s", user);
        s->call.user = coat_span_of(s->user);
    }
    s->call.done = over;
    s->call.ctx = s;
    return s;
}

started *
begin(unsigned n, coat_call_op op, const world_token *token, const char *user)
{
    started *s = prepare(op, token, user);

    coat_call_start(nodes[n].desk, &s->call);
    return s;
}

coat_err
patch(unsigned n, const world_token *token, const char *json)
{
    started *s = prepare(COAT_CALL_PATCH, token, NULL);

    s->call.data = coat_span_of(json);
    coat_call_start(nodes[n].desk, &s->call);
    REQUIRE(s->done);
    return s->call.result;
}

coat_err
run(unsigned n, coat_call_op op, const world_token *token, const char *user, world_token *out)
{
    started *s = begin(n, op, token, user);

    for (int i = 0; i < 40 && !s->done; i++) {
        world_settle();
        if (!s->done)
            world_pass(50);
    }
    REQUIRE(s->done);
    if (out != NULL)
        memcpy(out->text, s->call.token_text, sizeof out->text);
    return s->call.result;
}

world_token
sign_in(unsigned n, const char *user)
{
    world_token token;

    REQUIRE_OK(run(n, COAT_CALL_CREATE, NULL, user, &token));
    return token;
}

coat_err
check(unsigned n, const world_token *token)
{
    return run(n, COAT_CALL_CHECK, token, NULL, NULL);
}

coat_table_verdict
peek(unsigned n, const world_token *token)
{
    coat_table_query query = {.token = {(const uint8_t *)token->text, sizeof token->text},
                              .now_ms = nodes[n].wall};
    coat_table_answer answer;

    coat_engine_peek(nodes[n].engine, &query, &answer);
    return answer.verdict;
}

void
warm(unsigned n, const world_token *token)
{
    REQUIRE_OK(check(n, token));
    REQUIRE(peek(n, token) == COAT_TABLE_LIVE);
}

coat_handle
handle_of(const world_token *token)
{
    coat_token decoded;

    REQUIRE_OK(coat_token_decode((coat_span){(const uint8_t *)token->text, sizeof token->text},
                                 &decoded));
    return decoded.handle;
}
