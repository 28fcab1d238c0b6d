/* SPDX-License-Identifier: Apache-2.0 */
/* A listener in short form: "127.0.0.1:8080;dialect=nginx;trusted=10.0.0.0/8 ::1/128". */
#include "core/out.h"
#include "server/config/internal.h"

#include <sys/un.h>

enum { WIDEST_V4 = 8, WIDEST_V6 = 16, MAPPED = 96, TEXT_MAX = 1024 };

static const char dialects[] = "none|nginx|forwarded|envoy|module";

typedef struct reading {
    coat_builder *builder;
    const coat_place *place;
    coat_listener_conf *out;
    bool has_mode;
} reading;

#define REFUSE(r, ...)                                                                         \
    coat_config_fail((r)->builder, COAT_INDEX_listeners, (r)->place, __VA_ARGS__)

static const char *
keep(reading *r, coat_span text)
{
    return coat_config_copy(r->builder->config, text.ptr, text.len);
}

static bool
is_loopback(const coat_address *address)
{
    static const uint8_t six[16] = {[15] = 1};

    return coat_address_is_v4(address) ? address->bytes[12] == 127
                                       : memcmp(address->bytes, six, sizeof six) == 0;
}

static coat_err
read_tcp(reading *r, coat_span text)
{
    const uint8_t *colon = memrchr(text.ptr, ':', text.len);
    coat_span host, port;
    coat_address address;
    int64_t number;
    bool bracketed;

    if (colon == NULL)
        return REFUSE(r, "\"%.*s\" has no port; write 127.0.0.1:8080 or unix:/path",
                      (int)text.len, text.ptr);
    host = (coat_span){text.ptr, (size_t)(colon - text.ptr)};
    port = (coat_span){colon + 1, text.len - host.len - 1};
    bracketed = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (bracketed)
        host = (coat_span){host.ptr + 1, host.len - 2};
    if (coat_address_parse(host, &address) != COAT_OK ||
        coat_address_is_v4(&address) == bracketed)
        return REFUSE(r,
                      "\"%.*s\" is no address; write 127.0.0.1:8080, [::1]:8080 or, for "
                      "every interface, 0.0.0.0:8080",
                      (int)text.len, text.ptr);
    if (coat_integer_parse(port, &number) != COAT_OK || number < 0 || number > 65535)
        return REFUSE(r, "\"%.*s\" is no port: 0 to 65535", (int)port.len, port.ptr);
    r->out->kind = COAT_LISTEN_TCP;
    r->out->loopback = is_loopback(&address);
    r->out->address = keep(r, text);
    return COAT_OK;
}

static bool
has_scheme(coat_span text, const char *scheme, coat_span *rest)
{
    size_t len = strlen(scheme);

    if (text.len < len || memcmp(text.ptr, scheme, len) != 0)
        return false;
    *rest = (coat_span){text.ptr + len, text.len - len};
    return true;
}

static coat_err
read_unix(reading *r, coat_span text, coat_span path)
{
    const struct sockaddr_un *un = NULL;
    coat_span rest;

    if (!has_scheme(path, "/", &rest) && !has_scheme(path, "{runtime.directory}/", &rest))
        return REFUSE(r, "\"%.*s\" is no absolute path", (int)path.len, path.ptr);
    if (path.len >= sizeof un->sun_path)
        return REFUSE(r, "the socket's path has %zu bytes, at most %zu are possible", path.len,
                      sizeof un->sun_path - 1);
    r->out->kind = COAT_LISTEN_UNIX;
    r->out->path = keep(r, path);
    r->out->address = keep(r, text);
    return COAT_OK;
}

static coat_err
read_address(reading *r, coat_span text)
{
    coat_span rest;

    if (has_scheme(text, "unix:", &rest))
        return read_unix(r, text, rest);
    if (has_scheme(text, "fd:", &rest)) {
        if (rest.len == 0)
            return REFUSE(r, "fd: needs the name of a systemd socket, fd:http");
        r->out->kind = COAT_LISTEN_FD;
        r->out->address = keep(r, text);
        return COAT_OK;
    }
    return read_tcp(r, has_scheme(text, "tcp:", &rest) ? rest : text);
}

/* FA-1: everybody, or nearly everybody, is nobody's proxy. */
static coat_err
read_network(reading *r, coat_span text, coat_network *out)
{
    const char *copy = keep(r, text);
    bool v4;

    if (copy == NULL)
        return COAT_NO_MEMORY;
    if (coat_network_parse(copy, out) != COAT_OK)
        return REFUSE(r,
                      "trusted: \"%s\" is no network that may be trusted; write the proxy's "
                      "address, 10.0.0.7/32, or its network, never 0.0.0.0/0 or ::/0",
                      copy);
    v4 = out->prefix >= MAPPED && coat_address_is_v4(&out->base);
    if (out->prefix < (v4 ? MAPPED + WIDEST_V4 : WIDEST_V6))
        return REFUSE(r, "trusted: \"%s\" is too wide: at most /%d of IPv4 and /%d of IPv6",
                      copy, WIDEST_V4, WIDEST_V6);
    return COAT_OK;
}

static coat_err
read_trusted(reading *r, coat_span text)
{
    coat_network *list = coat_config_alloc(r->builder->config, COAT_NETWORKS_MAX, sizeof *list);
    size_t count = 0;

    if (list == NULL)
        return COAT_NO_MEMORY;
    for (text = coat_span_trim(text); text.len > 0; text = coat_span_trim(text)) {
        const uint8_t *blank = memchr(text.ptr, ' ', text.len);
        size_t len = blank != NULL ? (size_t)(blank - text.ptr) : text.len;
        coat_err err;

        if (count == COAT_NETWORKS_MAX)
            return REFUSE(r, "trusted: more than %d networks", COAT_NETWORKS_MAX);
        err = read_network(r, (coat_span){text.ptr, len}, &list[count]);
        if (err != COAT_OK)
            return err;
        count++;
        text = (coat_span){text.ptr + len, text.len - len};
    }
    r->out->trusted = list;
    r->out->trusted_count = count;
    return COAT_OK;
}

static coat_err
read_option(reading *r, coat_span option, unsigned *seen)
{
    static const char names[] = "dialect|trusted|mode|group";
    const uint8_t *equals = memchr(option.ptr, '=', option.len);
    size_t len = equals != NULL ? (size_t)(equals - option.ptr) : option.len;
    coat_span value = {option.ptr + len + 1, equals != NULL ? option.len - len - 1 : 0};
    const char *name = keep(r, (coat_span){option.ptr, len});
    const char *text = keep(r, value);
    int which, word;

    if (name == NULL || text == NULL)
        return COAT_NO_MEMORY;
    which = coat_word_index(names, name);
    if (which < 0 || equals == NULL)
        return REFUSE(r,
                      "\"%.60s\" is unknown; a listener has address, dialect, trusted, mode "
                      "and group",
                      name);
    if ((*seen & 1U << which) != 0)
        return REFUSE(r, "%s is set a second time", name);
    *seen |= 1U << which;
    if (which == 1)
        return read_trusted(r, value);
    if (which == 3) {
        r->out->group = text;
        return COAT_OK;
    }
    word = coat_word_index(which == 0 ? dialects : "0600|0660", text);
    if (word < 0)
        return REFUSE(r,
                      which == 0 ? "dialect: \"%.60s\" is none of: none, nginx, forwarded, "
                                   "envoy, module"
                                 : "mode: \"%.60s\" is none of: 0600, 0660",
                      text);
    if (which == 0) {
        r->out->dialect = (coat_dialect)word;
    } else {
        r->out->mode = word == 1 ? 0660 : 0600;
        r->has_mode = true;
    }
    return COAT_OK;
}

static coat_err
check_listener(reading *r)
{
    coat_listener_conf *out = r->out;
    bool is_unix = out->kind == COAT_LISTEN_UNIX;

    if (out->trusted_count > 0 && out->dialect == COAT_DIALECT_NONE)
        return REFUSE(r, "%s: trusted without a dialect; say which one the proxy speaks",
                      out->address);
    if (out->kind == COAT_LISTEN_TCP && out->trusted_count == 0 &&
        out->dialect != COAT_DIALECT_NONE)
        return REFUSE(r,
                      "%s: a dialect without trusted networks would believe nobody; name "
                      "the proxy's address",
                      out->address);
    if (!is_unix && (r->has_mode || out->group[0] != '\0'))
        return REFUSE(r, "%s: mode and group are for unix: sockets", out->address);
    if (!r->has_mode)
        out->mode = out->group[0] != '\0' ? 0660 : 0600;
    if (is_unix && (out->mode == 0660) != (out->group[0] != '\0'))
        return REFUSE(r, "%s: mode 0660 and group belong together", out->address);
    return COAT_OK;
}

coat_err
coat_listener_parse(coat_builder *builder, const coat_place *place, const char *text,
                    coat_listener_conf *out)
{
    coat_listener_conf read = {.group = ""};
    reading r = {builder, place, &read, false};
    coat_span rest = coat_span_of(text);
    coat_err err = COAT_OK;
    unsigned seen = 0;

    if (rest.len > TEXT_MAX || !coat_text_is_clean(rest))
        return REFUSE(&r, "is too long, has a control character, or is not UTF-8");
    for (bool first = true, more = true; more && err == COAT_OK; first = false) {
        const uint8_t *end = memchr(rest.ptr, ';', rest.len);
        size_t len = end != NULL ? (size_t)(end - rest.ptr) : rest.len;
        coat_span part = coat_span_trim((coat_span){rest.ptr, len});

        err = first ? read_address(&r, part) : read_option(&r, part, &seen);
        more = end != NULL;
        if (more)
            rest = (coat_span){end + 1, rest.len - len - 1};
    }
    if (err == COAT_OK && read.address == NULL)
        err = COAT_NO_MEMORY;
    if (err == COAT_OK)
        err = check_listener(&r);
    if (err == COAT_OK)
        *out = read;
    return err;
}

/* A network as it is written: prefixes of IPv4 count from its own 32 bits. */
static void
write_network(coat_out *out, const coat_network *network)
{
    char text[64];
    bool v4 = network->prefix >= MAPPED && coat_address_is_v4(&network->base);

    coat_address_format(&network->base, text, sizeof text);
    coat_out_str(out, text);
    coat_out_char(out, '/');
    coat_out_uint(out, v4 ? network->prefix - MAPPED : network->prefix);
}

const char *
coat_listener_format(coat_config *config, const coat_listener_conf *listener)
{
    char text[TEXT_MAX + COAT_NETWORKS_MAX * 64], word[32];
    coat_out out = coat_out_init(text, sizeof text);

    coat_out_str(&out, listener->address);
    if (listener->dialect != COAT_DIALECT_NONE) {
        coat_word_at(dialects, (int)listener->dialect, word, sizeof word);
        coat_out_str(&out, ";dialect=");
        coat_out_str(&out, word);
    }
    for (size_t i = 0; i < listener->trusted_count; i++) {
        coat_out_str(&out, i == 0 ? ";trusted=" : " ");
        write_network(&out, &listener->trusted[i]);
    }
    if (listener->kind == COAT_LISTEN_UNIX && listener->mode == 0660) {
        coat_out_str(&out, ";mode=0660;group=");
        coat_out_str(&out, listener->group);
    }
    return coat_config_copy(config, text, out.len);
}
