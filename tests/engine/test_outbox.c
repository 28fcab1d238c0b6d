/* SPDX-License-Identifier: Apache-2.0 */

/** SF-4: what was to be ended during an outage outlives the process. */

#include "engine/internal.h"
#include "engine/outbox.h"
#include "rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECORD = 32 };

static rig r;
static char path[256];

static void
prepare(void)
{
    snprintf(path, sizeof path, "%s/ended", test_tmpdir());
    rig_prepare(&r, NULL, 1);
    r.conf.outbox_path = path;
}

static off_t
size_of(const char *file)
{
    struct stat st;

    return stat(file, &st) == 0 ? st.st_size : -1;
}

static void
stop_engine(void)
{
    coat_session_free(r.call.session);
    r.call.session = NULL;
    coat_desk_close(r.desk[0]);
    coat_engine_free(r.engine[0]);
    r.desk[0] = NULL;
    r.engine[0] = NULL;
}

/** In a child: sign out while the store is away, and die. */
static void
sign_out_and_die(const rig_token *token)
{
    rig_start(&r);
    sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 100);
    if (rig_end(&r, 0, token) != COAT_STORE_DOWN || rig_check(&r, 0, token) != COAT_NO_SESSION)
        _exit(1);
    (void)kill(getpid(), SIGKILL);
    _exit(2);
}

static void
killed(void)
{
    rig_token token, other;
    int status;
    pid_t child;

    prepare();
    rig_start(&r);
    token = rig_sign_in(&r, 0, "ada");
    other = rig_sign_in(&r, 0, "bob");
    stop_engine();
    child = test_fork(); /* the store is in memory: each has its own from here on */
    if (child == 0)
        sign_out_and_die(&token);
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CHECK_INT(size_of(path), RECORD);

    rig_start(&r);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION); /* before it is replayed */
    CHECK_ERR(rig_check(&r, 0, &other), COAT_OK);
    CHECK_INT(rig_listed(&r, 0, "ada"), 1); /* the store still has it */
    coat_desk_tick(r.desk[0]);
    CHECK_INT(rig_listed(&r, 0, "ada"), 0);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
    CHECK_INT(size_of(path), 0);
    rig_stop(&r);
}

/** Whoever asks again and again takes no room, neither here nor in the file. */
static void
asked_again(void)
{
    rig_token token;

    prepare();
    rig_start(&r);
    token = rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 1000);
    for (int i = 0; i < 50; i++) {
        CHECK_ERR(rig_end(&r, 0, &token), COAT_STORE_DOWN);
        CHECK(r.call.pending);
        CHECK_INT(size_of(path), RECORD);
        CHECK_INT(atomic_load(&r.engine[0]->unsettled.count), 1);
    }
    CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
    sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 0);
    for (int i = 0; i < 3; i++)
        coat_desk_tick(r.desk[0]);
    CHECK_INT(rig_listed(&r, 0, "ada"), 0);
    CHECK_INT(size_of(path), 0);
    CHECK_INT(atomic_load(&r.engine[0]->unsettled.count), 0);
    rig_stop(&r);
}

/** Some do not come through, as of a shard that is away: the others do, in the same tick. */
static void
some_fail(void)
{
    int left = 0;

    prepare();
    rig_start(&r);
    sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 1000);
    for (int i = 0; i < 10; i++) {
        char user[8];
        rig_token token;

        snprintf(user, sizeof user, "u%d", i);
        token = rig_sign_in(&r, 0, user);
        CHECK_ERR(rig_end(&r, 0, &token), COAT_STORE_DOWN);
    }
    sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 3);
    coat_desk_tick(r.desk[0]);
    for (int i = 0; i < 10; i++) {
        char user[8];

        snprintf(user, sizeof user, "u%d", i);
        left += (int)rig_listed(&r, 0, user);
    }
    CHECK_INT(left, 3);
    CHECK_INT(size_of(path), 10 * RECORD);
    coat_desk_tick(r.desk[0]);
    coat_desk_tick(r.desk[0]);
    CHECK_INT(size_of(path), 0);
    rig_stop(&r);
}

/** Also when it ends in order, and when the store is still away afterwards. */
static void
restarted(void)
{
    rig_token tokens[20];

    prepare();
    rig_start(&r);
    for (int i = 0; i < 20; i++) {
        char user[8];

        snprintf(user, sizeof user, "u%d", i);
        tokens[i] = rig_sign_in(&r, 0, user);
    }
    sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 1000);
    for (int i = 0; i < 10; i++)
        CHECK_ERR(rig_end(&r, 0, &tokens[i]), COAT_STORE_DOWN);
    coat_desk_tick(r.desk[0]);
    CHECK_INT(size_of(path), 10 * RECORD);
    for (int round = 0; round < 3; round++) {
        stop_engine();
        rig_start(&r);
        for (int i = 0; i < 20; i++)
            CHECK_ERR(rig_check(&r, 0, &tokens[i]), i < 10 ? COAT_NO_SESSION : COAT_OK);
        coat_desk_tick(r.desk[0]);
        CHECK_INT(size_of(path), 10 * RECORD);
    }
    sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 0);
    coat_desk_tick(r.desk[0]);
    CHECK_INT(size_of(path), 0);
    stop_engine();
    rig_start(&r);
    for (int i = 0; i < 20; i++)
        CHECK_ERR(rig_check(&r, 0, &tokens[i]), i < 10 ? COAT_NO_SESSION : COAT_OK);
    rig_stop(&r);
}

/* ---- all of a user's ---- */

enum { SESSIONS = 230 }; /* three pages */

static coat_err
end_user(const char *user, const rig_token *token)
{
    coat_call call = {.op = COAT_CALL_END_USER, .user = coat_span_of(user)};

    if (token != NULL)
        call.token = (coat_span){(const uint8_t *)token->text, sizeof token->text};
    return rig_run(&r, 0, call);
}

static int
denied(const rig_token *tokens, int count)
{
    int n = 0;

    for (int i = 0; i < count; i++)
        n += rig_knock(&r, 0, &tokens[i]) == COAT_NO_SESSION &&
             rig_check(&r, 0, &tokens[i]) == COAT_NO_SESSION;
    return n;
}

static void
ticks(int count)
{
    for (int i = 0; i < count; i++)
        coat_desk_tick(r.desk[0]);
}

/** Those that were there are denied at once and ended later; what begins afterwards is not
 * theirs, however late the others are ended. */
static void
all_of_them(void)
{
    static const coat_op ops[] = {COAT_OP_LIST_OWNER, COAT_OP_REMOVE_OWNER};
    static rig_token old[SESSIONS];
    rig_token other, young;

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        test_case(i == 0 ? "LIST_OWNER" : "REMOVE_OWNER");
        prepare();
        r.conf.sessions_per_user = 0;
        rig_start(&r);
        for (int k = 0; k < SESSIONS; k++)
            old[k] = rig_sign_in(&r, 0, "ada");
        other = rig_sign_in(&r, 0, "bob");
        CHECK_INT(denied(old, SESSIONS), 0); /* they are in the table now */
        sched_fail(r.store, ops[i], SCHED_REFUSE, 1);
        CHECK_ERR(end_user("ada", NULL), COAT_STORE_DOWN);
        CHECK(r.call.pending);
        CHECK_INT(size_of(path), RECORD);
        CHECK_INT(denied(old, SESSIONS), SESSIONS);
        CHECK_ERR(rig_check(&r, 0, &other), COAT_OK);
        CHECK_INT(rig_listed(&r, 0, "ada"), SESSIONS); /* the store has them all */
        rig_pass(&r, 2 * r.conf.clock_off_ms + 1);
        young = rig_sign_in(&r, 0, "ada");
        CHECK_ERR(rig_check(&r, 0, &young), COAT_OK);
        sched_fail(r.store, COAT_OP_LIST_OWNER, SCHED_REFUSE, 1);
        ticks(1); /* nothing comes through */
        CHECK_INT(denied(old, SESSIONS), SESSIONS);
        ticks(3);
        CHECK_INT(rig_listed(&r, 0, "ada"), 1);
        CHECK_INT(denied(old, SESSIONS), SESSIONS);
        CHECK_ERR(rig_check(&r, 0, &young), COAT_OK);
        CHECK_ERR(rig_check(&r, 0, &other), COAT_OK);
        CHECK_INT(size_of(path), 0);
        CHECK_INT(atomic_load(&r.engine[0]->unsettled.count), 0);
        CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_REVOKED), SESSIONS);
        rig_stop(&r);
    }
    test_case(NULL);
}

/** And after a restart; what cannot be ended yet is tried again. */
static void
all_restarted(void)
{
    rig_token old[3], young;

    prepare();
    rig_start(&r);
    for (int i = 0; i < 3; i++)
        old[i] = rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
    CHECK_ERR(end_user("ada", NULL), COAT_STORE_DOWN);
    rig_pass(&r, 2 * r.conf.clock_off_ms + 1);
    young = rig_sign_in(&r, 0, "ada");
    stop_engine();
    rig_start(&r);
    CHECK_INT(size_of(path), RECORD);
    CHECK_INT(denied(old, 3), 3);
    CHECK_ERR(rig_check(&r, 0, &young), COAT_OK);
    sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 1);
    ticks(1); /* they are known by name now, and one of them is left */
    CHECK_INT(denied(old, 3), 3);
    CHECK(size_of(path) > 0);
    stop_engine();
    rig_start(&r);
    CHECK_INT(denied(old, 3), 3);
    ticks(3);
    CHECK_INT(rig_listed(&r, 0, "ada"), 1);
    CHECK_INT(denied(old, 3), 3);
    CHECK_ERR(rig_check(&r, 0, &young), COAT_OK);
    CHECK_INT(size_of(path), 0);
    rig_stop(&r);
}

/** Where others share the store, one of them may mint by a clock that is ahead: twice the
 * limit. */
static void
all_of_a_clock_ahead(void)
{
    static const struct {
        const char *name;
        int64_t ahead_ms; /* over twice the limit */
        bool shared, ends;
    } cases[] = {
        {"within the limits of both", 0, true, true},
        {"beyond them", 2, true, false},
        {"nobody else's clock", 0, false, false},
    };
    struct coat_store_ops ops;
    rig_token ahead;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t by_ms;

        test_case(cases[i].name);
        prepare();
        by_ms = 2 * r.conf.clock_off_ms + cases[i].ahead_ms;
        ops = *r.store->ops;
        ops.caps |= cases[i].shared ? COAT_CAP_SHARED : 0;
        r.store->ops = &ops;
        r.wall += by_ms;
        rig_start(&r);
        ahead = rig_sign_in(&r, 0, "ada");
        stop_engine();
        r.wall -= by_ms;
        rig_start(&r);
        sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
        CHECK_ERR(end_user("ada", NULL), COAT_STORE_DOWN);
        CHECK_INT(denied(&ahead, 1), cases[i].ends);
        ticks(3);
        CHECK_INT(rig_listed(&r, 0, "ada"), !cases[i].ends);
        CHECK_INT(denied(&ahead, 1), cases[i].ends);
        rig_stop(&r);
    }
    test_case(NULL);
}

/** Asked for again, and done: who signs in right afterwards is let in, and stays. */
static void
all_asked_again(void)
{
    rig_token old, young, mine;

    prepare();
    rig_start(&r);
    old = rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
    CHECK_ERR(end_user("ada", NULL), COAT_STORE_DOWN);
    rig_pass(&r, 1);
    mine = rig_sign_in(&r, 0, "ada");
    REQUIRE_OK(end_user("ada", &mine)); /* all but one: the others are still to be ended */
    CHECK_INT(size_of(path), RECORD);
    CHECK_INT(atomic_load(&r.engine[0]->unsettled.count), 1);
    REQUIRE_OK(end_user("ada", NULL));
    young = rig_sign_in(&r, 0, "ada"); /* in the same millisecond */
    CHECK_INT(denied(&old, 1) + denied(&mine, 1), 2);
    CHECK_INT(denied(&young, 1), 0);
    ticks(3);
    CHECK_INT(denied(&young, 1), 0);
    CHECK_INT(rig_listed(&r, 0, "ada"), 1);
    CHECK_INT(size_of(path), 0);
    CHECK_INT(atomic_load(&r.engine[0]->unsettled.count), 0);
    rig_stop(&r);
}

static rig_token late;

/** Somebody has signed in, and all are to be ended once more; that is not done. */
static void
asked_meanwhile(void)
{
    coat_call call = {.op = COAT_CALL_END_USER, .user = COAT_LIT("ada")};
    coat_call in = {.op = COAT_CALL_CREATE, .user = COAT_LIT("ada")};

    rig_pass(&r, 1);
    REQUIRE_OK(coat_call_run(r.desk[0], &in));
    memcpy(late.text, in.token_text, sizeof late.text);
    coat_session_free(in.session);
    sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
    CHECK_ERR(coat_call_run(r.desk[0], &call), COAT_STORE_DOWN);
    CHECK(call.pending);
}

/** What is done says nothing of what was asked for after it had begun. */
static void
all_asked_meanwhile(void)
{
    rig_token old;

    prepare();
    rig_start(&r);
    old = rig_sign_in(&r, 0, "ada");
    sched_after(r.store, COAT_OP_REMOVE_OWNER, asked_meanwhile);
    REQUIRE_OK(end_user("ada", NULL));
    CHECK_INT(denied(&old, 1) + denied(&late, 1), 2);
    CHECK_INT(size_of(path), RECORD);
    CHECK_INT(rig_listed(&r, 0, "ada"), 1);
    ticks(3);
    CHECK_INT(rig_listed(&r, 0, "ada"), 0);
    CHECK_INT(denied(&late, 1), 1);
    CHECK_INT(size_of(path), 0);
    rig_stop(&r);
}

/** Who spares one is not told that it is pending, and nobody is denied. */
static void
all_but_one(void)
{
    rig_token mine, also;

    prepare();
    rig_start(&r);
    mine = rig_sign_in(&r, 0, "ada");
    also = rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_REMOVE_OWNER, SCHED_REFUSE, 1);
    CHECK_ERR(end_user("ada", &mine), COAT_STORE_DOWN);
    CHECK(!r.call.pending);
    CHECK_INT(size_of(path), 0);
    CHECK(rig_check(&r, 0, &mine) == COAT_OK && rig_check(&r, 0, &also) == COAT_OK);
    ticks(3);
    CHECK_INT(rig_listed(&r, 0, "ada"), 2);
    rig_stop(&r);
}

static sched_fate removal_fate;

static void
removal_next(void)
{
    sched_fail(r.store, COAT_OP_REMOVE, removal_fate, 1);
}

/**
 * A copy of a superseded token is shown while the store takes no change: the session is over
 * for its thief and its owner, whoever comes next, and after a restart. It lived on once.
 */
static void
stolen(void)
{
    static const struct {
        const char *name;
        sched_fate first, second; /* of the change, and of the removal after it */
        off_t kept;
    } cases[] = {
        {"comes through", SCHED_RUN, SCHED_RUN, 0},
        {"the change does, and ends it", SCHED_RUN, SCHED_REFUSE, 0},
        {"refused", SCHED_REFUSE, SCHED_REFUSE, RECORD},
        {"without an answer", SCHED_LOSE, SCHED_REFUSE, RECORD},
        {"late", SCHED_LATE, SCHED_REFUSE, RECORD},
        {"full", SCHED_FULL, SCHED_RUN, 0},
        {"full, and then away", SCHED_FULL, SCHED_REFUSE, RECORD},
        {"full, and for good", SCHED_FULL, SCHED_FULL, RECORD},
    };
    rig_token token, next;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_case(cases[i].name);
        prepare();
        rig_start(&r);
        token = rig_sign_in(&r, 0, "ada");
        rig_pass(&r, 15 * MINUTE);
        REQUIRE_OK(rig_check(&r, 0, &token));
        next = rig_token_of(&r);
        REQUIRE_OK(rig_check(&r, 0, &next));
        rig_pass(&r, 60 * SECOND);
        sched_fail(r.store, COAT_OP_REPLACE, cases[i].first, 1);
        removal_fate = cases[i].second;
        sched_before(r.store, COAT_OP_REMOVE, removal_next);
        CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
        CHECK(!r.call.pending); /* nobody has asked for it */
        CHECK_INT(rig_events(&r, COAT_EVENT_TOKEN_REUSE), 1);
        CHECK_INT(size_of(path), cases[i].kept);
        CHECK_ERR(rig_knock(&r, 0, &next), COAT_NO_SESSION);
        CHECK_ERR(rig_knock(&r, 0, &token), COAT_NO_SESSION);
        CHECK_INT(rig_events(&r, COAT_EVENT_TOKEN_REUSE), 1);
        sched_before(r.store, COAT_OP_REMOVE, NULL);
        stop_engine();
        rig_start(&r);
        CHECK_ERR(rig_check(&r, 0, &next), COAT_NO_SESSION);
        coat_desk_tick(r.desk[0]);
        CHECK_INT(rig_listed(&r, 0, "ada"), 0);
        CHECK_ERR(rig_check(&r, 0, &next), COAT_NO_SESSION);
        CHECK_INT(size_of(path), 0);
        rig_stop(&r);
    }
    test_case(NULL);
}

/** What has expired is found so again; nothing of it is kept. */
static void
expired(void)
{
    rig_token token;

    prepare();
    rig_start(&r);
    token = rig_sign_in(&r, 0, "ada");
    rig_pass(&r, 31 * MINUTE);
    sched_fail(r.store, COAT_OP_REPLACE, SCHED_REFUSE, 1);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
    CHECK_INT(size_of(path), 0);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_EXPIRED), 0);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
    CHECK_INT(rig_events(&r, COAT_EVENT_SESSION_EXPIRED), 1);
    rig_stop(&r);
}

/** Signed out again, and this time it comes through: nothing is left to be done. */
static void
tried_again(void)
{
    rig_token token;

    prepare();
    rig_start(&r);
    token = rig_sign_in(&r, 0, "ada");
    sched_fail(r.store, COAT_OP_REMOVE, SCHED_REFUSE, 1);
    CHECK_ERR(rig_end(&r, 0, &token), COAT_STORE_DOWN);
    CHECK_INT(size_of(path), RECORD);
    CHECK_ERR(rig_end(&r, 0, &token), COAT_OK);
    coat_desk_tick(r.desk[0]);
    CHECK_INT(size_of(path), 0);
    rig_stop(&r);
}

static coat_handle
handle(uint8_t number)
{
    return (coat_handle){{number, 1, 2, 3}};
}

static void
write_file(const void *bytes, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

    REQUIRE(fd >= 0 && fchmod(fd, mode) == 0);
    REQUIRE(write(fd, bytes, len) == (ssize_t)len);
    (void)close(fd);
}

static unsigned
read_back(const uint8_t *bytes, size_t len)
{
    coat_unsettled unsettled;
    coat_outbox outbox;
    coat_changes end;
    uint32_t from = 0;
    unsigned count = 0;

    write_file(bytes, len, 0600);
    REQUIRE_OK(coat_unsettled_init(&unsettled));
    REQUIRE_OK(coat_outbox_init(&outbox));
    REQUIRE_OK(coat_outbox_open(&outbox, path, &unsettled));
    CHECK_INT(size_of(path), (off_t)(len - len % RECORD));
    while (coat_unsettled_next(&unsettled, &from, &end)) {
        coat_unsettled_ended(&unsettled, &end.ended, end.older);
        count++;
    }
    coat_outbox_fini(&outbox);
    coat_unsettled_fini(&unsettled, NULL, 0);
    return count;
}

/** Whatever else was changed with it, and so waits, too. */
static void
kept_once(void)
{
    coat_changes changes = {.ending = true, .ended = handle(1), .owner = true};
    coat_unsettled unsettled;
    coat_outbox outbox;

    snprintf(path, sizeof path, "%s/ended", test_tmpdir());
    REQUIRE_OK(coat_unsettled_init(&unsettled));
    REQUIRE_OK(coat_outbox_init(&outbox));
    REQUIRE_OK(coat_outbox_open(&outbox, path, &unsettled));
    for (int i = 0; i < 3; i++) {
        CHECK(coat_outbox_put(&outbox, &unsettled, &changes));
        CHECK_INT(size_of(path), RECORD);
        CHECK_INT(atomic_load(&unsettled.count), i + 1);
    }
    coat_unsettled_ended(&unsettled, &changes.ended, false);
    coat_outbox_tidy(&outbox, &unsettled);
    CHECK_INT(size_of(path), 0);
    coat_outbox_fini(&outbox);
    coat_unsettled_fini(&unsettled, NULL, 0);
}

/** Cut off at any byte, and with any bit flipped: what is whole counts, and nothing else. */
static void
damaged(void)
{
    coat_unsettled unsettled;
    coat_outbox outbox;
    uint8_t bytes[3 * RECORD];
    int fd;

    snprintf(path, sizeof path, "%s/ended", test_tmpdir());
    REQUIRE_OK(coat_unsettled_init(&unsettled));
    REQUIRE_OK(coat_outbox_init(&outbox));
    REQUIRE_OK(coat_outbox_open(&outbox, path, &unsettled));
    for (uint8_t i = 0; i < 3; i++) {
        coat_changes changes = {.ending = true, .ended = handle(i)};

        CHECK(coat_outbox_put(&outbox, &unsettled, &changes));
    }
    coat_outbox_tidy(&outbox, &unsettled); /* not while something is to be ended */
    CHECK_INT(size_of(path), sizeof bytes);
    coat_outbox_fini(&outbox);
    coat_unsettled_fini(&unsettled, NULL, 0);
    fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && read(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    (void)close(fd);

    for (size_t len = 0; len <= sizeof bytes; len++)
        CHECK_INT(read_back(bytes, len), len / RECORD);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        CHECK_INT(read_back(bytes, sizeof bytes), 2);
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    memcpy(bytes + RECORD, bytes, RECORD); /* twice the same */
    CHECK_INT(read_back(bytes, sizeof bytes), 2);
}

/** ST-4: what others could read or have put there is not touched. */
static void
not_ours(void)
{
    coat_unsettled unsettled;
    coat_outbox outbox, second;
    char other[300];

    snprintf(path, sizeof path, "%s/ended", test_tmpdir());
    snprintf(other, sizeof other, "%s.other", path);
    REQUIRE_OK(coat_unsettled_init(&unsettled));
    REQUIRE_OK(coat_outbox_init(&outbox));
    write_file("x", 1, 0640);
    CHECK_ERR(coat_outbox_open(&outbox, path, &unsettled), COAT_DENIED);
    CHECK_INT(size_of(path), 1);
    REQUIRE(rename(path, other) == 0 && symlink(other, path) == 0 && chmod(other, 0600) == 0);
    CHECK_ERR(coat_outbox_open(&outbox, path, &unsettled), COAT_DENIED);
    REQUIRE(unlink(path) == 0 && mkdir(path, 0700) == 0);
    CHECK(coat_outbox_open(&outbox, path, &unsettled) != COAT_OK);
    REQUIRE(rmdir(path) == 0);
    REQUIRE_OK(coat_outbox_open(&outbox, path, &unsettled));
    REQUIRE_OK(coat_outbox_init(&second));
    CHECK_ERR(coat_outbox_open(&second, path, &unsettled), COAT_BUSY);
    coat_outbox_fini(&second);
    coat_outbox_fini(&outbox);
    CHECK_ERR(coat_outbox_init(&outbox), COAT_OK);
    CHECK_ERR(coat_outbox_open(&outbox, "/nonexistent/ended", &unsettled), COAT_IO);
    coat_outbox_fini(&outbox);
    coat_unsettled_fini(&unsettled, NULL, 0);
}

static const coat_test tests[] = {
    {"SF-4: signed out during an outage, killed, started anew: denied, and ended", killed},
    {"SF-4: a sign-out that is asked for again and again is kept once", asked_again},
    {"an end stands in the file once", kept_once},
    {"SF-4: an end that does not come through keeps no other", some_fail},
    {"SF-4: so it is over several restarts, until the store is back", restarted},
    {"SF-4: all of a user's: denied at once, ended later, and none that began afterwards",
     all_of_them},
    {"SF-4: so it is over restarts", all_restarted},
    {"SF-4: a user's sessions of a clock that is ahead end, too", all_of_a_clock_ahead},
    {"SF-4: all of a user's, asked for again", all_asked_again},
    {"SF-4: all of a user's, asked for while they are being ended", all_asked_meanwhile},
    {"SF-4: all but one are not pending", all_but_one},
    {"LC-7 SF-4: a stolen session whose end the store does not take", stolen},
    {"LC-3: one that has expired needs none of that", expired},
    {"SF-4: a second attempt that comes through leaves nothing to do", tried_again},
    {"SF-4 ST-8: a file that was cut off or damaged", damaged},
    {"ST-4: a file that is not ours alone is not touched", not_ours},
};
COAT_TEST_MAIN(tests)
