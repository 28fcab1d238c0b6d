/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_TABLE_VERSIONS_H
#define COAT_TEST_TABLE_VERSIONS_H

/**
 * Sessions in numbered versions, for tests in which readers race a writer: everything about a
 * version follows from its number, so a mixture of two is noticed, and a reader can ask for
 * any.
 */

#include "kit.h"

enum { VERSION_USER = 8, VERSION_ROLES_LONG = 200 };

/** Version `version` of session `id`. Odd ids have identities that need the arena. */
static inline void
version_make(kit_session *s, uint64_t id, uint64_t version)
{
    test_rng rng = {id * 1000003};
    uint8_t number[8];

    kit_session_make(s, &rng, id / 4, VERSION_USER, id % 2 != 0 ? VERSION_ROLES_LONG : 8);
    coat_store64(number, version);
    for (size_t i = 0; i < s->record.roles.len; i++)
        s->roles[i] = (char)('a' + (version >> 4 * (i % 8) & 15));
    s->record.created_ms = kit_now - (int64_t)version % 1000000;
    s->record.epoch_global = 0;
    (void)crypto_generichash(s->token.secret, sizeof s->token.secret, number, sizeof number,
                             s->token.handle.bytes, sizeof s->token.handle.bytes);
    coat_token_tag(&s->token, &kit_tags);
    coat_token_encode(&s->token, s->text);
    coat_secret_digest(s->token.secret, s->record.current_digest);
}

#endif
