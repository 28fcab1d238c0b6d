/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/forward.h>

#include "core/chars.h"
#include "core/out.h"

/**
 * Families are coarse on purpose: whatever an update of browser or system changes must not
 * matter (LC-13), so no needle below holds a digit. They are for people ("my devices") and for
 * noticing a change; nothing is decided by what a client says it is.
 */
enum { AGENT_LOOKED_AT = 512, LANGUAGE_MAX = 31 };

#define SYSTEMS(X, browser)                                                                    \
    {                                                                                          \
        X(browser, "")                                                                         \
        , X(browser, " on Android")                                                            \
        , X(browser, " on iPhone")                                                             \
        , X(browser, " on iPad")                                                               \
        , X(browser, " on Windows")                                                            \
        , X(browser, " on ChromeOS")                                                           \
        , X(browser, " on macOS")                                                              \
        , X(browser, " on Linux")                                                              \
        ,                                                                                      \
    }
#define JOIN(browser, system) browser system

/* In the order of the names in SYSTEMS, which is the order of looking: Android says Linux too.
 */
static const char *const systems[][2] = {
    {"", ""},        {"Android", ""}, {"iPhone", "iPod"},      {"iPad", ""},
    {"Windows", ""}, {"CrOS", ""},    {"Macintosh", "Mac OS"}, {"Linux", ""},
};
enum { SYSTEM_COUNT = sizeof systems / sizeof systems[0] };

/* The first that occurs wins: Edge says Chrome and Safari too, Chrome says Safari. */
static const struct browser {
    const char *needles[3];
    const char *names[SYSTEM_COUNT];
} browsers[] = {
    {{"Edg/", "EdgA/", "EdgiOS/"}, SYSTEMS(JOIN, "Edge")},
    {{"OPR/", "OPiOS/", "Opera"}, SYSTEMS(JOIN, "Opera")},
    {{"SamsungBrowser/"}, SYSTEMS(JOIN, "Samsung Internet")},
    {{"Vivaldi/"}, SYSTEMS(JOIN, "Vivaldi")},
    {{"Firefox/", "FxiOS/", "Focus/"}, SYSTEMS(JOIN, "Firefox")},
    {{"Chrome/", "CriOS/", "Chromium/"}, SYSTEMS(JOIN, "Chrome")},
    {{"Safari/", "AppleWebKit/"}, SYSTEMS(JOIN, "Safari")},
    {{"curl/"}, SYSTEMS(JOIN, "curl")},
    {{"Wget/"}, SYSTEMS(JOIN, "Wget")},
    {{"python", "Python"}, SYSTEMS(JOIN, "Python")},
    {{"Go-http-client/"}, SYSTEMS(JOIN, "Go")},
    {{"okhttp/"}, SYSTEMS(JOIN, "OkHttp")},
    {{"node"}, SYSTEMS(JOIN, "Node.js")},
    {{""}, SYSTEMS(JOIN, "Other")},
};

static bool
holds(coat_span text, const char *needle)
{
    return needle != NULL && needle[0] != '\0' && text.len > 0 &&
           memmem(text.ptr, text.len, needle, strlen(needle)) != NULL;
}

static size_t
system_of(coat_span agent)
{
    for (size_t i = 1; i < SYSTEM_COUNT; i++)
        if (holds(agent, systems[i][0]) || holds(agent, systems[i][1]))
            return i;
    return 0;
}

const char *
coat_agent_family(coat_span agent)
{
    coat_span text = {agent.ptr, agent.len < AGENT_LOOKED_AT ? agent.len : AGENT_LOOKED_AT};
    const struct browser *last = &browsers[sizeof browsers / sizeof browsers[0] - 1];

    if (text.len == 0)
        return "unknown";
    for (const struct browser *b = browsers; b < last; b++)
        if (holds(text, b->needles[0]) || holds(text, b->needles[1]) ||
            holds(text, b->needles[2]))
            return b->names[system_of(text)];
    return last->names[system_of(text)];
}

/* Each byte is passed once: this is done for each request. */
size_t
coat_language_first(coat_span accept_language, char *buf, size_t cap)
{
    size_t room = cap < LANGUAGE_MAX + 1 ? cap : LANGUAGE_MAX + 1, at = 0, len = 0;
    const uint8_t *text = accept_language.ptr;
    const size_t end = accept_language.len;

    if (cap == 0)
        return 0;
    while (at < end && coat_char_is_ows(text[at]))
        at++;
    for (; at < end && (coat_char_is_alnum(text[at]) || text[at] == '-'); at++)
        if (len + 1 < room)
            buf[len++] = (char)coat_ascii_lower(text[at]);
    while (at < end && coat_char_is_ows(text[at]))
        at++;
    if (at < end && text[at] != ',' && text[at] != ';')
        len = 0;
    buf[len] = '\0';
    return len;
}
