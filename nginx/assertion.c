/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed assertions live for at most a minute; this worker keeps each for most of that time, so
 * that one question to the daemon serves many requests. Whether the session is live is checked
 * on each request all the same. Bounded: one place a session, the newcomer wins.
 */
#include "module.h"

#include "core/bytes.h"

#include <sodium.h>

enum {
    PLACES = 4096,
    TEXT_MAX = 1984, /* longer ones are asked for each time */
};

typedef struct kept_assertion {
    uint8_t handle[sizeof(coat_handle)];
    ngx_str_t audience; /* of the configuration, which lives as long as the worker */
    int64_t until_ms;   /* passed on until then */
    uint32_t len;
    u_char text[TEXT_MAX];
} kept_assertion;

static kept_assertion *places;
static uint8_t key[crypto_shorthash_KEYBYTES];

ngx_int_t
coat_ngx_assertions_init(void)
{
    if (coat_rng_system(NULL, key, sizeof key) != COAT_OK)
        return NGX_ERROR;
    places = calloc(PLACES, sizeof *places);
    return places != NULL ? NGX_OK : NGX_ERROR;
}

void
coat_ngx_assertions_close(void)
{
    if (places != NULL)
        sodium_memzero(places, PLACES * sizeof *places);
    free(places);
    places = NULL;
}

static kept_assertion *
place_of(const coat_ngx_loc *lcf, const uint8_t handle[static sizeof(coat_handle)])
{
    uint8_t hash[crypto_shorthash_BYTES];

    (void)crypto_shorthash(hash, handle, sizeof(coat_handle), key);
    return &places[(coat_load64(hash) + lcf->assertion_hash) % PLACES];
}

bool
coat_ngx_assertion_find(const coat_ngx_loc *lcf, coat_ngx_ctx *ctx, const coat_handle *handle,
                        ngx_pool_t *pool)
{
    const kept_assertion *place = place_of(lcf, handle->bytes);
    u_char *copy;

    if (coat_ngx_now_ms() >= place->until_ms ||
        !coat_span_is(coat_ngx_span(place->audience), coat_ngx_span(lcf->assertion)) ||
        memcmp(place->handle, handle->bytes, sizeof place->handle) != 0)
        return false;
    /* Copied: the place may be another's while the request is still being sent. */
    copy = ngx_pnalloc(pool, place->len);
    if (copy == NULL)
        return false;
    ngx_memcpy(copy, place->text, place->len);
    ctx->values[COAT_NGX_ASSERTION] = (ngx_str_t){.len = place->len, .data = copy};
    return true;
}

void
coat_ngx_assertion_keep(const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    coat_span seconds = coat_reply_field(ctx->reply, "X-Auth-Assertion-Lifetime");
    ngx_int_t lifetime_s = ngx_atoi((u_char *)(uintptr_t)seconds.ptr, seconds.len);
    const ngx_str_t *text = &ctx->values[COAT_NGX_ASSERTION];
    coat_handle handle;
    kept_assertion *place;

    if (lifetime_s == NGX_ERROR || lifetime_s > 60 || text->len > TEXT_MAX ||
        coat_handle_decode(coat_ngx_span(ctx->values[COAT_NGX_SESSION]), &handle) != COAT_OK)
        return;
    place = place_of(lcf, handle.bytes);
    memcpy(place->handle, handle.bytes, sizeof place->handle);
    memcpy(place->text, text->data, text->len);
    place->len = (uint32_t)text->len;
    place->audience = lcf->assertion;
    /* A quarter of its life is left for the way and for clocks that differ. */
    place->until_ms = coat_ngx_now_ms() + (int64_t)lifetime_s * 750;
}
