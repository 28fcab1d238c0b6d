/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static const struct {
    const char *name;
    size_t len; /* 0: strlen */
    bool fine;
} names[] = {
    {"alice", 0, true},
    {"a", 0, true},
    {"alice@example.org", 0, true},
    {"Alice Smith", 0, true},
    {"\xc3\x85sa", 0, true},
    {"", 0, false},
    {" alice", 0, false},
    {"alice ", 0, false},
    {"\xc2\xa0"
     "alice",
     0, false}, /* no-break space */
    {"al\nice", 0, false},
    {"al\x7fice", 0, false},
    {"al\xc2\x85ice", 0, false},     /* C1 control */
    {"al\xe2\x80\xa8ice", 0, false}, /* line separator */
    {"al\0ice", 6, false},
    {"al\xff", 0, false},
};

static void
test_names(void)
{
    char longest[COAT_NAME_MAX + 2];
    fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = names[i].len != 0 ? names[i].len : strlen(names[i].name);
        coat_account_call add = {.op = COAT_ACCOUNT_ADD,
                                 .name = {(const uint8_t *)names[i].name, len}};

        test_case(names[i].name);
        CHECK_ERR(fixture_run(&f, add), names[i].fine ? COAT_OK : COAT_INVALID);
    }
    test_case(NULL);
    memset(longest, 'n', sizeof longest);
    longest[COAT_NAME_MAX + 1] = '\0';
    CHECK_ERR(fixture_add(&f, longest, ""), COAT_INVALID);
    longest[COAT_NAME_MAX] = '\0';
    CHECK_ERR(fixture_add(&f, longest, ""), COAT_OK);
    /* one name in either normalization, and nothing folded but that */
    CHECK_ERR(fixture_add(&f, "A\xcc\x8asa", ""), COAT_EXISTS);
    CHECK_ERR(fixture_add(&f, "ALICE", ""), COAT_OK);
    fixture_fini(&f);
}

static void
test_roles(void)
{
    static const struct {
        const char *roles;
        bool fine;
    } cases[] = {{"", true},       {"admin", true},      {"a b c", true}, {" a", false},
                 {"a ", false},    {"a  b", false},      {"a\nb", false}, {"a\tb", false},
                 {"a\xff", false}, {"r\xc3\xb4le", true}};
    char many[COAT_ROLES_MAX + 2];
    coat_account_call set = {.op = COAT_ACCOUNT_SET_ROLES, .name = COAT_LIT("alice")};
    fixture f;

    fixture_init(&f);
    CHECK_ERR(fixture_run(&f, set), COAT_NOT_FOUND);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].roles);
        set.roles = coat_span_of(cases[i].roles);
        CHECK_ERR(fixture_run(&f, set), cases[i].fine ? COAT_OK : COAT_INVALID);
        if (cases[i].fine) {
            CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
            CHECK_STR(f.call.user_roles, cases[i].roles);
        }
    }
    test_case(NULL);
    memset(many, 'r', sizeof many);
    set.roles = (coat_span){(const uint8_t *)many, COAT_ROLES_MAX + 1};
    CHECK_ERR(fixture_run(&f, set), COAT_INVALID);
    set.roles.len = COAT_ROLES_MAX;
    CHECK_ERR(fixture_run(&f, set), COAT_OK);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    CHECK_INT(strlen(f.call.user_roles), COAT_ROLES_MAX);
    fixture_fini(&f);
}

typedef struct seen {
    unsigned count;
    char last[COAT_NAME_MAX + 1];
    coat_account account; /* spans are gone */
    unsigned long long sum;
} seen;

static void
note(coat_account_call *call, const coat_account *account)
{
    seen *s = call->ctx;

    s->count++;
    s->account = *account;
    (void)snprintf(s->last, sizeof s->last, "%.*s", (int)account->name.len,
                   (const char *)account->name.ptr);
    if (account->name.len > 5)
        s->sum += (unsigned long long)(account->name.ptr[5] - '0') * 10 +
                  (unsigned long long)(account->name.ptr[6] - '0');
}

static void
test_show(void)
{
    seen s = {.count = 0};
    coat_account_call show = {
        .op = COAT_ACCOUNT_SHOW, .name = COAT_LIT("alice"), .item = note, .ctx = &s};
    int64_t made;
    fixture f;

    fixture_init(&f);
    made = f.now_ms;
    CHECK_ERR(fixture_run(&f, show), COAT_NOT_FOUND);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    f.now_ms += 1000;
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    f.now_ms += 1000;
    REQUIRE_OK(fixture_do(&f, COAT_ACCOUNT_DISABLE, "alice"));
    REQUIRE_OK(fixture_run(&f, show));
    CHECK_INT(s.count, 1);
    CHECK_STR(s.last, "alice");
    CHECK(s.account.disabled && s.account.has_password);
    CHECK_INT(s.account.created_ms, made);
    CHECK_INT(s.account.password_ms, made);
    CHECK_INT(s.account.last_login_ms, made + 1000);
    CHECK_INT(s.account.changed_ms, made + 2000);
    REQUIRE_OK(fixture_add(&f, "bob", ""));
    show.name = COAT_LIT("bob");
    REQUIRE_OK(fixture_run(&f, show));
    CHECK(!s.account.disabled && !s.account.has_password && s.account.hash_kind.len == 0);
    fixture_fini(&f);
}

static void
test_list(void)
{
    enum { ACCOUNTS = 25, PAGE = 7 };
    seen s = {.count = 0};
    coat_account_call list = {.op = COAT_ACCOUNT_LIST, .limit = PAGE, .item = note, .ctx = &s};
    unsigned pages = 0;
    fixture f;

    fixture_init(&f);
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "user-%02u", i);
        REQUIRE_OK(fixture_add(&f, name, ""));
    }
    do {
        REQUIRE_OK(fixture_run(&f, list));
        list.has_cursor = true;
        list.cursor = f.call.next;
        pages++;
    } while (f.call.more && pages < 10);
    CHECK_INT(pages, 4);
    CHECK_INT(s.count, ACCOUNTS);
    CHECK_INT(s.sum, ACCOUNTS * (ACCOUNTS - 1) / 2);
    fixture_fini(&f);
}

static void
test_set_password(void)
{
    coat_account_call set = {.op = COAT_ACCOUNT_SET_PASSWORD,
                             .name = COAT_LIT("alice"),
                             .password = COAT_LIT("umbrellas in a storm")};
    fixture f;

    fixture_init(&f);
    CHECK_ERR(fixture_run(&f, set), COAT_NOT_FOUND);
    REQUIRE_OK(fixture_add(&f, "alice", GOOD_PASSWORD));
    for (unsigned i = 0; i < 50; i++, fixture_rest(&f))
        CHECK_ERR(fixture_sign_in(&f, "alice", WRONG_PASSWORD), COAT_DENIED);
    REQUIRE_OK(fixture_run(&f, set));
    CHECK_INT(f.events[COAT_EVENT_PASSWORD_CHANGED], 1);
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_DENIED);
    CHECK_ERR(fixture_sign_in(&f, "alice", "umbrellas in a storm"), COAT_OK);
    set.hash = COAT_LIT("$2b$04$abcdefghijklmnopqrstuulp43PMGA/inwhu6N/4m3g9JEXtwYYoW");
    CHECK_ERR(fixture_run(&f, set), COAT_INVALID); /* both */
    set.password = COAT_LIT("");
    REQUIRE_OK(fixture_run(&f, set));
    CHECK_ERR(fixture_sign_in(&f, "alice", GOOD_PASSWORD), COAT_OK);
    fixture_fini(&f);
}

static void
test_unknown_operations(void)
{
    static const coat_account_op ops[] = {COAT_ACCOUNT_SET_ROLES, COAT_ACCOUNT_DISABLE,
                                          COAT_ACCOUNT_ENABLE, COAT_ACCOUNT_DELETE,
                                          COAT_ACCOUNT_SHOW};
    fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        CHECK_ERR(fixture_do(&f, ops[i], "nobody"), COAT_NOT_FOUND);
        CHECK_ERR(fixture_do(&f, ops[i], " not a name "), COAT_NOT_FOUND);
    }
    CHECK_ERR(fixture_do(&f, (coat_account_op)0, "alice"), COAT_INVALID);
    CHECK_ERR(fixture_do(&f, (coat_account_op)99, "alice"), COAT_INVALID);
    fixture_fini(&f);
}

/* A rival acts at the nth look at the clock, of which there is one in front of every step. */
typedef struct racer {
    fixture f;
    coat_clerk *second;
    coat_lane *lane;
    coat_account_op op;
    unsigned countdown; /* 0: no more */
} racer;

static int64_t
racing_clock(void *ctx)
{
    racer *r = ctx;

    if (r->countdown > 0 && --r->countdown == 0) {
        coat_account_call rival = {.op = r->op, .name = COAT_LIT("alice")};

        if (r->op == COAT_ACCOUNT_SET_PASSWORD)
            rival.password = COAT_LIT("umbrellas in a storm");
        REQUIRE_OK(coat_account_run(r->second, &rival));
    }
    return r->f.now_ms;
}

/* @return the sign-in's result; *acted: the rival came before its end */
static coat_err
race(coat_account_op op, unsigned at, bool *acted)
{
    racer r = {.op = op};
    fixture *f = &r.f;
    coat_err err;

    fixture_prepare(f, "memory:");
    f->conf.clock = racing_clock;
    f->conf.clock_ctx = &r;
    f->conf.hash_threads = 2;
    fixture_open(f, &fixture_weak);
    REQUIRE_OK(coat_lane_open(f->store, NULL, &r.lane));
    REQUIRE_OK(coat_clerk_open(f->directory, r.lane, NULL, &r.second));
    REQUIRE_OK(fixture_add(f, "alice", GOOD_PASSWORD));
    r.countdown = at;
    err = fixture_sign_in(f, "alice", GOOD_PASSWORD);
    *acted = r.countdown == 0;
    coat_clerk_close(r.second);
    coat_lane_close(r.lane);
    fixture_fini(f);
    return err;
}

static void
test_races(void)
{
    static const coat_account_op ops[] = {COAT_ACCOUNT_DISABLE, COAT_ACCOUNT_DELETE,
                                          COAT_ACCOUNT_SET_PASSWORD};
    enum { LAST_BEFORE_WRITE = 8 };

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        bool acted = true;

        for (unsigned at = 1; acted; at++) {
            coat_err err = race(ops[i], at, &acted);

            /* after the write of the account it is the session's insert that loses */
            CHECK_ERR(err, at <= LAST_BEFORE_WRITE ? COAT_DENIED : COAT_OK);
        }
    }
}

static const coat_test tests[] = {
    {"names: what may be one, and when two are the same", test_names},
    {"roles: what may be, and that they arrive", test_roles},
    {"show tells all but the hash", test_show},
    {"list pages through every account once", test_list},
    {"a new password replaces the old one and clears counters", test_set_password},
    {"what is not there is not found", test_unknown_operations},
    {"LC-11: disabling wins over a sign-in that is under way", test_races},
};
COAT_TEST_MAIN(tests)
