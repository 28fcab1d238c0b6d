/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_RECORD_H
#define COAT_CORE_RECORD_H

/** Where things lie in a record of format 1. All integers little-endian. */

#include <coatcheck/record.h>

enum {
    COAT_RECORD_AT_FORMAT = 2,   /* u16, after "CC" */
    COAT_RECORD_AT_TOTAL = 4,    /* u32 */
    COAT_RECORD_AT_FLAGS = 8,    /* u32 */
    COAT_RECORD_AT_PARTS = 12,   /* u32: COAT_RECORD_PARTS */
    COAT_RECORD_AT_TIMES = 16,   /* eight i64, in the order of struct coat_record */
    COAT_RECORD_AT_EPOCHS = 80,  /* two u64: global, owner */
    COAT_RECORD_AT_DIGESTS = 96, /* current, pending, previous */
    COAT_RECORD_AT_ROTATION = 192,
    COAT_RECORD_AT_CSRF = 224,
    COAT_RECORD_AT_ENDS = 240, /* u32 end of each part */
    COAT_RECORD_PARTS = 10,
    COAT_RECORD_TIMES = 8,
    COAT_RECORD_FIXED = COAT_RECORD_AT_ENDS + 4 * COAT_RECORD_PARTS,
};

#endif
