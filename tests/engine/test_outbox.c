/* SPDX-License-Identifier: Apache-2.0 */

/** SF-4: what was to be ended during an outage outlives the process. */

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
    child = fork(); /* the store is in memory: each has its own from here on */
    REQUIRE(child >= 0);
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
    coat_handle h;
    unsigned count = 0;

    write_file(bytes, len, 0600);
    REQUIRE_OK(coat_unsettled_init(&unsettled));
    REQUIRE_OK(coat_outbox_init(&outbox));
    REQUIRE_OK(coat_outbox_open(&outbox, path, &unsettled));
    CHECK_INT(size_of(path), (off_t)(len - len % RECORD));
    while (coat_unsettled_next(&unsettled, &h)) {
        coat_unsettled_ended(&unsettled, &h);
        count++;
    }
    coat_outbox_fini(&outbox);
    coat_unsettled_fini(&unsettled, NULL, 0);
    return count;
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
    {"SF-4: so it is over several restarts, until the store is back", restarted},
    {"SF-4: a second attempt that comes through leaves nothing to do", tried_again},
    {"SF-4 ST-8: a file that was cut off or damaged", damaged},
    {"ST-4: a file that is not ours alone is not touched", not_ours},
};
COAT_TEST_MAIN(tests)
