/* SPDX-License-Identifier: Apache-2.0 */

/** SF-4: what was to be ended during an outage outlives the process. */

#include "engine/internal.h"
#include "engine/outbox.h"
#include "outbox_kit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
    coat_end end;
    uint32_t from = 0;
    unsigned count = 0;

    write_file(bytes, len, 0600);
    REQUIRE_OK(coat_unsettled_init(&unsettled));
    REQUIRE_OK(coat_outbox_init(&outbox));
    REQUIRE_OK(coat_outbox_open(&outbox, path, &unsettled));
    CHECK_INT(size_of(path), (off_t)(len - len % RECORD));
    while (coat_unsettled_next(&unsettled, &from, &end)) {
        coat_unsettled_ended(&unsettled, &end);
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
    coat_changes changes = {.end = {COAT_END_OF_SESSION, .last = handle(1)}, .owner = true};
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
    coat_unsettled_ended(&unsettled, &changes.end);
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
        coat_changes changes = {.end = {COAT_END_OF_SESSION, .last = handle(i)}};

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

static bool
is_ending(const uint8_t *bytes, size_t len, uint8_t number)
{
    coat_unsettled unsettled;
    coat_outbox outbox;
    coat_handle h = handle(number);
    bool ending;

    write_file(bytes, len, 0600);
    REQUIRE_OK(coat_unsettled_init(&unsettled));
    REQUIRE_OK(coat_outbox_init(&outbox));
    REQUIRE_OK(coat_outbox_open(&outbox, path, &unsettled));
    ending = coat_unsettled_ending(&unsettled, &h);
    coat_outbox_fini(&outbox);
    coat_unsettled_fini(&unsettled, NULL, 0);
    return ending;
}

/** Who is spared stands before what spares him: damaged, more is ended, or nothing. */
static void
damaged_spare(void)
{
    coat_changes changes = {.end = {COAT_END_OF_OWNER, true, handle(9), handle(3)}};
    coat_unsettled unsettled;
    coat_outbox outbox;
    uint8_t bytes[3 * RECORD], owner[RECORD];
    int fd;

    snprintf(path, sizeof path, "%s/ended", test_tmpdir());
    REQUIRE_OK(coat_unsettled_init(&unsettled));
    REQUIRE_OK(coat_outbox_init(&outbox));
    REQUIRE_OK(coat_outbox_open(&outbox, path, &unsettled));
    CHECK(coat_outbox_put(&outbox, &unsettled, &changes));
    changes.end = (coat_end){COAT_END_OF_SESSION, .last = handle(200)};
    CHECK(coat_outbox_put(&outbox, &unsettled, &changes));
    coat_outbox_fini(&outbox);
    coat_unsettled_fini(&unsettled, NULL, 0);
    fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && read(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    (void)close(fd);

    for (size_t len = 0; len <= sizeof bytes; len++) {
        CHECK(!is_ending(bytes, len, 3));
        CHECK(is_ending(bytes, len, 4) == (len >= 2 * RECORD));
        CHECK(is_ending(bytes, len, 200) == (len >= 3 * RECORD));
    }
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        size_t record = bit / 8 / RECORD;

        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        CHECK(is_ending(bytes, sizeof bytes, 3) == (record == 0));
        CHECK(is_ending(bytes, sizeof bytes, 4) == (record != 1));
        CHECK(is_ending(bytes, sizeof bytes, 200) == (record != 2));
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    /* One is spared by what stands next to it, not by all that follow. */
    memcpy(owner, bytes + RECORD, RECORD);
    memcpy(bytes + RECORD, bytes + 2 * RECORD, RECORD);
    memcpy(bytes + 2 * RECORD, owner, RECORD);
    CHECK(!is_ending(bytes, 2 * RECORD, 3) && is_ending(bytes, 2 * RECORD, 200));
    CHECK(is_ending(bytes, 3 * RECORD, 3));
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
    {"LC-7 SF-4: a stolen session whose end the store does not take", stolen},
    {"LC-3: one that has expired needs none of that", expired},
    {"SF-4: a second attempt that comes through leaves nothing to do", tried_again},
    {"SF-4 ST-8: a file that was cut off or damaged", damaged},
    {"SF-4 ST-8: so who was to be spared is not taken for ended, nor anybody else for spared",
     damaged_spare},
    {"ST-4: a file that is not ours alone is not touched", not_ours},
};
COAT_TEST_MAIN(tests)
