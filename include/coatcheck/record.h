/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_RECORD_H
#define COATCHECK_RECORD_H

/**
 * A session's record: one flat, versioned, little-endian byte string, read in place.
 *
 * Layout: "CC" | format u16 | total length u32 | fixed part | offset table (one u32 end offset
 * per variable part, relative to the first) | variable parts. The format grows by appending;
 * a reader refuses what is newer than COAT_RECORD_FORMAT (COAT_NEWER_FORMAT, never deleted).
 * Stored bytes are the record followed by its seal (keys.h).
 *
 * struct coat_record is the decoded view: its spans borrow from the bytes. To change a record,
 * decode, change fields, encode into another buffer. Pure; no allocation; any thread.
 */

#include <coatcheck/token.h>

#define COAT_RECORD_FORMAT 1
#define COAT_RECORD_MAX (64 * 1024) /* hard maximum of a record in any store */
#define COAT_USER_MAX 255           /* bytes of a user id, UTF-8 */
#define COAT_ROLES_MAX 1024
#define COAT_METHODS_MAX 128
#define COAT_AGENT_MAX 256   /* longer User-Agent strings are cut when a session is made */
#define COAT_ADDRESS_MAX 64  /* textual IP address */
#define COAT_LANGUAGE_MAX 32 /* first tag of Accept-Language */
#define COAT_DATA_MAX (16 * 1024)
#define COAT_CSRF_KEY_BYTES 16
#define COAT_ROTATION_KEY_BYTES 32

enum coat_record_flags {
    COAT_RECORD_REMEMBER = 1U << 0, /* made with remember-me: its own pair of limits */
    COAT_RECORD_PENDING = 1U << 1,  /* pending_digest is set */
    COAT_RECORD_PREVIOUS = 1U << 2, /* previous_digest is set */
};

/** Coarse client context (LC-13): keyed nowhere, compared only with itself. */
typedef struct coat_context {
    coat_span address;  /* textual IP address, or its network in privacy mode */
    coat_span agent;    /* User-Agent */
    coat_span language; /* first language tag */
} coat_context;

typedef struct coat_record {
    uint32_t flags;
    int64_t created_ms;
    int64_t auth_ms;         /* last authentication of the user; 0: nobody signed in */
    int64_t seen_ms;         /* last activity as folded in; the table may know better */
    int64_t idle_ms;         /* idle limit of this session */
    int64_t absolute_end_ms; /* never moved by rotation or activity */
    int64_t rotated_ms;      /* when the current secret became current */
    int64_t handed_ms;       /* when the pending secret was last handed out; 0: no pending */
    int64_t previous_end_ms; /* end of grace of the previous secret */
    uint64_t epoch_global;   /* epochs under which the session was made */
    uint64_t epoch_owner;
    uint8_t current_digest[COAT_DIGEST_BYTES];
    uint8_t pending_digest[COAT_DIGEST_BYTES];
    uint8_t previous_digest[COAT_DIGEST_BYTES];
    uint8_t rotation_key[COAT_ROTATION_KEY_BYTES];
    uint8_t csrf_key[COAT_CSRF_KEY_BYTES];
    coat_span user;     /* empty: a session without a user */
    coat_span roles;    /* separated by one space */
    coat_span methods;  /* authentication methods, RFC 8176 names, separated by one space */
    coat_context first; /* when made */
    coat_context last;  /* at last change */
    coat_span data;     /* application data: a JSON object, or empty for {} */
} coat_record;

/**
 * Check bounds once and point into bytes.
 * @retval COAT_MALFORMED     truncated, inconsistent, over a limit
 * @retval COAT_NEWER_FORMAT  written by a later release: deny, keep the bytes
 */
COAT_API coat_err coat_record_view(coat_span bytes, coat_record *out) COAT_MUST_USE;

/** Encoded size, without seal. 0 if a part is over its limit. */
COAT_API size_t coat_record_size(const coat_record *record);

/**
 * What a flag declares absent (pending, previous) must be zero, and no time negative.
 * @retval COAT_TOO_LARGE  cap or a part's limit exceeded; nothing useful written
 * @retval COAT_INVALID    not a record that coat_record_view() would accept; nothing written
 */
COAT_API coat_err coat_record_encode(const coat_record *record, uint8_t *buf, size_t cap,
                                     size_t *len) COAT_MUST_USE;

#endif
