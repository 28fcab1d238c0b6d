/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include "cli/gateway/part.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char said[4096];

static int
shell(const char *script)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};

    return coat_gateway_run(argv, coat_gateway_env(false), said, sizeof said);
}

static void
runs(void)
{
    char script[64];

    CHECK_INT(shell("echo out; echo err >&2; exit 7"), 7);
    CHECK_STR(said, "out\nerr\n");
    CHECK_INT(shell("cat"), 0); /* standard input is empty */
    CHECK_STR(said, "");
    CHECK_INT(shell("kill -9 $$"), -1);
    /* More than fits is cut, and the program still comes to its end. */
    (void)snprintf(script, sizeof script, "head -c 300000 /dev/zero | tr '\\0' x; exit 3");
    CHECK_INT(shell(script), 3);
    CHECK_INT(strlen(said), sizeof said - 1);
    CHECK_INT(coat_gateway_run((const char *[]){"/nonexistent", NULL}, coat_gateway_env(false),
                               said, sizeof said),
              COAT_EXIT_FAILED);
    CHECK(strstr(said, "/nonexistent") != NULL);
}

/* Set before the first use: the lists are made once. */
static void
environment(void)
{
    REQUIRE(setenv("NGINX", "7;", 1) == 0 && setenv("NOTIFY_SOCKET", "/x", 1) == 0 &&
            setenv("LISTEN_FDS", "1", 1) == 0 &&
            setenv("COATCHECK_LOG_LEVEL", "debug", 1) == 0 &&
            setenv("NGINX_OTHER", "stays", 1) == 0);
    for (int keys = 0; keys < 2; keys++) {
        bool own = false, other = false, taken = false;

        for (const char *const *p = coat_gateway_env(keys == 1); *p != NULL; p++) {
            own = own || strncmp(*p, "COATCHECK_LOG_LEVEL=", 20) == 0;
            other = other || strcmp(*p, "NGINX_OTHER=stays") == 0;
            taken = taken || strncmp(*p, "NGINX=", 6) == 0 || strncmp(*p, "NOTIFY", 6) == 0 ||
                    strncmp(*p, "LISTEN_", 7) == 0;
        }
        CHECK_INT(own, keys);
        CHECK(other && !taken);
    }
}

/* ---- a part ---- */

static const char *script;

static pid_t
start_shell(coat_gateway *gateway)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};

    (void)gateway;
    return script != NULL ? coat_gateway_spawn(argv, coat_gateway_env(false), NULL) : -1;
}

static bool
answers(const coat_gateway *gateway, pid_t pid)
{
    return gateway == NULL && pid > 0;
}

static void
wait_for(coat_gateway_part *part, char *how)
{
    int status;

    while (waitpid(part->pid, &status, 0) != part->pid)
        continue;
    coat_gateway_part_ended(part, status, coat_gateway_now_ms(), how);
}

static void
life(void)
{
    coat_gateway_part part = {.name = "a shell", .start = start_shell, .answers = answers};
    char how[64];

    script = "exit 3";
    CHECK(!coat_gateway_part_arrives(&part, NULL)); /* nobody is there */
    REQUIRE(coat_gateway_part_start(&part, NULL) && part.pid > 0);
    CHECK(coat_gateway_part_lives(&part));
    CHECK(coat_gateway_part_arrives(&part, NULL));
    CHECK(!coat_gateway_part_arrives(&part, NULL)); /* once */
    CHECK(part.ready && part.proven);
    wait_for(&part, how);
    CHECK_STR(how, "exit code 3");
    CHECK(!part.ready && part.proven);
    CHECK(!coat_gateway_part_lives(&part));
    CHECK(coat_gateway_part_start(&part, NULL)); /* not yet */
    CHECK_INT(part.pid, 0);
    part.due_ms = 0;
    script = "exec sleep 600"; /* else it would outlive the shell */
    REQUIRE(coat_gateway_part_start(&part, NULL) && part.pid > 0);
    coat_gateway_part_signal(&part, SIGTERM);
    wait_for(&part, how);
    CHECK_STR(how, "signal 15");
}

/* What a part started outlives it in its group: it is ended before the part begins anew. */
static void
orphans(void)
{
    coat_gateway_part part = {.name = "a shell", .start = start_shell, .answers = answers};
    char how[64];
    int status;

    REQUIRE(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
    script = "sleep 600 & exit 0";
    REQUIRE(coat_gateway_part_start(&part, NULL));
    wait_for(&part, how);
    CHECK(coat_gateway_part_lives(&part));
    part.due_ms = coat_gateway_now_ms();
    script = "exit 0";
    CHECK(coat_gateway_part_start(&part, NULL)); /* sends SIGTERM instead */
    CHECK_INT(part.pid, 0);
    CHECK_INT(part.sent, SIGTERM);
    REQUIRE(waitpid(-1, &status, 0) > 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK(!coat_gateway_part_lives(&part));
    CHECK_INT(part.group, 0);
    CHECK(coat_gateway_part_start(&part, NULL));
    REQUIRE(part.pid > 0);
    wait_for(&part, how);
}

static void
cannot_start(void)
{
    coat_gateway_part part = {.name = "a shell", .start = start_shell, .answers = answers};

    script = NULL;
    CHECK(!coat_gateway_part_start(&part, NULL)); /* the first time: give up */
    part.proven = true;
    part.due_ms = 0;
    CHECK(coat_gateway_part_start(&part, NULL)); /* later: try again */
    CHECK(part.due_ms > coat_gateway_now_ms());
    CHECK_INT(part.pid, 0);
}

/* SF-12: within a second at first, and ever slower while it keeps ending. */
static void
back_off(void)
{
    static const int64_t waits[] = {100,  200,   400,   800,   1600,  3200,
                                    6400, 12800, 25600, 30000, 30000, 30000};
    coat_gateway_part part = {.name = "x"};
    int64_t now = 1000000;
    char how[64];

    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        part.since_ms = now;
        now += COAT_GATEWAY_STEADY_MS - 1;
        coat_gateway_part_ended(&part, 0, now, how);
        CHECK_INT(part.due_ms - now, waits[i]);
        now = part.due_ms;
    }
    part.since_ms = now;
    now += COAT_GATEWAY_STEADY_MS; /* it ran long enough */
    coat_gateway_part_ended(&part, 0, now, how);
    CHECK_INT(part.due_ms - now, 100);
    part.early = UINT32_MAX - 1;
    part.since_ms = now;
    coat_gateway_part_ended(&part, 0, now, how);
    CHECK_INT(part.due_ms - now, 30000);
}

static const coat_test tests[] = {
    {"variables that are another's are not passed on", environment},
    {"a program runs to its end, and what it says is taken", runs},
    {"SF-12: a part from start to end, and again", life},
    {"SF-12: no new part beside what an old one left", orphans},
    {"a part that cannot be started", cannot_start},
    {"SF-12: the wait before a part is started again", back_off},
};
COAT_TEST_MAIN(tests)
