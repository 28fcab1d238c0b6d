/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that never outlive this one. */
#include "cli/gateway/gateway.h"
#include "server/process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { FILES_MAX = 65536, RUN_MS = 30000 };

int64_t
coat_gateway_now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* What tells a process of sockets, readiness and keys that are another's. */
static bool
is_kept(const char *variable, bool keys)
{
    static const char *const ours[] = {
        "NOTIFY_SOCKET=", "LISTEN_PID=",   "LISTEN_FDS=", "LISTEN_FDNAMES=",
        "WATCHDOG_USEC=", "WATCHDOG_PID=", "NGINX="};

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strncmp(variable, ours[i], strlen(ours[i])) == 0)
            return false;
    return keys || strncmp(variable, "COATCHECK_", strlen("COATCHECK_")) != 0;
}

const char *const *
coat_gateway_env(bool keys)
{
    static const char **lists[2];
    const char **list = lists[keys];
    size_t count = 0, kept = 0;

    if (list != NULL)
        return list;
    while (environ[count] != NULL)
        count++;
    list = calloc(count + 1, sizeof *list);
    if (list == NULL) {
        static const char *const nothing[] = {NULL};

        return nothing;
    }
    for (size_t i = 0; i < count; i++)
        if (is_kept(environ[i], keys))
            list[kept++] = environ[i];
    lists[keys] = list;
    return list;
}

/* Connections are descriptors: as many as may be. */
static void
raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= FILES_MAX)
        return;
    limit.rlim_cur = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static _Noreturn void
exec_child(const char *const *argv, const char *const *env, const coat_config *become,
           pid_t parent)
{
    coat_harden_conf conf = {.allow_dumps = true};
    sigset_t none;
    char message[400];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setpgid(0, 0); /* Ctrl-C is for our parent, who then stops us in order */
    if (null >= 0)
        (void)dup2(null, STDIN_FILENO);
    (void)close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    raise_limit();
    if (become != NULL) {
        conf.user = become->user;
        conf.group = become->group;
        conf.allow_root = become->allow_root;
        if (coat_harden(&conf, message, sizeof message) != COAT_OK) {
            (void)fprintf(stderr, "coatcheck: %s\n", message);
            _exit(COAT_EXIT_CONFIG);
        }
    }
    /* After the change of user, which would undo it. The parent may have gone before. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
        _exit(COAT_EXIT_FAILED);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)execve(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
    (void)fprintf(stderr, "coatcheck: %s: %s%s%s\n", argv[0], strerror(errno),
                  become != NULL && become->user[0] != '\0' ? " for user " : "",
                  become != NULL ? become->user : "");
    _exit(COAT_EXIT_FAILED);
}

pid_t
coat_gateway_spawn(const char *const *argv, const char *const *env, const coat_config *become)
{
    pid_t parent = getpid(), pid;

    (void)fflush(NULL);
    pid = fork();
    if (pid == 0)
        exec_child(argv, env, become, parent);
    if (pid < 0)
        (void)fprintf(stderr, "coatcheck: %s: %s\n", argv[0], strerror(errno));
    else
        (void)setpgid(pid, pid); /* here, too: whoever comes first */
    return pid;
}

/* Until it closes its end, or for too long. @return false: too long */
static bool
listen_to(int fd, char *said, size_t cap)
{
    int64_t end = coat_gateway_now_ms() + RUN_MS;
    size_t len = 0;

    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left = end - coat_gateway_now_ms();
        char rest[512];
        bool room = len + 1 < cap;
        ssize_t n;

        if (left <= 0)
            return false;
        if (poll(&wait, 1, (int)left) <= 0)
            continue;
        n = read(fd, room ? said + len : rest, room ? cap - len - 1 : sizeof rest);
        if (n == 0)
            return true;
        if (n > 0 && room)
            said[len += (size_t)n] = '\0';
        if (n < 0 && errno != EINTR)
            return false;
    }
}

int
coat_gateway_run(const char *const *argv, const char *const *env, char *said, size_t cap)
{
    int ends[2], status = 0;
    pid_t parent = getpid(), pid;
    bool in_time;

    said[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    (void)fflush(NULL);
    pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)dup2(ends[1], STDERR_FILENO);
        exec_child(argv, env, NULL, parent);
    }
    (void)close(ends[1]);
    in_time = pid > 0 && listen_to(ends[0], said, cap);
    (void)close(ends[0]);
    if (pid < 0)
        return -1;
    if (!in_time)
        (void)kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return in_time && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
