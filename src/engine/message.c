/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/shared.h"

#include "core/bytes.h"

/* format u8 | kind u8 | turn u64 | number u64, little-endian */
enum { FORMAT = 1 };

void
coat_message_put(const coat_message *message, uint8_t bytes[COAT_MESSAGE_BYTES])
{
    bytes[0] = FORMAT;
    bytes[1] = (uint8_t)message->kind;
    coat_store64(bytes + 2, message->turn);
    coat_store64(bytes + 10, message->number);
}

bool
coat_message_get(coat_span bytes, coat_message *out)
{
    /* What a later release adds comes behind, or under another format. */
    if (bytes.len < COAT_MESSAGE_BYTES || bytes.ptr[0] != FORMAT ||
        bytes.ptr[1] < COAT_MESSAGE_BEAT || bytes.ptr[1] > COAT_MESSAGE_CONFIRM)
        return false;
    out->kind = (coat_message_kind)bytes.ptr[1];
    out->turn = coat_load64(bytes.ptr + 2);
    out->number = coat_load64(bytes.ptr + 10);
    return true;
}
