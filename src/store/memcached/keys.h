/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_MEMCACHED_KEYS_H
#define COAT_STORE_MEMCACHED_KEYS_H

/**
 * What a server answers to "lru_crawler metadump hash": the keys of all that it holds, whoever
 * has put them there.
 *
 *  key=NAME exp=N la=N cas=N fetch=yes|no cls=N size=N \n    of each item; NAME is URI-encoded
 *  END \r\n                                                 that was all
 *  BUSY ... \r\n                                            its crawler has something else to
 * do
 *
 * Strict, as meta.h: a line that is not whole in every field may be two halves of others.
 */

#include "store/memcached/meta.h"

#include <coatcheck/store.h>

enum { MC_NAME_MAX = 250 }; /* of a key, by the protocol */

typedef enum mc_listing {
    MC_LISTS_KEY, /* `name` */
    MC_LISTS_END,
    MC_LISTS_BUSY,
    MC_LISTS_DONE,  /* OK, STORED: what was said was done, or is begun */
    MC_LISTS_NEVER, /* a refusal: `line` */
} mc_listing;

typedef struct mc_listed {
    mc_listing what;
    coat_span name; /* as it is on the line: still encoded */
    coat_span line;
} mc_listed;

/**
 * Take the next line. It is borrowed until the reader is next used.
 * @retval COAT_OK  *whole says whether there was one
 * @retval COAT_MALFORMED, COAT_TOO_LARGE  drop the connection
 */
coat_err mc_listed_next(mc_reader *reader, mc_listed *out, bool *whole);

/**
 * Which entry is it the key of? Of a space of sessions only the owner is known, which is the
 * last half of the address.
 * @param name    as on the line
 * @param prefix  of all our keys
 * @return false: it is nothing of this space, or not ours
 */
bool mc_name_read(coat_span name, const char *prefix, coat_space space, coat_handle *out);

#endif
