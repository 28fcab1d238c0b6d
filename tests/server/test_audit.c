/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include "core/bytes.h"
#include "server/log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

static int64_t
wall(void *ctx)
{
    (void)ctx;
    return 1795410408123;
}

static _Atomic int64_t mono_ms;

static int64_t
mono(void *ctx)
{
    (void)ctx;
    return atomic_load(&mono_ms);
}

static char target[400], log_path[380];

static coat_log *
open_log(const char *where, uint32_t ring, uint32_t flood)
{
    coat_log_conf conf = {.format = COAT_LOG_JSON,
                          .target = where,
                          .instance = "node-1",
                          .ring_max = ring,
                          .flood_max = flood,
                          .commit_ms = 400,
                          .clock = wall,
                          .monotonic = mono};
    coat_log *log = NULL;

    REQUIRE_OK(coat_init());
    REQUIRE_OK(coat_log_new(&conf, &log, NULL, 0));
    return log;
}

static const char *
file_target(void)
{
    (void)snprintf(log_path, sizeof log_path, "%s/audit", test_tmpdir());
    (void)snprintf(target, sizeof target, "file:%s", log_path);
    return target;
}

static const char *
fd_target(int fd)
{
    (void)snprintf(target, sizeof target, "fd:%d", fd);
    return target;
}

/* All lines of a file as JSON objects; free with json_decref. */
static json_t *
read_events(const char *path)
{
    json_t *all = json_array();
    FILE *in = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    REQUIRE(in != NULL);
    while ((len = getline(&line, &cap, in)) > 0) {
        json_t *one = json_loadb(line, (size_t)len, JSON_REJECT_DUPLICATES, NULL);

        if (one == NULL)
            test_fail(__FILE__, __LINE__, "not JSON: %s", line);
        else
            json_array_append_new(all, one);
    }
    free(line);
    fclose(in);
    return all;
}

static const char *
text_of(const json_t *event, const char *name)
{
    const char *text = json_string_value(json_object_get(event, name));

    return text != NULL ? text : "(none)";
}

static void
push(coat_log *log, coat_event_type type, uint64_t count)
{
    coat_audit_event(log, &(coat_event){.type = type, .count = count}, NULL);
}

/* Wait, without deciding anything by time, until a condition of another thread comes true. */
#define AWAIT(cond)                                                                            \
    do {                                                                                       \
        for (int tries = 0; !(cond) && tries < 5000; tries++)                                  \
            usleep(2000);                                                                      \
        REQUIRE(cond);                                                                         \
    } while (0)

static coat_log_stats
stats_of(const coat_log *log)
{
    coat_log_stats stats;

    coat_log_stats_get(log, &stats);
    return stats;
}

/* ---- schema ---- */

static void
test_schema(void)
{
    static const char *const always[] = {"ts",   "level",  "event",   "outcome",    "reason",
                                         "user", "client", "session", "request_id", "instance"};
    coat_log *log = open_log(file_target(), 0, 0);
    coat_audit_origin origin = {.request_id = COAT_LIT("0123456789abcdef")};
    json_t *events;

    REQUIRE_OK(coat_address_parse(COAT_LIT("192.0.2.7"), &origin.client));
    for (int type = COAT_EVENT_NONE + 1; type < COAT_EVENT_COUNT; type++) {
        coat_event event = {.type = (coat_event_type)type,
                            .failed = type % 2 == 0,
                            .reason = "because",
                            .user = COAT_LIT("anna"),
                            .cause = &origin};

        coat_audit_event_fn(log, &event);
        push(log, (coat_event_type)type, 0); /* with nothing known */
    }
    coat_audit_event(log, &(coat_event){.type = COAT_EVENT_NONE}, NULL);
    coat_audit_event(log, &(coat_event){.type = COAT_EVENT_COUNT}, NULL);
    coat_log_free(log);
    events = read_events(log_path);
    CHECK_INT(json_array_size(events), 2 * (COAT_EVENT_COUNT - 1));
    for (size_t i = 0; i < json_array_size(events); i++) {
        json_t *e = json_array_get(events, i);

        for (size_t f = 0; f < sizeof always / sizeof always[0]; f++)
            CHECK(json_object_get(e, always[f]) != NULL);
        CHECK_INT(json_object_size(e), sizeof always / sizeof always[0]);
        CHECK_STR(text_of(e, "ts"), "2026-11-23T05:06:48.123Z");
        CHECK_STR(text_of(e, "instance"), "node-1");
        CHECK_STR(text_of(e, "event"), coat_event_name((coat_event_type)(i / 2 + 1)));
        if (i % 2 == 0) {
            CHECK_STR(text_of(e, "client"), "192.0.2.7");
            CHECK_STR(text_of(e, "request_id"), "0123456789abcdef");
            CHECK_STR(text_of(e, "outcome"), (i / 2 + 1) % 2 == 0 ? "failure" : "success");
        } else {
            CHECK(json_is_null(json_object_get(e, "user")));
            CHECK(json_is_null(json_object_get(e, "session")));
        }
    }
    json_decref(events);
}

static void
test_session_digest(void)
{
    coat_keys *a = NULL, *b = NULL, *rotated = NULL;
    coat_log *log = open_log(file_target(), 0, 0);
    coat_event event = {.type = COAT_EVENT_SESSION_RENEWED, .has_handle = true};
    char handle[COAT_HANDLE_CHARS + 1] = "", hex[33];
    const char *digest;
    json_t *events;

    for (size_t i = 0; i < sizeof event.handle.bytes; i++) {
        event.handle.bytes[i] = (uint8_t)(17 * i + 1);
        (void)snprintf(hex + 2 * i, 3, "%02x", event.handle.bytes[i]);
    }
    coat_handle_encode(&event.handle, handle);
    REQUIRE_OK(coat_keys_generate(1, coat_rng_system, NULL, &a));
    REQUIRE_OK(coat_keys_generate(1, coat_rng_system, NULL, &b));
    REQUIRE_OK(coat_keys_rotate(a, 2, coat_rng_system, NULL, &rotated));
    coat_log_keys_set(log, a);
    coat_audit_event(log, &event, NULL);
    coat_audit_event(log, &event, NULL);
    coat_log_keys_set(log, rotated); /* keys rotate: lines still belong together */
    coat_audit_event(log, &event, NULL);
    coat_log_keys_set(log, b); /* another deployment */
    coat_audit_event(log, &event, NULL);
    coat_log_free(log);
    events = read_events(log_path);
    REQUIRE(json_array_size(events) == 4);
    digest = text_of(json_array_get(events, 0), "session");
    CHECK_INT(strlen(digest), 16);
    CHECK_STR(text_of(json_array_get(events, 1), "session"), digest);
    CHECK_STR(text_of(json_array_get(events, 2), "session"), digest);
    CHECK(strcmp(text_of(json_array_get(events, 3), "session"), digest) != 0);
    CHECK(strstr(hex, digest) == NULL && strstr(handle, digest) == NULL);
    json_decref(events);
    coat_keys_free(a);
    coat_keys_free(b);
    coat_keys_free(rotated);
}

/* ---- failures of the target ---- */

typedef struct drain {
    int fd;
    FILE *out;
} drain;

static void *
drain_pipe(void *arg)
{
    drain *d = arg;
    char buf[4096];
    ssize_t n;

    while ((n = read(d->fd, buf, sizeof buf)) > 0)
        (void)fwrite(buf, 1, (size_t)n, d->out);
    fclose(d->out);
    return NULL;
}

static void
count_events(const char *path, size_t *plain, uint64_t *lost)
{
    json_t *events = read_events(path);

    *plain = 0;
    *lost = 0;
    for (size_t i = 0; i < json_array_size(events); i++) {
        json_t *e = json_array_get(events, i);

        if (strcmp(text_of(e, "event"), "audit_lost") == 0)
            *lost += (uint64_t)json_integer_value(json_object_get(e, "count"));
        else
            (*plain)++;
    }
    json_decref(events);
}

/* The reader sleeps: nobody waits for it, what finds no room is counted to the last one. */
static void
test_stalled_reader(void)
{
    enum { RING = 10000, EVENTS = 15000 };
    int fds[2];
    coat_log *log;
    coat_log_stats stats;
    pthread_t thread;
    drain d;
    size_t plain;
    uint64_t lost;

    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    (void)file_target();
    log = open_log(fd_target(fds[1]), RING, UINT32_MAX);
    close(fds[1]);
    for (int i = 0; i < EVENTS; i++)
        push(log, COAT_EVENT_LOGIN_FAILURE, 0);
    stats = stats_of(log);
    CHECK(stats.audit_lost > 0);
    CHECK_INT(stats.events + stats.audit_lost, EVENTS);
    CHECK(stats.waiting <= RING);
    CHECK(!coat_audit_writable(log));
    d = (drain){fds[0], fopen(log_path, "w")};
    REQUIRE(d.out != NULL && pthread_create(&thread, NULL, drain_pipe, &d) == 0);
    AWAIT(stats_of(log).waiting == 0);
    AWAIT(coat_audit_writable(log));
    stats = stats_of(log);
    coat_log_free(log);
    (void)pthread_join(thread, NULL);
    close(fds[0]);
    count_events(log_path, &plain, &lost);
    CHECK_INT(plain, stats.events);
    CHECK_INT(lost, stats.audit_lost);
    CHECK_INT(plain + lost, EVENTS);
}

/* A full disk: the same, and afterwards all is as before. */
static void
test_full_disk(void)
{
    enum { RING = 100, EVENTS = 250 };
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), file;
    coat_log *log;
    size_t plain;
    uint64_t lost;

    if (full < 0)
        test_skip("no /dev/full");
    (void)file_target();
    log = open_log(fd_target(full), RING, UINT32_MAX);
    push(log, COAT_EVENT_LOGIN_FAILURE, 0);
    AWAIT(!coat_audit_writable(log));
    for (int i = 1; i < EVENTS; i++)
        push(log, COAT_EVENT_LOGIN_FAILURE, 0);
    CHECK_INT(stats_of(log).audit_lost, EVENTS - RING);
    CHECK(stats_of(log).write_errors > 0);
    CHECK_ERR(coat_audit_commit(log, &(coat_event){.type = COAT_EVENT_ADMIN_ACTION}, NULL),
              COAT_AUDIT_DOWN);
    /* Room again: the descriptor becomes a file. */
    file = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    REQUIRE(file >= 0 && dup2(file, full) == full);
    close(file);
    REQUIRE_OK(coat_log_reopen(log));
    AWAIT(coat_audit_writable(log) && stats_of(log).waiting == 0);
    CHECK_ERR(coat_audit_commit(log, &(coat_event){.type = COAT_EVENT_ADMIN_ACTION}, NULL),
              COAT_OK);
    coat_log_free(log);
    close(full);
    count_events(log_path, &plain, &lost);
    CHECK_INT(plain, RING + 1); /* and the action; the refused one left no line */
    CHECK_INT(lost, EVENTS - RING);
}

static void
test_dead_collector(void)
{
    int fds[2];
    coat_log *log;

    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    log = open_log(fd_target(fds[1]), 10, 0);
    close(fds[1]);
    close(fds[0]); /* SIGPIPE, if anything let it through, ends this test program */
    push(log, COAT_EVENT_LOGIN_FAILURE, 0);
    AWAIT(!coat_audit_writable(log));
    for (int i = 0; i < 50; i++)
        push(log, COAT_EVENT_LOGIN_FAILURE, 0);
    CHECK_INT(stats_of(log).audit_lost, 41);
    CHECK_ERR(coat_audit_commit(log, &(coat_event){.type = COAT_EVENT_ADMIN_ACTION}, NULL),
              COAT_AUDIT_DOWN);
    coat_log_free(log);
}

/* A log that fills the queue must not push out audit events. */
static void
test_lines_leave_room(void)
{
    int fds[2];
    coat_log *log;

    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    REQUIRE(fcntl(fds[1], F_SETPIPE_SZ, 4096) > 0);
    log = open_log(fd_target(fds[1]), 100, UINT32_MAX);
    for (int i = 0; i < 300; i++)
        coat_log_line(log, COAT_LOG_ERROR, "noise that fills a pipe and the queue behind it",
                      NULL, 0);
    AWAIT(stats_of(log).lines_lost > 0);
    for (int i = 0; i < 5; i++)
        push(log, COAT_EVENT_LOGIN_FAILURE, 0);
    CHECK_INT(stats_of(log).audit_lost, 0);
    close(fds[0]);
    close(fds[1]);
    coat_log_free(log);
}

/* ---- floods ---- */

static void
test_aggregation(void)
{
    long events = test_scaled(1000000, 10000);
    long seconds = 10;
    coat_log *log = open_log(file_target(), 100000, 100);
    json_t *all;
    uint64_t total = 0;
    size_t aggregated = 0, stops = 0;

    atomic_store(&mono_ms, 1000);
    for (long i = 0; i < events; i++) {
        atomic_store(&mono_ms, 1000 + i * seconds * 1000 / events);
        push(log, COAT_EVENT_LOGIN_FAILURE, 0);
    }
    push(log, COAT_EVENT_SERVER_STOP, 0); /* another type is not held back */
    coat_log_free(log);
    all = read_events(log_path);
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *e = json_array_get(all, i);

        stops += strcmp(text_of(e, "event"), "server_stop") == 0;
        if (strcmp(text_of(e, "event"), "login_failure") != 0)
            continue;
        if (strcmp(text_of(e, "reason"), "aggregated") == 0) {
            aggregated++;
            total += (uint64_t)json_integer_value(json_object_get(e, "count"));
        } else {
            total++;
        }
    }
    CHECK_INT(total, events);
    CHECK(aggregated > 0 && aggregated <= (size_t)seconds);
    CHECK((long)json_array_size(all) <= 101 * seconds + 1);
    CHECK_INT(stops, 1);
    json_decref(all);
}

/* ---- write ahead ---- */

static void
test_commit(void)
{
    coat_log *log = open_log(file_target(), 0, 1);
    json_t *events;

    for (uint64_t i = 1; i <= 20; i++) { /* more than the flood limit: none is summed up */
        coat_event event = {.type = COAT_EVENT_ADMIN_ACTION, .count = i};

        CHECK_ERR(coat_audit_commit(log, &event, NULL), COAT_OK);
        events = read_events(log_path); /* there before the answer */
        CHECK_INT(json_array_size(events), i);
        json_decref(events);
    }
    coat_log_free(log);
}

static void
test_commit_stalled(void)
{
    int fds[2];
    coat_log *log;

    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    REQUIRE(fcntl(fds[1], F_SETPIPE_SZ, 4096) > 0);
    log = open_log(fd_target(fds[1]), 0, UINT32_MAX);
    for (int i = 0; i < 100; i++)
        push(log, COAT_EVENT_LOGIN_FAILURE, 0);
    CHECK_ERR(coat_audit_commit(log, &(coat_event){.type = COAT_EVENT_ADMIN_ACTION}, NULL),
              COAT_AUDIT_DOWN);
    AWAIT(!coat_audit_writable(log));
    coat_log_free(log); /* comes back although nobody reads */
    close(fds[0]);
    close(fds[1]);
}

/* Acts like an administrator's requests: event first, then the effect; until it is killed. */
static void
act_until_killed(const char *effects)
{
    coat_log *log = open_log(target, 0, 0);
    int fd = open(effects, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    for (uint64_t i = 1;; i++) {
        coat_event event = {.type = COAT_EVENT_ADMIN_ACTION, .count = i};
        uint64_t effect = i;

        if (coat_audit_commit(log, &event, NULL) != COAT_OK ||
            write(fd, &effect, sizeof effect) != sizeof effect)
            _exit(1);
    }
}

static void
test_kill_between(void)
{
    long kills = test_scaled(1000, 20);
    test_rng rng = {4};

    for (long k = 0; k < kills; k++) {
        char effects[420];
        uint64_t events = 0, effect, count = 0;
        json_t *all;
        pid_t child;
        int fd;

        (void)file_target();
        (void)snprintf(effects, sizeof effects, "%s.effects", log_path);
        child = test_fork();
        if (child == 0)
            act_until_killed(effects);
        while (access(effects, F_OK) != 0) /* begun */
            usleep(200);
        usleep((useconds_t)test_rng_below(&rng, 8000));
        REQUIRE(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
        all = read_events(log_path);
        events = json_array_size(all);
        json_decref(all);
        fd = open(effects, O_RDONLY | O_CLOEXEC);
        while (fd >= 0 && read(fd, &effect, sizeof effect) == sizeof effect)
            CHECK_INT(effect, ++count);
        close(fd);
        CHECK(count <= events && events <= count + 1); /* never an effect without its event */
    }
}

/* ---- on a loop ---- */

typedef struct lane_case {
    coat_audit_call call;
    int done;
    bool inside;
} lane_case;

static void
lane_done(coat_audit_call *call)
{
    lane_case *c = call->ctx;

    CHECK(!c->inside);
    c->done++;
}

static void
start_call(coat_audit_lane *lane, lane_case *c)
{
    *c = (lane_case){.call = {.event = {.type = COAT_EVENT_ADMIN_ACTION}, .done = lane_done}};
    c->call.ctx = c;
    c->inside = true;
    coat_audit_start(lane, &c->call);
    c->inside = false;
}

static void
test_lane(void)
{
    enum { CALLS = 50 };
    lane_case calls[CALLS];
    coat_log *log = open_log(file_target(), 0, 0);
    coat_audit_lane *lane = NULL;
    uv_loop_t loop;
    json_t *events;
    int done = 0;

    REQUIRE(uv_loop_init(&loop) == 0);
    REQUIRE_OK(coat_audit_lane_open(log, &loop, &lane));
    for (int i = 0; i < CALLS; i++)
        start_call(lane, &calls[i]);
    while (done < CALLS) {
        (void)uv_run(&loop, UV_RUN_ONCE);
        done = 0;
        for (int i = 0; i < CALLS; i++)
            done += calls[i].done;
    }
    for (int i = 0; i < CALLS; i++) {
        CHECK_INT(calls[i].done, 1);
        CHECK_ERR(calls[i].call.result, COAT_OK);
    }
    events = read_events(log_path);
    CHECK_INT(json_array_size(events), CALLS);
    json_decref(events);
    coat_audit_lane_close(lane);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), 0);
    coat_log_free(log);
}

static void
test_lane_closes_early(void)
{
    enum { CALLS = 20 };
    lane_case calls[CALLS];
    coat_audit_lane *lane = NULL;
    coat_log *log;
    uv_loop_t loop;
    int fds[2];

    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    REQUIRE(fcntl(fds[1], F_SETPIPE_SZ, 4096) > 0);
    log = open_log(fd_target(fds[1]), 0, UINT32_MAX);
    for (int i = 0; i < 100; i++)
        push(log, COAT_EVENT_LOGIN_FAILURE, 0);
    REQUIRE(uv_loop_init(&loop) == 0);
    REQUIRE_OK(coat_audit_lane_open(log, &loop, &lane));
    for (int i = 0; i < CALLS; i++)
        start_call(lane, &calls[i]);
    coat_audit_lane_close(lane);
    for (int i = 0; i < CALLS; i++) {
        CHECK_INT(calls[i].done, 1);
        CHECK_ERR(calls[i].call.result, COAT_AUDIT_DOWN);
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&loop), 0);
    coat_log_free(log);
    close(fds[0]);
    close(fds[1]);
}

/* ---- canaries ---- */

static void
test_canaries(void)
{
    coat_keys *keys = NULL;
    coat_tag_keys tags = {.key = {{1}}, .count = 1};
    coat_log *log = open_log(file_target(), 0, 0);
    coat_owner owner = {{9}};
    coat_token token;
    char text[COAT_TOKEN_CHARS + 1] = "", hex[2 * COAT_SECRET_BYTES + 1], root[65], *content;
    FILE *in;

    REQUIRE_OK(coat_keys_generate(1, coat_rng_system, NULL, &keys));
    REQUIRE_OK(coat_token_mint(owner, 1, &tags, coat_rng_system, NULL, &token));
    coat_token_encode(&token, text);
    for (size_t i = 0; i < COAT_SECRET_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", token.secret[i]);
    for (size_t i = 0; i < 32; i++)
        (void)snprintf(root + 2 * i, 3, "%02x", coat_keys_root(keys, COAT_KEY_AUDIT)[i]);
    coat_log_keys_set(log, keys);
    for (int level = COAT_LOG_DEBUG; level <= COAT_LOG_ERROR; level++)
        for (int name = 0; name < COAT_LOG_F_NAMES; name++) {
            coat_log_field fields[] = {coat_log_text((coat_log_name)name, text),
                                       coat_log_text((coat_log_name)name, root)};

            coat_log_line(log, (coat_log_level)level, "canary", fields, 2);
        }
    coat_audit_event(log,
                     &(coat_event){.type = COAT_EVENT_TOKEN_REUSE,
                                   .reason = text,
                                   .has_handle = true,
                                   .handle = token.handle,
                                   .user = coat_span_of(text)},
                     &(coat_audit_origin){.request_id = coat_span_of(text)});
    coat_log_free(log);
    content = calloc(1, 1 << 20);
    in = fopen(log_path, "r");
    REQUIRE(content != NULL && in != NULL && fread(content, 1, (1 << 20) - 1, in) > 0);
    fclose(in);
    CHECK(strstr(content, "canary") != NULL);
    CHECK(strstr(content, text) == NULL);
    CHECK(strstr(content, text + COAT_HANDLE_CHARS) == NULL);
    CHECK(strstr(content, hex) == NULL);
    CHECK(strstr(content, root) == NULL);
    free(content);
    coat_keys_free(keys);
}

/* Two streams: events go to one, lines to the other. */
static void
test_two_streams(void)
{
    const char *dir = test_tmpdir();
    char lines[400], audit[400];
    coat_log_conf conf = {.target = lines, .audit_target = audit, .format = COAT_LOG_JSON};
    coat_log *log;
    json_t *events;

    (void)snprintf(lines, sizeof lines, "file:%s/log", dir);
    (void)snprintf(audit, sizeof audit, "file:%s/audit", dir);
    REQUIRE_OK(coat_log_new(&conf, &log, NULL, 0));
    coat_log_line(log, COAT_LOG_ERROR, "a line", NULL, 0);
    push(log, COAT_EVENT_SERVER_START, 0);
    REQUIRE_OK(coat_log_reopen(log));
    coat_log_free(log);
    events = read_events(audit + 5);
    CHECK_INT(json_array_size(events), 1);
    CHECK_STR(text_of(json_array_get(events, 0), "event"), "server_start");
    json_decref(events);
    events = read_events(lines + 5);
    CHECK_INT(json_array_size(events), 1);
    CHECK_STR(text_of(json_array_get(events, 0), "msg"), "a line");
    json_decref(events);
}

static const coat_test tests[] = {
    {"AU-2: every event has every field", test_schema},
    {"AU-2: the session's digest correlates and is no store key", test_session_digest},
    {"AU-5: a stalled reader costs events beyond the bound, counted exactly",
     test_stalled_reader},
    {"AU-5: a full disk is survived, losses are reported afterwards", test_full_disk},
    {"AU-5: a dead collector is survived", test_dead_collector},
    {"AU-5: log lines never take the room of audit events", test_lines_leave_room},
    {"AU-5: a flood is summed up and the totals add up", test_aggregation},
    {"AD-4: a committed event is in the stream before the answer", test_commit},
    {"AD-4: a commit that cannot be written is refused in time", test_commit_stalled},
    {"AD-4: killed at any point, never an effect without its event", test_kill_between},
    {"AD-4: commits of a loop are answered on it, once", test_lane},
    {"a lane that closes answers what is outstanding", test_lane_closes_early},
    {"AU-1: canaries in every field of every level leave no trace", test_canaries},
    {"audit can have a stream of its own", test_two_streams},
};
COAT_TEST_MAIN(tests)
