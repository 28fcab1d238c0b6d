/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_ENTRY_H
#define COAT_ACCOUNT_ENTRY_H

/**
 * An account as it is stored, without its MAC: flat and little-endian.
 *
 *   format u8 (1) | flags u8 | name length u16 | roles length u16 | hash length u16 |
 *   created, changed, password, last login: i64 ms | name | roles | hash
 *
 * Exactly that long, one encoding for one account. The name is in there so that an account can
 * be listed; the address is only its hash.
 */

#include "account/text.h"
#include <coatcheck/record.h>

#define COAT_ENTRY_FORMAT 1
#define COAT_ENTRY_FIXED 40
#define COAT_ENTRY_MAX (COAT_ENTRY_FIXED + COAT_NAME_MAX + COAT_ROLES_MAX + COAT_HASH_MAX)

enum coat_entry_flags { COAT_ENTRY_DISABLED = 1U << 0 };

/** Spans borrow. An empty hash: nobody can sign in with a password. */
typedef struct coat_entry {
    uint8_t flags;
    coat_span name, roles, hash;
    int64_t created_ms, changed_ms, password_ms, last_login_ms;
} coat_entry;

/** @retval COAT_NEWER_FORMAT, COAT_MALFORMED; *out untouched */
coat_err coat_entry_decode(coat_span bytes, coat_entry *out) COAT_MUST_USE;
/** @return length written to buf, or 0 if a part is over its maximum */
size_t coat_entry_encode(const coat_entry *entry, uint8_t buf[COAT_ENTRY_MAX]);

#endif
