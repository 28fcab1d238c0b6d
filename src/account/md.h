/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_MD_H
#define COAT_ACCOUNT_MD_H

/**
 * The two old htpasswd hashes, $apr1$ (MD5) and {SHA} (SHA-1): broken, checked only until the
 * user's next sign-in replaces them. libsodium has neither function; they come from libmd, and
 * a build without it does not take such hashes.
 */

#include "account/hash.h"

#define COAT_SHA1_BYTES 20

#ifdef COAT_HAVE_LIBMD
#define COAT_MD_HAVE 1
#else
#define COAT_MD_HAVE 0
#endif

bool coat_md_apr1_verify(const coat_hash *hash, coat_span password);
bool coat_md_sha1_verify(const coat_hash *hash, coat_span password);

#endif
