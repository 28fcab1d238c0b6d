/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include "core/bytes.h"
#include "server/process/process.h"

#include <coatcheck/keys.h>

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* Run in a child, whose exit status is what fn returns; -signal if it was killed. */
static int
in_child(int (*fn)(void *arg), void *arg)
{
    pid_t child = test_fork();
    int status;

    if (child == 0)
        _exit(fn(arg));
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int
harden(const coat_harden_conf *conf, char *message, size_t cap)
{
    coat_harden_conf here = *conf;

    here.allow_root |= geteuid() == 0 && (conf->user == NULL || conf->user[0] == '\0');
    return coat_harden(&here, message, cap) == COAT_OK ? 0 : 1;
}

static int
crash(void *dir)
{
    const struct rlimit any = {RLIM_INFINITY, RLIM_INFINITY};
    char message[200];

    if (chdir(dir) != 0)
        return 2;
    (void)setrlimit(RLIMIT_CORE, &any); /* may fail: then it is 0 already */
    if (harden(&(coat_harden_conf){0}, message, sizeof message) != 0)
        return 3;
    (void)signal(SIGSEGV, SIG_DFL);
    (void)raise(SIGSEGV);
    return 4;
}

static void
test_no_core(void)
{
    const char *dir = test_tmpdir();
    DIR *d;
    int entries = 0;
    pid_t child = test_fork();
    int status;

    if (child == 0)
        _exit(crash((void *)(uintptr_t)dir));
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    CHECK_INT(WTERMSIG(status), SIGSEGV);
    CHECK(!WCOREDUMP(status));
    d = opendir(dir);
    REQUIRE(d != NULL);
    while (readdir(d) != NULL)
        entries++;
    closedir(d);
    CHECK_INT(entries, 2);
}

static int
limits_are_off(void *arg)
{
    struct rlimit now;
    char message[200];

    (void)arg;
    if (harden(&(coat_harden_conf){0}, message, sizeof message) != 0)
        return 1;
    if (getrlimit(RLIMIT_CORE, &now) != 0 || now.rlim_cur != 0 || now.rlim_max != 0)
        return 2;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 3;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 4;
}

static int
dumps_are_left(void *arg)
{
    char message[200];

    (void)arg;
    if (harden(&(coat_harden_conf){.allow_dumps = true}, message, sizeof message) != 0)
        return 1;
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 ? 0 : 2;
}

static void
test_limits(void)
{
    CHECK_INT(in_child(limits_are_off, NULL), 0);
    CHECK_INT(in_child(dumps_are_left, NULL), 0);
}

/* Another process of the same user, without capabilities, tries to attach to a hardened one.
 * Without hardening it could: the second run shows that it is hardening that refuses. */
static int
attach(void *arg)
{
    bool hardened = *(bool *)arg;
    int ready[2], end[2];
    char message[200], c;
    pid_t victim;
    long attached;
    int failed;

    if (geteuid() == 0 &&
        (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0))
        return 10;
    /* A change of user made us undumpable; the victim shall start as any process does. */
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0 || pipe(ready) != 0 || pipe(end) != 0)
        return 11;
    victim = test_fork();
    if (victim == 0) {
        (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* where Yama would refuse */
        if (hardened && coat_harden(&(coat_harden_conf){0}, message, sizeof message) != COAT_OK)
            _exit(1);
        (void)!write(ready[1], "r", 1);
        (void)!read(end[0], &c, 1);
        _exit(0);
    }
    if (victim < 0 || read(ready[0], &c, 1) != 1)
        return 12;
    attached = ptrace(PTRACE_ATTACH, victim, NULL, NULL);
    failed = errno;
    if (attached == 0)
        (void)waitpid(victim, NULL, 0);
    (void)kill(victim, SIGKILL);
    if (attached == 0)
        (void)ptrace(PTRACE_DETACH, victim, NULL, NULL);
    (void)waitpid(victim, NULL, 0);
    return attached == 0 ? 0 : failed == EPERM ? 1 : 13;
}

static void
test_no_ptrace(void)
{
    bool hardened = false;

    if (in_child(attach, &hardened) != 0)
        test_skip("this machine refuses ptrace to everybody");
    hardened = true;
    CHECK_INT(in_child(attach, &hardened), 1);
}

/* Sanitizers make mlock do nothing. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LOCKS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LOCKS false
#endif
#endif
#ifndef LOCKS
#define LOCKS true
#endif

/* VmFlags of the mapping that holds an address, from smaps. */
static bool
flags_of(const void *address, char *flags, size_t cap)
{
    FILE *in = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false, found = false;

    REQUIRE(in != NULL);
    while (!found && fgets(line, sizeof line, in) != NULL) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)address >= from && (uintptr_t)address < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            (void)snprintf(flags, cap, "%s", line + 8);
            found = true;
        }
    }
    fclose(in);
    return found;
}

static void
test_key_pages(void)
{
    coat_keys *keys = NULL;
    char flags[512] = "";
    const void *places[3];

    REQUIRE_OK(coat_init());
    REQUIRE_OK(coat_keys_generate(1, coat_rng_system, NULL, &keys));
    places[0] = coat_keys_root(keys, COAT_KEY_OWNER);
    places[1] = coat_keys_live(keys, COAT_KEY_SEAL, 0);
    places[2] = coat_keys_tags(keys);
    for (int i = 0; i < 3; i++) {
        REQUIRE(flags_of(places[i], flags, sizeof flags));
        CHECK(!LOCKS || strstr(flags, " lo") != NULL); /* never swapped out */
        CHECK(strstr(flags, " dd") != NULL);           /* never in a dump */
    }
    coat_keys_free(keys);
}

static const struct drop_case {
    const char *name;
    coat_harden_conf conf;
    bool as_nobody; /* not as root */
    bool ok;
    uid_t uid;
    const char *part;
} drop_cases[] = {
    {"root without a user", {0}, false, false, 0, "server.allow-root"},
    {"root allowed", {.allow_root = true}, false, true, 0, ""},
    {"nobody by number", {.user = "65534"}, false, true, NOBODY, ""},
    {"nobody by name", {.user = "nobody"}, false, true, NOBODY, ""},
    {"group of its own", {.user = "nobody", .group = "12345"}, false, true, NOBODY, ""},
    {"unknown user", {.user = "no-such-user"}, false, false, 0, "there is no user"},
    {"unknown group",
     {.user = "nobody", .group = "no-such-group"},
     false,
     false,
     0,
     "no group"},
    {"user root", {.user = "root"}, false, false, 0, "is root"},
    {"plain user stays", {0}, true, true, NOBODY, ""},
    {"plain user wants itself", {.user = "65534"}, true, true, NOBODY, ""},
    {"plain user wants another", {.user = "12345"}, true, false, 0, "only root"},
};

static int
run_drop(void *arg)
{
    const struct drop_case *c = arg;
    char message[200] = "";
    uid_t r, e, s;

    /* Groups that a start by hand would hand down. */
    if (!c->as_nobody && setgroups(3, (const gid_t[]){0, 4, 27}) != 0)
        return 9;
    if (c->as_nobody && setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return 10;
    if (coat_harden(&c->conf, message, sizeof message) != COAT_OK)
        return !c->ok && strstr(message, c->part) != NULL ? 0 : 11;
    if (!c->ok || getresuid(&r, &e, &s) != 0)
        return 12;
    if (r != c->uid || e != c->uid || s != c->uid)
        return 13;
    if (c->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
        return 14;
    if (c->conf.group != NULL && getegid() != 12345)
        return 15;
    return c->uid == 0 || c->as_nobody || getgroups(0, NULL) <= 1 ? 0 : 16;
}

static void
test_drop(void)
{
    if (geteuid() != 0)
        test_skip("needs root");
    for (size_t i = 0; i < sizeof drop_cases / sizeof drop_cases[0]; i++) {
        test_case(drop_cases[i].name);
        CHECK_INT(in_child(run_drop, (void *)(uintptr_t)&drop_cases[i]), 0);
    }
}

static void
test_notify(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char buf[200];
    ssize_t n;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    REQUIRE(fd >= 0);
    (void)unsetenv("NOTIFY_SOCKET");
    coat_notify("READY=1", NULL); /* nobody there */
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s/notify", test_tmpdir());
    REQUIRE(bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0);
    REQUIRE(setenv("NOTIFY_SOCKET", addr.sun_path, 1) == 0);
    coat_notify("READY=1", "serving");
    n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
    REQUIRE(n > 0);
    CHECK_MEM(buf, (size_t)n, "READY=1\nSTATUS=serving", 22);
    coat_notify("RELOADING=1", NULL);
    n = recv(fd, buf, sizeof buf - 1, MSG_DONTWAIT);
    REQUIRE(n > 0);
    buf[n] = '\0';
    CHECK(strncmp(buf, "RELOADING=1\nMONOTONIC_USEC=", 27) == 0);
    CHECK(strspn(buf + 27, "0123456789") > 0);
    REQUIRE(setenv("NOTIFY_SOCKET", "relative", 1) == 0);
    coat_notify("STOPPING=1", NULL);
    CHECK(recv(fd, buf, sizeof buf, MSG_DONTWAIT) < 0);
    (void)unsetenv("NOTIFY_SOCKET");
    close(fd);
}

static void
test_finding(void)
{
    uid_t uid = 1;
    gid_t gid = 1;

    CHECK_ERR(coat_user_find("root", &uid, &gid), COAT_OK);
    CHECK_INT(uid, 0);
    CHECK_ERR(coat_user_find("4000000000", &uid, &gid), COAT_OK);
    CHECK_INT(uid, 4000000000);
    CHECK_ERR(coat_user_find("4294967295", &uid, &gid), COAT_NOT_FOUND); /* (uid_t)-1 */
    CHECK_ERR(coat_user_find("", &uid, &gid), COAT_NOT_FOUND);
    CHECK_ERR(coat_group_find("root", &gid), COAT_OK);
    CHECK_INT(gid, 0);
    CHECK_ERR(coat_group_find("no-such-group", &gid), COAT_NOT_FOUND);
}

static const coat_test tests[] = {
    {"HD-6: a crash leaves no core", test_no_core},
    {"HD-6: dumps are off by default and can be allowed", test_limits},
    {"HD-6: the same user cannot attach", test_no_ptrace},
    {"HD-6: keys lie in locked pages outside of dumps", test_key_pages},
    {"root is given up for good, or the start refused", test_drop},
    {"the service manager is told", test_notify},
    {"users and groups by name and number", test_finding},
};
COAT_TEST_MAIN(tests)
