/* SPDX-License-Identifier: Apache-2.0 */
#include "server/http/internal.h"

coat_span
coat_media_type(coat_span value)
{
    coat_span part = {NULL, 0};

    (void)coat_span_split(&value, ';', &part);
    return part;
}

/* "0.5" in thousandths; what is not a qvalue (RFC 9110 12.4.2) counts as 0. */
static uint32_t
qvalue(coat_span text)
{
    uint32_t q = 0, unit = 1000;

    for (size_t i = 0; i < text.len && i < 5; i++) {
        if (i == 1 && text.ptr[i] == '.')
            continue;
        if (i == 1 || text.ptr[i] < '0' || text.ptr[i] > '9')
            return 0;
        q += (uint32_t)(text.ptr[i] - '0') * unit;
        unit /= 10;
    }
    return text.len > 5 || q > 1000 ? 0 : q;
}

static uint32_t
weight_of(coat_span params)
{
    coat_span part;

    while (coat_span_split(&params, ';', &part))
        if (part.len > 2 && coat_ascii_lower(part.ptr[0]) == 'q' && part.ptr[1] == '=')
            return qvalue((coat_span){part.ptr + 2, part.len - 2});
    return 1000;
}

/* How closely a range names a type: 3 exactly, 2 "text" with any subtype, 1 any, 0 not. */
static unsigned
match(coat_span range, coat_span type, coat_span any_subtype)
{
    if (coat_span_is_nocase(range, type))
        return 3;
    if (coat_span_is_nocase(range, any_subtype))
        return 2;
    return coat_span_is(range, COAT_LIT("*/*")) ? 1 : 0;
}

/* HTML only if it weighs more, or as much and is named where JSON is not (RFC 9110 12.5.1). */
bool
coat_accept_html(coat_span accept)
{
    unsigned html_match = 0, json_match = 0;
    uint32_t html = 0, json = 0;
    coat_span part;

    while (coat_span_split(&accept, ',', &part)) {
        coat_span range, rest = part;
        unsigned m;
        uint32_t q;

        (void)coat_span_split(&rest, ';', &range);
        q = weight_of(rest);
        m = match(range, COAT_LIT("text/html"), COAT_LIT("text/*"));
        if (m > html_match) {
            html_match = m;
            html = q;
        }
        m = match(range, COAT_LIT("application/json"), COAT_LIT("application/*"));
        if (m > json_match) {
            json_match = m;
            json = q;
        }
    }
    return html > json || (html > 0 && html == json && html_match > json_match);
}
