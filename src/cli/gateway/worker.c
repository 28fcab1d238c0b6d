/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who nginx's workers are. They parse what the network sends, so they must not be the user who
 * owns the keys: started as root, the daemon becomes server.user, the workers another user, and
 * what both need - sockets and the node table - belongs to one group.
 */
#include "cli/gateway/gateway.h"
#include "server/process/process.h"

#include <errno.h>
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

/* As Debian, Red Hat and everybody else call them. */
static const char *const usual[] = {"www-data", "nginx", "nobody"};

static int
fail(int code, const char *before, const char *name, const char *behind)
{
    (void)fprintf(stderr, "coatcheck: %s%s%s\n", before, name, behind);
    return code;
}

static bool
group_name(gid_t gid, char *buf, size_t cap)
{
    const struct group *group = getgrgid(gid);

    return group != NULL && snprintf(buf, cap, "%s", group->gr_name) < (int)cap;
}

static int
find_worker(const coat_gateway_options *options, coat_gateway_worker *out, uid_t *uid,
            gid_t *gid)
{
    const char *name = options->user;

    for (size_t i = 0; name == NULL && i < sizeof usual / sizeof usual[0]; i++)
        if (coat_user_find(usual[i], uid, gid) == COAT_OK)
            name = usual[i];
    if (name == NULL)
        return fail(COAT_EXIT_CONFIG, "there is no user ", usual[0],
                    " for nginx's workers; name another one with --user");
    if (coat_user_find(name, uid, gid) != COAT_OK)
        return fail(COAT_EXIT_USAGE, "--user: there is no user ", name, "");
    if (snprintf(out->user, sizeof out->user, "%s", name) >= (int)sizeof out->user)
        return fail(COAT_EXIT_USAGE, "--user: ", name, " is too long a name");
    return COAT_EXIT_OK;
}

/* The group that both are in: the one that is configured, or the daemon's own, so that it may
 * give files to it; as root it may give them to any. */
static int
find_group(const coat_config *config, gid_t daemon, gid_t worker, bool root,
           coat_gateway_worker *out)
{
    gid_t gid = root || !out->share ? worker : daemon;

    if (config->table_group[0] != '\0') {
        (void)snprintf(out->group, sizeof out->group, "%s", config->table_group);
        return COAT_EXIT_OK;
    }
    if (!group_name(gid, out->group, sizeof out->group))
        return fail(COAT_EXIT_CONFIG, "the group of user ",
                    gid == worker ? out->user : config->user,
                    " has no name; name a group with --table.group");
    return COAT_EXIT_OK;
}

int
coat_gateway_worker_pick(const coat_gateway_options *options, const coat_config *config,
                         coat_gateway_worker *out)
{
    uid_t daemon_uid = 0, uid = 0;
    gid_t daemon_gid = 0, gid = 0;
    int code;

    *out = (coat_gateway_worker){.share = false};
    if (geteuid() != 0 && options->user == NULL)
        return COAT_EXIT_OK;
    if (geteuid() != 0)
        return fail(COAT_EXIT_USAGE, "--user ", options->user,
                    ": only root can give nginx's workers another user");
    if (config->user[0] == '\0' && !config->allow_root)
        return fail(COAT_EXIT_CONFIG, "started as root: name the daemon's user with ",
                    "--server.user=coatcheck",
                    ", or set --server.allow-root=true (containers)");
    if (config->user[0] != '\0' &&
        coat_user_find(config->user, &daemon_uid, &daemon_gid) != COAT_OK)
        return fail(COAT_EXIT_CONFIG, "server.user: there is no user ", config->user, "");
    if (config->group[0] != '\0' && coat_group_find(config->group, &daemon_gid) != COAT_OK)
        return fail(COAT_EXIT_CONFIG, "server.group: there is no group ", config->group, "");
    code = find_worker(options, out, &uid, &gid);
    if (code != COAT_EXIT_OK)
        return code;
    out->separate = daemon_uid != 0;
    out->share = uid != 0 && uid != daemon_uid;
    return find_group(config, daemon_gid, gid, daemon_uid == 0, out);
}

static bool
become_and_enter(const coat_gateway_worker *worker, const char *dir)
{
    uid_t uid;
    gid_t gid, primary;

    return coat_user_find(worker->user, &uid, &primary) == COAT_OK &&
           coat_group_find(worker->group, &gid) == COAT_OK &&
           initgroups(worker->user, gid) == 0 && setgid(gid) == 0 && setuid(uid) == 0 &&
           access(dir, X_OK) == 0;
}

bool
coat_gateway_worker_enters(const coat_gateway_worker *worker, const char *dir)
{
    int status = 0;
    pid_t pid;

    if (!worker->share)
        return true;
    pid = fork();
    if (pid == 0)
        _exit(become_and_enter(worker, dir) ? 0 : 1);
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
