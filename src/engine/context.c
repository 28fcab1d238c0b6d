/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/context.h"

#include "core/out.h"

#include <coatcheck/forward.h>

enum { V4_PREFIX = 24, V6_PREFIX = 48 };

/** The network of an address, or of a network as kept in privacy mode. */
static bool
network_of(coat_span text, coat_address *out)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '/')
            text.len = i;
    if (coat_address_parse(text, out) != COAT_OK)
        return false;
    coat_address_mask(out, V4_PREFIX, V6_PREFIX);
    return true;
}

static bool
same_network(coat_span a, coat_span b)
{
    coat_address x, y;

    if (!network_of(a, &x) || !network_of(b, &y))
        return coat_span_is(a, b);
    return memcmp(x.bytes, y.bytes, sizeof x.bytes) == 0;
}

uint32_t
coat_context_compare(const coat_context *known, const coat_context *now)
{
    uint32_t changed = 0;

    if (known->address.len > 0 && now->address.len > 0 &&
        !same_network(known->address, now->address))
        changed |= COAT_CHANGED_ADDRESS;
    if (known->agent.len > 0 && now->agent.len > 0 &&
        strcmp(coat_agent_family(known->agent), coat_agent_family(now->agent)) != 0)
        changed |= COAT_CHANGED_AGENT;
    if (known->language.len > 0 && now->language.len > 0 &&
        !coat_span_is_nocase(known->language, now->language))
        changed |= COAT_CHANGED_LANGUAGE;
    return changed;
}

bool
coat_context_is_strange(uint32_t changed)
{
    return (changed & COAT_CHANGED_AGENT) != 0 ||
           changed == (COAT_CHANGED_ADDRESS | COAT_CHANGED_LANGUAGE);
}

static coat_span
cut(coat_span text, size_t most)
{
    if (text.len > most)
        text.len = most;
    return text;
}

void
coat_context_keep(const coat_context *context, bool privacy, coat_context_kept *out)
{
    coat_address network;
    coat_out text = coat_out_init(out->network, sizeof out->network);

    out->view.address = cut(context->address, COAT_ADDRESS_MAX);
    out->view.agent = cut(context->agent, COAT_AGENT_MAX);
    out->view.language = cut(context->language, COAT_LANGUAGE_MAX);
    if (!privacy || context->address.len == 0)
        return;
    out->view.address = (coat_span){0};
    if (!network_of(context->address, &network))
        return;
    coat_address_format(&network, out->network, sizeof out->network);
    text.len = strlen(out->network);
    coat_out_str(&text, coat_address_is_v4(&network) ? "/24" : "/48");
    out->view.address = (coat_span){(const uint8_t *)out->network, text.len};
}

coat_context
coat_context_join(const coat_context *now, const coat_context *known)
{
    return (coat_context){
        .address = now->address.len > 0 ? now->address : known->address,
        .agent = now->agent.len > 0 ? now->agent : known->agent,
        .language = now->language.len > 0 ? now->language : known->language,
    };
}
