/* SPDX-License-Identifier: Apache-2.0 */
/** Full maps, full disks, failing disks, readers that die. */

#include "lmdb_fixture.h"
#include "requests.h"

#include "faults.h"

#include <lmdb.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

static lmdb_fixture fx;
static coat_store *store;
static coat_lane *lane;

static void
begin(uint64_t map_bytes)
{
    fx.map_bytes = map_bytes;
    store = NULL;
    lane = NULL;
    REQUIRE_OK(fixture_open(&fx, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
}

static void
end(void)
{
    coat_lane_close(lane);
    coat_store_close(store);
    fixture_remove(&fx);
}

static bool
is_full(void)
{
    coat_store_stats stats;

    REQUIRE_OK(coat_store_stats_get(store, &stats));
    return stats.full;
}

/** What must work in a store that takes no new sessions; owner 1 has sessions 1..n. */
static void
check_full_store(uint64_t n)
{
    static const uint8_t bytes[4096];
    coat_store_req load = session_req(COAT_OP_LOAD, 1, 1);
    coat_store_req save = session_req(COAT_OP_REPLACE, 1, 1);

    CHECK_ERR(sign_in(lane, 2, 1, 4096), COAT_STORE_FULL);
    CHECK(is_full());
    REQUIRE_OK(coat_store_run(lane, &load));
    save.version = load.found_version;
    save.value = (coat_span){bytes, sizeof bytes};
    for (int i = 0; i < 50; i++) { /* rotation goes on */
        CHECK_ERR(coat_store_run(lane, &save), COAT_OK);
        save.version = save.found_version;
    }
    for (uint64_t i = 2; i < 50 && i <= n; i++) {
        CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, i), COAT_OK);
        CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, i), COAT_NO_SESSION);
    }
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE_OWNER, 1, 0), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    CHECK_ERR(run_op(lane, COAT_OP_END_ALL, 0, 0), COAT_OK);
    sweep_all(lane, NOW_MS);
}

static void
full_map(void)
{
    uint64_t n, again;
    coat_err last;

    fixture_fresh(&fx);
    begin((uint64_t)test_scaled(64 << 20, 16 << 20));
    CHECK(!is_full());
    n = sign_in_many(lane, 1, 1, 100000, 4096, &last);
    CHECK_ERR(last, COAT_STORE_FULL);
    CHECK(n > 1000);
    check_full_store(n);
    CHECK_ERR(sign_in(lane, 2, 1, 4096), COAT_OK);
    CHECK(!is_full());
    /* And about as much fits as before: how well freed pages are used depends on how requests
     * happened to fall into batches. */
    again = sign_in_many(lane, 2, 2, 100000, 4096, &last);
    if (again < n - n / 8)
        test_fail(__FILE__, __LINE__, "only %llu of %llu fit again", (unsigned long long)again,
                  (unsigned long long)n);
    end();
}

static void
growing_values(void)
{
    static const uint8_t bytes[COAT_STORE_VALUE_MAX];
    coat_err last;

    fixture_fresh(&fx);
    begin(16 << 20);
    REQUIRE(sign_in_many(lane, 1, 1, 100000, 4000, &last) > 500);
    REQUIRE(last == COAT_STORE_FULL);
    for (uint64_t i = 1; i <= 500; i++) {
        coat_store_req load = session_req(COAT_OP_LOAD, 1, i);
        coat_store_req save = session_req(COAT_OP_REPLACE, 1, i);

        REQUIRE_OK(coat_store_run(lane, &load));
        save.version = load.found_version;
        save.value = (coat_span){bytes, 60000};
        CHECK_ERR(coat_store_run(lane, &save), COAT_STORE_FULL);
    }
    /* Otherwise saving would have eaten what is kept for this. */
    for (uint64_t i = 1; i <= 100; i++)
        CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, i), COAT_OK);
    end();
}

/** The disk gives nothing more; what was allocated ahead carries on. */
static void
full_disk_injected(void)
{
    uint64_t n;
    coat_err last;

    fixture_fresh(&fx);
    begin((uint64_t)1 << 30);
    atomic_store(&fault_fallocate, ENOSPC);
    n = sign_in_many(lane, 1, 1, 100000, 4096, &last);
    CHECK_ERR(last, COAT_STORE_FULL);
    CHECK(n > 1000);
    check_full_store(n);
    atomic_store(&fault_fallocate, 0);
    CHECK_ERR(sign_in(lane, 2, 1, 4096), COAT_OK);
    CHECK(!is_full());
    CHECK_ERR(sign_in_many(lane, 2, 2, n + 1000, 4096, &last) > n ? last : COAT_INVALID,
              COAT_OK);
    end();
}

static void
fill_disk(const char *path, int64_t keep)
{
    static const uint8_t zeros[4096];
    int fd = open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);

    REQUIRE(fd >= 0);
    while (write(fd, zeros, sizeof zeros) > 0) {
    }
    if (keep > 0)
        REQUIRE(ftruncate(fd, lseek(fd, 0, SEEK_END) - keep) == 0);
    close(fd);
}

static void
full_disk_real(void)
{
    const char *dir = test_tmpdir();
    char filler[400];
    uint64_t n;
    coat_err last;

    if (geteuid() != 0 || mount("none", dir, "tmpfs", 0, "size=24m,mode=0700") != 0)
        test_skip("needs the right to mount a small tmpfs");
    (void)snprintf(fx.dir, sizeof fx.dir, "%s/store", dir);
    (void)snprintf(fx.url, sizeof fx.url, "lmdb:%s/store", dir);
    (void)snprintf(filler, sizeof filler, "%s/filler", dir);
    fx.reserve_bytes = 4 << 20;
    begin((uint64_t)1 << 30);
    fx.reserve_bytes = 0;
    n = sign_in_many(lane, 1, 1, 2000, 4096, &last);
    CHECK_ERR(last, COAT_OK);
    fill_disk(filler, 0); /* somebody else's logs */
    n += sign_in_many(lane, 1, 2001, 100000, 4096, &last);
    CHECK_ERR(last, COAT_STORE_FULL);
    check_full_store(n);
    REQUIRE(unlink(filler) == 0);
    CHECK_ERR(sign_in(lane, 2, 1, 4096), COAT_OK);
    end();
    (void)umount(dir);
}

static void
failing_disk(void)
{
    fixture_fresh(&fx);
    begin(64 << 20);
    REQUIRE_OK(sign_in(lane, 1, 1, 400));
    atomic_store(&fault_fdatasync, EIO);
    CHECK_ERR(sign_in(lane, 1, 2, 400), COAT_IO);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_IO); /* never a false "done" */
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 2), COAT_NO_SESSION);
    atomic_store(&fault_fdatasync, ENOSPC);
    CHECK_ERR(sign_in(lane, 1, 2, 400), COAT_STORE_FULL);
    atomic_store(&fault_fdatasync, 0);
    CHECK_ERR(sign_in(lane, 1, 2, 400), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_REMOVE, 1, 1), COAT_OK);
    CHECK_ERR(run_op(lane, COAT_OP_LOAD, 1, 1), COAT_NO_SESSION);
    end();
}

/** Child: stand in a read transaction until killed. */
static int
reader_main(const char *dir)
{
    MDB_env *env;
    MDB_txn *txn;

    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, 8) != 0 ||
        mdb_env_open(env, dir, 0, 0600) != 0 || mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
        return 1;
    if (write(1, "r", 1) != 1)
        return 1;
    for (;;)
        pause();
}

static void
kill_a_reader(void)
{
    int ends[2];
    char byte;
    pid_t pid;

    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], 1);
        (void)execl("/proc/self/exe", "reader", "--reader", fx.dir, (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    CHECK_INT(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    REQUIRE(pid > 0 && kill(pid, SIGKILL) == 0);
    REQUIRE(waitpid(pid, NULL, 0) == pid);
}

static off_t
file_size(void)
{
    struct stat st;

    REQUIRE(stat(fixture_path(&fx, "data.mdb"), &st) == 0);
    return st.st_size;
}

/** Rewrite all sessions, a transaction each. */
static void
write_load(uint64_t n)
{
    static const uint8_t bytes[2000];

    for (uint64_t i = 1; i <= n; i++) {
        coat_store_req load = session_req(COAT_OP_LOAD, 1, i);
        coat_store_req save = session_req(COAT_OP_REPLACE, 1, i);

        REQUIRE_OK(coat_store_run(lane, &load));
        save.version = load.found_version;
        save.value = (coat_span){bytes, sizeof bytes};
        REQUIRE_OK(coat_store_run(lane, &save));
    }
}

static void
dead_readers(void)
{
    long kills = test_scaled(1000, 15);
    int64_t now_ms = NOW_MS;
    off_t before;
    coat_err last;

    test_not_under_valgrind("it cannot run itself again there");
    fixture_fresh(&fx);
    begin(256 << 20);
    REQUIRE(sign_in_many(lane, 1, 1, 2001, 2000, &last) == 2000);
    write_load(50);
    before = file_size();
    for (long i = 0; i < kills; i++) {
        coat_store_req sweep = session_req(COAT_OP_SWEEP, 0, 0);

        kill_a_reader();
        write_load(10);
        now_ms += 61000;
        sweep.now_ms = now_ms;
        CHECK_ERR(coat_store_run(lane, &sweep), COAT_OK);
        write_load(30);
    }
    CHECK(file_size() <= before + before / 10);
    end();
}

static void
dead_readers_at_open(void)
{
    off_t before;
    coat_err last;

    test_not_under_valgrind("it cannot run itself again there");
    fixture_fresh(&fx);
    begin(256 << 20);
    REQUIRE(sign_in_many(lane, 1, 1, 1001, 2000, &last) == 1000);
    write_load(50);
    coat_lane_close(lane);
    kill_a_reader();
    coat_store_close(store);
    begin(256 << 20);
    before = file_size();
    write_load(300);
    CHECK(file_size() <= before + before / 10);
    end();
}

static const coat_test tests[] = {
    {"SF-8: a full map stops sign-ins, nothing else", full_map},
    {"SF-8: growing values do not eat the reserve", growing_values},
    {"SF-8: a disk without room stops sign-ins, nothing else", full_disk_injected},
    {"SF-8: so does a real one that others have filled", full_disk_real},
    {"SF-8 LC-8: what a failing disk did not take is not acknowledged", failing_disk},
    {"SF-8: readers killed under write load do not make the file grow", dead_readers},
    {"SF-8: nor do those that were dead at the start", dead_readers_at_open},
};

int
main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--reader") == 0)
        return reader_main(argv[2]);
    return coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
