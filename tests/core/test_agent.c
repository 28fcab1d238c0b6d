/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/bytes.h"

#include <coatcheck/forward.h>

#define MOZILLA "Mozilla/5.0 "
#define KIT " AppleWebKit/537.36 (KHTML, like Gecko) "

static const struct agent_case {
    const char *agent, *want;
} cases[] = {
    {"", "unknown"},
    {MOZILLA "(X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux"},
    {MOZILLA "(X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
     "Firefox on Linux"},
    {MOZILLA "(Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
     "Firefox on Windows"},
    {MOZILLA "(Macintosh; Intel Mac OS X 10.15; rv:128.0) Gecko/20100101 Firefox/128.0",
     "Firefox on macOS"},
    {MOZILLA "(Android 14; Mobile; rv:128.0) Gecko/128.0 Firefox/128.0", "Firefox on Android"},
    {MOZILLA "(iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
             "Gecko) FxiOS/127.0 Mobile/15E148 Safari/605.1.15",
     "Firefox on iPhone"},
    {MOZILLA "(Windows NT 10.0; Win64; x64)" KIT "Chrome/126.0.0.0 Safari/537.36",
     "Chrome on Windows"},
    {MOZILLA "(X11; Linux x86_64)" KIT "Chrome/126.0.0.0 Safari/537.36", "Chrome on Linux"},
    {MOZILLA "(X11; CrOS x86_64 14541.0.0)" KIT "Chrome/126.0.0.0 Safari/537.36",
     "Chrome on ChromeOS"},
    {MOZILLA "(Linux; Android 10; K)" KIT "Chrome/126.0.0.0 Mobile Safari/537.36",
     "Chrome on Android"},
    {MOZILLA "(iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
             "CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1",
     "Chrome on iPad"},
    {MOZILLA "(Windows NT 10.0; Win64; x64)" KIT "Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
     "Edge on Windows"},
    {MOZILLA "(Linux; Android 10; Pixel 3 XL)" KIT
             "Chrome/126.0.6478.72 Mobile Safari/537.36 EdgA/125.0.2535.87",
     "Edge on Android"},
    {MOZILLA "(Windows NT 10.0; Win64; x64)" KIT "Chrome/126.0.0.0 Safari/537.36 OPR/112.0.0.0",
     "Opera on Windows"},
    {MOZILLA "(Linux; Android 14; SAMSUNG SM-S918B)" KIT
             "SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
     "Samsung Internet on Android"},
    {MOZILLA "(Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
             "Version/17.5 Safari/605.1.15",
     "Safari on macOS"},
    {MOZILLA "(iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
             "Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
     "Safari on iPhone"},
    {MOZILLA "(X11; Linux x86_64)" KIT "Chrome/126.0.0.0 Safari/537.36 Vivaldi/6.8",
     "Vivaldi on Linux"},
    {"curl/8.8.0", "curl"},
    {"Wget/1.24.5", "Wget"},
    {"Wget/1.21 (linux-gnu)", "Wget"},
    {"python-requests/2.32.3", "Python"},
    {"Python-urllib/3.12", "Python"},
    {"Go-http-client/1.1", "Go"},
    {"okhttp/4.12.0", "OkHttp"},
    {"node", "Node.js"},
    {"something else", "Other"},
    {"Windows", "Other on Windows"},
    {"\xff\x01", "Other"},
};

static void
test_families(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].agent);
        CHECK_STR(coat_agent_family(coat_span_of(cases[i].agent)), cases[i].want);
    }
    CHECK_STR(coat_agent_family((coat_span){NULL, 0}), "unknown");
}

/* Whatever the numbers say, the family is the same. */
static void
test_versions(void)
{
    test_rng rng = {13};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int round = 0; round < 20; round++) {
            uint8_t text[256];
            size_t len = strlen(cases[i].agent);

            memcpy(text, cases[i].agent, len);
            for (size_t k = 0; k < len; k++)
                if (text[k] >= '0' && text[k] <= '9')
                    text[k] = (uint8_t)('0' + test_rng_below(&rng, 10));
            test_case(cases[i].agent);
            CHECK_STR(coat_agent_family((coat_span){text, len}), cases[i].want);
        }
}

/* What a client says behind the first 512 bytes costs nothing and changes nothing. */
static void
test_long(void)
{
    static uint8_t text[16384];

    memset(text, ' ', sizeof text);
    memcpy(text, "curl/8", 6);
    memcpy(text + 512, "Firefox/1 Windows", 17);
    CHECK_STR(coat_agent_family((coat_span){text, sizeof text}), "curl");
    memcpy(text + 480, "Firefox/1 Windows", 17);
    CHECK_STR(coat_agent_family((coat_span){text, sizeof text}), "Firefox on Windows");
}

static const struct language_case {
    const char *header, *want;
} language_cases[] = {
    {"", ""},
    {"en", "en"},
    {"de-DE,de;q=0.9,en;q=0.8", "de-de"},
    {"EN-us", "en-us"},
    {" fr ; q=1 , en", "fr"},
    {"fr;q=0.1, en", "fr"}, /* the first, not the best: it only has to be stable */
    {"zh-Hant-TW", "zh-hant-tw"},
    {"*", ""},
    {",en", ""},
    {";q=1", ""},
    {"e n", ""},
    {"en_US", ""},
    {"en\r\nX: y", ""},
    {"\xc3\xa9", ""},
    {"abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnopqrstuvwxyz01234"},
};

static void
test_language(void)
{
    for (size_t i = 0; i < sizeof language_cases / sizeof language_cases[0]; i++) {
        coat_span header = coat_span_of(language_cases[i].header);
        char buf[64], small[4];
        size_t want = strlen(language_cases[i].want);

        test_case(language_cases[i].header);
        CHECK_INT(coat_language_first(header, buf, sizeof buf), want);
        CHECK_STR(buf, language_cases[i].want);
        CHECK_INT(coat_language_first(header, small, sizeof small), want < 3 ? want : 3);
        CHECK_INT(coat_language_first(header, NULL, 0), 0);
    }
    CHECK_INT(coat_language_first((coat_span){NULL, 0}, (char[8]){0}, 8), 0);
}

static const coat_test tests[] = {
    {"LC-13: the family of a User-Agent", test_families},
    {"LC-13: another version is the same family", test_versions},
    {"LC-13 RX-6: only the first 512 bytes are looked at", test_long},
    {"LC-13: the first language of Accept-Language", test_language},
};

COAT_TEST_MAIN(tests)
