/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "core/out.h"
#include "server/http/params.h"

static uint8_t buf[16384], again_buf[65536];
static char text[65536];

/* By its name a parameter is found, whatever stands before it. */
static void
check_found(const coat_params *params, const coat_param *p)
{
    char name[256];
    coat_span value;

    if (p->name.len >= sizeof name)
        return;
    memcpy(name, p->name.ptr, p->name.len);
    name[p->name.len] = '\0';
    FUZZ_CHECK(coat_params_get(params, name, &value) && value.ptr == p->value.ptr &&
               value.len == p->value.len);
    name[0] ^= 0x20;
    if (coat_params_get(params, name, &value))
        FUZZ_CHECK(value.ptr != p->value.ptr || value.len == 0);
}

/* Property: names are set and different; encoded anew it gives the same parameters. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static coat_params params, again;
    coat_out out = coat_out_init(text, sizeof text);

    if (size > sizeof buf ||
        coat_params_parse((coat_span){data, size}, buf, sizeof buf, &params) != COAT_OK)
        return 0;
    FUZZ_CHECK(params.count <= COAT_PARAMS_MAX);
    for (size_t i = 0; i < params.count; i++) {
        const coat_param *p = &params.list[i];

        FUZZ_CHECK(p->name.len > 0);
        FUZZ_CHECK(memchr(p->name.ptr, '\0', p->name.len) == NULL);
        for (size_t k = 0; k < i; k++)
            FUZZ_CHECK(!coat_span_is(p->name, params.list[k].name));
        for (size_t side = 0; side < 2; side++) {
            coat_span part = side == 0 ? p->name : p->value;

            if (side == 1 || i > 0)
                coat_out_char(&out, side == 1 ? '=' : '&');
            for (size_t k = 0; k < part.len; k++) {
                coat_out_char(&out, '%');
                coat_out_hex(&out, part.ptr + k, 1);
            }
        }
    }
    FUZZ_CHECK(!out.over);
    FUZZ_CHECK(coat_params_parse((coat_span){(const uint8_t *)text, out.len}, again_buf,
                                 sizeof again_buf, &again) == COAT_OK);
    FUZZ_CHECK(again.count == params.count);
    for (size_t i = 0; i < params.count; i++) {
        FUZZ_CHECK(coat_span_is(params.list[i].name, again.list[i].name));
        FUZZ_CHECK(coat_span_is(params.list[i].value, again.list[i].value));
        check_found(&params, &params.list[i]);
    }
    return 0;
}
