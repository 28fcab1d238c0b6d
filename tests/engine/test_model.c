/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <string.h>

/**
 * The rules of a session, slow and obvious, and random histories of all operations in which
 * engine and model must agree. Time passes in whole seconds, which is what the table knows.
 */

enum { SESSIONS = 400, USERS = 3 };

typedef struct model_session {
    bool ended;
    int user; /* -1: a guest */
    int64_t absolute_end, seen, idle, auth;
    rig_token current, pending, previous;
    bool has_pending, has_previous;
    int64_t rotated, handed, previous_end;
    int data;           /* value of its one member; 0: none */
    rig_token lost[32]; /* superseded for good */
    int lost_count;
} model_session;

typedef enum role { ROLE_NONE, ROLE_CURRENT, ROLE_PENDING, ROLE_PREVIOUS, ROLE_STOLEN } role;

static rig r;
static test_rng random_;
static model_session sessions[SESSIONS];
static int count;
static const char *const users[USERS] = {"ada", "bob", "eve"};

static unsigned
pick(unsigned limit)
{
    return (unsigned)test_rng_below(&random_, limit);
}

static bool
same(const rig_token *a, const rig_token *b)
{
    return memcmp(a->text, b->text, sizeof a->text) == 0;
}

static bool
alive(const model_session *s)
{
    return !s->ended && r.wall < s->absolute_end && r.wall < s->seen + s->idle;
}

static role
role_of(const model_session *s, const rig_token *token)
{
    if (!alive(s))
        return ROLE_NONE;
    if (same(token, &s->current))
        return ROLE_CURRENT;
    if (s->has_pending && same(token, &s->pending))
        return ROLE_PENDING;
    if (s->has_previous && same(token, &s->previous) && r.wall < s->previous_end)
        return ROLE_PREVIOUS;
    return ROLE_STOLEN;
}

static rig_token
some_token(const model_session *s)
{
    unsigned n = pick(10);

    if (n == 0 && s->lost_count > 0)
        return s->lost[pick((unsigned)s->lost_count)];
    if (n < 3 && s->has_previous)
        return s->previous;
    if (n < 7 && s->has_pending)
        return s->pending;
    return s->current;
}

static void
confirm(model_session *s)
{
    if (s->has_previous && s->lost_count < 32)
        s->lost[s->lost_count++] = s->previous;
    s->previous = s->current;
    s->previous_end = r.wall + 10 * SECOND;
    s->has_previous = true;
    s->current = s->pending;
    s->has_pending = false;
    s->rotated = r.wall;
}

static void
check(model_session *s)
{
    rig_token token = some_token(s), next;
    role as = role_of(s, &token);
    bool background = pick(4) == 0, table = pick(2) == 0 && !background;
    bool due =
        s->has_pending ? r.wall >= s->handed + 60 * SECOND : r.wall >= s->rotated + 15 * MINUTE;
    coat_call call = {
        .op = COAT_CALL_CHECK, .token = rig_span(&token), .background = background};
    coat_err err;

    r.call.set_token = false;
    err = table ? rig_knock(&r, 0, &token) : rig_run(&r, 0, call);
    CHECK_ERR(err, as == ROLE_NONE || as == ROLE_STOLEN ? COAT_NO_SESSION : COAT_OK);
    CHECK_INT(err == COAT_OK && r.call.set_token, as == ROLE_CURRENT && due);
    if (as == ROLE_STOLEN)
        s->ended = true;
    if (as == ROLE_NONE || as == ROLE_STOLEN)
        return;
    if (!background)
        s->seen = r.wall;
    if (as == ROLE_PENDING)
        confirm(s);
    if (r.call.set_token) {
        next = rig_token_of(&r);
        CHECK(!s->has_pending || same(&next, &s->pending));
        s->pending = next;
        s->has_pending = true;
        s->handed = r.wall;
    }
}

static void
create(void)
{
    model_session *s = &sessions[count], *former = NULL;
    coat_call call = {.op = COAT_CALL_CREATE, .remember = pick(4) == 0};
    rig_token token;
    role as = ROLE_NONE;

    if (count == SESSIONS)
        return;
    *s = (model_session){.user = (int)pick(USERS + 1) - 1};
    if (s->user >= 0)
        call.user = coat_span_of(users[s->user]);
    if (count > 0 && pick(2) == 0) {
        former = &sessions[pick((unsigned)count)];
        token = some_token(former);
        as = role_of(former, &token);
        call.token = rig_span(&token);
        call.keep_data = pick(2) == 0;
    }
    REQUIRE_OK(rig_run(&r, 0, call));
    s->current = rig_token_of(&r);
    s->seen = s->rotated = r.wall;
    s->auth = s->user >= 0 ? r.wall : 0;
    s->idle = call.remember ? 24 * HOUR : 30 * MINUTE;
    s->absolute_end = r.wall + (call.remember ? 24 * HOUR : 12 * HOUR);
    if (as != ROLE_NONE) {
        former->ended = true;
        if (as != ROLE_STOLEN && call.keep_data)
            s->data = former->data;
    }
    count++;
}

static void
renew(model_session *s)
{
    rig_token token = some_token(s);
    role as = role_of(s, &token);
    bool again = pick(2) == 0;
    bool remember = s->idle > HOUR;
    coat_err err = rig_run(&r, 0,
                           (coat_call){.op = COAT_CALL_RENEW,
                                       .token = rig_span(&token),
                                       .reauthenticated = again});

    CHECK_ERR(err, as == ROLE_NONE || as == ROLE_STOLEN ? COAT_NO_SESSION : COAT_OK);
    if (err != COAT_OK || count == SESSIONS)
        return;
    s->ended = true;
    sessions[count] = *s; /* under its new handle */
    s = &sessions[count++];
    s->ended = s->has_pending = s->has_previous = false;
    s->lost_count = 0;
    s->current = rig_token_of(&r);
    s->seen = s->rotated = r.wall;
    if (again) {
        s->auth = r.wall;
        s->absolute_end = r.wall + (remember ? 24 * HOUR : 12 * HOUR);
    }
}

static void
patch(model_session *s)
{
    rig_token token = some_token(s);
    role as = role_of(s, &token);
    int value = 1 + (int)pick(1000);
    bool by_handle = pick(3) == 0;
    char json[32];
    coat_err err;

    snprintf(json, sizeof json, "{\"v\":%d}", value);
    if (by_handle)
        err = rig_run(&r, 0,
                      (coat_call){.op = COAT_CALL_PATCH,
                                  .has_handle = true,
                                  .handle = rig_handle(&s->current),
                                  .data = coat_span_of(json)});
    else
        err = rig_patch(&r, 0, &token, json);
    CHECK_ERR(err,
              as == ROLE_NONE || (as == ROLE_STOLEN && !by_handle) ? COAT_NO_SESSION : COAT_OK);
    if (err == COAT_OK)
        s->data = value;
}

static void
read_back(const model_session *s)
{
    char json[32] = "";
    coat_err err = rig_run(&r, 0,
                           (coat_call){.op = COAT_CALL_READ,
                                       .has_handle = true,
                                       .handle = rig_handle(&s->current)});

    CHECK_ERR(err, alive(s) ? COAT_OK : COAT_NOT_FOUND);
    if (err != COAT_OK)
        return;
    if (s->data != 0)
        snprintf(json, sizeof json, "{\"v\":%d}", s->data);
    CHECK(rig_data_is(&r, json));
    CHECK_INT(coat_session_record(r.call.session)->absolute_end_ms, s->absolute_end);
    CHECK_INT(coat_session_record(r.call.session)->auth_ms, s->auth);
    CHECK_INT(coat_session_seen_ms(r.call.session), s->seen);
}

static void
end(model_session *s)
{
    coat_call call = {.op = COAT_CALL_END};
    rig_token token = some_token(s);
    bool named = pick(2) == 0;
    int user = (int)pick(USERS);

    if (named) {
        call.has_handle = true;
        call.handle = rig_handle(&s->current);
        call.owner_user = coat_span_of(users[user]);
    } else {
        call.token = rig_span(&token);
    }
    if (named && s->user != user) {
        CHECK_ERR(rig_run(&r, 0, call), COAT_NOT_FOUND);
        return;
    }
    (void)rig_run(&r, 0, call); /* OK, or NOT_FOUND if it had ended */
    s->ended = true;
}

static void
end_user(model_session *spare)
{
    int user = (int)pick(USERS);
    bool has_spare = pick(2) == 0;
    coat_call call = {.op = COAT_CALL_END_USER, .user = coat_span_of(users[user])};

    if (has_spare) {
        call.has_handle = true;
        call.handle = rig_handle(&spare->current);
    }
    CHECK_ERR(rig_run(&r, 0, call), COAT_OK);
    for (int i = 0; i < count; i++)
        if (sessions[i].user == user && !(has_spare && &sessions[i] == spare))
            sessions[i].ended = true;
}

static void
end_all(void)
{
    CHECK_ERR(rig_run(&r, 0, (coat_call){.op = COAT_CALL_END_ALL}), COAT_OK);
    for (int i = 0; i < count; i++)
        sessions[i].ended = true;
}

static void
list(void)
{
    int user = (int)pick(USERS);
    unsigned want = 0;

    for (int i = 0; i < count; i++)
        want += sessions[i].user == user && alive(&sessions[i]);
    CHECK_INT(rig_listed(&r, 0, users[user]), want);
}

static void
pass(void)
{
    static const int64_t limits[] = {SECOND, 15 * SECOND, 2 * MINUTE, 20 * MINUTE, 3 * HOUR};
    int64_t ms = (int64_t)pick((unsigned)(limits[pick(pick(3) == 0 ? 5 : 3)] / SECOND) + 1);

    rig_pass(&r, ms * SECOND);
    if (pick(3) == 0)
        coat_desk_tick(r.desk[0]);
}

static void
step(void)
{
    /* mostly the young ones: the old are dead */
    int back = (int)pick(count < 12 ? (unsigned)count : 12);
    model_session *s = &sessions[count - 1 - back];
    unsigned what = pick(100);

    if (what < 40)
        check(s);
    else if (what < 50)
        create();
    else if (what < 54)
        renew(s);
    else if (what < 62)
        patch(s);
    else if (what < 68)
        read_back(s);
    else if (what < 71)
        end(s);
    else if (what < 73)
        end_user(s);
    else if (what < 74)
        end_all();
    else if (what < 78)
        list();
    else if (what < 79)
        rig_restart(&r);
    else
        pass();
}

static void
history(const char *url, uint64_t seed, int steps)
{
    char name[64];

    snprintf(name, sizeof name, "seed %llu", (unsigned long long)seed);
    test_case(name);
    random_.state = seed;
    count = 0;
    rig_prepare(&r, url, 1);
    r.conf.sessions_per_user = 0;
    rig_start(&r);
    create();
    for (int i = 0; i < steps; i++)
        step();
    rig_stop(&r);
}

static void
in_memory(void)
{
    long n = test_scaled(5000, 300);

    for (long seed = 1; seed <= n; seed++)
        history(NULL, (uint64_t)seed, 400);
}

static void
in_lmdb(void)
{
    char url[300];
    long n = test_scaled(100, 3);

    for (long seed = 1; seed <= n; seed++) {
        snprintf(url, sizeof url, "lmdb:%s/store", test_tmpdir());
        history(url, (uint64_t)seed, 150);
    }
}

static const coat_test tests[] = {
    {"LC-2 LC-4 LC-6 LC-7 RV-4: engine and reference model agree", in_memory},
    {"LC-2 LC-4 LC-6 LC-7 RV-4: engine and reference model agree on LMDB", in_lmdb},
};
COAT_TEST_MAIN(tests)
