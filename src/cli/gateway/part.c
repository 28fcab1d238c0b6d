/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/gateway/part.h"

#include "cli/client.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* This program, also after a new release has taken its file's place. */
static const char *
own_path(void)
{
    static char path[COAT_GATEWAY_FILE_MAX];
    ssize_t n;

    if (path[0] != '\0')
        return path;
    n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return path;
}

static pid_t
start_daemon(coat_gateway *g)
{
    const coat_config_input *input = &g->plan.input;
    const char *argv[8 + sizeof g->plan.flags / sizeof g->plan.flags[0]];
    size_t n = 0;

    argv[n++] = own_path();
    argv[n++] = "serve";
    if (input->file != NULL) {
        argv[n++] = "--config";
        argv[n++] = input->file;
    }
    for (size_t i = 0; i < input->flag_count; i++)
        argv[n++] = input->flags[i];
    argv[n] = NULL;
    return coat_gateway_spawn(argv, coat_gateway_env(true), g->plan.config);
}

/* Ours, not another daemon that has been there all the time. */
static bool
daemon_answers(const coat_gateway *g, pid_t pid)
{
    coat_client *client = coat_client_at(g->plan.config->admin_socket);
    json_t *answer = NULL;
    bool ready = client != NULL && coat_client_peer(client) == pid &&
                 coat_client_ask(client, "GET", "/v1/ready", NULL, &answer) == 200;

    json_decref(answer);
    coat_client_close(client);
    return ready;
}

static pid_t
start_nginx(coat_gateway *g)
{
    const char *argv[] = {g->nginx.path, "-c", g->files.conf, "-p",
                          g->files.dir,  "-e", "stderr",      NULL};

    (void)unlink(g->files.pid);
    return coat_gateway_spawn(argv, coat_gateway_env(false), NULL);
}

/* It writes the file when it listens. */
static bool
nginx_answers(const coat_gateway *g, pid_t pid)
{
    return coat_gateway_files_pid(&g->files) == pid;
}

const coat_gateway_part coat_gateway_daemon = {
    .name = "the daemon", .start = start_daemon, .answers = daemon_answers};
const coat_gateway_part coat_gateway_nginx_part = {
    .name = "nginx", .start = start_nginx, .answers = nginx_answers};

/* The number of a group is its own until its last member is gone, and not a moment longer. */
bool
coat_gateway_part_lives(coat_gateway_part *part)
{
    if (part->pid == 0 && part->group != 0 && kill(-part->group, 0) != 0)
        part->group = 0;
    return part->group != 0;
}

bool
coat_gateway_part_start(coat_gateway_part *part, coat_gateway *g)
{
    int64_t now = coat_gateway_now_ms();
    pid_t pid;

    if (part->pid != 0 || now < part->due_ms)
        return true;
    if (coat_gateway_part_lives(part)) {
        /* nginx's workers have lost their master: they hold addresses that the next one needs.
         */
        coat_gateway_part_signal_all(
            part, now - part->due_ms < COAT_GATEWAY_ORPHANS_MS ? SIGTERM : SIGKILL);
        return true;
    }
    pid = part->start(g);
    if (pid < 0) {
        part->due_ms = now + COAT_GATEWAY_AGAIN_MAX_MS;
        return part->proven; /* the machine has no process left: perhaps later */
    }
    part->pid = part->group = pid;
    part->since_ms = now;
    part->ready = false;
    part->sent = 0;
    return true;
}

bool
coat_gateway_part_arrives(coat_gateway_part *part, const coat_gateway *g)
{
    if (part->pid == 0 || part->ready || !part->answers(g, part->pid))
        return false;
    part->ready = part->proven = true;
    return true;
}

void
coat_gateway_part_ended(coat_gateway_part *part, int status, int64_t now_ms, char *how)
{
    int64_t wait = COAT_GATEWAY_AGAIN_MS;

    if (WIFSIGNALED(status))
        (void)snprintf(how, 64, "signal %d", WTERMSIG(status));
    else
        (void)snprintf(how, 64, "exit code %d", WEXITSTATUS(status));
    part->early = now_ms - part->since_ms >= COAT_GATEWAY_STEADY_MS ? 0 : part->early + 1;
    for (unsigned i = 1; i < part->early && wait < COAT_GATEWAY_AGAIN_MAX_MS; i++)
        wait *= 2;
    part->due_ms =
        now_ms + (wait < COAT_GATEWAY_AGAIN_MAX_MS ? wait : COAT_GATEWAY_AGAIN_MAX_MS);
    part->pid = 0;
    part->ready = false;
}

void
coat_gateway_part_signal(const coat_gateway_part *part, int number)
{
    if (part->pid != 0)
        (void)kill(part->pid, number);
}

void
coat_gateway_part_signal_all(coat_gateway_part *part, int number)
{
    if (part->group != 0 && part->sent != number)
        (void)kill(-part->group, number);
    part->sent = number;
}
