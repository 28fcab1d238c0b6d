/* SPDX-License-Identifier: Apache-2.0 */
#include "core/chars.h"
#include "fuzz.h"

#include <coatcheck/origin.h>

static const char *const own_list[] = {"https://app.example", "https://login.example:8443"};
static const coat_site_policy policy = {.own = {own_list, 2}};
static const coat_cors_policy cors = {
    .allowed = {own_list + 1, 1}, .methods = "GET, POST", .headers = "content-type"};
static const coat_origins own = {own_list, 1};

/* "Name: value" would need a parser; here the fields of a request stand one in a line. */
static coat_span
next_field(coat_span *text)
{
    coat_span line = {NULL, 0};

    if (coat_span_split(text, '\n', &line) && coat_span_is(line, COAT_LIT("-")))
        line = (coat_span){NULL, 0}; /* absent */
    return line;
}

/* An unsafe request passes only with a listed origin in one of its two fields, with the
 * browser's word for it, or as a script's JSON. */
static void
check_site(const coat_site_facts *facts)
{
    bool listed = false;

    if (coat_site_check(facts, &policy) != COAT_OK) {
        FUZZ_CHECK(!coat_method_is_safe(facts->method));
        return;
    }
    if (coat_method_is_safe(facts->method))
        return;
    FUZZ_CHECK(!coat_span_is(facts->fetch_site, COAT_LIT("cross-site")));
    FUZZ_CHECK(!coat_span_is(facts->fetch_site, COAT_LIT("same-site")));
    for (size_t i = 0; i < policy.own.count; i++)
        listed |= coat_span_is(facts->origin, coat_span_of(own_list[i])) ||
                  coat_span_starts(facts->referer, coat_span_of(own_list[i]));
    FUZZ_CHECK(listed || coat_span_is(facts->fetch_site, COAT_LIT("same-origin")) ||
               (facts->fetch_site.ptr == NULL &&
                coat_span_starts_nocase(facts->content_type, COAT_LIT("application/json"))));
}

static void
check_cors(const coat_site_facts *facts, coat_span method, coat_span headers)
{
    coat_cors_answer answer;

    coat_cors_decide(&cors, &own, facts, method, headers, &answer);
    FUZZ_CHECK(answer.vary_origin);
    if (answer.verdict == COAT_CORS_ACTUAL || answer.verdict == COAT_CORS_PREFLIGHT)
        FUZZ_CHECK(answer.allow_origin == own_list[1] &&
                   coat_span_is(facts->origin, coat_span_of(own_list[1])));
    else
        FUZZ_CHECK(answer.allow_origin == NULL);
}

/* What is accepted as an origin matches itself and has no second spelling. */
static void
check_configured(coat_span text)
{
    char origin[512], message[160];

    if (text.len >= sizeof origin || coat_span_find(text, '\0') < text.len)
        return;
    if (text.len > 0)
        memcpy(origin, text.ptr, text.len);
    origin[text.len] = '\0';
    if (coat_origin_check(origin, message, sizeof message) != COAT_OK)
        return;
    FUZZ_CHECK(text.len <= COAT_ORIGIN_MAX);
    for (size_t i = 0; i < text.len; i++)
        FUZZ_CHECK(coat_char_is_lower(text.ptr[i]) || coat_char_is_digit(text.ptr[i]) ||
                   strchr(":/.-[]", text.ptr[i]) != NULL);
    FUZZ_CHECK(origin[text.len - 1] != '.' && origin[text.len - 1] != '/' &&
               origin[text.len - 1] != ':');
    FUZZ_CHECK(strstr(origin, "//") == strrchr(origin, '/') - 1);
}

/* Lists of a policy as they are configured: what is accepted has no "*" to be taken for
 * everybody, and names nothing but tokens. */
static void
check_policy(coat_span methods, coat_span headers, coat_span exposed)
{
    const coat_span parts[3] = {methods, headers, exposed};
    char lists[3][128], message[160] = "";
    coat_cors_policy made = {.allowed = {own_list, 2},
                             .methods = lists[0],
                             .headers = lists[1],
                             .exposed = lists[2],
                             .max_age_s = (int32_t)exposed.len * 100};

    for (size_t i = 0; i < 3; i++) {
        if (parts[i].len >= sizeof lists[i] || coat_span_find(parts[i], '\0') < parts[i].len)
            return;
        if (parts[i].len > 0)
            memcpy(lists[i], parts[i].ptr, parts[i].len);
        lists[i][parts[i].len] = '\0';
    }
    if (coat_cors_check(&made, message, sizeof message) != COAT_OK) {
        FUZZ_CHECK(message[0] != '\0');
        return;
    }
    FUZZ_CHECK(made.max_age_s <= 600);
    for (size_t i = 0; i < 3; i++)
        FUZZ_CHECK(strpbrk(lists[i], "*\r\n:;") == NULL);
    for (const char *c = lists[1]; *c != '\0'; c++)
        FUZZ_CHECK(*c < 'A' || *c > 'Z');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    coat_span text = {data, size}, method, headers;
    coat_site_facts facts = {0};

    check_configured(text);
    facts.method = next_field(&text);
    facts.origin = next_field(&text);
    facts.referer = next_field(&text);
    facts.fetch_site = next_field(&text);
    facts.fetch_mode = next_field(&text);
    facts.fetch_dest = next_field(&text);
    facts.accept = next_field(&text);
    facts.content_type = next_field(&text);
    method = next_field(&text);
    headers = next_field(&text);
    check_site(&facts);
    check_cors(&facts, method, headers);
    check_policy(method, headers, facts.accept);
    facts.origin_repeated = true;
    check_cors(&facts, method, headers);
    (void)coat_is_navigation(&facts);
    return 0;
}
