/* SPDX-License-Identifier: Apache-2.0 */
#include "server/app/settings.h"

#include "core/out.h"

#include <stdio.h>
#include <stdlib.h>

static coat_err
derive_cookie(const coat_cookie_conf *from, const char *suffix, coat_cookie_conf *to,
              char *message, size_t cap)
{
    *to = *from;
    if (snprintf(to->name, sizeof to->name, "%s%s", from->name, suffix) >=
        (int)sizeof to->name) {
        (void)snprintf(message, cap, "cookie.name: at most %zu characters",
                       sizeof to->name - 1 - strlen(suffix));
        return COAT_INVALID;
    }
    return coat_cookie_check(to, NULL, message, cap);
}

static void
collect_targets(coat_settings *s)
{
    coat_origins more = coat_config_return_origins(s->config);
    size_t n = 0;

    for (size_t i = 0; i < s->own.count; i++)
        s->target_list[n++] = s->own.list[i];
    for (size_t i = 0; i < more.count; i++)
        s->target_list[n++] = more.list[i];
    s->targets = (coat_origins){s->target_list, n};
}

/* form-action covers the redirect behind a form as well, so every return target is named. */
static bool
build_csp(coat_settings *s)
{
    coat_out out = coat_out_init(s->csp, sizeof s->csp);

    coat_out_str(&out, "default-src 'none'; style-src 'self'; img-src 'self'; form-action "
                       "'self'");
    for (size_t i = 0; i < s->targets.count; i++) {
        coat_out_char(&out, ' ');
        coat_out_str(&out, s->targets.list[i]);
    }
    coat_out_str(&out, "; frame-ancestors 'none'; object-src 'none'; base-uri 'none'");
    return coat_out_end(&out);
}

coat_err
coat_settings_new(const coat_config *config, coat_settings **out, char *message, size_t cap)
{
    coat_settings *s = calloc(1, sizeof *s);
    coat_pages_conf pages = {
        .dir = config->pages_templates[0] != '\0' ? config->pages_templates : NULL,
        .language = config->pages_language,
        .site_name = config->pages_name,
        .base = config->base_path,
        .logo = config->pages_logo[0] != '\0' ? config->pages_logo : NULL,
    };
    coat_err err;

    if (s == NULL)
        return COAT_NO_MEMORY;
    s->config = config;
    coat_config_cookie(config, &s->cookie);
    s->site = coat_config_site(config);
    s->own = s->site.own;
    s->issuer = config->assertion_issuer[0] != '\0' ? config->assertion_issuer : s->own.list[0];
    s->cors = coat_config_cors(config);
    s->need_tls = !config->allow_plaintext;
    collect_targets(s);
    (void)snprintf(s->login_url, sizeof s->login_url, "%s%s/login", s->own.list[0],
                   config->base_path);
    (void)snprintf(s->reauth_url, sizeof s->reauth_url, "%s%s/reauth", s->own.list[0],
                   config->base_path);
    err = derive_cookie(&s->cookie, "-pre", &s->pre_cookie, message, cap);
    if (err == COAT_OK)
        err = derive_cookie(&s->cookie, "-device", &s->device_cookie, message, cap);
    if (err == COAT_OK && !build_csp(s)) {
        (void)snprintf(message, cap, "public.return-origins: too many for one policy");
        err = COAT_TOO_LARGE;
    }
    if (err == COAT_OK)
        err = coat_pages_load(&pages, &s->pages, message, cap);
    if (err != COAT_OK) {
        coat_settings_free(s);
        return err;
    }
    *out = s;
    return COAT_OK;
}

void
coat_settings_free(coat_settings *settings)
{
    if (settings == NULL)
        return;
    coat_pages_free(settings->pages);
    free(settings);
}
