/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_LOG_TARGET_H
#define COAT_SERVER_LOG_TARGET_H

/** A descriptor that lines are written to. Not thread-safe: the sink's thread uses it. */

#include <coatcheck/base.h>
#include <sys/types.h>

typedef struct coat_target coat_target;

/** "stderr", "stdout", "file:/path" (0640, appended to, no symbolic link), "fd:3" (a copy). */
coat_err coat_target_open(const char *name, coat_target **out, char *message,
                          size_t cap) COAT_MUST_USE;
void coat_target_free(coat_target *target);
/** @return bytes written; 0: it takes nothing within wait_ms; -1: it fails */
ssize_t coat_target_write(coat_target *target, const char *text, size_t len, int wait_ms);
/** To disk, if it is a file. */
bool coat_target_sync(coat_target *target);
/** A line begins here; undo: of which `written` bytes stand there, and no more will. */
void coat_target_mark(coat_target *target);
void coat_target_undo(coat_target *target, size_t written);

#endif
