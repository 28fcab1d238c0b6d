/* SPDX-License-Identifier: Apache-2.0 */
#include "server/admin/handlers.h"

#define CHANGES(takes) (COAT_ADMIN_CHANGES | (takes))
#define JSON COAT_HTTP_TAKES_JSON
#define NOTHING (COAT_HTTP_TAKES_NONE | COAT_HTTP_TAKES_JSON)

/* tests/server hold this table and openapi.yaml against each other. */
const coat_http_route coat_admin_routes[] = {
    {COAT_HTTP_POST, "/v1/check", JSON, coat_admin_session_check},
    {COAT_HTTP_POST, "/v1/renew", CHANGES(JSON), coat_admin_session_renew},
    {COAT_HTTP_GET, "/v1/sessions", 0, coat_admin_sessions},
    {COAT_HTTP_POST, "/v1/sessions", CHANGES(JSON), coat_admin_session_create},
    {COAT_HTTP_GET, "/v1/sessions/{handle}", 0, coat_admin_session_show},
    {COAT_HTTP_PATCH, "/v1/sessions/{handle}/data", CHANGES(JSON), coat_admin_session_patch},
    {COAT_HTTP_POST, "/v1/sessions/{handle}/end", CHANGES(NOTHING), coat_admin_session_end},
    {COAT_HTTP_GET, "/v1/users/{user}/sessions", 0, coat_admin_user_sessions},
    {COAT_HTTP_POST, "/v1/users/{user}/end-sessions", CHANGES(NOTHING), coat_admin_user_end},
    {COAT_HTTP_POST, "/v1/end-all", CHANGES(NOTHING), coat_admin_end_all},
    {COAT_HTTP_GET, "/v1/accounts", 0, coat_admin_accounts},
    {COAT_HTTP_POST, "/v1/accounts", CHANGES(JSON), coat_admin_account_add},
    {COAT_HTTP_GET, "/v1/accounts/{name}", 0, coat_admin_account_show},
    {COAT_HTTP_DELETE, "/v1/accounts/{name}", CHANGES(NOTHING), coat_admin_account_delete},
    {COAT_HTTP_POST, "/v1/accounts/{name}/password", CHANGES(JSON),
     coat_admin_account_password},
    {COAT_HTTP_POST, "/v1/accounts/{name}/roles", CHANGES(JSON), coat_admin_account_roles},
    {COAT_HTTP_POST, "/v1/accounts/{name}/disable", CHANGES(NOTHING),
     coat_admin_account_disable},
    {COAT_HTTP_POST, "/v1/accounts/{name}/enable", CHANGES(NOTHING), coat_admin_account_enable},
    {COAT_HTTP_POST, "/v1/keys/rotate", CHANGES(NOTHING), coat_admin_keys_rotate},
    {COAT_HTTP_GET, "/v1/store/copy", 0, coat_admin_store_copy_show},
    {COAT_HTTP_POST, "/v1/store/copy", CHANGES(JSON), coat_admin_store_copy},
    {COAT_HTTP_POST, "/v1/reload", CHANGES(NOTHING), coat_admin_reload},
    {COAT_HTTP_GET, "/v1/health", 0, coat_admin_health},
    {COAT_HTTP_GET, "/v1/ready", 0, coat_admin_ready},
    {COAT_HTTP_GET, "/v1/status", 0, coat_admin_status},
    {COAT_HTTP_GET, "/v1/openapi.yaml", 0, coat_admin_openapi},
    {COAT_HTTP_GET, "/metrics", 0, coat_admin_metrics},
};
const size_t coat_admin_routes_count = sizeof coat_admin_routes / sizeof coat_admin_routes[0];
