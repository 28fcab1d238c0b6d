/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_ADMIN_ADMIN_H
#define COAT_SERVER_ADMIN_ADMIN_H

/**
 * The admin socket: what applications and operators ask for (docs/admin-api.md, openapi.yaml).
 *
 * Who may: root, the service user, admin.users, admin.groups, by the peer credentials of the
 * Unix socket. A browser never can: cookies are ignored, and whatever carries Origin or
 * Sec-Fetch-* or is not application/json is refused (AD-2). Every change is in the audit log
 * before it is made (AD-4).
 */

#include "server/app/build.h"

extern const coat_http_route coat_admin_routes[];
extern const size_t coat_admin_routes_count;

/** AD-1: who may connect; listener->user is the coat_process. */
bool coat_admin_admit(const coat_http_listener *listener, const coat_http_peer *peer);
/** The policy hook of the admin router. listener->user of it is the coat_process. */
void coat_admin_policy(coat_http_request *req);

#endif
