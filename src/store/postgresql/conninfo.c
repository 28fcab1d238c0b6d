/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Store URLs to libpq's parameters. All that decides who is spoken to, and as whom, is given
 * explicitly: libpq would take what is missing from the environment, from ~/.pgpass, from a
 * service file.
 */

#include "store/postgresql/postgresql.h"

#include "core/out.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

coat_err
pg_refuse(const coat_store_conf *conf, const char *what, const char *why)
{
    if (conf->message != NULL && conf->message_cap > 0)
        (void)snprintf(conf->message, conf->message_cap, "store.url: %s%s%s", what,
                       what[0] != '\0' ? " " : "", why);
    return COAT_INVALID;
}

static coat_err
check_params(const remote_url *url, const coat_store_conf *conf)
{
    static const char *const known[] = {
        "password-file", "ca-file", "cert-file", "key-file",    "server-name", "schema", "db",
        "user",          "port",    "tls",       "connections", "plaintext",   "migrate"};

    for (size_t i = 0; i < url->param_count; i++) {
        bool found = false;

        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            found = found || strcmp(url->params[i].key, known[k]) == 0;
        if (!found)
            return pg_refuse(conf, url->params[i].key, "is no parameter of a PostgreSQL store");
        /* To libpq that is as if it were not given at all: see above. */
        if (url->params[i].value[0] == '\0')
            return pg_refuse(conf, url->params[i].key, "is empty");
    }
    return COAT_OK;
}

/** The rest of the environment is overruled by explicit parameters; these cannot be. */
static coat_err
check_environment(const coat_store_conf *conf)
{
    static const char *const names[] = {"PGSERVICE", "PGHOSTADDR"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (getenv(names[i]) != NULL)
            return pg_refuse(conf, names[i], "is set in the environment; unset it");
    return COAT_OK;
}

static bool
parse_number(const char *text, unsigned most, unsigned *out)
{
    unsigned number = 0;

    if (*text == '\0' || strlen(text) > 5)
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        number = number * 10 + (unsigned)(*text - '0');
    }
    *out = number;
    return number >= 1 && number <= most;
}

/** It goes into SQL as it is, so it is one that needs no quoting. */
static bool
is_schema(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= PG_NAME_MAX && (name[0] < '0' || name[0] > '9') &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len &&
           strncmp(name, "pg_", 3) != 0;
}

static void
set(pg_conninfo *info, const char *key, const char *value)
{
    if (value == NULL || info->count == PG_CONN_PARAMS_MAX - 2)
        return;
    info->keys[info->count] = key;
    info->values[info->count++] = value;
}

/* ---- TLS ---- */

static bool
wants_tls(const remote_url *url)
{
    static const char *const params[] = {"tls", "ca-file", "cert-file", "key-file",
                                         "server-name"};

    for (size_t i = 0; i < sizeof params / sizeof params[0]; i++)
        if (remote_url_param(url, params[i]) != NULL)
            return true;
    return !remote_url_is_local(url) && remote_url_param(url, "plaintext") == NULL;
}

static coat_err
check_transport(const remote_url *url, const coat_store_conf *conf)
{
    const char *plaintext = remote_url_param(url, "plaintext");
    const char *tls = remote_url_param(url, "tls");

    if (plaintext != NULL && strcmp(plaintext, "allowed") != 0)
        return pg_refuse(conf, "plaintext", "can only be \"allowed\"");
    if (tls != NULL && strcmp(tls, "yes") != 0)
        return pg_refuse(conf, "tls", "can only be \"yes\"");
    if (plaintext != NULL && wants_tls(url))
        return pg_refuse(conf, "plaintext", "contradicts tls and certificates");
    if (url->host == NULL && wants_tls(url))
        return pg_refuse(conf, "", "a Unix socket has no TLS");
    return COAT_OK;
}

/** libpq before 16 does not know where the system keeps its authorities. */
static const char *
system_authorities(void)
{
    static const char *const files[] = {"/etc/ssl/certs/ca-certificates.crt",
                                        "/etc/pki/tls/certs/ca-bundle.crt",
                                        "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};

    if (PQlibVersion() >= 160000)
        return "system";
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (access(files[i], R_OK) == 0)
            return files[i];
    return NULL;
}

static coat_err
take_tls(pg_store *store, const coat_store_conf *conf)
{
    const remote_url *url = &store->url;
    pg_conninfo *info = &store->conninfo;
    const char *ca = remote_url_param(url, "ca-file"), *cert, *key;

    if (ca == NULL)
        ca = system_authorities();
    else if (access(ca, R_OK) != 0)
        return pg_refuse(conf, ca, "cannot be read");
    if (ca == NULL)
        return pg_refuse(conf, "", "ca-file is missing, and this system has none of its own");
    cert = remote_url_param(url, "cert-file");
    key = remote_url_param(url, "key-file");
    if ((cert == NULL) != (key == NULL))
        return pg_refuse(conf, "", "cert-file and key-file belong together");
    set(info, "sslmode", "verify-full");
    set(info, "sslrootcert", ca);
    set(info, "ssl_min_protocol_version", "TLSv1.2");
    /* What is not given would be looked for in the home directory. */
    set(info, "sslcert", cert != NULL ? cert : "/nonexistent/certificate");
    set(info, "sslkey", key != NULL ? key : "/nonexistent/key");
    set(info, "sslcrl", "/nonexistent/crl");
    return COAT_OK;
}

/* ---- all ---- */

/** In the first packet, so that nothing resets them to anything else. Statements are planned
 * once, and always by index, row by row: a plan made while a table is small would not do later,
 * and one for a limit that the planner does not know would read the whole table into a hash. */
static const char options[] =
    "-c search_path=pg_catalog -c default_transaction_isolation=read\\ committed"
    " -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off"
    " -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
    " -c idle_in_transaction_session_timeout=10000 -c statement_timeout=900"
    " -c client_min_messages=error -c idle_session_timeout=0 -c tcp_user_timeout=30000"
    " -c coatcheck.self=";

/** With who we are behind it: triggers tell of it with what we change. */
static void
make_options(pg_store *store)
{
    coat_out out = coat_out_init(store->conninfo.options, sizeof store->conninfo.options);

    coat_out_str(&out, options);
    coat_out_hex(&out, store->self, sizeof store->self);
    (void)coat_out_end(&out);
}

static void
set_all(pg_store *store, const char *user, const char *db)
{
    static const char none[] = "there-is-no-password-file";
    pg_conninfo *info = &store->conninfo;
    const remote_url *url = &store->url;
    const char *name = remote_url_param(url, "server-name");

    set(info, "host", url->host == NULL ? url->path : name != NULL ? name : url->host);
    set(info, "port", info->port);
    set(info, "user", user);
    set(info, "dbname", db);
    set(info, "password", store->password[0] != '\0' ? store->password : none);
    set(info, "passfile", "/dev/null");
    make_options(store);
    set(info, "options", info->options);
    set(info, "application_name", "coatcheck");
    set(info, "client_encoding", "UTF8");
    set(info, "target_session_attrs", "read-write");
    set(info, "gssencmode", "disable");
    set(info, "krbsrvname", "postgres");
    set(info, "channel_binding", "prefer");
    set(info, "keepalives_idle", "30");
    set(info, "tcp_user_timeout", "30000");
}

static coat_err
take_numbers(pg_store *store, const coat_store_conf *conf)
{
    const remote_url *url = &store->url;
    const char *port = remote_url_param(url, "port");
    const char *connections = remote_url_param(url, "connections");
    unsigned number = url->port != 0 ? url->port : 5432;

    if (port != NULL && url->host != NULL)
        return pg_refuse(conf, "port", "is for Unix sockets; write //host:port");
    if (port != NULL && !parse_number(port, UINT16_MAX, &number))
        return pg_refuse(conf, "port", "is no number from 1 to 65535");
    (void)snprintf(store->conninfo.port, sizeof store->conninfo.port, "%u", number);
    number = store->remote.links;
    if (connections != NULL && !parse_number(connections, REMOTE_LINKS_MAX, &number))
        return pg_refuse(conf, "connections", "is no number from 1 to 8");
    store->remote.links = number;
    return COAT_OK;
}

static coat_err
take_user(const remote_url *url, const coat_store_conf *conf, const char **user,
          const char **db)
{
    bool socket = url->host == NULL;

    *user = socket ? remote_url_param(url, "user") : url->user;
    *db = socket ? remote_url_param(url, "db") : url->path;
    if (!socket &&
        (remote_url_param(url, "user") != NULL || remote_url_param(url, "db") != NULL))
        return pg_refuse(conf, "", "write the user and the database as //user@host/database");
    if (*user == NULL)
        *user = "coatcheck";
    if (*db == NULL || **db == '\0')
        *db = "coatcheck";
    /* A database's name with an "=" would be taken apart as parameters. */
    if (strpbrk(*db, "=/") != NULL || strlen(*db) > PG_NAME_MAX || strlen(*user) > PG_NAME_MAX)
        return pg_refuse(conf, "", "the name of the user or the database is not well-formed");
    return COAT_OK;
}

static coat_err
take_schema(pg_store *store, const coat_store_conf *conf)
{
    const char *schema = remote_url_param(&store->url, "schema");

    if (schema == NULL)
        schema = "coatcheck";
    if (!is_schema(schema))
        return pg_refuse(conf, "schema", "may have up to 63 of a-z, 0-9 and _");
    (void)snprintf(store->schema, sizeof store->schema, "%s", schema);
    return COAT_OK;
}

static coat_err
take_password(pg_store *store, const coat_store_conf *conf)
{
    const char *file = remote_url_param(&store->url, "password-file"), *why;

    if (file != NULL && remote_secret_read(file, store->password, &why) != COAT_OK)
        return pg_refuse(conf, file, why);
    return COAT_OK;
}

coat_err
pg_take_url(pg_store *store, const coat_store_conf *conf)
{
    remote_url *url = &store->url;
    const char *why, *user, *db, *migrate;
    bool socket;

    if (remote_url_parse(conf->url, url, &why) != COAT_OK)
        return pg_refuse(conf, "", why);
    socket = strcmp(url->scheme, "postgresql+unix") == 0;
    if (socket != (url->host == NULL))
        return pg_refuse(conf, "",
                         socket
                             ? "postgresql+unix: is followed by a directory"
                             : "the host is missing; a socket is postgresql+unix:/directory");
    if (check_params(url, conf) != COAT_OK || check_environment(conf) != COAT_OK ||
        check_transport(url, conf) != COAT_OK || take_numbers(store, conf) != COAT_OK ||
        take_user(url, conf, &user, &db) != COAT_OK || take_schema(store, conf) != COAT_OK ||
        take_password(store, conf) != COAT_OK)
        return COAT_INVALID;
    migrate = remote_url_param(url, "migrate");
    if (migrate != NULL && strcmp(migrate, "yes") != 0)
        return pg_refuse(conf, "migrate", "can only be \"yes\"");
    store->host = url->host;
    set_all(store, user, db);
    if (wants_tls(url))
        return take_tls(store, conf);
    set(&store->conninfo, "sslmode", "disable");
    return COAT_OK;
}
