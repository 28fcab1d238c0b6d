/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"

#include <sodium.h>
#include <string.h>

/** One desk without loop for all threads that block, one call at a time. */

coat_err
coat_engine_run(coat_engine *engine, coat_call *call)
{
    coat_err err = COAT_OK;

    pthread_mutex_lock(&engine->blocking_mutex);
    if (engine->blocking == NULL)
        err = coat_desk_open(engine, NULL, &engine->blocking);
    if (err == COAT_OK) {
        err = coat_call_run(engine->blocking, call);
    } else {
        coat_call_reset(call);
        call->result = err;
    }
    pthread_mutex_unlock(&engine->blocking_mutex);
    return err;
}

static coat_err
hand_over(coat_call *call, coat_session **out, char token_text[COAT_TOKEN_CHARS])
{
    coat_err err = call->result;

    if (err == COAT_OK) {
        *out = call->session;
        memcpy(token_text, call->token_text, COAT_TOKEN_CHARS);
    } else {
        coat_session_free(call->session);
    }
    sodium_memzero(call->token_text, sizeof call->token_text);
    return err;
}

coat_err
coat_session_check(coat_engine *engine, coat_span token, const coat_context *context,
                   coat_session **out, bool *set_token, char token_text[COAT_TOKEN_CHARS])
{
    coat_call call = {.op = COAT_CALL_CHECK, .token = token};
    bool set;
    coat_err err;

    if (context != NULL)
        call.context = *context;
    call.result = coat_engine_run(engine, &call);
    set = call.set_token;
    err = hand_over(&call, out, token_text);
    if (err == COAT_OK)
        *set_token = set;
    return err;
}

coat_err
coat_session_create(coat_engine *engine, coat_span user, coat_span roles, coat_span data,
                    const coat_context *context, coat_session **out,
                    char token_text[COAT_TOKEN_CHARS])
{
    coat_call call = {.op = COAT_CALL_CREATE, .user = user, .roles = roles, .data = data};

    if (context != NULL)
        call.context = *context;
    call.result = coat_engine_run(engine, &call);
    return hand_over(&call, out, token_text);
}
