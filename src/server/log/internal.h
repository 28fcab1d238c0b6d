/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_LOG_INTERNAL_H
#define COAT_SERVER_LOG_INTERNAL_H

#include "server/log/sink.h"

coat_sink *coat_log_audit_sink(coat_log *log);
/** @return false: not accepted, done will not be called */
bool coat_log_push_commit(coat_log *log, const coat_event *event,
                          const coat_audit_origin *origin, coat_commit_fn done, void *ctx);

#endif
