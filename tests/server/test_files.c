/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include "core/bytes.h"
#include "server/config/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIGITS "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static char message[256];

static const char *
path_in(const char *dir, const char *name)
{
    static char paths[8][400];
    static unsigned next;
    char *path = paths[next++ % 8];

    (void)snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static void
put(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    REQUIRE(fd >= 0);
    REQUIRE(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    REQUIRE(fchmod(fd, mode) == 0);
    close(fd);
}

static void
make_socket(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    REQUIRE(fd >= 0 && strlen(path) < sizeof addr.sun_path);
    memcpy(addr.sun_path, path, strlen(path));
    REQUIRE(bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0);
    close(fd);
}

/* Each row makes one bad set-up below a fresh directory and says what must be refused. */
typedef enum probe { PROBE_FILE, PROBE_DIR, PROBE_SOCKET } probe;
typedef struct setup {
    const char *name;
    void (*make)(const char *dir);
    probe probe;
    const char *target; /* below the directory */
    const char *named;  /* what the message names, NULL: the target */
    bool root_only;     /* needs root to be set up */
} setup;

static void
file_0640(const char *dir)
{
    put(path_in(dir, "keys"), "x", 0640);
}
static void
file_0604(const char *dir)
{
    put(path_in(dir, "keys"), "x", 0604);
}
static void
file_setuid(const char *dir)
{
    put(path_in(dir, "keys"), "x", 04600);
}
static void
file_executable(const char *dir)
{
    put(path_in(dir, "keys"), "x", 0700);
}
static void
file_link(const char *dir)
{
    put(path_in(dir, "real"), "x", 0600);
    REQUIRE(symlink(path_in(dir, "real"), path_in(dir, "keys")) == 0);
}
static void
file_hard_link(const char *dir)
{
    put(path_in(dir, "real"), "x", 0600);
    REQUIRE(link(path_in(dir, "real"), path_in(dir, "keys")) == 0);
}
static void
file_fifo(const char *dir)
{
    REQUIRE(mkfifo(path_in(dir, "keys"), 0600) == 0);
}
static void
file_foreign(const char *dir)
{
    put(path_in(dir, "keys"), "x", 0600);
    REQUIRE(chown(path_in(dir, "keys"), 65534, 65534) == 0);
}
static void
parent_group(const char *dir)
{
    put(path_in(dir, "keys"), "x", 0600);
    REQUIRE(chmod(dir, 0770) == 0);
}
static void
parent_world(const char *dir)
{
    put(path_in(dir, "keys"), "x", 0600);
    REQUIRE(chmod(dir, 0707) == 0);
}
static void
parent_foreign(const char *dir)
{
    REQUIRE(mkdir(path_in(dir, "sub"), 0700) == 0);
    put(path_in(dir, "sub/keys"), "x", 0600);
    REQUIRE(chown(path_in(dir, "sub"), 65534, 65534) == 0);
}
static void
parent_link(const char *dir)
{
    REQUIRE(mkdir(path_in(dir, "real"), 0700) == 0);
    put(path_in(dir, "real/keys"), "x", 0600);
    REQUIRE(symlink(path_in(dir, "real"), path_in(dir, "sub")) == 0);
}
static void
dir_0750(const char *dir)
{
    REQUIRE(mkdir(path_in(dir, "data"), 0750) == 0);
    REQUIRE(chmod(path_in(dir, "data"), 0750) == 0);
}
static void
dir_0701(const char *dir)
{
    REQUIRE(mkdir(path_in(dir, "data"), 0701) == 0);
    REQUIRE(chmod(path_in(dir, "data"), 0701) == 0);
}
static void
dir_link(const char *dir)
{
    REQUIRE(mkdir(path_in(dir, "real"), 0700) == 0);
    REQUIRE(symlink(path_in(dir, "real"), path_in(dir, "data")) == 0);
}
static void
dir_file(const char *dir)
{
    put(path_in(dir, "data"), "x", 0600);
}
static void
dir_foreign(const char *dir)
{
    REQUIRE(mkdir(path_in(dir, "data"), 0700) == 0);
    REQUIRE(chown(path_in(dir, "data"), 65534, 65534) == 0);
}
static void
socket_is_file(const char *dir)
{
    put(path_in(dir, "sock"), "x", 0600);
}
static void
socket_is_link(const char *dir)
{
    make_socket(path_in(dir, "real"));
    REQUIRE(symlink(path_in(dir, "real"), path_in(dir, "sock")) == 0);
}
static void
socket_foreign(const char *dir)
{
    make_socket(path_in(dir, "sock"));
    REQUIRE(chown(path_in(dir, "sock"), 65534, 65534) == 0);
}
static void
socket_open_parent(const char *dir)
{
    REQUIRE(chmod(dir, 0777) == 0);
}

static const setup setups[] = {
    {"file readable by its group", file_0640, PROBE_FILE, "keys", NULL, false},
    {"file readable by others", file_0604, PROBE_FILE, "keys", NULL, false},
    {"file with set-user-id", file_setuid, PROBE_FILE, "keys", NULL, false},
    {"file executable", file_executable, PROBE_FILE, "keys", NULL, false},
    {"file is a symbolic link", file_link, PROBE_FILE, "keys", NULL, false},
    {"file with a second name", file_hard_link, PROBE_FILE, "keys", NULL, false},
    {"file is a pipe", file_fifo, PROBE_FILE, "keys", NULL, false},
    {"file of another user", file_foreign, PROBE_FILE, "keys", NULL, true},
    {"directory of the file writable by its group", parent_group, PROBE_FILE, "keys", "",
     false},
    {"directory of the file writable by others", parent_world, PROBE_FILE, "keys", "", false},
    {"directory of the file of another user", parent_foreign, PROBE_FILE, "sub/keys", "sub",
     true},
    {"directory of the file is a link", parent_link, PROBE_FILE, "sub/keys", "sub", false},
    {"data directory open to its group", dir_0750, PROBE_DIR, "data", NULL, false},
    {"data directory open to others", dir_0701, PROBE_DIR, "data", NULL, false},
    {"data directory is a link", dir_link, PROBE_DIR, "data", NULL, false},
    {"data directory is a link, with a slash behind", dir_link, PROBE_DIR, "data/", NULL,
     false},
    {"data directory is a file", dir_file, PROBE_DIR, "data", NULL, false},
    {"data directory of another user", dir_foreign, PROBE_DIR, "data", NULL, true},
    {"socket's place taken by a file", socket_is_file, PROBE_SOCKET, "sock", NULL, false},
    {"socket's place taken by a link", socket_is_link, PROBE_SOCKET, "sock", NULL, false},
    {"socket's place taken by another user", socket_foreign, PROBE_SOCKET, "sock", NULL, true},
    {"socket's directory open to others", socket_open_parent, PROBE_SOCKET, "sock", "", false},
};

static coat_err
run_probe(const setup *s, const char *path)
{
    coat_err err;
    int fd = -1;

    if (s->probe == PROBE_DIR)
        return coat_dir_ensure(path, 0700, (gid_t)-1, message, sizeof message);
    if (s->probe == PROBE_SOCKET)
        return coat_socket_path_check(path, message, sizeof message);
    err = coat_file_open_private(path, &fd, message, sizeof message);
    CHECK_INT(fd, -1);
    return err;
}

static void
test_bad_setups(void)
{
    for (size_t i = 0; i < sizeof setups / sizeof setups[0]; i++) {
        const setup *s = &setups[i];
        const char *dir = test_tmpdir();
        const char *path = path_in(dir, s->target);
        const char *named = s->named == NULL      ? path
                            : s->named[0] == '\0' ? dir
                                                  : path_in(dir, s->named);

        test_case(s->name);
        if (s->root_only && geteuid() != 0)
            continue;
        s->make(dir);
        message[0] = '\0';
        CHECK_ERR(run_probe(s, path), COAT_INVALID);
        if (strncmp(message, named, strlen(named)) != 0)
            test_fail(__FILE__, __LINE__, "says \"%s\"", message);
        (void)chmod(dir, 0700);
    }
}

static void
test_good_setups(void)
{
    const char *dir = test_tmpdir();
    struct stat st;
    int fd = -1;

    (void)umask(0);
    REQUIRE_OK(coat_dir_ensure(path_in(dir, "data"), 0700, (gid_t)-1, message, sizeof message));
    REQUIRE(stat(path_in(dir, "data"), &st) == 0);
    CHECK_INT(st.st_mode & 07777, 0700);
    CHECK_ERR(coat_dir_ensure(path_in(dir, "data/"), 0700, (gid_t)-1, message, sizeof message),
              COAT_OK);
    CHECK_ERR(coat_dir_ensure(path_in(dir, "run"), 0750, getegid(), message, sizeof message),
              COAT_OK);
    REQUIRE(stat(path_in(dir, "run"), &st) == 0);
    CHECK_INT(st.st_mode & 07777, 0750);
    REQUIRE(chmod(path_in(dir, "run"), 0700) == 0); /* narrower: opened for the group */
    CHECK_ERR(coat_dir_ensure(path_in(dir, "run"), 0710, getegid(), message, sizeof message),
              COAT_OK);
    REQUIRE(stat(path_in(dir, "run"), &st) == 0);
    CHECK_INT(st.st_mode & 07777, 0710);
    CHECK_ERR(coat_file_open_private(path_in(dir, "none"), &fd, message, sizeof message),
              COAT_NOT_FOUND);
    put(path_in(dir, "ok"), "x", 0400);
    CHECK_ERR(coat_file_open_private(path_in(dir, "ok"), &fd, message, sizeof message),
              COAT_OK);
    close(fd);
    CHECK_ERR(coat_socket_path_check(path_in(dir, "sock"), message, sizeof message), COAT_OK);
    make_socket(path_in(dir, "sock"));
    CHECK_ERR(coat_socket_path_check(path_in(dir, "sock"), message, sizeof message), COAT_OK);
}

static size_t
count_entries(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;

    REQUIRE(d != NULL);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n - 2;
}

static void
test_writing(void)
{
    const char *dir = test_tmpdir();
    const char *path = path_in(dir, "f");
    uint8_t *bytes;
    struct stat st;
    size_t len;

    REQUIRE_OK(coat_init());
    (void)umask(0);
    REQUIRE_OK(coat_file_write_private(path, COAT_LIT("one"), false, message, sizeof message));
    REQUIRE(stat(path, &st) == 0);
    CHECK_INT(st.st_mode & 07777, 0600);
    CHECK_ERR(coat_file_write_private(path, COAT_LIT("two"), false, message, sizeof message),
              COAT_EXISTS);
    REQUIRE_OK(coat_file_read_private(path, 16, &bytes, &len, message, sizeof message));
    CHECK_MEM(bytes, len, "one", 3);
    coat_file_release(bytes, len);
    REQUIRE_OK(coat_file_write_private(path, COAT_LIT("two"), true, message, sizeof message));
    CHECK_INT(count_entries(dir), 1); /* nothing half-made stays */
    CHECK_ERR(coat_file_read_private(path, 2, &bytes, &len, message, sizeof message),
              COAT_TOO_LARGE);
    /* A link in its place is replaced, never followed. */
    put(path_in(dir, "victim"), "safe", 0600);
    REQUIRE(unlink(path) == 0 && symlink(path_in(dir, "victim"), path) == 0);
    CHECK_ERR(coat_file_write_private(path, COAT_LIT("x"), false, message, sizeof message),
              COAT_EXISTS);
    REQUIRE_OK(coat_file_write_private(path, COAT_LIT("new"), true, message, sizeof message));
    REQUIRE_OK(coat_file_read_private(path_in(dir, "victim"), 16, &bytes, &len, message,
                                      sizeof message));
    CHECK_MEM(bytes, len, "safe", 4);
    coat_file_release(bytes, len);
}

static void
test_keys(void)
{
    const char *dir = test_tmpdir();
    const char *path = path_in(dir, "keys");
    coat_keys *keys = NULL, *again = NULL, *rotated = NULL;
    struct stat st;

    REQUIRE_OK(coat_init());
    CHECK_ERR(coat_keys_load(path, false, 1000, &keys, message, sizeof message),
              COAT_NOT_FOUND);
    REQUIRE_OK(coat_keys_load(path, true, 1000, &keys, message, sizeof message));
    REQUIRE(stat(path, &st) == 0);
    CHECK_INT(st.st_mode & 07777, 0600);
    REQUIRE_OK(coat_keys_load(path, true, 2000, &again, message, sizeof message));
    CHECK_MEM(coat_keys_root(keys, COAT_KEY_OWNER), COAT_KEY_BYTES,
              coat_keys_root(again, COAT_KEY_OWNER), COAT_KEY_BYTES);
    coat_keys_free(again);
    REQUIRE_OK(coat_keys_rotate(keys, 3000, coat_rng_system, NULL, &rotated));
    REQUIRE_OK(coat_keys_save(path, rotated, message, sizeof message));
    REQUIRE_OK(coat_keys_load(path, false, 0, &again, message, sizeof message));
    CHECK_INT(coat_keys_count(again), 2);
    coat_keys_free(again);
    coat_keys_free(rotated);
    coat_keys_free(keys);
    put(path, "coatcheck-keys 1\nroot nonsense\n", 0600);
    CHECK_ERR(coat_keys_load(path, true, 0, &keys, message, sizeof message), COAT_MALFORMED);
    CHECK(strstr(message, "keys:2: ") != NULL);
    CHECK(strstr(message, "nonsense") == NULL);
}

/* LG-11: two installations have nothing in common. */
static void
test_fresh_keys_differ(void)
{
    coat_keys *a = NULL, *b = NULL;

    REQUIRE_OK(coat_init());
    REQUIRE_OK(coat_keys_load(path_in(test_tmpdir(), "keys"), true, 1, &a, NULL, 0));
    REQUIRE_OK(coat_keys_load(path_in(test_tmpdir(), "keys"), true, 1, &b, NULL, 0));
    CHECK(memcmp(coat_keys_root(a, COAT_KEY_OWNER), coat_keys_root(b, COAT_KEY_OWNER), 32) !=
          0);
    CHECK(memcmp(coat_keys_live(a, COAT_KEY_SEAL, 0), coat_keys_live(b, COAT_KEY_SEAL, 0),
                 32) != 0);
    coat_keys_free(a);
    coat_keys_free(b);
}

static void
test_pepper(void)
{
    static const struct {
        const char *text;
        coat_err want;
    } cases[] = {
        {DIGITS, COAT_OK},
        {DIGITS "\n", COAT_OK},
        {DIGITS "\n\n", COAT_MALFORMED},
        {DIGITS "00", COAT_MALFORMED},
        {"00112233", COAT_MALFORMED},
        {"", COAT_MALFORMED},
        {"0x112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", COAT_MALFORMED},
        {"00 12233445566778899aabbccddeeff00112233445566778899aabbccddeeff", COAT_MALFORMED},
    };
    const char *dir = test_tmpdir();
    const char *path = path_in(dir, "pepper"), *keys = path_in(dir, "keys");

    REQUIRE_OK(coat_init());
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *pepper = NULL;

        test_case(cases[i].text);
        put(path, cases[i].text, 0600);
        CHECK_ERR(coat_pepper_load(path, keys, &pepper, message, sizeof message),
                  cases[i].want);
        if (pepper != NULL) {
            CHECK_INT(pepper[1], 0x11);
            coat_pepper_free(pepper);
        }
    }
}

static void
test_one_key_two_purposes(void)
{
    const char *dir = test_tmpdir();
    const char *path = path_in(dir, "pepper"), *key_file = path_in(dir, "keys");
    coat_keys *keys = NULL;
    uint8_t *bytes, *pepper = NULL;
    size_t len;

    REQUIRE_OK(coat_init());
    REQUIRE_OK(coat_keys_load(key_file, true, 1, &keys, NULL, 0));
    coat_keys_free(keys);
    REQUIRE_OK(coat_file_read_private(key_file, 1024, &bytes, &len, NULL, 0));
    /* The last 64 digits of each line of the file, in capitals too. */
    for (size_t end = 1; end < len; end++) {
        char digits[65] = "";

        if (bytes[end] != '\n' || end < 80)
            continue;
        memcpy(digits, bytes + end - 64, 64);
        for (int upper = 0; upper < 2; upper++) {
            for (size_t i = 0; upper == 1 && i < 64; i++)
                if (digits[i] >= 'a' && digits[i] <= 'f')
                    digits[i] = (char)(digits[i] - 'a' + 'A');
            put(path, digits, 0600);
            CHECK_ERR(coat_pepper_load(path, key_file, &pepper, message, sizeof message),
                      COAT_INVALID);
            CHECK(strstr(message, "two purposes") != NULL);
            CHECK(strstr(message, digits) == NULL);
        }
    }
    coat_file_release(bytes, len);
}

/* Many starts at once make one key file, and all of them read the same keys. */
static void
test_racing_starts(void)
{
    enum { STARTS = 8 };
    const char *path = path_in(test_tmpdir(), "keys");
    coat_keys *keys = NULL;
    int pipes[2];

    REQUIRE_OK(coat_init());
    REQUIRE(pipe(pipes) == 0);
    for (int i = 0; i < STARTS; i++)
        if (test_fork() == 0) {
            bool ok = coat_keys_load(path, true, 1, &keys, NULL, 0) == COAT_OK &&
                      write(pipes[1], coat_keys_root(keys, COAT_KEY_OWNER), 32) == 32;

            _exit(ok ? 0 : 1);
        }
    for (int i = 0; i < STARTS; i++) {
        int status;

        REQUIRE(wait(&status) > 0);
        CHECK_INT(status, 0);
    }
    REQUIRE_OK(coat_keys_load(path, false, 1, &keys, NULL, 0));
    for (int i = 0; i < STARTS; i++) {
        uint8_t root[32];

        REQUIRE(read(pipes[0], root, sizeof root) == sizeof root);
        CHECK_MEM(root, sizeof root, coat_keys_root(keys, COAT_KEY_OWNER), 32);
    }
    coat_keys_free(keys);
    close(pipes[0]);
    close(pipes[1]);
}

static const coat_test tests[] = {
    {"ST-4: bad permissions, owners and links are refused, path named", test_bad_setups},
    {"ST-4: directories are made 0700, sockets' places are checked", test_good_setups},
    {"ST-4: files are written 0600, whole or not at all, never through a link", test_writing},
    {"ST-4: the key file is made once, read, rotated", test_keys},
    {"LG-11: two installations have different keys", test_fresh_keys_differ},
    {"LG-1: the pepper file has one form", test_pepper},
    {"ST-2: one key for two purposes is refused", test_one_key_two_purposes},
    {"ST-4: racing starts agree on one key file", test_racing_starts},
};
COAT_TEST_MAIN(tests)
