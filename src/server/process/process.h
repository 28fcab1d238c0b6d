/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_PROCESS_PROCESS_H
#define COAT_SERVER_PROCESS_PROCESS_H

/** The process itself: no dumps, no more rights than needed, a word to the service manager. */

#include <coatcheck/engine.h>
#include <sys/types.h>

typedef struct coat_harden_conf {
    const char *user, *group; /* to become when started as root; "" or NULL: stay */
    bool allow_root;          /* without user: go on as root */
    bool allow_dumps;
} coat_harden_conf;

/**
 * HD-6: RLIMIT_CORE 0, not dumpable (which refuses ptrace by the same user, too); no_new_privs;
 * then give up root for user and group. Call early: before keys are read, files are made, and
 * threads start. Listening on ports below 1024 is left to socket activation.
 * @param message  at least 200 bytes: what failed and what would be right
 * @retval COAT_INVALID  unknown user; root without user; not root, but another user is wanted
 */
coat_err coat_harden(const coat_harden_conf *conf, char *message, size_t cap) COAT_MUST_USE;

/**
 * SF-12: keep the process alive when a reader of the node table cuts off its activity file:
 * the SIGBUS of whoever touches it mends it. All other SIGBUS end the process as ever.
 * NULL: no longer, before the engine is freed.
 */
void coat_guard_table(coat_engine *engine);

/** By name or number. @retval COAT_NOT_FOUND */
coat_err coat_user_find(const char *name, uid_t *uid, gid_t *gid) COAT_MUST_USE;
coat_err coat_group_find(const char *name, gid_t *gid) COAT_MUST_USE;

/**
 * Tell the service manager (NOTIFY_SOCKET): "READY=1", "STOPPING=1", "RELOADING=1", and a
 * STATUS line of ours. Does nothing without a manager. For RELOADING the monotonic time is
 * added.
 */
void coat_notify(const char *state, const char *status);

#endif
