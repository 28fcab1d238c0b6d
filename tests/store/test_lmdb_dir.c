/* SPDX-License-Identifier: Apache-2.0 */
/** The directory of the embedded store: permissions, the lock, the format. */

#include "lmdb_fixture.h"

#include <fcntl.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/stat.h>

static lmdb_fixture fx = {.map_bytes = 16 << 20};

static const char *const files[] = {"data.mdb", "lock.mdb", "lock"};

/** A store that has been opened and closed again, with right permissions. */
static void
make_store(void)
{
    coat_store *store = NULL;

    fixture_fresh(&fx);
    REQUIRE_OK(fixture_open(&fx, &store));
    coat_store_close(store);
}

static unsigned
mode_of(const char *path)
{
    struct stat st;

    REQUIRE(lstat(path, &st) == 0);
    return st.st_mode & 07777;
}

static void
created_private(void)
{
    mode_t before = umask(0);

    make_store();
    umask(before);
    CHECK_INT(mode_of(fx.dir), 0700);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        test_case(files[i]);
        CHECK_INT(mode_of(fixture_path(&fx, files[i])), 0600);
    }
    test_case(NULL);
    fixture_remove(&fx);
}

/** The store must not open, and the message must name this path. */
static void
expect_refusal(const char *path)
{
    coat_store *store = NULL;

    CHECK_ERR(fixture_open(&fx, &store), COAT_IO);
    CHECK(store == NULL);
    if (strncmp(fx.message, path, strlen(path)) != 0)
        test_fail(__FILE__, __LINE__, "message \"%s\" does not begin with %s", fx.message,
                  path);
    coat_store_close(store);
}

static void
wide_modes(void)
{
    static const unsigned dir_modes[] = {0755, 0750, 0710, 0701, 0777};
    static const unsigned file_modes[] = {0644, 0640, 0602, 0666};
    char path[400];

    make_store();
    for (size_t i = 0; i < sizeof dir_modes / sizeof dir_modes[0]; i++) {
        REQUIRE(chmod(fx.dir, dir_modes[i]) == 0);
        expect_refusal(fx.dir);
    }
    REQUIRE(chmod(fx.dir, 0700) == 0);
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++)
        for (size_t i = 0; i < sizeof file_modes / sizeof file_modes[0]; i++) {
            (void)snprintf(path, sizeof path, "%s", fixture_path(&fx, files[f]));
            REQUIRE(chmod(path, file_modes[i]) == 0);
            expect_refusal(path);
            REQUIRE(chmod(path, 0600) == 0);
        }
    fixture_remove(&fx);
}

static void
links(void)
{
    char path[400], aside[400];

    make_store();
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
        (void)snprintf(path, sizeof path, "%s", fixture_path(&fx, files[f]));
        (void)snprintf(aside, sizeof aside, "%s.aside", fx.dir);
        REQUIRE(rename(path, aside) == 0);
        REQUIRE(symlink(aside, path) == 0);
        expect_refusal(path);
        CHECK(strstr(fx.message, "symbolic link") != NULL);
        REQUIRE(unlink(path) == 0);
        REQUIRE(link(aside, path) == 0); /* somebody else may hold the other name */
        expect_refusal(path);
        REQUIRE(unlink(aside) == 0);
    }
    (void)snprintf(aside, sizeof aside, "%s.aside", fx.dir);
    REQUIRE(rename(fx.dir, aside) == 0);
    REQUIRE(symlink(aside, fx.dir) == 0);
    expect_refusal(fx.dir);
    CHECK(strstr(fx.message, "symbolic link") != NULL);
    REQUIRE(unlink(fx.dir) == 0);
    REQUIRE(rename(aside, fx.dir) == 0);
    fixture_remove(&fx);
}

static void
not_a_directory(void)
{
    int fd;

    fixture_fresh(&fx);
    fd = open(fx.dir, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    close(fd);
    expect_refusal(fx.dir);
    REQUIRE(unlink(fx.dir) == 0);

    make_store();
    (void)snprintf(fx.dir + strlen(fx.dir), 40, "/missing/store");
    (void)snprintf(fx.url, sizeof fx.url, "lmdb:%s", fx.dir);
    expect_refusal(fx.dir);
    *strstr(fx.dir, "/missing") = '\0';
    fixture_remove(&fx);
}

static void
foreign_owner(void)
{
    char path[400];

    if (geteuid() != 0)
        test_skip("only root can give files away");
    make_store();
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
        (void)snprintf(path, sizeof path, "%s", fixture_path(&fx, files[f]));
        REQUIRE(chown(path, 12345, (gid_t)-1) == 0);
        expect_refusal(path);
        REQUIRE(chown(path, 0, (gid_t)-1) == 0);
    }
    REQUIRE(chown(fx.dir, 12345, (gid_t)-1) == 0);
    expect_refusal(fx.dir);
    REQUIRE(chown(fx.dir, 0, (gid_t)-1) == 0);
    fixture_remove(&fx);
}

static void
opened_once(void)
{
    coat_store *first = NULL, *second = NULL;
    char pid[32];

    fixture_fresh(&fx);
    REQUIRE_OK(fixture_open(&fx, &first));
    CHECK_ERR(fixture_open(&fx, &second), COAT_IO);
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    CHECK(strstr(fx.message, pid) != NULL);
    CHECK(strstr(fx.message, fx.dir) != NULL);
    coat_store_close(first);
    REQUIRE_OK(fixture_open(&fx, &first));
    coat_store_close(first);
    fixture_remove(&fx);
}

static void
set_format(uint64_t format)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi info;
    MDB_val key = {8, (void *)(uintptr_t) "format\0"}, value = {8, &format};

    REQUIRE(mdb_env_create(&env) == 0);
    REQUIRE(mdb_env_set_maxdbs(env, 8) == 0);
    REQUIRE(mdb_env_open(env, fx.dir, 0, 0600) == 0);
    REQUIRE(mdb_txn_begin(env, NULL, 0, &txn) == 0);
    REQUIRE(mdb_dbi_open(txn, "info", 0, &info) == 0);
    REQUIRE(mdb_put(txn, info, &key, &value, 0) == 0);
    REQUIRE(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
}

static void
newer_format(void)
{
    coat_store *store = NULL;

    make_store();
    set_format(2);
    CHECK_ERR(fixture_open(&fx, &store), COAT_NEWER_FORMAT);
    CHECK(strstr(fx.message, "newer") != NULL);
    set_format(1); /* what a downgrade refused is still all there */
    REQUIRE_OK(fixture_open(&fx, &store));
    coat_store_close(store);
    fixture_remove(&fx);
}

static const coat_test tests[] = {
    {"ST-4: directory 0700 and files 0600, whatever the umask", created_private},
    {"ST-4: wider modes stop the start, naming the path", wide_modes},
    {"ST-4: symbolic and hard links stop the start", links},
    {"ST-4: a file in place of the directory, or nothing above it", not_a_directory},
    {"ST-4: foreign owners stop the start", foreign_owner},
    {"a second opening is refused, naming the process that holds it", opened_once},
    {"UP-1: a newer format is refused and left as it is", newer_format},
};
COAT_TEST_MAIN(tests)
