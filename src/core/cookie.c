/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/cookie.h>

#include "core/chars.h"
#include "core/out.h"

#include <sodium.h>

enum { MAX_AGE_CAP_S = 400 * 86400 }; /* RFC 6265bis 5.5 */

void
coat_cookie_iter_init(coat_cookie_iter *iter, coat_span line)
{
    iter->rest = line;
}

bool
coat_cookie_next(coat_cookie_iter *iter, coat_span *name, coat_span *value)
{
    coat_span pair;

    while (coat_span_split(&iter->rest, ';', &pair)) {
        size_t equals = coat_span_find(pair, '=');
        coat_span n = {pair.ptr, 0}, v = pair;

        if (equals < pair.len) {
            n = coat_span_trim(coat_span_slice(pair, 0, equals));
            v = coat_span_trim(coat_span_slice(pair, equals + 1, pair.len));
        }
        if (n.len == 0 && v.len == 0)
            continue;
        *name = n;
        *value = v;
        return true;
    }
    return false;
}

static coat_span
conf_name(const coat_cookie_conf *conf)
{
    return (coat_span){(const uint8_t *)conf->name, strnlen(conf->name, sizeof conf->name)};
}

/* A __Host- cookie has one scope only, so two of them were not both set by us. Under another
 * name an older cookie with a different Domain or Path may linger beside ours. */
static uint32_t
values_allowed(coat_span name)
{
    return coat_span_starts_nocase(name, COAT_LIT("__Host-")) ? 1 : COAT_COOKIE_CANDIDATES;
}

/**
 * Where the value of a pair begins, if its name is this one; else 0. By the first byte: most
 * pairs are somebody else's, and are done with there. Nothing but space is between name and
 * '='.
 */
static inline size_t
value_at(coat_span pair, coat_span name)
{
    size_t at = name.len;

    if (at == 0 || pair.len <= at || pair.ptr[0] != name.ptr[0] ||
        memcmp(pair.ptr, name.ptr, at) != 0)
        return 0;
    while (at < pair.len && coat_char_is_ows(pair.ptr[at]))
        at++;
    return at < pair.len && pair.ptr[at] == '=' ? at + 1 : 0;
}

/** Without the space before it: what follows the name matters only if that is ours. */
static inline coat_span
pair_of(coat_span raw)
{
    while (raw.len > 0 && coat_char_is_ows(raw.ptr[0]))
        raw = coat_span_slice(raw, 1, raw.len);
    return raw;
}

/* A bit for each first byte, by its lower five bits: most pairs have none of them. */
static inline uint32_t
initials_of(const coat_span *names, size_t count)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < count; i++)
        bits |= names[i].len > 0 ? (uint32_t)1 << (names[i].ptr[0] & 31) : 0;
    return bits;
}

static inline bool
may_be_named(coat_span pair, uint32_t initials)
{
    return pair.len > 0 && (initials >> (pair.ptr[0] & 31) & 1) != 0;
}

static bool
pair_is_named(coat_span pair, const coat_span *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (value_at(pair, names[i]) != 0)
            return true;
    return false;
}

static inline void
add_value(coat_cookie_found *found, coat_span value)
{
    if (found->count < COAT_COOKIE_CANDIDATES)
        found->value[found->count] = coat_span_trim(value);
    found->count++;
}

/** What is left of a line, while it is read. */
typedef struct left {
    size_t from, to; /* the pairs kept so far, with what is between them */
    bool kept, cut_front, scattered;
} left;

/** The pairs from start to end are kept. */
static inline void
keep(left *l, size_t start, size_t end)
{
    l->scattered |= l->kept; /* what is between was not */
    l->from = l->kept ? l->from : start;
    l->to = end;
    l->kept = true;
}

static coat_cookie_rest
rest_of(coat_span line, const left *l)
{
    size_t from = l->from;

    if (l->scattered)
        return (coat_cookie_rest){.scattered = true};
    while (l->cut_front && from < l->to && coat_char_is_ows(line.ptr[from]))
        from++;
    if (from == l->to)
        return (coat_cookie_rest){0};
    return (coat_cookie_rest){.piece = coat_span_slice(line, from, l->to)};
}

/** Is this pair of one of them? A value of the first name is collected. */
static bool
take(coat_span pair, const coat_span *names, size_t count, coat_cookie_found *found)
{
    size_t at = value_at(pair, names[0]);

    if (at == 0)
        return pair_is_named(pair, names + 1, count - 1);
    add_value(found, coat_span_slice(pair, at, pair.len));
    return true;
}

static inline coat_cookie_rest
survey_line(coat_span line, const coat_span *names, size_t count, uint32_t initials,
            coat_cookie_found *found)
{
    left l = {0};
    size_t start = 0, run = 0; /* where the pairs begin that are kept together */

    if (line.len == 0)
        return (coat_cookie_rest){0};
    while (start <= line.len) {
        size_t end = start + coat_span_find(coat_span_slice(line, start, line.len), ';');
        coat_span pair = pair_of(coat_span_slice(line, start, end));

        if (may_be_named(pair, initials) && take(pair, names, count, found)) {
            if (run < start)
                keep(&l, run, start - 1);
            else
                l.cut_front |= !l.kept;
            run = end + 1;
        }
        start = end + 1;
    }
    if (run <= line.len)
        keep(&l, run, line.len);
    return rest_of(line, &l);
}

void
coat_cookie_survey(const coat_span *names, size_t count, const coat_span *lines,
                   size_t line_count, coat_cookie_found *found, coat_cookie_rest *rests)
{
    uint32_t initials = initials_of(names, count);
    size_t room = COAT_COOKIE_HEADER_MAX;

    *found = (coat_cookie_found){0};
    for (size_t i = 0; i < line_count; i++) {
        coat_cookie_rest rest = survey_line(lines[i], names, count, initials, found);

        if (rests != NULL)
            rests[i] = rest;
        found->ambiguous |= lines[i].len > room;
        room -= lines[i].len <= room ? lines[i].len : room;
    }
    if (found->count > 1 && found->count > values_allowed(names[0]))
        found->ambiguous = true;
    if (found->ambiguous) /* nobody can use a value by forgetting to ask */
        memset(found->value, 0, sizeof found->value);
}

void
coat_cookie_find(const coat_cookie_conf *conf, const coat_span *lines, size_t line_count,
                 coat_cookie_found *out)
{
    coat_span wanted = conf_name(conf);

    coat_cookie_survey(&wanted, 1, lines, line_count, out, NULL);
}

static const char *
samesite_text(coat_samesite samesite)
{
    switch (samesite) {
    case COAT_SAMESITE_STRICT:
        return "Strict";
    case COAT_SAMESITE_NONE:
        return "None";
    case COAT_SAMESITE_LAX:
        break;
    }
    return "Lax";
}

static void
write_attributes(coat_out *out, const coat_cookie_conf *conf)
{
    coat_out_str(out, "; Path=");
    coat_out_bytes(out, conf->path, strnlen(conf->path, sizeof conf->path));
    if (conf->domain[0] != '\0') {
        coat_out_str(out, "; Domain=");
        coat_out_bytes(out, conf->domain, strnlen(conf->domain, sizeof conf->domain));
    }
    if (conf->secure)
        coat_out_str(out, "; Secure");
    coat_out_str(out, "; HttpOnly; SameSite=");
    coat_out_str(out, samesite_text(conf->samesite));
    if (conf->partitioned)
        coat_out_str(out, "; Partitioned");
}

/* The configuration was checked at start; this keeps a line whole even if it was not. */
static bool
line_is_clean(coat_span line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] < 0x20 || line.ptr[i] > 0x7e)
            return false;
    return true;
}

/* cookie-octet of RFC 6265bis 4.1.1; quotes are left out, we never write them. */
static bool
value_is_clean(coat_span value)
{
    for (size_t i = 0; i < value.len; i++)
        if (!coat_char_is_visible(value.ptr[i]) || strchr("\",;\\", value.ptr[i]) != NULL)
            return false;
    return value.len > 0;
}

static coat_err
finish(const coat_out *line, char *buf, size_t cap, size_t *len)
{
    if (line->over || line->len >= cap)
        return COAT_TOO_LARGE;
    if (!line_is_clean((coat_span){(const uint8_t *)line->buf, line->len}))
        return COAT_INVALID;
    memcpy(buf, line->buf, line->len);
    buf[line->len] = '\0';
    *len = line->len;
    return COAT_OK;
}

coat_err
coat_cookie_set(const coat_cookie_conf *conf, coat_span value, int64_t max_age_s, char *buf,
                size_t cap, size_t *len)
{
    char line[COAT_COOKIE_LINE_MAX];
    coat_out out = coat_out_init(line, sizeof line);
    coat_err err;

    if (max_age_s == 0 || !coat_span_is_token(conf_name(conf)))
        return COAT_INVALID;
    if (!value_is_clean(value))
        return COAT_MALFORMED;
    coat_out_span(&out, conf_name(conf));
    coat_out_char(&out, '=');
    coat_out_span(&out, value);
    write_attributes(&out, conf);
    if (max_age_s > 0) {
        coat_out_str(&out, "; Max-Age=");
        coat_out_int(&out, max_age_s < MAX_AGE_CAP_S ? max_age_s : MAX_AGE_CAP_S);
    }
    err = finish(&out, buf, cap, len);
    sodium_memzero(line, sizeof line);
    return err;
}

coat_err
coat_cookie_delete(const coat_cookie_conf *conf, char *buf, size_t cap, size_t *len)
{
    char line[COAT_COOKIE_LINE_MAX];
    coat_out out = coat_out_init(line, sizeof line);

    if (!coat_span_is_token(conf_name(conf)))
        return COAT_INVALID;
    coat_out_span(&out, conf_name(conf));
    coat_out_char(&out, '=');
    write_attributes(&out, conf);
    coat_out_str(&out, "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    return finish(&out, buf, cap, len);
}

size_t
coat_cookie_strip(coat_span line, const coat_span *names, size_t count, char *buf)
{
    size_t len = 0, start = 0;
    bool first = true, cut_front = false;

    while (start <= line.len && line.len > 0) {
        size_t end = start + coat_span_find(coat_span_slice(line, start, line.len), ';');
        coat_span raw = coat_span_slice(line, start, end);

        start = end + 1;
        if (pair_is_named(pair_of(raw), names, count)) {
            cut_front |= first;
            continue;
        }
        if (!first)
            buf[len++] = ';';
        while (first && cut_front && raw.len > 0 && coat_char_is_ows(raw.ptr[0]))
            raw = coat_span_slice(raw, 1, raw.len);
        if (raw.len > 0)
            memcpy(buf + len, raw.ptr, raw.len);
        len += raw.len;
        first = false;
    }
    return len;
}
