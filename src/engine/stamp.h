/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_STAMP_H
#define COAT_ENGINE_STAMP_H

/**
 * Which table belongs to which store. Both hold the same random stamp, drawn anew whenever a
 * process opens them: a store that was wiped, restored from a copy, or used meanwhile with
 * another table holds another one, and the table is built anew instead of being taken over
 * (RV-5).
 */

#include <coatcheck/engine.h>

enum { COAT_STAMP_BYTES = 16 };

typedef struct coat_stamp {
    uint8_t bytes[COAT_STAMP_BYTES];
    uint64_t version; /* of its entry; 0: there was none */
} coat_stamp;

/** The store's stamp; where there is none, one that fits no table. */
coat_err coat_stamp_read(const coat_engine_conf *conf, int64_t now_ms,
                         coat_stamp *out) COAT_MUST_USE;
/** Another one instead of `before`, durably; the table must not be given it otherwise. */
coat_err coat_stamp_renew(const coat_engine_conf *conf, int64_t now_ms,
                          const coat_stamp *before, coat_stamp *out) COAT_MUST_USE;

#endif
