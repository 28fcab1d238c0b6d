/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two processes from start to stop. Nginx comes after the daemon and goes before it, so
 * nobody is told "unavailable" only because the service starts or stops. One thread; signals
 * are read from a descriptor, so nothing happens between two lines.
 */
#include "cli/client.h"
#include "cli/gateway/part.h"
#include "server/process/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TICK_MS = 20,
    SLOW_TICK_MS = 250, /* when a part has not answered for STEADY_MS */
    STEADY_MS = 2000,
    LAST_MS = 5000 /* from SIGTERM to SIGKILL */
};

typedef struct supervisor {
    coat_gateway *g;
    coat_gateway_part daemon, nginx;
    int signals;
    bool announced, wants_reload, renewed, stopping, hurried, told_daemon;
    int64_t stop_ms, daemon_stop_ms;
    int code;
} supervisor;

/* ---- stop ---- */

static void
begin_stop(supervisor *s, int code)
{
    if (s->stopping)
        return;
    s->stopping = true;
    s->code = code;
    s->stop_ms = coat_gateway_now_ms();
    coat_notify("STOPPING=1", NULL);
    coat_gateway_part_signal(&s->nginx, SIGQUIT);
}

/* Nginx has server.drain-timeout for what is under way, then it is ended; then the daemon. */
static void
step_stop(supervisor *s)
{
    int64_t now = coat_gateway_now_ms(), drain = s->g->plan.current->drain_ms;
    int64_t past = now - s->stop_ms;

    if (coat_gateway_part_lives(&s->nginx)) {
        if (past > drain + LAST_MS)
            coat_gateway_part_signal_all(&s->nginx, SIGKILL);
        else if (s->hurried || past > drain || s->nginx.pid == 0)
            coat_gateway_part_signal_all(&s->nginx, SIGTERM);
        return;
    }
    if (!s->told_daemon) {
        coat_gateway_part_signal(&s->daemon, SIGTERM);
        s->told_daemon = true;
        s->daemon_stop_ms = now;
    } else if (now - s->daemon_stop_ms > drain + LAST_MS) {
        coat_gateway_part_signal_all(&s->daemon, SIGKILL);
    }
}

static bool
is_over(supervisor *s)
{
    return s->stopping && !coat_gateway_part_lives(&s->nginx) &&
           !coat_gateway_part_lives(&s->daemon);
}

/* ---- run ---- */

static void
announce(supervisor *s)
{
    const coat_gateway *g = s->g;
    const char *origin = g->plan.config->origins.list[0];

    s->announced = true;
    if (g->args->json) {
        json_t *line = json_pack("{s:b,s:s,s:s,s:i,s:i,s:i,s:s}", "ready", 1, "address", origin,
                                 "upstream", g->options.upstream.url, "pid", (int)getpid(),
                                 "daemon", (int)s->daemon.pid, "nginx", (int)s->nginx.pid,
                                 "configuration", g->files.conf);

        (void)json_dumpf(line, stdout, JSON_COMPACT);
        (void)printf("\n");
        json_decref(line);
    } else {
        (void)printf("coatcheck is running: %s/ in front of %s\n", origin,
                     g->options.upstream.url);
        if (g->plan.plaintext)
            (void)printf(
                "There is no TLS, so it is for this machine only, with cookies that are "
                "not Secure.\n");
        (void)printf("Ctrl-C stops it.\n");
    }
    (void)fflush(stdout);
    coat_notify("READY=1", NULL);
}

/* The daemon judges its part by itself, and may refuse. */
static bool
daemon_reloads(const supervisor *s)
{
    coat_client *client = coat_client_at(s->g->plan.config->admin_socket);
    json_t *answer = NULL;
    unsigned status =
        client != NULL ? coat_client_ask(client, "POST", "/v1/reload", NULL, &answer) : 0;

    if (status / 100 != 2)
        (void)coat_client_fail(status, answer, "reload");
    json_decref(answer);
    coat_client_close(client);
    return status / 100 == 2;
}

static bool
accept_prepared(supervisor *s)
{
    char message[COAT_GATEWAY_MESSAGE_MAX];

    if (coat_gateway_files_accept(&s->g->files, message) != COAT_OK) {
        (void)fprintf(stderr, "coatcheck: %s\n", message);
        return false;
    }
    coat_gateway_part_signal(&s->nginx, SIGHUP);
    return true;
}

/* All that can refuse is asked before anything changes: the configuration, nginx, the daemon.
 */
static void
reload(supervisor *s)
{
    coat_gateway *g = s->g;
    coat_config *next = NULL;
    bool fine;

    s->wants_reload = false;
    coat_notify("RELOADING=1", NULL);
    fine = coat_gateway_plan_reload(&g->plan, &g->options, &next) &&
           coat_gateway_prepare(g, next) && daemon_reloads(s) && accept_prepared(s);
    if (fine)
        coat_gateway_plan_use(&g->plan, next);
    else
        coat_config_free(next);
    if (!fine)
        (void)unlink(g->files.candidate);
    (void)fprintf(stderr, "coatcheck: %s\n",
                  fine ? "reloaded" : "reload refused, the running configuration stays");
    coat_notify("READY=1", NULL);
}

/* A daemon that was started again has read the file again: nginx must agree with it. */
static void
renew(supervisor *s)
{
    s->renewed = false;
    if (!coat_gateway_prepare(s->g, s->g->plan.config) || !accept_prepared(s))
        (void)fprintf(stderr, "coatcheck: nginx keeps its former configuration\n");
}

static void
check_patience(supervisor *s, const coat_gateway_part *part)
{
    if (part->pid == 0 || part->proven ||
        coat_gateway_now_ms() - part->since_ms < COAT_GATEWAY_START_MS)
        return;
    (void)fprintf(stderr, "coatcheck: %s did not answer within %d seconds\n", part->name,
                  COAT_GATEWAY_START_MS / 1000);
    begin_stop(s, COAT_EXIT_FAILED);
}

/* A restarted daemon begins with what its file says now. */
static bool
start_daemon(supervisor *s)
{
    bool again =
        s->daemon.proven && s->daemon.pid == 0 && coat_gateway_now_ms() >= s->daemon.due_ms;

    if (again && coat_gateway_plan_restart(&s->g->plan, &s->g->options))
        s->renewed = true;
    return coat_gateway_part_start(&s->daemon, s->g);
}

static void
step_run(supervisor *s)
{
    bool started = start_daemon(s);

    if (started && s->daemon.proven)
        started = coat_gateway_part_start(&s->nginx, s->g);
    if (!started) {
        begin_stop(s, COAT_EXIT_FAILED);
        return;
    }
    (void)coat_gateway_part_arrives(&s->nginx, s->g);
    (void)coat_gateway_part_arrives(&s->daemon, s->g);
    check_patience(s, &s->daemon);
    check_patience(s, &s->nginx);
    if (!s->daemon.ready || !s->nginx.ready || s->stopping)
        return;
    if (!s->announced)
        announce(s);
    if (s->renewed)
        renew(s);
    if (s->wants_reload)
        reload(s);
}

/* ---- events ---- */

static void
part_ended(supervisor *s, coat_gateway_part *part, int status)
{
    char how[64];

    coat_gateway_part_ended(part, status, coat_gateway_now_ms(), how);
    if (s->stopping)
        return;
    if (part->proven) {
        (void)fprintf(stderr, "coatcheck: %s ended (%s) and is started again\n", part->name,
                      how);
        return;
    }
    (void)fprintf(stderr, "coatcheck: %s could not start (%s)\n", part->name, how);
    begin_stop(s, WIFEXITED(status) && WEXITSTATUS(status) == COAT_EXIT_CONFIG
                      ? COAT_EXIT_CONFIG
                      : COAT_EXIT_FAILED);
}

/* Ours, and nginx's workers when they have lost their master. */
static void
reap(supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->daemon.pid)
            part_ended(s, &s->daemon, status);
        else if (pid == s->nginx.pid)
            part_ended(s, &s->nginx, status);
    }
}

static void
read_signals(supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            s->wants_reload = true;
        if (info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT)
            continue;
        s->hurried = s->stopping;
        begin_stop(s, COAT_EXIT_OK);
    }
}

/* How long nothing will happen by itself, in milliseconds. */
static int
patience(const supervisor *s)
{
    const coat_gateway_part *late = s->daemon.ready ? &s->nginx : &s->daemon;

    if (!s->stopping && s->announced && s->daemon.ready && s->nginx.ready)
        return -1;
    return s->stopping || coat_gateway_now_ms() - late->since_ms < STEADY_MS ? TICK_MS
                                                                             : SLOW_TICK_MS;
}

static void
wait_for_events(const supervisor *s)
{
    struct pollfd wait = {.fd = s->signals, .events = POLLIN};

    (void)poll(&wait, 1, patience(s));
}

void
coat_gateway_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGHUP);
    (void)sigaddset(set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, set, NULL);
}

int
coat_gateway_supervise(coat_gateway *g)
{
    supervisor s = {.g = g, .daemon = coat_gateway_daemon, .nginx = coat_gateway_nginx_part};
    sigset_t set;

    coat_gateway_signals(&set);
    s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    /* Orphaned workers become our children, so that none is left over. */
    if (s.signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
        (void)fprintf(stderr, "coatcheck: %s\n", strerror(errno));
        return COAT_EXIT_FAILED;
    }
    while (!is_over(&s)) {
        read_signals(&s);
        reap(&s);
        if (s.stopping)
            step_stop(&s);
        else
            step_run(&s);
        wait_for_events(&s);
    }
    (void)close(s.signals);
    return s.code;
}
