/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_ADMIN_HANDLERS_H
#define COAT_SERVER_ADMIN_HANDLERS_H

/** Handlers of the admin routes (routes.c). Each finds its coat_ask in req->user. */

#include "server/admin/ask.h"

void coat_admin_session_create(coat_http_request *req);
void coat_admin_session_check(coat_http_request *req);
void coat_admin_session_renew(coat_http_request *req);
void coat_admin_session_show(coat_http_request *req);
void coat_admin_session_patch(coat_http_request *req);
void coat_admin_session_end(coat_http_request *req);
void coat_admin_sessions(coat_http_request *req);
void coat_admin_user_sessions(coat_http_request *req);
void coat_admin_user_end(coat_http_request *req);
void coat_admin_end_all(coat_http_request *req);

void coat_admin_accounts(coat_http_request *req);
void coat_admin_account_add(coat_http_request *req);
void coat_admin_account_show(coat_http_request *req);
void coat_admin_account_password(coat_http_request *req);
void coat_admin_account_roles(coat_http_request *req);
void coat_admin_account_disable(coat_http_request *req);
void coat_admin_account_enable(coat_http_request *req);
void coat_admin_account_delete(coat_http_request *req);

void coat_admin_health(coat_http_request *req);
void coat_admin_ready(coat_http_request *req);
void coat_admin_status(coat_http_request *req);
void coat_admin_metrics(coat_http_request *req);
void coat_admin_keys_rotate(coat_http_request *req);
void coat_admin_reload(coat_http_request *req);
void coat_admin_store_copy(coat_http_request *req);
void coat_admin_store_copy_show(coat_http_request *req);
void coat_admin_openapi(coat_http_request *req);

#endif
