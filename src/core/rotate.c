/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"

#include <assert.h>
#include <coatcheck/judge.h>
#include <sodium.h>

static_assert(COAT_SECRET_BYTES >= crypto_generichash_BYTES_MIN, "BLAKE2b-128");
static_assert(COAT_ROTATION_KEY_BYTES == crypto_generichash_KEYBYTES, "a full BLAKE2b key");

static void
successor_secret(const coat_record *record, const uint8_t secret[static COAT_SECRET_BYTES],
                 uint8_t out[static COAT_SECRET_BYTES])
{
    (void)crypto_generichash(out, COAT_SECRET_BYTES, secret, COAT_SECRET_BYTES,
                             record->rotation_key, sizeof record->rotation_key);
}

void
coat_rotate_successor(const coat_record *record, const coat_token *token,
                      const coat_tag_keys *keys, coat_token *out)
{
    coat_token next;

    next.handle = token->handle;
    successor_secret(record, token->secret, next.secret);
    coat_token_tag(&next, keys);
    *out = next;
    coat_token_wipe(&next);
}

static void
hand_out(coat_record *record, const coat_token *token, int64_t now_ms)
{
    uint8_t secret[COAT_SECRET_BYTES];

    successor_secret(record, token->secret, secret);
    coat_secret_digest(secret, record->pending_digest);
    record->flags |= COAT_RECORD_PENDING;
    record->handed_ms = now_ms;
    sodium_memzero(secret, sizeof secret);
}

static void
confirm(coat_record *record, int64_t now_ms, const coat_policy *policy)
{
    memcpy(record->previous_digest, record->current_digest, COAT_DIGEST_BYTES);
    memcpy(record->current_digest, record->pending_digest, COAT_DIGEST_BYTES);
    memset(record->pending_digest, 0, COAT_DIGEST_BYTES);
    record->flags &= ~(uint32_t)COAT_RECORD_PENDING;
    record->flags |= COAT_RECORD_PREVIOUS;
    record->handed_ms = 0;
    record->rotated_ms = now_ms;
    if (__builtin_add_overflow(now_ms, policy->rotate_grace_ms, &record->previous_end_ms))
        record->previous_end_ms = now_ms; /* no grace rather than an endless one */
}

bool
coat_rotate_apply(coat_record *record, const coat_token *token, int64_t now_ms,
                  const coat_policy *policy, const coat_judgement *judgement)
{
    if (judgement->verdict != COAT_VERDICT_LIVE && judgement->verdict != COAT_VERDICT_STEP_UP)
        return false;

    /* Who may do what is asked again, so that a judgement of another token changes nothing. */
    if (judgement->due == COAT_DUE_ROTATE && judgement->bearer == COAT_BEARER_CURRENT) {
        hand_out(record, token, now_ms);
        return true;
    }
    if (judgement->due == COAT_DUE_CONFIRM && judgement->bearer == COAT_BEARER_PENDING &&
        (record->flags & COAT_RECORD_PENDING) != 0) {
        confirm(record, now_ms, policy);
        return true;
    }
    return false;
}
