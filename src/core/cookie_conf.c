/* SPDX-License-Identifier: Apache-2.0 */
#include <coatcheck/cookie.h>

#include "core/chars.h"
#include "core/host.h"
#include "core/out.h"

enum { TOKEN_CHARS = 54 }; /* the session token, the value these cookies are made for */

/** The reason of a refusal, in parts. */
typedef struct refusal {
    char *message;
    size_t cap;
} refusal;

static coat_err
refuse(refusal to, const char *text, const char *value, const char *rest)
{
    coat_out out = coat_out_init(to.message, to.cap);

    coat_out_str(&out, text);
    coat_out_str(&out, value);
    coat_out_str(&out, rest);
    (void)coat_out_end(&out);
    return COAT_INVALID;
}

void
coat_cookie_default(coat_cookie_conf *conf)
{
    *conf = (coat_cookie_conf){
        .name = "__Host-id",
        .path = "/",
        .secure = true,
        .samesite = COAT_SAMESITE_LAX,
    };
}

/* Browsers compare prefixes without regard to case, servers do not: another spelling would get
 * the browser's rules here and not ours (RFC 6265bis 5.4). __Http- and __Host-Http- come with
 * the newer drafts; they ask for HttpOnly, which we always set. */
static coat_err
check_name(const coat_cookie_conf *conf, refusal to)
{
    static const char *const prefixes[] = {"__Host-Http-", "__Secure-", "__Host-", "__Http-"};
    coat_span name = coat_span_of(conf->name);

    if (!coat_span_is_token(name))
        return refuse(to, "name must be a token of RFC 9110: letters, digits, ",
                      "!#$%&'*+-.^_`|~", " and nothing else");
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        coat_span prefix = coat_span_of(prefixes[i]);

        if (!coat_span_starts_nocase(name, prefix))
            continue;
        if (!coat_span_starts(name, prefix))
            return refuse(to, "name has a prefix in other letter case: write ", prefixes[i],
                          " exactly");
        if (name.len == prefix.len)
            return refuse(to, "name is nothing but the prefix ", prefixes[i], "");
        if (!conf->secure)
            return refuse(to, "name with the prefix ", prefixes[i], " needs secure: true");
        return COAT_OK;
    }
    return COAT_OK;
}

static coat_err
check_host_prefix(const coat_cookie_conf *conf, refusal to)
{
    if (!coat_span_starts(coat_span_of(conf->name), COAT_LIT("__Host-")))
        return COAT_OK;
    if (conf->domain[0] != '\0')
        return refuse(to, "domain cannot be set for a name with the prefix __Host-: ",
                      "leave it out, or use __Secure-", "");
    if (strcmp(conf->path, "/") != 0)
        return refuse(to, "path must be / for a name with the prefix __Host-", "", "");
    return COAT_OK;
}

static coat_err
check_path(const coat_cookie_conf *conf, refusal to)
{
    coat_span path = coat_span_of(conf->path);

    if (path.len == 0 || path.ptr[0] != '/')
        return refuse(to, "path must begin with /", "", "");
    if (!coat_span_is_visible(path) || coat_span_find(path, ';') < path.len)
        return refuse(to, "path holds a space, a semicolon, a control or a non-ASCII byte", "",
                      "");
    return COAT_OK;
}

static coat_err
check_domain(const coat_cookie_conf *conf, bool (*is_public_suffix)(const char *), refusal to)
{
    coat_span domain = coat_span_of(conf->domain);

    if (domain.len == 0)
        return COAT_OK;
    if (!conf->share_domain)
        return refuse(to, "domain sends the cookie to every host below it: ",
                      "set share-domain: true if that is meant", "");
    if (domain.ptr[0] == '.')
        return refuse(to, "domain has a leading dot: write ", conf->domain + 1, "");
    if (coat_host_kind_of(domain) == COAT_HOST_ADDRESS)
        return refuse(to, "domain is an IP address: leave it out", "", "");
    if (coat_host_kind_of(domain) != COAT_HOST_NAME)
        return refuse(to, "domain must be a host name in lower case, ",
                      "IDN as A-labels (xn--...)", ", without a trailing dot");
    if (coat_span_find(domain, '.') == domain.len ||
        (is_public_suffix != NULL && is_public_suffix(conf->domain)))
        return refuse(to, "domain is a public suffix: ", "name a domain of your own below it",
                      "");
    return COAT_OK;
}

static coat_err
check_attributes(const coat_cookie_conf *conf, refusal to)
{
    if ((unsigned)conf->samesite > COAT_SAMESITE_NONE)
        return refuse(to, "same-site must be lax, strict or none", "", "");
    if (conf->samesite == COAT_SAMESITE_NONE && !conf->secure)
        return refuse(to, "same-site: none needs secure: true", "", "");
    if (conf->partitioned && !conf->secure)
        return refuse(to, "partitioned needs secure: true", "", "");
    return COAT_OK;
}

/* Both lines must fit, whatever they will carry. */
static coat_err
check_lengths(const coat_cookie_conf *conf, refusal to)
{
    char line[COAT_COOKIE_LINE_MAX + 1], value[TOKEN_CHARS];
    size_t len;

    memset(value, 'A', sizeof value);
    if (coat_cookie_set(conf, (coat_span){(const uint8_t *)value, sizeof value}, INT64_MAX,
                        line, sizeof line, &len) != COAT_OK ||
        coat_cookie_delete(conf, line, sizeof line, &len) != COAT_OK)
        return refuse(to, "name, domain and path together make the cookie line ",
                      "longer than 256 bytes: shorten them", "");
    return COAT_OK;
}

coat_err
coat_cookie_check(const coat_cookie_conf *conf, bool (*is_public_suffix)(const char *domain),
                  char *message, size_t cap)
{
    refusal to = {message, cap};
    coat_err err;

    if (memchr(conf->name, '\0', sizeof conf->name) == NULL ||
        memchr(conf->domain, '\0', sizeof conf->domain) == NULL ||
        memchr(conf->path, '\0', sizeof conf->path) == NULL)
        return refuse(to, "name, domain or path is too long: at most 64, 253 and 255 bytes", "",
                      "");
    err = check_name(conf, to);
    if (err == COAT_OK)
        err = check_host_prefix(conf, to);
    if (err == COAT_OK)
        err = check_path(conf, to);
    if (err == COAT_OK)
        err = check_domain(conf, is_public_suffix, to);
    if (err == COAT_OK)
        err = check_attributes(conf, to);
    return err == COAT_OK ? check_lengths(conf, to) : err;
}
