/* SPDX-License-Identifier: Apache-2.0 */
/** HD-4 for stores that are opened by URL: their module is loaded, a secret and certificates
 * are read, a name is resolved, and TLS is spoken. */

#include "redis_fixture.h"
#include "store/stores.h"
#include "store_torture.h"
#include "tls_fixture.h"

static redis_server server;
static int tls_port, prefix;

static coat_err
open_by_url(coat_store **out)
{
    char url[700], why[300];
    coat_store_conf conf = {
        .url = url, .message = why, .message_cap = sizeof why, .module_dir = MODULE_DIR};

    (void)snprintf(url, sizeof url,
                   "rediss://door@localhost:%d?password-file=%s/secret&ca-file=%s/ca.pem&"
                   "prefix=t%d",
                   tls_port, dir, dir, prefix);
    return coat_store_open(&conf, out);
}

static void
start_server(void)
{
    static char port[8], pem[140], key[140], ca[140];
    const char *args[] = {
        "--save",         "",  "--tls-port",         port, "--tls-cert-file",    pem,
        "--tls-key-file", key, "--tls-ca-cert-file", ca,   "--tls-auth-clients", "no"};

    make_all();
    tls_port = free_port();
    (void)snprintf(port, sizeof port, "%d", tls_port);
    (void)snprintf(pem, sizeof pem, "%s/good.pem", dir);
    (void)snprintf(key, sizeof key, "%s/good.key", dir);
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    memcpy(server.args, args, sizeof args);
    server_start(&server);
    (void)server_ask(&server, "ACL SETUSER door on >s3same ~* &* +@all");
}

static void
begin(void)
{
    if (server.pid == 0)
        start_server();
    prefix++;
}

static void
opening_and_closing(void)
{
    begin();
    torture_opening(open_by_url, OPENS_BESIDE, TORTURE_MEMORY | TORTURE_CALLS, 25, 8);
}

static void
talking(void)
{
    begin();
    torture_talk(open_by_url, TORTURE_MEMORY | TORTURE_CALLS, 2, 6);
}

/* ---- loading ---- */

/* Each is loaded but once in a process. */
static const char *const schemes[] = {
    "redis",          "rediss",         "redis+unix",      "redis+cluster",
    "rediss+cluster", "redis+sentinel", "rediss+sentinel", "memcached",
    "memcacheds",     "memcached+unix", "postgresql",      "postgresql+unix",
};
static size_t scheme;
static char said[300];
static coat_err loaded;

static coat_err
load(void)
{
    coat_store_conf conf = {
        .message = said, .message_cap = sizeof said, .module_dir = MODULE_DIR};
    const struct coat_store_ops *ops = NULL;
    coat_err err;

    REQUIRE(scheme < sizeof schemes / sizeof schemes[0]);
    said[0] = '\0';
    err = coat_store_module_find(&conf, coat_span_of(schemes[scheme]), &ops);
    if (err == COAT_OK) {
        CHECK(ops->abi == COAT_STORE_ABI);
        scheme++;
    }
    return err;
}

static void
run_loading(void)
{
    loaded = load();
}

static void
end_loading(bool harmed)
{
    CHECK_ERR(loaded, harmed ? COAT_UNSUPPORTED : COAT_OK);
    if (!harmed)
        return;
    CHECK(said[0] != '\0');
    CHECK_ERR(load(), COAT_OK);
}

static void
loading(void)
{
    static const torture t = {TORTURE_CALLS, NULL, run_loading, end_loading, 2, 0};

    torture_all(&t);
}

static const coat_test tests[] = {
    {"HD-4: a module that cannot be loaded is said so, and loaded when it can be", loading},
    {"HD-4: by URL: opening and closing fail whole, with TLS and a secret",
     opening_and_closing},
    {"HD-4: TLS: whatever fails, requests end as they may and nothing ended lives", talking},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_kill(&server, SIGKILL);
    return rc;
}
