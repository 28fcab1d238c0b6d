/* SPDX-License-Identifier: Apache-2.0 */
/* Style sheet and logo; and the page in place of a JSON error. */
#include "server/routes/routes.h"

#include <stdlib.h>

void
coat_route_asset(coat_http_request *req)
{
    const coat_app_loop *at = req->loop_data;
    const coat_settings *set = atomic_load_explicit(&at->app->settings, memory_order_acquire);
    const coat_asset *asset = coat_pages_asset(set->pages, req->captures[0]);
    coat_http_response *res;

    if (asset == NULL) {
        coat_http_error(req, 404, "not_found");
        return;
    }
    res = coat_http_reply(req, 200);
    /* Its address carries its version, so it may be kept. */
    coat_http_cache(res, "public, max-age=86400");
    coat_http_send(res, asset->type, asset->bytes);
}

static const struct {
    unsigned status;
    const char *text;
} error_texts[] = {
    {400, "text_bad_request"}, {401, "text_not_signed_in"}, {403, "text_forbidden"},
    {404, "text_not_found"},   {405, "text_method"},        {413, "text_bad_request"},
    {415, "text_bad_request"}, {429, "error_throttled"},    {503, "text_unavailable"},
};

/* Where the status does not say enough. */
static const struct {
    const char *code, *text;
} code_texts[] = {
    {"https_required", "text_https"},
    {"busy", "error_busy"},
    {"too_many_sessions", "error_too_many_sessions"},
    {"sign_out_pending", "text_sign_out_pending"},
    {"end_pending", "text_end_pending"},
    {"password_pending", "text_password_pending"},
    {"sign_out_only_here", "text_sign_out_only_here"},
};

bool
coat_error_page(void *ctx, coat_http_response *res, unsigned status, const char *code,
                const char *message, const char *request_id)
{
    coat_app *app = ctx;
    const coat_settings *set = atomic_load_explicit(&app->settings, memory_order_acquire);
    const char *text = "text_internal";
    char *html = NULL;
    size_t len = 0;
    json_t *data;

    (void)message;
    for (size_t i = 0; i < sizeof error_texts / sizeof error_texts[0]; i++)
        if (error_texts[i].status == status)
            text = error_texts[i].text;
    for (size_t i = 0; i < sizeof code_texts / sizeof code_texts[0]; i++)
        if (strcmp(code, code_texts[i].code) == 0)
            text = code_texts[i].text;
    data =
        json_pack("{s:s,s:s,s:s,s:s,s:s}", "title", coat_pages_text(set->pages, "title_error"),
                  "text", coat_pages_text(set->pages, text), "code", code, "request_id",
                  request_id, "home", set->config->default_target);
    if (data == NULL ||
        coat_pages_render(set->pages, "message", data, &html, &len) != COAT_OK) {
        json_decref(data);
        return false;
    }
    json_decref(data);
    coat_http_csp(res, set->csp);
    coat_http_send(res, COAT_HTTP_HTML, (coat_span){(uint8_t *)html, len});
    free(html);
    return true;
}
