/* SPDX-License-Identifier: Apache-2.0 */
/* Contradictions in what is signed for APIs (FA-10). */
#include "core/chars.h"
#include "server/config/internal.h"

#include <coatcheck/assertion.h>

static const coat_place *
place(const coat_builder *b, size_t index)
{
    return &b->config->priv->places[index];
}

/* RFC 7519 2, StringOrURI; and what proxies can write into a query as it stands. */
static bool
is_name(const char *text)
{
    static const char others[] = "-._~:/";

    for (; *text != '\0'; text++)
        if (!coat_char_is_alnum((uint8_t)*text) && strchr(others, *text) == NULL)
            return false;
    return true;
}

/* These ask for the first audience, or for none. */
static bool
is_word(const char *text)
{
    return coat_word_index("yes|no|on|off", text) >= 0;
}

static coat_err
validate_audiences(coat_builder *b)
{
    const coat_strings *list = &b->config->assertion_audiences;
    size_t index = COAT_INDEX_assertion_audiences;

    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->list[i];

        if (strlen(name) > COAT_ASSERTION_AUDIENCE_MAX)
            return coat_config_fail(b, index, place(b, index),
                                    "\"%.40s...\" has %zu bytes, at most %d are allowed", name,
                                    strlen(name), COAT_ASSERTION_AUDIENCE_MAX);
        if (!is_name(name))
            return coat_config_fail(b, index, place(b, index),
                                    "\"%.100s\": letters, digits and - . _ ~ : / only, as in "
                                    "orders-api or https://api.example.com/orders",
                                    name);
        if (is_word(name))
            return coat_config_fail(
                b, index, place(b, index),
                "\"%.100s\" is a word that proxies use to ask for the first "
                "audience or for none; choose another name",
                name);
    }
    return COAT_OK;
}

/* What is set without an audience was meant to do something, and would not. */
static coat_err
validate_unused(coat_builder *b)
{
    size_t index;

    if (b->config->assertion_issuer[0] != '\0')
        index = COAT_INDEX_assertion_issuer;
    else if (b->config->assertion_lifetime_ms != COAT_ASSERTION_LIFETIME_MAX_MS)
        index = COAT_INDEX_assertion_lifetime_ms;
    else
        return COAT_OK;
    return coat_config_fail(b, index, place(b, index),
                            "without assertion.audiences nothing is signed: name at least one "
                            "API there");
}

coat_err
coat_config_validate_assertion(coat_builder *b)
{
    const coat_config *c = b->config;
    size_t index = COAT_INDEX_assertion_lifetime_ms;
    coat_err err = validate_audiences(b);

    if (err != COAT_OK)
        return err;
    if (c->assertion_audiences.count == 0)
        return validate_unused(b);
    if (c->assertion_lifetime_ms % SECOND != 0)
        return coat_config_fail(b, index, place(b, index),
                                "must be whole seconds: claims of a JWT know nothing finer");
    index = COAT_INDEX_assertion_issuer;
    if (!coat_span_is_visible(coat_span_of(c->assertion_issuer)))
        return coat_config_fail(b, index, place(b, index),
                                "\"%.100s\": visible ASCII only, as in https://app.example.com",
                                c->assertion_issuer);
    index = COAT_INDEX_header_assertion;
    if (c->header_assertion[0] == '\0')
        return coat_config_fail(
            b, index, place(b, index),
            "is empty, but assertion.audiences is not: name the header that "
            "carries assertions, or turn them off there");
    return COAT_OK;
}
