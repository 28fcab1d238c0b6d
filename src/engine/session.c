/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"

#include "core/bytes.h"

#include <sodium.h>
#include <stdlib.h>

static coat_session *
session_new(const coat_handle *handle, size_t size)
{
    coat_session *session;
    size_t all;

    if (size > COAT_STORE_VALUE_MAX || __builtin_add_overflow(sizeof *session, size, &all))
        return NULL;
    session = malloc(all);
    if (session == NULL)
        return NULL;
    memset(session, 0, sizeof *session);
    session->handle = *handle;
    session->size = size;
    return session;
}

void
coat_session_free(coat_session *session)
{
    if (session == NULL)
        return;
    sodium_memzero(session, sizeof *session + session->size);
    free(session);
}

coat_err
coat_session_open(const coat_keys *keys, const coat_handle *handle, coat_span sealed,
                  uint64_t version, coat_session **out)
{
    coat_session *session;
    coat_span payload;
    coat_err err;

    if (sealed.len > COAT_STORE_VALUE_MAX)
        return COAT_MALFORMED;
    session = session_new(handle, sealed.len);
    if (session == NULL)
        return COAT_NO_MEMORY;
    if (sealed.len > 0)
        memcpy(session->bytes, sealed.ptr, sealed.len);
    session->len = sealed.len;
    session->version = version;
    err = coat_unseal(keys, COAT_SEAL_SESSION, handle->bytes, coat_session_sealed(session),
                      &payload);
    if (err == COAT_OK)
        err = coat_record_view(payload, &session->record);
    if (err != COAT_OK) {
        coat_session_free(session);
        return err;
    }
    session->seen_ms = session->record.seen_ms;
    *out = session;
    return COAT_OK;
}

coat_err
coat_session_make(const coat_keys *keys, const coat_handle *handle, const coat_record *record,
                  coat_session **out)
{
    size_t size = coat_record_size(record), len;
    coat_session *session;
    coat_err err;

    if (size == 0 || size > COAT_RECORD_MAX)
        return COAT_TOO_LARGE;
    session = session_new(handle, size + COAT_SEAL_BYTES);
    if (session == NULL)
        return COAT_NO_MEMORY;
    err = coat_record_encode(record, session->bytes, size, &len);
    if (err == COAT_OK)
        err = coat_record_view((coat_span){session->bytes, len}, &session->record);
    if (err != COAT_OK) {
        coat_session_free(session);
        return err;
    }
    coat_seal(keys, COAT_SEAL_SESSION, handle->bytes, session->bytes, len);
    session->len = len + COAT_SEAL_BYTES;
    session->seen_ms = session->record.seen_ms;
    *out = session;
    return COAT_OK;
}

const coat_handle *
coat_session_handle(const coat_session *session)
{
    return &session->handle;
}

const coat_record *
coat_session_record(const coat_session *session)
{
    return &session->record;
}

uint64_t
coat_session_version(const coat_session *session)
{
    return session->version;
}

int64_t
coat_session_seen_ms(const coat_session *session)
{
    return session->seen_ms;
}

int64_t
coat_session_ends_ms(const coat_session *session)
{
    const coat_record *r = &session->record;
    int64_t idle_end;

    if (__builtin_add_overflow(session->seen_ms, r->idle_ms, &idle_end))
        idle_end = INT64_MAX;
    return idle_end < r->absolute_end_ms ? idle_end : r->absolute_end_ms;
}

bool
coat_session_has_role(const coat_session *session, const char *role)
{
    coat_span roles = session->record.roles, want = coat_span_of(role);
    size_t from = 0;

    if (want.len == 0 || memchr(want.ptr, ' ', want.len) != NULL)
        return false;
    for (size_t i = 0; i <= roles.len; i++) {
        if (i < roles.len && roles.ptr[i] != ' ')
            continue;
        if (coat_span_is((coat_span){roles.ptr + from, i - from}, want))
            return true;
        from = i + 1;
    }
    return false;
}

coat_err
coat_session_csrf(const coat_engine *engine, const coat_session *session,
                  char text[COAT_CSRF_CHARS])
{
    coat_setup *setup = coat_setup_take((coat_engine *)(uintptr_t)engine);
    coat_err err = coat_csrf_issue(setup->conf.keys, &session->handle, session->record.csrf_key,
                                   setup->conf.rng, setup->conf.rng_ctx, text);

    coat_setup_drop(setup);
    return err;
}

coat_err
coat_session_csrf_check(const coat_engine *engine, const coat_session *session, coat_span text)
{
    coat_setup *setup = coat_setup_take((coat_engine *)(uintptr_t)engine);
    coat_err err =
        coat_csrf_check(setup->conf.keys, &session->handle, session->record.csrf_key, text);

    coat_setup_drop(setup);
    return err;
}
