/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REMOTE_VALUE_H
#define COAT_STORE_REMOTE_VALUE_H

/**
 * A value as a store behind a network keeps it: "cr" | format u8 | space u8 | payload length
 * u32 | version u64 | expires i64 | owner's epoch u64 | global epoch u64 | address (16) |
 * payload; little-endian. It names its address, so that an answer to somebody else's question
 * shows (SF-6).
 */

#include "store/value.h"

enum { REMOTE_VALUE_HEAD = 56, REMOTE_VALUE_FORMAT = 1 };

/**
 * @retval COAT_MALFORMED, COAT_NEWER_FORMAT  deny, and leave the bytes where they are
 * @retval COAT_TAMPERED  well-formed, but of another address or space
 */
coat_err remote_value_decode(coat_span bytes, coat_space space, const coat_handle *address,
                             coat_value *out);

/** The parts before and behind the version, which the store gives; the payload follows. */
enum { REMOTE_VALUE_FRONT = 8, REMOTE_VALUE_BACK = 40 };
void remote_value_front(coat_space space, size_t len, uint8_t front[REMOTE_VALUE_FRONT]);
void remote_value_back(const coat_store_req *req, uint8_t back[REMOTE_VALUE_BACK]);

#endif
