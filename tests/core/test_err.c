/* SPDX-License-Identifier: Apache-2.0 */
#include "core/kat.h"
#include "fixture.h"

#include <coatcheck/coatcheck.h>

static void
names_and_texts(void)
{
    static const coat_err all[] = {
#define X(name, value, kind, text) COAT_##name,
        COAT_ERR_MAP(X)
#undef X
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        test_case(coat_err_name(all[i]));
        CHECK(strcmp(coat_err_name(all[i]), "UNKNOWN") != 0);
        CHECK(coat_err_text(all[i])[0] != '\0');
        for (size_t k = 0; k < i; k++)
            CHECK(all[i] != all[k]);
    }
    CHECK_STR(coat_err_name(COAT_NO_SESSION), "NO_SESSION");
    CHECK_STR(coat_err_name((coat_err)9999), "UNKNOWN");
    CHECK_STR(coat_err_text((coat_err)9999), "unknown error");
    CHECK_STR(coat_version(), COAT_VERSION);
}

static void
kinds(void)
{
    CHECK_INT(coat_err_kind_of(COAT_NO_SESSION), COAT_KIND_ANSWER);
    CHECK_INT(coat_err_kind_of(COAT_STORE_DOWN), COAT_KIND_RETRY);
    CHECK_INT(coat_err_kind_of(COAT_RNG_FAILED), COAT_KIND_BROKEN);
    CHECK_INT(coat_err_kind_of(COAT_MALFORMED), COAT_KIND_BAD);
    /* What we do not know must not read as a definite answer. */
    CHECK_INT(coat_err_kind_of((coat_err)9999), COAT_KIND_BROKEN);
}

static void
events(void)
{
    for (int i = 0; i < COAT_EVENT_COUNT; i++) {
        CHECK(strcmp(coat_event_name((coat_event_type)i), "unknown") != 0);
        for (int k = 0; k < i; k++)
            CHECK(strcmp(coat_event_name((coat_event_type)i),
                         coat_event_name((coat_event_type)k)) != 0);
    }
    CHECK_STR(coat_event_name(COAT_EVENT_NONE), "none");
    CHECK_STR(coat_event_name(COAT_EVENT_TOKEN_REUSE), "token_reuse");
    CHECK_STR(coat_event_name(COAT_EVENT_COUNT), "unknown");
    CHECK_STR(coat_event_name((coat_event_type)-1), "unknown");
}

static void
init_passes(void)
{
    size_t count;
    const coat_kat *tests = coat_kat_all(&count);

    CHECK_ERR(coat_init(), COAT_OK);
    CHECK_ERR(coat_init(), COAT_OK);
    CHECK(count >= 8);
    CHECK_ERR(coat_kat_check(tests, count), COAT_OK);
}

static void
wrong_answer_is_noticed(void)
{
    size_t count;
    const coat_kat *tests = coat_kat_all(&count);

    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(tests[i].answer);

        test_case(tests[i].name);
        for (size_t digit = 0; digit < length; digit++) {
            char answer[2 * COAT_KAT_ANSWER_MAX + 1];
            coat_kat broken = tests[i];

            memcpy(answer, tests[i].answer, length + 1);
            answer[digit] = answer[digit] == '0' ? '1' : '0';
            broken.answer = answer;
            CHECK_ERR(coat_kat_check(&broken, 1), COAT_IO);
        }
    }
}

static size_t
no_answer(uint8_t out[COAT_KAT_ANSWER_MAX])
{
    (void)out;
    return 0;
}

static void
failing_primitive_is_noticed(void)
{
    coat_kat broken = {"broken", no_answer, "00"};

    CHECK_ERR(coat_kat_check(&broken, 1), COAT_IO);
}

/* HD-10: what a caller who ignores every return value sees in a result that was never set. */
static void
zero_means_deny(void)
{
    coat_judgement judgement = {0};
    coat_token token = {0};
    coat_tag_keys none = {0};
    char text[COAT_TOKEN_CHARS];

    CHECK(judgement.verdict == COAT_VERDICT_NONE && judgement.due == COAT_DUE_NOTHING);
    CHECK(judgement.bearer == COAT_BEARER_NONE);
    coat_token_encode(&token, text);
    CHECK_ERR(coat_token_open(fixture_text(text, sizeof text), &none, &token), COAT_NO_SESSION);
}

static const coat_test tests[] = {
    {"errors have names, texts and distinct values", names_and_texts},
    {"errors have kinds, and an unknown one is no answer", kinds},
    {"events have distinct names", events},
    {"HD-9: known-answer tests pass at start", init_passes},
    {"HD-9: any wrong digit of any known answer is noticed", wrong_answer_is_noticed},
    {"HD-9: a primitive that gives no answer is noticed", failing_primitive_is_noticed},
    {"HD-10: zeroed results deny", zero_means_deny},
};
COAT_TEST_MAIN(tests)
