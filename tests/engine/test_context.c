/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/context.h"
#include "rig.h"

#include <string.h>

static rig r;

#define FIREFOX(v) "Mozilla/5.0 (X11; Linux x86_64; rv:" v ") Gecko/20100101 Firefox/" v
#define CHROME                                                                                 \
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "        \
    "Chrome/126.0.0.0 Safari/537.36"

static coat_context
context(const char *address, const char *agent, const char *language)
{
    return (coat_context){coat_span_of(address), coat_span_of(agent), coat_span_of(language)};
}

static const struct compare_case {
    const char *name;
    const char *known[3], *now[3];
    uint32_t changed;
    bool strange;
} compares[] = {
    {"same",
     {"192.0.2.1", FIREFOX("128.0"), "en"},
     {"192.0.2.1", FIREFOX("128.0"), "en"},
     0,
     0},
    {"same network", {"192.0.2.1", "", ""}, {"192.0.2.200", "", ""}, 0, 0},
    {"other network", {"192.0.2.1", "", ""}, {"192.0.3.1", "", ""}, COAT_CHANGED_ADDRESS, 0},
    {"same /48", {"2001:db8:1::1", "", ""}, {"2001:db8:1:ffff::2", "", ""}, 0, 0},
    {"other /48",
     {"2001:db8:1::1", "", ""},
     {"2001:db8:2::1", "", ""},
     COAT_CHANGED_ADDRESS,
     0},
    {"network as kept", {"192.0.2.0/24", "", ""}, {"192.0.2.77", "", ""}, 0, 0},
    {"other than the network as kept",
     {"192.0.2.0/24", "", ""},
     {"198.51.100.7", "", ""},
     COAT_CHANGED_ADDRESS,
     0},
    {"browser update", {"", FIREFOX("128.0"), ""}, {"", FIREFOX("129.0"), ""}, 0, 0},
    {"other browser", {"", FIREFOX("128.0"), ""}, {"", CHROME, ""}, COAT_CHANGED_AGENT, 1},
    {"language", {"", "", "en"}, {"", "", "de"}, COAT_CHANGED_LANGUAGE, 0},
    {"language in another case", {"", "", "EN"}, {"", "", "en"}, 0, 0},
    {"address and language",
     {"192.0.2.1", "", "en"},
     {"198.51.100.7", "", "de"},
     COAT_CHANGED_ADDRESS | COAT_CHANGED_LANGUAGE,
     1},
    {"nothing known", {"", "", ""}, {"192.0.2.1", CHROME, "en"}, 0, 0},
    {"nothing said", {"192.0.2.1", CHROME, "en"}, {"", "", ""}, 0, 0},
};

static void
comparing(void)
{
    for (size_t i = 0; i < sizeof compares / sizeof compares[0]; i++) {
        const struct compare_case *c = &compares[i];
        coat_context known = context(c->known[0], c->known[1], c->known[2]);
        coat_context now = context(c->now[0], c->now[1], c->now[2]);
        uint32_t changed = coat_context_compare(&known, &now);

        test_case(c->name);
        CHECK_INT(changed, c->changed);
        CHECK_INT(coat_context_is_strange(changed), c->strange);
    }
}

static rig_token
begin(coat_context_policy policy, bool privacy)
{
    rig_prepare(&r, NULL, 1);
    r.conf.context_policy = policy;
    r.conf.context_privacy = privacy;
    rig_start(&r);
    REQUIRE_OK(rig_run(&r, 0,
                       (coat_call){.op = COAT_CALL_CREATE,
                                   .user = COAT_LIT("ada"),
                                   .context = context("192.0.2.1", FIREFOX("128.0"), "en")}));
    return rig_token_of(&r);
}

static coat_err
come(const rig_token *token, const char *address, const char *agent)
{
    return rig_run(&r, 0,
                   (coat_call){.op = COAT_CALL_CHECK,
                               .token = rig_span(token),
                               .context = context(address, agent, "en")});
}

static void
address_only_reports(void)
{
    for (int policy = COAT_CONTEXT_REPORT; policy <= COAT_CONTEXT_END; policy++) {
        rig_token token = begin((coat_context_policy)policy, false);

        CHECK_ERR(come(&token, "198.51.100.7", FIREFOX("128.0")), COAT_OK);
        CHECK_ERR(come(&token, "198.51.100.8", FIREFOX("129.0")), COAT_OK);
        CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_CONTEXT_CHANGED), 1); /* once */
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_OK);
        rig_stop(&r);
    }
}

static void
report(void)
{
    rig_token token = begin(COAT_CONTEXT_REPORT, false);

    CHECK_ERR(come(&token, "198.51.100.7", CHROME), COAT_OK);
    CHECK_ERR(come(&token, "198.51.100.7", CHROME), COAT_OK);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_CONTEXT_CHANGED), 1);
    CHECK(coat_span_is(coat_session_record(r.call.session)->last.agent, COAT_LIT(CHROME)));
    CHECK(coat_span_is(coat_session_record(r.call.session)->first.address,
                       COAT_LIT("192.0.2.1")));
    rig_stop(&r);
}

static void
step_up(void)
{
    rig_token token = begin(COAT_CONTEXT_STEP_UP, false);

    CHECK_ERR(come(&token, "198.51.100.7", CHROME), COAT_STEP_UP);
    CHECK(r.call.session != NULL);
    CHECK_ERR(come(&token, "198.51.100.7", CHROME), COAT_STEP_UP); /* coming twice is no help */
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_CONTEXT_CHANGED), 1);
    CHECK_ERR(come(&token, "192.0.2.1", FIREFOX("128.0")), COAT_OK);
    CHECK_ERR(come(&token, "198.51.100.7", CHROME), COAT_STEP_UP);
    REQUIRE_OK(rig_run(&r, 0,
                       (coat_call){.op = COAT_CALL_RENEW,
                                   .token = rig_span(&token),
                                   .reauthenticated = true,
                                   .context = context("198.51.100.7", CHROME, "en")}));
    token = rig_token_of(&r);
    CHECK_ERR(come(&token, "198.51.100.7", CHROME), COAT_OK);
    rig_stop(&r);
}

/** Also where the store does not take the end: whoever comes next may be at home again. */
static void
end(void)
{
    static const sched_fate fates[] = {SCHED_RUN, SCHED_REFUSE, SCHED_LOSE, SCHED_LATE};

    for (size_t i = 0; i < sizeof fates / sizeof fates[0]; i++) {
        rig_token token = begin(COAT_CONTEXT_END, false);

        REQUIRE_OK(come(&token, "192.0.2.1", FIREFOX("128.0")));
        sched_fail(r.store, COAT_OP_REPLACE, fates[i], 1);
        CHECK_ERR(come(&token, "198.51.100.7", CHROME), COAT_NO_SESSION);
        CHECK_ERR(come(&token, "192.0.2.1", FIREFOX("128.0")), COAT_NO_SESSION);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_CONTEXT_CHANGED), 1);
        coat_desk_tick(r.desk[0]);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        CHECK_INT(rig_listed(&r, 0, "ada"), 0);
        rig_stop(&r);
    }
}

static void
privacy(void)
{
    rig_token token = begin(COAT_CONTEXT_REPORT, true);

    REQUIRE_OK(come(&token, "198.51.100.77", CHROME));
    CHECK(coat_span_is(coat_session_record(r.call.session)->first.address,
                       COAT_LIT("192.0.2.0/24")));
    CHECK(coat_span_is(coat_session_record(r.call.session)->last.address,
                       COAT_LIT("198.51.100.0/24")));
    REQUIRE_OK(come(&token, "198.51.100.78", CHROME));
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_CONTEXT_CHANGED), 1);
    rig_stop(&r);
}

/* The table asks when the context it knows is not the one that comes. */
static void
table_compares(void)
{
    rig_token token = begin(COAT_CONTEXT_END, false);
    coat_context mine = context("192.0.2.1", FIREFOX("128.0"), "en");
    coat_context other = context("198.51.100.7", CHROME, "en");
    coat_table_query query = {.token = rig_span(&token), .now_ms = r.wall};
    coat_table_answer answer;

    REQUIRE_OK(come(&token, "192.0.2.1", FIREFOX("128.0")));
    query.context = coat_engine_context(r.engine[0], &mine);
    coat_engine_peek(r.engine[0], &query, &answer);
    CHECK_INT(answer.verdict, COAT_TABLE_LIVE);
    query.context = coat_engine_context(r.engine[0], &other);
    coat_engine_peek(r.engine[0], &query, &answer);
    CHECK_INT(answer.verdict, COAT_TABLE_ASK);
    rig_stop(&r);
}

static const coat_test tests[] = {
    {"LC-13: what counts as a change", comparing},
    {"LC-13: an address alone never ends a session", address_only_reports},
    {"LC-13: a change is reported once and remembered", report},
    {"LC-13: policy step-up asks until the session is renewed", step_up},
    {"LC-13: policy end ends it", end},
    {"LC-13: in privacy mode no full address is kept", privacy},
    {"LC-13: the table does not answer for another context", table_compares},
};
COAT_TEST_MAIN(tests)
