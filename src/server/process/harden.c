/* SPDX-License-Identifier: Apache-2.0 */
#include "server/process/process.h"

#include "core/bytes.h"
#include "server/config/config.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ENTRY_MAX = 16384 }; /* of the user data base; groups can be long */

static bool
number_of(const char *name, int64_t *number)
{
    return coat_integer_parse(coat_span_of(name), number) == COAT_OK && *number >= 0 &&
           *number < UINT32_MAX;
}

coat_err
coat_user_find(const char *name, uid_t *uid, gid_t *gid)
{
    char *buf = malloc(ENTRY_MAX);
    struct passwd entry, *found = NULL;
    int64_t number;
    bool numeric = number_of(name, &number);

    if (buf == NULL)
        return COAT_NO_MEMORY;
    if (numeric)
        (void)getpwuid_r((uid_t)number, &entry, buf, ENTRY_MAX, &found);
    else
        (void)getpwnam_r(name, &entry, buf, ENTRY_MAX, &found);
    if (found != NULL) {
        *uid = found->pw_uid;
        *gid = found->pw_gid;
    } else if (numeric) { /* containers often run as a number without a name */
        *uid = (uid_t)number;
        *gid = (gid_t)number;
    }
    free(buf);
    return found != NULL || numeric ? COAT_OK : COAT_NOT_FOUND;
}

coat_err
coat_group_find(const char *name, gid_t *gid)
{
    char *buf = malloc(ENTRY_MAX);
    struct group entry, *found = NULL;
    int64_t number;
    bool numeric = number_of(name, &number);

    if (buf == NULL)
        return COAT_NO_MEMORY;
    if (!numeric)
        (void)getgrnam_r(name, &entry, buf, ENTRY_MAX, &found);
    if (numeric)
        *gid = (gid_t)number;
    else if (found != NULL)
        *gid = found->gr_gid;
    free(buf);
    return found != NULL || numeric ? COAT_OK : COAT_NOT_FOUND;
}

static coat_err
forbid_dumps(char *message, size_t cap)
{
    const struct rlimit none = {0, 0};

    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        (void)snprintf(message, cap, "core dumps cannot be turned off: %s", strerror(errno));
        return COAT_IO;
    }
    return COAT_OK;
}

/* Supplementary groups first, then group, then user: afterwards no step could be taken back. */
static coat_err
become(const char *name, uid_t uid, gid_t gid, char *message, size_t cap)
{
    bool numeric;
    int64_t number;

    numeric = number_of(name, &number);
    if ((numeric ? setgroups(0, NULL) : initgroups(name, gid)) != 0 ||
        setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) {
        (void)snprintf(message, cap, "cannot become user %.60s: %s", name, strerror(errno));
        return COAT_IO;
    }
    if (uid != 0 && setuid(0) == 0) {
        (void)snprintf(message, cap, "root could be regained after becoming %.60s", name);
        return COAT_IO;
    }
    return COAT_OK;
}

static coat_err
drop(const coat_harden_conf *conf, char *message, size_t cap)
{
    const char *user = conf->user != NULL ? conf->user : "";
    const char *group = conf->group != NULL ? conf->group : "";
    uid_t uid;
    gid_t gid;

    if (user[0] == '\0') {
        if (geteuid() != 0 || conf->allow_root)
            return COAT_OK;
        (void)snprintf(message, cap,
                       "started as root without server.user; name a user to become, or set "
                       "server.allow-root=true (containers)");
        return COAT_INVALID;
    }
    if (coat_user_find(user, &uid, &gid) != COAT_OK) {
        (void)snprintf(message, cap, "server.user: there is no user %.60s", user);
        return COAT_INVALID;
    }
    if (group[0] != '\0' && coat_group_find(group, &gid) != COAT_OK) {
        (void)snprintf(message, cap, "server.group: there is no group %.60s", group);
        return COAT_INVALID;
    }
    if (uid == 0 && !conf->allow_root) {
        (void)snprintf(message, cap, "server.user: %.60s is root", user);
        return COAT_INVALID;
    }
    if (geteuid() == uid)
        return COAT_OK;
    if (geteuid() != 0) {
        (void)snprintf(message, cap, "server.user: only root can become %.60s", user);
        return COAT_INVALID;
    }
    return become(user, uid, gid, message, cap);
}

coat_err
coat_harden(const coat_harden_conf *conf, char *message, size_t cap)
{
    coat_err err = drop(conf, message, cap);

    if (err != COAT_OK)
        return err;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        (void)snprintf(message, cap, "no_new_privs: %s", strerror(errno));
        return COAT_IO;
    }
    /* Last: a change of user sets "dumpable" back to what the system says. */
    return conf->allow_dumps ? COAT_OK : forbid_dumps(message, cap);
}
