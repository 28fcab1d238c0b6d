/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_PAGES_PAGES_H
#define COAT_SERVER_PAGES_PAGES_H

/**
 * The pages people see: templates, style sheet, logo and texts, compiled in from pages/. An
 * operator's folder replaces any of them, file by file; what it lacks comes from the binary.
 * Threads: immutable after loading.
 */

#include "server/http/http.h"
#include "server/pages/template.h"

typedef struct coat_pages coat_pages;

typedef struct coat_pages_conf {
    const char *dir;       /* folder with replacements, or NULL */
    const char *language;  /* "en": texts/<language>.json, missing texts come from English */
    const char *site_name; /* shown on every page */
    const char *base;      /* "/auth" */
    const char *logo;      /* SVG or PNG file in place of ours, or NULL */
} coat_pages_conf;

/** A file served as it is. */
typedef struct coat_asset {
    coat_span bytes;
    coat_http_type type;
    char version[17]; /* of its content, for ?v= and ETag */
} coat_asset;

/** @param message  at least 400 bytes: which file, which line, what is wrong */
coat_err coat_pages_load(const coat_pages_conf *conf, coat_pages **out, char *message,
                         size_t cap) COAT_MUST_USE;
void coat_pages_free(coat_pages *pages);

/**
 * Render page ("login", "sessions", ...) with data (an object; borrowed, texts and site values
 * are added to it). @param out  allocated, the caller frees it
 */
coat_err coat_pages_render(const coat_pages *pages, const char *page, json_t *data, char **out,
                           size_t *len) COAT_MUST_USE;

/** "style.css", "logo"; NULL if there is none. */
const coat_asset *coat_pages_asset(const coat_pages *pages, coat_span name);

/** A text of the catalogue by key; the key itself if there is none. */
const char *coat_pages_text(const coat_pages *pages, const char *key);

/** "5 minutes ago", "in 2 hours": from the catalogue. */
void coat_pages_ago(const coat_pages *pages, int64_t when_ms, int64_t now_ms, char *buf,
                    size_t cap);

/** "2026-01-31T23:59:00Z" */
void coat_iso_time(int64_t when_ms, char buf[24]);

#endif
