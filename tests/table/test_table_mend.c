/* SPDX-License-Identifier: Apache-2.0 */

/** An activity file that a hostile reader has damaged, and the writer that mends it. */

#include "kit.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 4096 };

static test_rng rng;
static char path[PATH_MAX], seen_path[PATH_MAX + 8];
static coat_table_writer *writer;
static coat_table *reader;
static size_t seen_len;

static void
start(void)
{
    coat_table_conf conf;

    rng.state = 31;
    (void)snprintf(path, sizeof path, "%s/table", test_tmpdir());
    (void)snprintf(seen_path, sizeof seen_path, "%s.seen", path);
    kit_conf(&conf, path, SLOTS);
    writer = kit_create(&conf);
    seen_len = coat_table_writer_reader(writer)->seen_len;
    REQUIRE_OK(coat_table_open(path, &reader));
}

static void
stop(void)
{
    coat_table_close(reader);
    coat_table_writer_close(writer);
}

static void
scribble(off_t at, const void *bytes, size_t len)
{
    int fd = open(seen_path, O_WRONLY | O_CLOEXEC);

    REQUIRE(fd >= 0 && pwrite(fd, bytes, len, at) == (ssize_t)len);
    (void)close(fd);
}

enum damage { CUT, CUT_TO_PAGE, CUT_BY_ONE, GROWN, HEAD_ZEROED, HEAD_OF_ANOTHER };
static const struct damage_case {
    const char *name;
    enum damage damage;
} damages[] = {
    {"cut off", CUT},
    {"cut to a page", CUT_TO_PAGE},
    {"cut by one byte", CUT_BY_ONE},
    {"grown", GROWN},
    {"head zeroed", HEAD_ZEROED},
    {"head of another generation", HEAD_OF_ANOTHER},
};

static void
damage(enum damage how)
{
    static const uint8_t zero[sizeof(coat_table_seen_head)];
    uint64_t generation = reader->head->generation + 1;

    if (how == CUT)
        REQUIRE(truncate(seen_path, 0) == 0);
    if (how == CUT_TO_PAGE)
        REQUIRE(truncate(seen_path, COAT_TABLE_PAGE) == 0);
    if (how == CUT_BY_ONE)
        REQUIRE(truncate(seen_path, (off_t)seen_len - 1) == 0);
    if (how == GROWN)
        REQUIRE(truncate(seen_path, (off_t)seen_len + 1000000) == 0);
    if (how == HEAD_ZEROED)
        scribble(0, zero, sizeof zero);
    if (how == HEAD_OF_ANOTHER)
        scribble(offsetof(coat_table_seen_head, generation), &generation, sizeof generation);
}

static void
check_whole(void)
{
    coat_table *other;
    struct stat st;

    REQUIRE(stat(seen_path, &st) == 0);
    CHECK_INT(st.st_size, seen_len);
    CHECK(st.st_blocks * 512 >= st.st_size); /* its room is reserved */
    REQUIRE_OK(coat_table_open(path, &other));
    coat_table_close(other);
}

static void
test_look_after(void)
{
    start();
    CHECK_INT(coat_table_look_after(writer), 0);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        coat_table *other;

        test_case(damages[i].name);
        damage(damages[i].damage);
        CHECK_ERR(coat_table_open(path, &other), COAT_IO);
        CHECK_INT(coat_table_look_after(writer), 1);
        check_whole();
        CHECK_INT(coat_table_look_after(writer), 0);
    }
    stop();
}

/** What is lost is activity that the store does not know: sessions end early, never late. */
static void
test_what_is_lost(void)
{
    coat_table_answer answer;
    kit_session s;

    start();
    kit_session_make(&s, &rng, 1, 5, 5);
    REQUIRE_OK(kit_fill(writer, &s));
    CHECK_INT(
        kit_ask(reader, &s, (coat_table_query){.now_ms = kit_now + 20 * KIT_MINUTE}, &answer),
        COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(reader, &s, kit_now + 40 * KIT_MINUTE), COAT_TABLE_LIVE);
    damage(CUT);
    CHECK_INT(coat_table_look_after(writer), 1);
    /* Mappings of before are good again, the reader's too. */
    CHECK_INT(kit_verdict(reader, &s, kit_now + 29 * KIT_MINUTE), COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(reader, &s, kit_now + 40 * KIT_MINUTE), COAT_TABLE_ASK);
    CHECK_INT(
        kit_ask(reader, &s, (coat_table_query){.now_ms = kit_now + 25 * KIT_MINUTE}, &answer),
        COAT_TABLE_LIVE);
    CHECK_INT(kit_verdict(coat_table_writer_reader(writer), &s, kit_now + 40 * KIT_MINUTE),
              COAT_TABLE_LIVE);
    stop();
}

static void
test_taken_over(void)
{
    coat_table_conf conf;

    start();
    coat_table_writer_close(writer);
    kit_conf(&conf, path, SLOTS);
    writer = kit_create(&conf);
    CHECK(coat_table_writer_taken_over(writer));
    damage(CUT);
    CHECK_INT(coat_table_look_after(writer), 1);
    check_whole();
    /* Damaged while nobody wrote: there is nothing to take over. */
    coat_table_writer_close(writer);
    damage(CUT);
    writer = kit_create(&conf);
    CHECK(!coat_table_writer_taken_over(writer));
    CHECK_INT(coat_table_look_after(writer), 0);
    check_whole();
    stop();
}

/* ---- with the signal ---- */

static void
on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (!coat_table_mend(writer, info->si_addr))
        (void)signal(number, SIG_DFL);
}

/** Everything that touches activity, each time on a file just cut off. */
static void
live_on(void)
{
    static const struct sigaction action = {.sa_sigaction = on_bus_error,
                                            .sa_flags = SA_SIGINFO};
    coat_table_change change;
    coat_table_answer answer;
    kit_session s;
    int64_t seen_ms;
    bool good;

    good = sigaction(SIGBUS, &action, NULL) == 0;
    for (uint64_t i = 0; i < 200; i++) {
        const coat_table *view = coat_table_writer_reader(writer);

        kit_session_make(&s, &rng, i, 5, 5);
        damage(i % 2 == 0 ? CUT : CUT_TO_PAGE);
        good = good && kit_fill(writer, &s) == COAT_OK;
        damage(CUT);
        good = good && kit_ask(view, &s, (coat_table_query){.now_ms = kit_now + 1000},
                               &answer) == COAT_TABLE_LIVE;
        damage(CUT);
        good = good && kit_live(view, &s, kit_now) == COAT_TABLE_LIVE;
        damage(CUT);
        good = good && coat_table_seen(writer, &s.token.handle, &seen_ms);
        damage(CUT);
        (void)coat_table_fold(writer, SLOTS, 0, kit_now, NULL, NULL);
        damage(CUT);
        coat_table_change_begin(writer, &s.token.handle, &change);
        coat_table_change_end(writer, &change, NULL);
        good = good && kit_verdict(view, &s, kit_now) == COAT_TABLE_ASK;
    }
    good = good && coat_table_look_after(writer) >= 200;
    _exit(good ? 0 : 1);
}

static int
in_child(void (*run)(void))
{
    pid_t child = test_fork();
    int status = -1;

    if (child == 0) {
        run();
        _exit(0);
    }
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

static void
test_faults(void)
{
    start();
    CHECK_INT(in_child(live_on), 0);
    (void)coat_table_look_after(writer);
    check_whole();
    stop();
}

/* A hole is no damage that a size would show; its room is reserved again all the same. */
static void
test_holes(void)
{
    struct stat st;
    int fd;

    start();
    fd = open(seen_path, O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, COAT_TABLE_PAGE,
                  (off_t)seen_len - COAT_TABLE_PAGE) != 0)
        test_skip("no holes on this file system");
    (void)close(fd);
    REQUIRE(stat(seen_path, &st) == 0 && st.st_blocks * 512 < st.st_size);
    CHECK(coat_table_mend(writer, coat_table_writer_reader(writer)->seen_map));
    CHECK_INT(coat_table_look_after(writer), 0); /* it may come about by itself */
    check_whole();
    stop();
}

static void
touch(void)
{
    (void)signal(SIGBUS, SIG_DFL); /* sanitizers turn it into an exit */
    damage(CUT);
    ((volatile uint8_t *)reader->seen_map)[0] = 1;
}

/** The control: without it the process is gone. */
static void
test_without(void)
{
    int status;

    start();
    status = in_child(touch);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    CHECK_INT(coat_table_look_after(writer), 1);
    stop();
}

/** Faults elsewhere are not ours to explain away. */
static void
test_elsewhere(void)
{
    const coat_table *view;
    coat_table_conf conf;
    uint8_t *first;

    start();
    view = coat_table_writer_reader(writer);
    first = view->seen_map;
    CHECK(coat_table_mend(writer, first) && coat_table_mend(writer, first + seen_len - 1));
    CHECK(!coat_table_mend(writer, first - 1) && !coat_table_mend(writer, first + seen_len));
    CHECK(!coat_table_mend(writer, NULL) && !coat_table_mend(writer, view->map));
    CHECK(!coat_table_mend(writer, (void *)UINTPTR_MAX));
    CHECK_INT(coat_table_look_after(writer), 0); /* there was nothing to mend */
    stop();

    kit_conf(&conf, NULL, SLOTS);
    writer = kit_create(&conf);
    CHECK(!coat_table_mend(writer, coat_table_writer_reader(writer)->seen_map));
    CHECK_INT(coat_table_look_after(writer), 0);
    coat_table_writer_close(writer);
}

static const coat_test tests[] = {
    {"a damaged activity file is mended, and readers can open it again", test_look_after},
    {"LC-4: what is lost with it shortens sessions, never lengthens them", test_what_is_lost},
    {"a table taken over is looked after as well", test_taken_over},
    {"SF-12: the writer outlives an activity file that is cut off under it", test_faults},
    {"SF-12: room for an activity file with holes is reserved again", test_holes},
    {"without the handler the same touch ends a process", test_without},
    {"SF-12: a fault anywhere else stays one", test_elsewhere},
};

COAT_TEST_MAIN(tests)
