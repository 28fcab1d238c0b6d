/* SPDX-License-Identifier: Apache-2.0 */
#include "server/pages/pages.h"

#include "core/bytes.h"
#include "core/out.h"
#include "server/pages/builtin.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILES_MAX = 16, MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS };

typedef struct page_file {
    const char *name; /* "login.html" */
    coat_span bytes;
    uint8_t *own; /* read from the operator's folder */
} page_file;

struct coat_pages {
    page_file files[FILES_MAX];
    size_t file_count;
    coat_asset style, logo;
    uint8_t *own_logo;
    json_t *texts; /* with English below */
    char *site_name, *base;
};

/** @retval COAT_NOT_FOUND  there is no such file: not a fault */
static coat_err
read_file(const char *dir, const char *name, uint8_t **bytes, size_t *len)
{
    char path[1024];
    struct stat st;
    uint8_t *buf = NULL;
    coat_err err = COAT_IO;
    int fd;

    if (snprintf(path, sizeof path, "%s%s%s", dir, dir[0] != '\0' ? "/" : "", name) >=
        (int)sizeof path)
        return COAT_TOO_LARGE;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? COAT_NOT_FOUND : COAT_IO;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        goto out;
    if (st.st_size > COAT_TEMPLATE_MAX) {
        err = COAT_TOO_LARGE;
        goto out;
    }
    buf = malloc((size_t)st.st_size + 1);
    if (buf == NULL || read(fd, buf, (size_t)st.st_size) != st.st_size)
        goto out;
    *bytes = buf;
    *len = (size_t)st.st_size;
    buf = NULL;
    err = COAT_OK;
out:
    free(buf);
    (void)close(fd);
    return err;
}

static const page_file *
file_named(const coat_pages *pages, coat_span name)
{
    for (size_t i = 0; i < pages->file_count; i++)
        if (coat_span_is(coat_span_of(pages->files[i].name), name))
            return &pages->files[i];
    return NULL;
}

static coat_span
find_template(const void *ctx, coat_span name)
{
    char full[COAT_TEMPLATE_NAME_MAX + 8];
    coat_out out = coat_out_init(full, sizeof full);
    const page_file *file;

    coat_out_span(&out, name);
    coat_out_str(&out, ".html");
    file = out.over ? NULL : file_named(ctx, (coat_span){(const uint8_t *)full, out.len});
    return file != NULL ? file->bytes : (coat_span){NULL, 0};
}

static coat_err
load_files(coat_pages *pages, const char *dir, char *message, size_t cap)
{
    for (const coat_builtin *b = coat_builtin_pages; b->name != NULL; b++) {
        page_file *file = &pages->files[pages->file_count];
        size_t len = 0;
        coat_err err = COAT_NOT_FOUND;

        if (pages->file_count == FILES_MAX)
            return COAT_TOO_LARGE;
        *file = (page_file){.name = b->name, .bytes = {b->bytes, b->len}};
        pages->file_count++;
        if (dir != NULL)
            err = read_file(dir, b->name, &file->own, &len);
        if (err == COAT_OK) {
            file->bytes = (coat_span){file->own, len};
        } else if (err != COAT_NOT_FOUND) {
            (void)snprintf(message, cap, "%s/%s: %s", dir, b->name,
                           err == COAT_TOO_LARGE ? "over 64 KiB" : "cannot be read");
            return err;
        }
    }
    return COAT_OK;
}

static coat_err
check_templates(coat_pages *pages, const char *dir, char *message, size_t cap)
{
    for (size_t i = 0; i < pages->file_count; i++) {
        const char *name = pages->files[i].name;
        char fault[120];
        unsigned line = 0;
        size_t len = strlen(name);

        if (len < 5 || strcmp(name + len - 5, ".html") != 0)
            continue;
        if (coat_template_check(pages->files[i].bytes, find_template, pages, &line, fault,
                                sizeof fault) != COAT_OK) {
            (void)snprintf(message, cap, "%s%s%s:%u: %s", dir != NULL ? dir : "",
                           dir != NULL ? "/" : "", name, line, fault);
            return COAT_MALFORMED;
        }
    }
    return COAT_OK;
}

static coat_err
parse_texts(coat_span bytes, const char *what, json_t **out, char *message, size_t cap)
{
    json_error_t fault;
    json_t *texts =
        json_loadb((const char *)bytes.ptr, bytes.len, JSON_REJECT_DUPLICATES, &fault);
    const char *key;
    json_t *value;

    if (texts == NULL || !json_is_object(texts)) {
        (void)snprintf(message, cap, "%s:%d: %s", what, texts == NULL ? fault.line : 1,
                       texts == NULL ? fault.text : "must be an object of texts");
        json_decref(texts);
        return COAT_MALFORMED;
    }
    json_object_foreach(texts, key, value) if (!json_is_string(value))
    {
        (void)snprintf(message, cap, "%s: \"%s\" must be a text", what, key);
        json_decref(texts);
        return COAT_MALFORMED;
    }
    *out = texts;
    return COAT_OK;
}

static coat_err
load_texts(coat_pages *pages, const coat_pages_conf *conf, char *message, size_t cap)
{
    const page_file *english = file_named(pages, COAT_LIT("texts/en.json"));
    char name[64];
    uint8_t *own = NULL;
    size_t len = 0;
    json_t *more = NULL;
    coat_err err;

    err = parse_texts(english->bytes, english->name, &pages->texts, message, cap);
    if (err != COAT_OK || strcmp(conf->language, "en") == 0)
        return err;
    if (snprintf(name, sizeof name, "texts/%s.json", conf->language) >= (int)sizeof name ||
        strchr(conf->language, '/') != NULL || conf->dir == NULL ||
        read_file(conf->dir, name, &own, &len) != COAT_OK) {
        (void)snprintf(message, cap,
                       "no texts for language \"%s\": put texts/%s.json into the folder of "
                       "page replacements",
                       conf->language, conf->language);
        return COAT_INVALID;
    }
    err = parse_texts((coat_span){own, len}, name, &more, message, cap);
    if (err == COAT_OK && json_object_update(pages->texts, more) != 0)
        err = COAT_NO_MEMORY;
    json_decref(more);
    free(own);
    return err;
}

static void
make_asset(coat_span bytes, coat_http_type type, coat_asset *out)
{
    uint8_t hash[crypto_generichash_BYTES_MIN];
    coat_out text = coat_out_init(out->version, sizeof out->version);

    out->bytes = bytes;
    out->type = type;
    (void)crypto_generichash(hash, sizeof hash, out->bytes.ptr, out->bytes.len, NULL, 0);
    coat_out_hex(&text, hash, 8);
    (void)coat_out_end(&text);
}

static bool
ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Ours, or the operator's file: SVG or PNG by its name. */
static coat_err
load_logo(coat_pages *pages, const char *path, char *message, size_t cap)
{
    size_t len = 0;
    coat_err err;

    if (path == NULL) {
        make_asset(file_named(pages, COAT_LIT("logo.svg"))->bytes, COAT_HTTP_SVG, &pages->logo);
        return COAT_OK;
    }
    if (!ends_with(path, ".svg") && !ends_with(path, ".png")) {
        (void)snprintf(message, cap, "pages.logo: %s: must end in .svg or .png", path);
        return COAT_INVALID;
    }
    err = read_file("", path, &pages->own_logo, &len);
    if (err != COAT_OK) {
        (void)snprintf(message, cap, "pages.logo: %s: %s", path,
                       err == COAT_TOO_LARGE ? "over 64 KiB" : "cannot be read");
        return err == COAT_NOT_FOUND ? COAT_IO : err;
    }
    make_asset((coat_span){pages->own_logo, len},
               ends_with(path, ".svg") ? COAT_HTTP_SVG : COAT_HTTP_PNG, &pages->logo);
    return COAT_OK;
}

coat_err
coat_pages_load(const coat_pages_conf *conf, coat_pages **out, char *message, size_t cap)
{
    coat_pages *pages = calloc(1, sizeof *pages);
    coat_err err = COAT_NO_MEMORY;

    if (pages == NULL)
        return err;
    pages->site_name = strdup(conf->site_name);
    pages->base = strdup(conf->base);
    if (pages->site_name != NULL && pages->base != NULL)
        err = load_files(pages, conf->dir, message, cap);
    if (err == COAT_OK)
        err = check_templates(pages, conf->dir, message, cap);
    if (err == COAT_OK)
        err = load_texts(pages, conf, message, cap);
    if (err == COAT_OK)
        err = load_logo(pages, conf->logo, message, cap);
    if (err != COAT_OK) {
        coat_pages_free(pages);
        return err;
    }
    make_asset(file_named(pages, COAT_LIT("style.css"))->bytes, COAT_HTTP_CSS, &pages->style);
    pages->texts->refcount = SIZE_MAX; /* jansson's mark of what is never freed: not counted */
    *out = pages;
    return COAT_OK;
}

void
coat_pages_free(coat_pages *pages)
{
    if (pages == NULL)
        return;
    for (size_t i = 0; i < pages->file_count; i++)
        free(pages->files[i].own);
    free(pages->own_logo);
    if (pages->texts != NULL)
        pages->texts->refcount = 1;
    json_decref(pages->texts);
    free(pages->site_name);
    free(pages->base);
    free(pages);
}

coat_err
coat_pages_render(const coat_pages *pages, const char *page, json_t *data, char **out,
                  size_t *len)
{
    coat_span source = find_template(pages, coat_span_of(page));

    if (source.ptr == NULL)
        return COAT_NOT_FOUND;
    /* Several loops render at once, so references to the texts are not counted. */
    if (json_object_set(data, "t", pages->texts) != 0 ||
        json_object_set_new(data, "lang", json_string(coat_pages_text(pages, "lang"))) != 0 ||
        json_object_set_new(data, "site_name", json_string(pages->site_name)) != 0 ||
        json_object_set_new(data, "base", json_string(pages->base)) != 0 ||
        json_object_set_new(data, "style_version", json_string(pages->style.version)) != 0 ||
        json_object_set_new(data, "logo_version", json_string(pages->logo.version)) != 0)
        return COAT_NO_MEMORY;
    return coat_template_render(source, find_template, pages, data, out, len);
}

const coat_asset *
coat_pages_asset(const coat_pages *pages, coat_span name)
{
    if (coat_span_is(name, COAT_LIT("style.css")))
        return &pages->style;
    return coat_span_is(name, COAT_LIT("logo")) ? &pages->logo : NULL;
}

const char *
coat_pages_text(const coat_pages *pages, const char *key)
{
    const char *text = json_string_value(json_object_get(pages->texts, key));

    return text != NULL ? text : key;
}

void
coat_pages_ago(const coat_pages *pages, int64_t when_ms, int64_t now_ms, char *buf, size_t cap)
{
    static const struct {
        int64_t unit_ms;
        const char *past[2], *future[2];
    } units[] = {
        {DAY_MS, {"time_day", "time_days"}, {"time_in_day", "time_in_days"}},
        {HOUR_MS, {"time_hour", "time_hours"}, {"time_in_hour", "time_in_hours"}},
        {MINUTE_MS, {"time_minute", "time_minutes"}, {"time_in_minute", "time_in_minutes"}},
    };
    bool past = when_ms <= now_ms;
    int64_t distance = past ? now_ms - when_ms : when_ms - now_ms;
    coat_out out = coat_out_init(buf, cap);
    const char *text = coat_pages_text(pages, "time_now"), *number;
    int64_t n = 0;

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (distance >= units[i].unit_ms) {
            n = distance / units[i].unit_ms;
            text = coat_pages_text(pages, past ? units[i].past[n > 1] : units[i].future[n > 1]);
            break;
        }
    /* The number stands where the text says %d; texts are the operator's: no printf. */
    number = strstr(text, "%d");
    if (number == NULL) {
        coat_out_str(&out, text);
    } else {
        coat_out_bytes(&out, text, (size_t)(number - text));
        coat_out_int(&out, n);
        coat_out_str(&out, number + 2);
    }
    (void)coat_out_end(&out);
}

void
coat_iso_time(int64_t when_ms, char buf[24])
{
    time_t seconds = (time_t)(when_ms / 1000);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL || strftime(buf, 24, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        buf[0] = '\0';
}
