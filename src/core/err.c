/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/base.h>
#include <coatcheck/event.h>

const char *
coat_err_name(coat_err err)
{
    switch (err) {
#define X(name, value, kind, text)                                                             \
    case COAT_##name:                                                                          \
        return #name;
        COAT_ERR_MAP(X)
#undef X
    }
    return "UNKNOWN";
}

const char *
coat_err_text(coat_err err)
{
    switch (err) {
#define X(name, value, kind, text)                                                             \
    case COAT_##name:                                                                          \
        return text;
        COAT_ERR_MAP(X)
#undef X
    }
    return "unknown error";
}

coat_err_kind
coat_err_kind_of(coat_err err)
{
    switch (err) {
#define X(name, value, kind, text)                                                             \
    case COAT_##name:                                                                          \
        return COAT_KIND_##kind;
        COAT_ERR_MAP(X)
#undef X
    }
    return COAT_KIND_BROKEN;
}

const char *
coat_version(void)
{
    return COAT_VERSION;
}

const char *
coat_event_name(coat_event_type type)
{
    static const char *const names[] = {
        "none",
#define X(name, text, severity) text,
        COAT_EVENT_MAP(X)
#undef X
    };

    return (unsigned)type < COAT_EVENT_COUNT ? names[type] : "unknown";
}
