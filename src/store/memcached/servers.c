/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The URL: memcached://[USER@]HOST[:PORT],HOST[:PORT]...?KEY=VALUE&..., memcacheds: for TLS, or
 * memcached+unix:/PATH,/PATH...
 */

#include "store/memcached/memcached.h"

#include <stdio.h>

enum { DEFAULT_PORT = 11211 };

typedef struct taking {
    mc_store *store;
    char *why;
    size_t cap;
    bool tls, socket;
} taking;

static coat_err
refuse(const taking *t, const char *what, const char *why)
{
    if (t->cap > 0)
        (void)snprintf(t->why, t->cap, "store.url: %s%s%s", what, what[0] != '\0' ? " " : "",
                       why);
    return COAT_INVALID;
}

static coat_err
check_params(const taking *t, const remote_url *url)
{
    static const char *const known[] = {"password-file", "ca-file", "cert-file",  "key-file",
                                        "server-name",   "prefix",  "generation", "plaintext"};

    for (size_t i = 0; i < url->param_count; i++) {
        size_t k = 0;

        while (k < sizeof known / sizeof known[0] && strcmp(url->params[i].key, known[k]) != 0)
            k++;
        if (k == sizeof known / sizeof known[0])
            return refuse(t, url->params[i].key, "is no parameter of a memcached store");
    }
    return COAT_OK;
}

/** Characters that need no quoting anywhere: no blank, no control character (ST-6). */
static coat_err
take_prefix(const taking *t, const remote_url *url)
{
    const char *prefix = remote_url_param(url, "prefix");
    size_t len;

    prefix = prefix != NULL ? prefix : "coat";
    len = strlen(prefix);
    for (size_t i = 0; i < len; i++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-",
                   prefix[i]) == NULL)
            len = 0;
    if (len == 0 || len > MC_PREFIX_MAX)
        return refuse(t, "prefix", "may have up to 64 letters, digits and _.:-");
    (void)snprintf(t->store->prefix, sizeof t->store->prefix, "%s:", prefix);
    return COAT_OK;
}

static coat_err
take_generation(const taking *t, const remote_url *url)
{
    const char *text = remote_url_param(url, "generation");
    uint64_t n = 0;

    if (text != NULL && (!mc_number(coat_span_of(text), &n) || n > INT32_MAX))
        return refuse(t, "generation", "is no number");
    t->store->generation = (uint32_t)n;
    return COAT_OK;
}

static coat_err
take_password(const taking *t, const remote_url *url)
{
    const char *file = remote_url_param(url, "password-file"), *why;
    mc_store *store = t->store;

    if ((file != NULL) != (url->user != NULL))
        return refuse(t, "", "user and ?password-file=/path go together");
    if (file == NULL)
        return COAT_OK;
    if (remote_secret_read(file, store->password, &why) != COAT_OK)
        return refuse(t, file, why);
    /* What is between them is a blank. */
    for (const char *c = url->user; *c != '\0'; c++)
        if ((uint8_t)*c <= 0x20 || (uint8_t)*c >= 0x7f)
            return refuse(t, "", "the user name has a character that memcached cannot take");
    for (const char *c = store->password; *c != '\0'; c++)
        if ((uint8_t)*c <= 0x20 || (uint8_t)*c >= 0x7f)
            return refuse(t, file, "has a character that memcached cannot take");
    if (strlen(url->user) >= sizeof store->user)
        return refuse(t, "", "the user name is too long");
    (void)snprintf(store->user, sizeof store->user, "%s", url->user);
    return COAT_OK;
}

static coat_err
check_transport(const taking *t, const remote_url *url)
{
    const char *plaintext = remote_url_param(url, "plaintext");
    static const char *const certificates[] = {"ca-file", "cert-file", "key-file",
                                               "server-name"};

    if (t->socket != (url->host == NULL))
        return refuse(t, "",
                      t->socket ? "memcached+unix: is followed by a path"
                                : "the host is missing; a socket is memcached+unix:/path");
    if (!t->socket && url->path[0] != '\0')
        return refuse(t, url->path, "leads nowhere: memcached has no databases");
    if (plaintext != NULL && strcmp(plaintext, "allowed") != 0)
        return refuse(t, "plaintext", "can only be \"allowed\"");
    if (plaintext != NULL && t->tls)
        return refuse(t, "plaintext", "contradicts memcacheds:");
    if (!t->tls && plaintext == NULL && !remote_url_is_local(url))
        return refuse(
            t, url->host,
            "is another machine: write memcacheds: for TLS, or ?plaintext=allowed if nobody "
            "else can reach the wire");
    for (size_t i = 0; !t->tls && i < sizeof certificates / sizeof certificates[0]; i++)
        if (remote_url_param(url, certificates[i]) != NULL)
            return refuse(t, "", "certificates need memcacheds:");
    return COAT_OK;
}

static coat_err
take_tls(const taking *t, mc_node *node)
{
    const remote_url *url = &t->store->url;
    const char *name = remote_url_param(url, "server-name");
    remote_tls_conf tls = {
        .ca_file = remote_url_param(url, "ca-file"),
        .cert_file = remote_url_param(url, "cert-file"),
        .key_file = remote_url_param(url, "key-file"),
        .name = name != NULL ? name : node->host,
    };
    char why[200] = "TLS cannot be set up";

    if (remote_tls_context_new(&tls, &node->address.tls, why, sizeof why) != COAT_OK)
        return refuse(t, "", why);
    return COAT_OK;
}

/** A server of its own; what is said of one holds for all. */
static coat_err
add_node(const taking *t, const remote_url *url)
{
    mc_store *store = t->store;
    const char *at = t->socket ? url->path : url->host;
    mc_node *node;
    coat_err err;

    if (store->node_count == MC_NODES_MAX)
        return refuse(t, "", "there are more than 32 servers");
    if (t->socket && strlen(at) > REMOTE_PATH_MAX)
        return refuse(t, "", "the path of a socket is too long");
    if (strlen(at) >= sizeof node->host - 16)
        return refuse(t, "", "the name of a server is too long");
    node = calloc(1, sizeof *node);
    if (node == NULL)
        return COAT_NO_MEMORY;
    err = remote_store_init(&node->remote, &coat_memcached_ops, &mc_kind);
    if (err != COAT_OK) {
        free(node);
        return err;
    }
    store->nodes[store->node_count++] = node;
    node->store = store;
    atomic_store(&node->size_max, MC_SIZE_DEFAULT - MC_ITEM_HEAD);
    (void)snprintf(node->host, sizeof node->host, "%s", at);
    node->address.host = t->socket ? NULL : node->host;
    node->address.path = t->socket ? node->host : NULL;
    node->address.port = url->port != 0 ? url->port : DEFAULT_PORT;
    if (t->socket)
        (void)snprintf(node->name, sizeof node->name, "%s", node->host);
    else
        (void)snprintf(node->name, sizeof node->name, "%.200s:%u", node->host,
                       node->address.port);
    for (uint32_t i = 0; i + 1 < store->node_count; i++)
        if (strcmp(store->nodes[i]->name, node->name) == 0)
            return refuse(t, node->name, "is named twice");
    return t->tls ? take_tls(t, node) : COAT_OK;
}

static coat_err
take_server(const taking *t, const char *text)
{
    remote_url *url = malloc(sizeof *url);
    const char *why;
    coat_err err;

    if (url == NULL)
        return COAT_NO_MEMORY;
    if (remote_url_parse(text, url, &why) != COAT_OK)
        err = refuse(t, "", why);
    else
        err = check_transport(t, url);
    if (err == COAT_OK && t->store->node_count == 0) {
        /* Its strings lie in itself: so it is parsed where it stays. */
        (void)remote_url_parse(text, &t->store->url, &why);
        err = check_params(t, url);
        if (err == COAT_OK)
            err = take_prefix(t, url);
        if (err == COAT_OK)
            err = take_generation(t, url);
        if (err == COAT_OK)
            err = take_password(t, url);
    }
    if (err == COAT_OK)
        err = add_node(t, url);
    free(url);
    return err;
}

coat_err
mc_servers_take(mc_store *store, const coat_store_conf *conf, char *why, size_t cap)
{
    taking t = {.store = store, .why = why, .cap = cap};
    char url[REMOTE_URL_MAX + 1];
    remote_url_list list;
    coat_err err = COAT_OK;

    if (!remote_url_split(conf->url, &list))
        return refuse(&t, "", "it is no store URL, or too long");
    t.tls = strncmp(conf->url, "memcacheds:", 11) == 0;
    t.socket = strncmp(conf->url, "memcached+unix:", 15) == 0;
    while (err == COAT_OK && remote_url_next(&list, url))
        err = take_server(&t, url);
    return err;
}
