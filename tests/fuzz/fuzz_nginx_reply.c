/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"
#include "fuzz.h"
#include "reply.h"

static void
check_inside(const uint8_t *data, size_t size, coat_span span)
{
    FUZZ_CHECK(span.len == 0 || (span.ptr >= data && span.ptr + span.len <= data + size));
}

/* Nothing that could end a line of ours, in names and values. */
static void
check_field(const coat_field *field)
{
    FUZZ_CHECK(field->name.len > 0);
    for (size_t i = 0; i < field->name.len; i++)
        FUZZ_CHECK(field->name.ptr[i] > 0x20 && field->name.ptr[i] < 0x7f);
    for (size_t i = 0; i < field->value.len; i++)
        FUZZ_CHECK(field->value.ptr[i] >= 0x20 && field->value.ptr[i] != 0x7f);
}

/* What is whole when it came at once is whole when it came byte by byte, and not a byte
 * earlier; what is bad stays bad; a failure leaves the output alone. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t cap = 4096;
    coat_reply reply, early;
    coat_reply_state state;
    size_t found = 0;

    if (size > cap)
        return 0;
    memset(&reply, 0xA5, sizeof reply);
    memcpy(&early, &reply, sizeof early);
    state = coat_reply_parse((coat_span){data, size}, cap, &reply);
    if (state != COAT_REPLY_WHOLE) {
        FUZZ_CHECK(memcmp(&reply, &early, sizeof reply) == 0);
        if (state == COAT_REPLY_MORE)
            FUZZ_CHECK(size < cap);
    } else {
        FUZZ_CHECK(reply.status >= 100 && reply.status <= 599);
        FUZZ_CHECK(reply.field_count <= COAT_REPLY_FIELDS_MAX);
        check_inside(data, size, reply.body);
        for (size_t i = 0; i < reply.field_count; i++) {
            check_inside(data, size, reply.fields[i].name);
            check_inside(data, size, reply.fields[i].value);
            check_field(&reply.fields[i]);
            found += coat_span_is_nocase(reply.fields[i].name, COAT_LIT("Location"));
        }
        FUZZ_CHECK((coat_reply_field(&reply, "location").ptr != NULL) == (found > 0));
    }
    for (size_t len = 0; len < size && size <= 512; len++) {
        coat_reply_state part = coat_reply_parse((coat_span){data, len}, cap, &early);

        FUZZ_CHECK(part != COAT_REPLY_WHOLE || state == COAT_REPLY_BAD);
        FUZZ_CHECK(part != COAT_REPLY_BAD || state == COAT_REPLY_BAD);
    }
    return 0;
}
