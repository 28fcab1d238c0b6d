/* SPDX-License-Identifier: Apache-2.0 */
#include "store/remote/url.h"

#include "core/bytes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** Decode in place: it only gets shorter. */
static bool
decode(char *text)
{
    char *to = text;

    for (const char *at = text; *at != '\0'; at++) {
        int high, low;

        if (*at != '%') {
            *to++ = *at;
            continue;
        }
        high = hex_digit(at[1]);
        low = high >= 0 ? hex_digit(at[2]) : -1;
        if (low < 0 || high * 16 + low < 0x20 || high * 16 + low == 0x7f)
            return false;
        *to++ = (char)(high * 16 + low);
        at += 2;
    }
    *to = '\0';
    return true;
}

static bool
parse_port(const char *text, uint16_t *out)
{
    unsigned port = 0;

    if (*text == '\0' || strlen(text) > 5)
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        port = port * 10 + (unsigned)(*text - '0');
    }
    *out = (uint16_t)port;
    return port > 0 && port <= UINT16_MAX;
}

static const char *
parse_params(remote_url *url, char *query)
{
    while (query != NULL && *query != '\0') {
        char *next = strchr(query, '&'), *equals;

        if (next != NULL)
            *next++ = '\0';
        equals = strchr(query, '=');
        if (equals == NULL || equals == query)
            return "a parameter is not of the form key=value";
        *equals++ = '\0';
        if (url->param_count == REMOTE_PARAMS_MAX)
            return "there are too many parameters";
        if (!decode(equals))
            return "a parameter has a bad percent-encoding";
        if (remote_url_param(url, query) != NULL)
            return "a parameter is given twice";
        url->params[url->param_count].key = query;
        url->params[url->param_count++].value = equals;
        query = next;
    }
    return NULL;
}

static const char *
parse_host(remote_url *url, char *host)
{
    char *port = NULL;

    if (strchr(host, ',') != NULL)
        return "this kind of URL takes one host only";
    if (*host == '[') {
        char *end = strchr(++host, ']');

        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return "the address in brackets is not well-formed";
        port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
    } else if ((port = strchr(host, ':')) != NULL) {
        *port++ = '\0';
    }
    if (*host == '\0')
        return "the host is missing";
    for (const char *c = host; *c != '\0'; c++)
        if (strchr("%@/\\ []", *c) != NULL || (uint8_t)*c <= 0x20 || (uint8_t)*c >= 0x7f)
            return "the host has characters that no host has";
    if (port != NULL && !parse_port(port, &url->port))
        return "the port is no number from 1 to 65535";
    url->host = host;
    return NULL;
}

static const char *
parse_authority(remote_url *url, char *authority)
{
    char *at = strrchr(authority, '@');

    if (at != NULL) {
        *at = '\0';
        if (strchr(authority, ':') != NULL)
            return "a password has no place in a URL; write ?password-file=/path";
        if (*authority == '\0' || !decode(authority))
            return "the user name is not well-formed";
        url->user = authority;
        authority = at + 1;
    }
    return parse_host(url, authority);
}

static const char *
parse(remote_url *url)
{
    char *colon = strchr(url->text, ':'), *rest, *query, *slash;

    if (colon == NULL || colon == url->text)
        return "the scheme is missing";
    *colon = '\0';
    url->scheme = url->text;
    rest = colon + 1;
    if (strchr(rest, '#') != NULL)
        return "a store URL has no fragment";
    query = strchr(rest, '?');
    if (query != NULL)
        *query++ = '\0';
    if (strncmp(rest, "//", 2) == 0 && rest[2] != '/') {
        rest += 2;
        slash = strchr(rest, '/');
        /* The path begins behind the slash, which ends the host. */
        url->path = slash != NULL ? slash + 1 : rest + strlen(rest);
        if (slash != NULL)
            *slash = '\0';
        if (!decode((char *)(uintptr_t)url->path))
            return "the path has a bad percent-encoding";
        rest = (char *)(uintptr_t)parse_authority(url, rest);
        return rest != NULL ? rest : parse_params(url, query);
    }
    if (strncmp(rest, "///", 3) == 0)
        rest += 2;
    if (*rest != '/' || !decode(rest))
        return "write scheme://host or scheme:/path";
    url->path = rest;
    return parse_params(url, query);
}

coat_err
remote_url_parse(const char *text, remote_url *out, const char **why)
{
    size_t len = strlen(text);

    memset(out, 0, sizeof *out);
    *why = "it is too long";
    if (len > REMOTE_URL_MAX)
        return COAT_TOO_LARGE;
    *why = "it has spaces or control characters; write them as %20 and so on";
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)text[i] <= 0x20 || text[i] == 0x7f)
            return COAT_INVALID;
    memcpy(out->text, text, len + 1);
    *why = parse(out);
    return *why == NULL ? COAT_OK : COAT_INVALID;
}

bool
remote_url_split(const char *text, remote_url_list *out)
{
    const char *hosts = strchr(text, ':'), *end;
    bool paths;

    if (hosts == NULL || strlen(text) > REMOTE_URL_MAX)
        return false;
    paths = hosts - text >= 5 && memcmp(hosts - 5, "+unix", 5) == 0;
    hosts += !paths && strncmp(hosts, "://", 3) == 0 ? 3 : 1;
    end = hosts + strcspn(hosts, paths ? "?#" : "/?#");
    for (const char *c = hosts; c < end && !paths; c++)
        hosts = *c == '@' ? c + 1 : hosts;
    *out = (remote_url_list){{(const uint8_t *)text, (size_t)(hosts - text)},
                             {(const uint8_t *)hosts, (size_t)(end - hosts)},
                             end};
    return true;
}

bool
remote_url_next(remote_url_list *list, char *out)
{
    coat_span host = list->hosts;
    const uint8_t *comma = host.len > 0 ? memchr(host.ptr, ',', host.len) : NULL;

    if (host.ptr == NULL)
        return false;
    list->hosts = (coat_span){NULL, 0};
    if (comma != NULL) {
        host.len = (size_t)(comma - host.ptr);
        list->hosts = (coat_span){comma + 1, list->rest - (const char *)comma - 1};
    }
    (void)snprintf(out, REMOTE_URL_MAX + 1, "%.*s%.*s%s", (int)list->front.len,
                   (const char *)list->front.ptr, (int)host.len, (const char *)host.ptr,
                   list->rest);
    return true;
}

const char *
remote_url_param(const remote_url *url, const char *key)
{
    for (size_t i = 0; i < url->param_count; i++)
        if (strcmp(url->params[i].key, key) == 0)
            return url->params[i].value;
    return NULL;
}

bool
remote_host_is_local(const char *host)
{
    struct in_addr four;
    struct in6_addr six;

    if (strcmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

bool
remote_url_is_local(const remote_url *url)
{
    return url->host == NULL || remote_host_is_local(url->host);
}

static const char *
check_file(int fd)
{
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0)
        return "cannot be opened, or is a symbolic link";
    if (!S_ISREG(st.st_mode))
        return "is no regular file";
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return "belongs to somebody else";
    if ((st.st_mode & 0077) != 0)
        return "may be read by others; its mode must be 0600 or 0400";
    return NULL;
}

/** @return how much of the file there is, at most room; -1: it cannot be read */
static ssize_t
read_all(int fd, char *out, size_t room)
{
    size_t len = 0;
    ssize_t n;

    while (len < room) {
        n = read(fd, out + len, room - len);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n == 0)
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    return (ssize_t)len;
}

coat_err
remote_secret_read(const char *path, char *out, const char **why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    ssize_t got = -1;
    size_t len;

    *why = check_file(fd);
    if (*why == NULL) {
        got = read_all(fd, out, REMOTE_SECRET_MAX + 1);
        *why = got > REMOTE_SECRET_MAX ? "is longer than 512 bytes" : "cannot be read";
        if (got >= 0 && got <= REMOTE_SECRET_MAX)
            *why = NULL;
    }
    if (fd >= 0)
        (void)close(fd);
    if (*why == NULL) {
        out[got] = '\0';
        len = strcspn(out, "\r\n");
        if (len == 0 || (size_t)got != strlen(out) || out[len + strspn(out + len, "\r\n")] != 0)
            *why = "must hold one line, the password";
        out[len] = '\0';
    }
    if (*why == NULL)
        return COAT_OK;
    sodium_memzero(out, REMOTE_SECRET_MAX + 1);
    return COAT_INVALID;
}
