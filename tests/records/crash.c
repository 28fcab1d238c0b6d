/* SPDX-License-Identifier: Apache-2.0 */

/**
 * ST-9: the connection to the store breaks at every boundary of a message in turn, at full
 * scale in the middle of each as well, during everything that writes; or the whole process is
 * killed. Whatever became of it: each session that verifies anywhere is listed, and dies with
 * its user's.
 */

#include "records.h"

#include "remote_world.h"
#include "store/remote/remote.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the knife ---- */

static struct {
    _Atomic long left; /* chunks until the one that is cut; below 0: none */
    _Atomic bool half; /* of it goes on */
    _Atomic bool cut;
} knife;

static size_t
slice(void *ctx, int way, const uint8_t *bytes, size_t len)
{
    (void)ctx;
    (void)way;
    (void)bytes;
    if (atomic_load(&knife.left) < 0 || atomic_fetch_sub(&knife.left, 1) != 0)
        return len;
    atomic_store(&knife.cut, true);
    return atomic_load(&knife.half) ? len / 2 : 0;
}

/* ---- another machine on the same store, by a way that is never cut ---- */

static rig other;

static void
crash_begin(void)
{
    remote_store *net;

    the_world.begin();
    world_proxy.tap = slice;
    atomic_store(&knife.left, -1);
    rig_prepare(&r, the_world.url(true), 1);
    net = the_world.remote(r.inner);
    net->links = 1; /* no greeting of another between what is cut */
    net->rng = records_nothing;
    net->monotonic = records_network_clock;
    r.conf.table_slots = 0;
    r.conf.monotonic = records_monotonic;
    r.conf.sessions_per_user = 3;
    rig_start(&r);
    rig_prepare(&other, the_world.url(false), 1);
    other.conf.table_slots = 0;
    other.conf.keys = r.keys;
    other.conf.clock_ctx = &r.wall;
    other.conf.monotonic = records_monotonic;
    rig_start(&other);
}

static void
crash_end(void)
{
    rig_stop(&other);
    rig_stop(&r);
    the_world.end();
}

enum { HEAL_MS = 5500 }; /* longer than any back-off or probe is put off */

static void
heal(void)
{
    coat_err err = COAT_STORE_DOWN;

    atomic_store(&knife.left, -1);
    for (int i = 0; i < 400 && err != COAT_OK; i++) {
        coat_call call = {.op = COAT_CALL_EPOCHS, .user = COAT_LIT("nobody")};

        records_hurry(HEAL_MS);
        err = coat_call_run(r.desk[0], &call);
    }
    CHECK_ERR(err, COAT_OK);
}

/* ---- what is cut ---- */

enum { TOKENS_MAX = 5 };

typedef struct user {
    char name[32];
    rig_token tokens[TOKENS_MAX]; /* all that were ever handed out */
    unsigned count;
} user;

static void
got_token(user *u, const coat_call *call)
{
    if (call->result == COAT_OK && call->set_token && u->count < TOKENS_MAX)
        memcpy(u->tokens[u->count++].text, call->token_text, sizeof call->token_text);
}

static coat_call
create(const user *u)
{
    return (coat_call){.op = COAT_CALL_CREATE,
                       .user = coat_span_of(u->name),
                       .roles = COAT_LIT("reader"),
                       .methods = COAT_LIT("pwd")};
}

static coat_call
replacing(const user *u)
{
    coat_call call = create(u);

    call.token = rig_span(&u->tokens[0]);
    return call;
}

static coat_call
check(const user *u)
{
    return (coat_call){.op = COAT_CALL_CHECK, .token = rig_span(&u->tokens[u->count - 1])};
}

static coat_call
renew(const user *u)
{
    return (coat_call){.op = COAT_CALL_RENEW,
                       .token = rig_span(&u->tokens[0]),
                       .user = coat_span_of(u->name),
                       .reauthenticated = true};
}

static coat_call
patch(const user *u)
{
    return (coat_call){
        .op = COAT_CALL_PATCH, .token = rig_span(&u->tokens[0]), .data = COAT_LIT("{\"a\":1}")};
}

static coat_call
end_one(const user *u)
{
    return (coat_call){.op = COAT_CALL_END, .token = rig_span(&u->tokens[0])};
}

static coat_call
end_user(const user *u)
{
    return (coat_call){.op = COAT_CALL_END_USER, .user = coat_span_of(u->name)};
}

static coat_call
end_others(const user *u)
{
    coat_call call = end_user(u);

    call.token = rig_span(&u->tokens[0]);
    return call;
}

static const struct step {
    const char *name;
    unsigned sessions; /* that there are before */
    bool rotates;      /* the secret is due */
    bool confirms;     /* and its successor is presented */
    coat_call (*call)(const user *u);
} steps[] = {
    {"create", 1, false, false, create},
    {"create, the oldest gives way", 3, false, false, create},
    {"create in place of another", 1, false, false, replacing},
    {"rotate", 1, true, false, check},
    {"confirm", 1, true, true, check},
    {"renew", 2, false, false, renew},
    {"patch", 1, false, false, patch},
    {"end", 2, false, false, end_one},
    {"end all of a user's", 3, false, false, end_user},
    {"end the user's others", 3, false, false, end_others},
};

/* ---- what must hold ---- */

static coat_handle listed[16];
static unsigned listed_count;

static void
note_listed(coat_call *call, const coat_session *session)
{
    (void)call;
    if (listed_count < 16)
        listed[listed_count++] = *coat_session_handle(session);
}

static bool
is_listed(const coat_handle *handle)
{
    for (unsigned i = 0; i < listed_count; i++)
        if (coat_handle_equal(&listed[i], handle))
            return true;
    return false;
}

static void
list(const user *u)
{
    listed_count = 0;
    REQUIRE_OK(rig_run(&other, 0,
                       (coat_call){.op = COAT_CALL_LIST,
                                   .user = coat_span_of(u->name),
                                   .limit = 16,
                                   .item = note_listed}));
}

static void
index_agrees(const user *u, bool was_ended)
{
    unsigned live = 0;

    list(u);
    CHECK(listed_count <= 3);
    for (unsigned i = 0; i < u->count; i++) {
        coat_handle handle = rig_handle(&u->tokens[i]);

        if (rig_check(&other, 0, &u->tokens[i]) != COAT_OK)
            continue;
        live++;
        CHECK(is_listed(&handle));
    }
    CHECK(!was_ended || live == 0);
    /* And each that is listed can be read: no entry without its record. */
    for (unsigned i = 0; i < listed_count; i++)
        CHECK_ERR(
            rig_run(&other, 0,
                    (coat_call){.op = COAT_CALL_READ, .has_handle = true, .handle = listed[i]}),
            COAT_OK);
    CHECK_ERR(rig_end_user(&other, 0, u->name), COAT_OK);
    list(u);
    CHECK_INT(listed_count, 0);
    for (unsigned i = 0; i < u->count; i++) {
        CHECK_ERR(rig_check(&other, 0, &u->tokens[i]), COAT_NO_SESSION);
        CHECK_ERR(rig_check(&r, 0, &u->tokens[i]), COAT_NO_SESSION);
    }
}

/** @return false: there was nothing left to cut */
static bool
cut_at(const struct step *step, long chunk, bool half, user *u)
{
    coat_call call;
    bool cut;

    static unsigned users;

    memset(u, 0, sizeof *u);
    (void)snprintf(u->name, sizeof u->name, "user%u", users++);
    for (unsigned i = 0; i < step->sessions; i++)
        u->tokens[u->count++] = rig_sign_in(&r, 0, u->name);
    if (step->rotates)
        rig_pass(&r, 15 * MINUTE);
    if (step->confirms) {
        REQUIRE_OK(rig_check(&r, 0, &u->tokens[0]));
        got_token(u, &r.call);
    }
    call = step->call(u);
    atomic_store(&knife.cut, false);
    atomic_store(&knife.half, half);
    atomic_store(&knife.left, chunk);
    call.result = coat_call_run(r.desk[0], &call);
    cut = atomic_load(&knife.cut);
    heal();
    got_token(u, &call);
    coat_session_free(call.session);
    index_agrees(u, step->call == end_user && call.result == COAT_OK);
    return cut;
}

static void
cut_everywhere(void)
{
    long halves = test_scaled(2, 1); /* in the middle, too, takes as long again */
    unsigned cuts = 0;

    crash_begin();
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        test_case(steps[i].name);
        for (int half = 0; half < halves; half++) {
            long chunk = 0;
            user u;

            while (chunk < 40 && cut_at(&steps[i], chunk, half == 1, &u))
                chunk++;
            CHECK(chunk >= 2 && chunk < 40); /* a question and an answer at least */
            cuts += (unsigned)chunk;
        }
    }
    test_case(NULL);
    CHECK(cuts >= 40);
    crash_end();
}

/* ---- kill -9 ---- */

/** Tells each token that it was handed, and never stops. Keys are drawn alike in each rig. */
void
crash_process(char *const *args)
{
    const char *name = args[3];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    rig_prepare(&other, args[0], 1);
    other.conf.table_slots = 0;
    r.wall = strtoll(args[1], NULL, 10);
    other.random.state = strtoull(args[2], NULL, 10);
    other.conf.clock_ctx = &r.wall;
    other.conf.monotonic = records_monotonic;
    other.conf.sessions_per_user = 3;
    rig_start(&other);
    for (unsigned i = 0;; i++) {
        rig_token token = rig_sign_in(&other, 0, name);

        if (write(STDOUT_FILENO, token.text, sizeof token.text) != sizeof token.text)
            _exit(0);
        if (i % 3 == 1)
            (void)rig_end(&other, 0, &token);
        if (i % 5 == 4)
            (void)rig_end_user(&other, 0, name);
    }
}

/**
 * A program of its own: what is forked of one with threads may find any lock taken, and wait
 * for ever. @return its output
 */
static int
process_start(const char *name, uint64_t seed, pid_t *pid)
{
    const char *url = the_world.url(false);
    char wall[24], random[24];
    int fds[2];

    (void)snprintf(wall, sizeof wall, "%lld", (long long)r.wall);
    (void)snprintf(random, sizeof random, "%llu", (unsigned long long)seed);
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    *pid = fork();
    if (*pid == 0) {
        (void)dup2(fds[1], STDOUT_FILENO);
        (void)execl("/proc/self/exe", "records", "--process", url, wall, random, name,
                    (char *)NULL);
        _exit(127);
    }
    (void)close(fds[1]);
    return fds[0];
}

static void
killed(void)
{
    long kills = test_scaled(1000, 6);
    test_rng rng = {9};

    crash_begin();
    rig_stop(&other);
    for (long i = 0; i < kills; i++) {
        static user u;
        uint64_t enough = 1 + test_rng_below(&rng, 12);
        int output;
        pid_t pid;

        memset(&u, 0, sizeof u);
        (void)snprintf(u.name, sizeof u.name, "killed%ld", i);
        output = process_start(u.name, (uint64_t)i + 100, &pid);
        for (uint64_t n = 0; n < enough; n++) {
            rig_token token;

            if (read(output, token.text, sizeof token.text) != sizeof token.text)
                break;
            u.tokens[u.count % TOKENS_MAX] = token; /* the last ones */
            u.count++;
        }
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        (void)close(output);
        CHECK(u.count > 0);
        u.count = u.count < TOKENS_MAX ? u.count : TOKENS_MAX;
        rig_prepare(&other, the_world.url(false), 1);
        other.conf.table_slots = 0;
        other.conf.keys = r.keys;
        other.conf.clock_ctx = &r.wall;
        other.conf.monotonic = records_monotonic;
        rig_start(&other);
        index_agrees(&u, false);
        rig_stop(&other);
    }
    rig_stop(&r);
    the_world.end();
}

static const coat_test tests[] = {
    {"ST-9: cut off in the middle of any write, every live session is listed and revocable",
     cut_everywhere},
    {"ST-9 SF-3: so it is after kill -9 of a daemon", killed},
};
const records_tests crash_tests = {tests, sizeof tests / sizeof tests[0]};
