/* SPDX-License-Identifier: Apache-2.0 */
/* What the application is told about the visitor: header fields, and variables for logs. */
#include "module.h"

#include "core/out.h"
#include "core/plain.h"

/* ---- values ---- */

/* FA-5: encoded, each within its limit. @return NULL: it does not fit */
static inline u_char *
put(u_char *p, coat_span value, ngx_str_t *out)
{
    u_char *end = NULL;
    size_t len;

    if (value.len == 0) {
        *out = (ngx_str_t){0, NULL};
        return p;
    }
    if (value.len <= COAT_IDENTITY_MAX / 3)
        end = coat_plain_put(value, p);
    if (end == NULL) {
        if (coat_identity_encode(value, (char *)p, 3 * value.len + 1, &len) != COAT_OK)
            return NULL;
        end = p + len;
    }
    *out = (ngx_str_t){.len = (size_t)(end - p), .data = p};
    return end + 1; /* a NUL is behind it */
}

ngx_int_t
coat_ngx_identity_table(ngx_http_request_t *r, coat_ngx_ctx *ctx, coat_span token,
                        const coat_table_answer *answer)
{
    size_t room = 3 * (answer->user.len + answer->roles.len + answer->methods.len) + 3 +
                  COAT_PLAIN_SPARE + COAT_HANDLE_CHARS + COAT_DIGITS_MAX;
    u_char *p = ngx_pnalloc(r->pool, room), *start = p, *end = p + room, *time = end;
    ngx_str_t *values = ctx->values;

    if (p == NULL)
        return NGX_ERROR;
    coat_handle_of_text(token, &answer->handle, (char *)p);
    values[COAT_NGX_SESSION] = (ngx_str_t){.len = COAT_HANDLE_CHARS, .data = p};
    p = put(p + COAT_HANDLE_CHARS, answer->user, &values[COAT_NGX_USER]);
    p = p != NULL ? put(p, answer->roles, &values[COAT_NGX_ROLES_FIELD]) : NULL;
    p = p != NULL ? put(p, answer->methods, &values[COAT_NGX_METHODS]) : NULL;
    if (p == NULL || (size_t)(p - start) > COAT_IDENTITY_ALL_MAX + COAT_HANDLE_CHARS)
        return NGX_DECLINED;
    if (answer->auth_ms > 0)
        time = (u_char *)coat_digits((uint64_t)answer->auth_ms / 1000, (char *)end);
    values[COAT_NGX_TIME] = (ngx_str_t){.len = (size_t)(end - time), .data = time};
    return NGX_OK;
}

/* The daemon has encoded them; what it says is looked at all the same. */
static bool
is_value(coat_span value)
{
    for (size_t i = 0; i < value.len; i++)
        if (!coat_char_is_visible(value.ptr[i]))
            return false;
    return value.len <= COAT_IDENTITY_MAX;
}

ngx_int_t
coat_ngx_identity_reply(ngx_http_request_t *r, coat_ngx_ctx *ctx)
{
    static const char *const names[COAT_NGX_FIELDS] = {"X-Auth-User",    "X-Auth-Roles",
                                                       "X-Auth-Methods", "X-Auth-Session",
                                                       "X-Auth-Time",    "X-Auth-Assertion"};
    size_t total = 0;

    for (ngx_uint_t i = 0; i < COAT_NGX_FIELDS; i++) {
        coat_span value = coat_reply_field(ctx->reply, names[i]);

        if (i != COAT_NGX_ASSERTION) {
            total += value.len;
            if (!is_value(value) || total > COAT_IDENTITY_ALL_MAX) {
                ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                              "coatcheck: the daemon's %s is no value for a header", names[i]);
                return NGX_ERROR;
            }
        }
        ctx->values[i] = coat_ngx_text(value);
    }
    return NGX_OK;
}

/* ---- variables ---- */

enum { VAR_VERDICT = COAT_NGX_FIELDS, VAR_SOURCE };

static ngx_int_t
get_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    const coat_ngx_ctx *ctx = coat_ngx_ctx_of(r);
    ngx_str_t value = {0, NULL};

    if (ctx != NULL && data < COAT_NGX_FIELDS)
        value = ctx->values[data];
    else if (ctx != NULL && ctx->verdict != NULL)
        value = coat_ngx_text(coat_span_of(data == VAR_VERDICT ? ctx->verdict : ctx->source));
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = value.len == 0;
    v->len = (unsigned)(value.len & 0x0fffffff);
    v->data = value.data;
    return NGX_OK;
}

ngx_int_t
coat_ngx_variables(ngx_conf_t *cf)
{
    static const struct {
        ngx_str_t name;
        uintptr_t data;
    } variables[] = {
        {ngx_string("coatcheck_user"), COAT_NGX_USER},
        {ngx_string("coatcheck_roles"), COAT_NGX_ROLES_FIELD},
        {ngx_string("coatcheck_methods"), COAT_NGX_METHODS},
        {ngx_string("coatcheck_handle"), COAT_NGX_SESSION},
        {ngx_string("coatcheck_auth_time"), COAT_NGX_TIME},
        {ngx_string("coatcheck_assertion"), COAT_NGX_ASSERTION},
        {ngx_string("coatcheck_verdict"), VAR_VERDICT},
        {ngx_string("coatcheck_source"), VAR_SOURCE},
    };

    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        ngx_str_t name = variables[i].name;
        ngx_http_variable_t *v = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOCACHEABLE);

        if (v == NULL)
            return NGX_ERROR;
        v->get_handler = get_variable;
        v->data = variables[i].data;
    }
    return NGX_OK;
}
