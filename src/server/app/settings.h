/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_APP_SETTINGS_H
#define COAT_SERVER_APP_SETTINGS_H

/** What routes need of the configuration, derived once a load. Immutable; any thread. */

#include "server/config/config.h"
#include "server/pages/pages.h"

#define COAT_DEVICE_LIFE_S (30 * 24 * 3600) /* LG-8 */

typedef struct coat_settings {
    const coat_config *config;                  /* borrowed, outlives the settings */
    coat_cookie_conf cookie;                    /* of the session */
    coat_cookie_conf pre_cookie, device_cookie; /* the same scope, names of their own */
    coat_site_policy site;
    coat_cors_policy cors;
    coat_origins own;
    coat_origins targets; /* to which a sign-in may return: own and public.return-origins */
    const char *target_list[COAT_CONFIG_LIST_MAX * 2];
    coat_pages *pages;
    const char *issuer;                   /* of assertions */
    char login_url[COAT_ORIGIN_MAX + 80]; /* absolute, of the first own origin */
    char reauth_url[COAT_ORIGIN_MAX + 80];
    char csp[COAT_ORIGIN_MAX * COAT_CONFIG_LIST_MAX / 4]; /* forms may lead to the targets */
    bool need_tls;
} coat_settings;

/** @param message  at least 400 bytes */
coat_err coat_settings_new(const coat_config *config, coat_settings **out, char *message,
                           size_t cap) COAT_MUST_USE;
void coat_settings_free(coat_settings *settings);

#endif
