/* SPDX-License-Identifier: Apache-2.0 */
/** What becomes of a URL: refused with a reason, or all that libpq is given. */

#include "pg_kit.h"

static void
refused_urls(void)
{
    static const struct {
        const char *url, *said;
    } cases[] = {
        {"postgresql://db.example?plaintext=yes", "only be"},
        {"postgresql://db.example?plaintext=allowed&tls=yes", "contradicts"},
        {"postgresql://db.example?plaintext=allowed&ca-file=/x", "contradicts"},
        {"postgresql://127.0.0.1?tls=no", "only be"},
        {"postgresql://127.0.0.1?colour=red", "no parameter"},
        {"postgresql://127.0.0.1?sslmode=disable", "no parameter"},
        {"postgresql://127.0.0.1?schema=a-b", "schema"},
        {"postgresql://127.0.0.1?schema=a;b", "schema"},
        {"postgresql://127.0.0.1?schema=Pg", "schema"},
        {"postgresql://127.0.0.1?schema=pg_x", "schema"},
        {"postgresql://127.0.0.1?schema=", "schema"},
        {"postgresql://127.0.0.1?tls=yes&server-name=", "server-name is empty"},
        {"postgresql+unix:/x?user=", "user is empty"},
        {"postgresql+unix:/x?db=", "db is empty"},
        {"postgresql://127.0.0.1?connections=9", "1 to 8"},
        {"postgresql://127.0.0.1?connections=0", "1 to 8"},
        {"postgresql://127.0.0.1?port=5", "Unix sockets"},
        {"postgresql://127.0.0.1?user=x", "//user@host"},
        {"postgresql://127.0.0.1/host=evil", "not well-formed"},
        {"postgresql://127.0.0.1?migrate=no", "only be"},
        {"postgresql://door:secret@127.0.0.1", "no place in a URL"},
        {"postgresql://127.0.0.1?password-file=/nonexistent", "cannot be opened"},
        {"postgresql://127.0.0.1?ca-file=/nonexistent", "cannot be read"},
        {"postgresql://127.0.0.1?tls=yes&cert-file=/x", "belong together"},
        {"postgresql+unix://host/x", "directory"},
        {"postgresql+unix:/x?tls=yes", "no TLS"},
        {"postgresql:/x", "socket"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_url_refused(&coat_postgresql_ops, cases[i].url, cases[i].said);
}

static const char *
parameter(const pg_conninfo *info, const char *key)
{
    for (size_t i = 0; i < info->count; i++)
        if (strcmp(info->keys[i], key) == 0)
            return info->values[i];
    return "(the environment's)";
}

/** All that decides who is spoken to, as whom and how safely is given to libpq. */
static void
parameters(void)
{
    static const struct {
        const char *url, *key, *value;
    } cases[] = {
        {"postgresql://db.example:7?ca-file=/dev/null", "sslmode", "verify-full"},
        {"", "sslrootcert", "/dev/null"},
        {"", "ssl_min_protocol_version", "TLSv1.2"},
        {"", "sslcert", "/nonexistent/certificate"},
        {"", "sslkey", "/nonexistent/key"},
        {"", "sslcrl", "/nonexistent/crl"},
        {"", "host", "db.example"},
        {"", "port", "7"},
        {"", "user", "coatcheck"},
        {"", "dbname", "coatcheck"},
        {"", "password", "there-is-no-password-file"},
        {"", "passfile", "/dev/null"},
        {"", "application_name", "coatcheck"},
        {"", "client_encoding", "UTF8"},
        {"", "target_session_attrs", "read-write"},
        {"", "gssencmode", "disable"},
        {"", "krbsrvname", "postgres"},
        {"", "channel_binding", "prefer"},
        {"", "keepalives_idle", "30"},
        {"", "tcp_user_timeout", "30000"},
        {"postgresql://door@10.0.0.1/base?cert-file=/c&key-file=/k&server-name=db", "sslcert",
         "/c"},
        {"", "sslkey", "/k"},
        {"", "sslmode", "verify-full"},
        {"", "host", "db"},
        {"", "port", "5432"},
        {"", "user", "door"},
        {"", "dbname", "base"},
        {"postgresql://127.0.0.1", "sslmode", "disable"},
        {"", "host", "127.0.0.1"},
        {"postgresql+unix:/x?user=door&db=base&port=9", "sslmode", "disable"},
        {"", "host", "/x"},
        {"", "port", "9"},
        {"", "user", "door"},
        {"", "dbname", "base"},
    };
    static pg_store at;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char message[400] = "";
        coat_store_conf conf = {
            .url = cases[i].url, .message = message, .message_cap = sizeof message};

        test_case(cases[i].key);
        if (cases[i].url[0] != '\0') { /* else it is the last one's */
            memset(&at, 0, sizeof at);
            CHECK_ERR(pg_take_url(&at, &conf), COAT_OK);
        }
        CHECK_STR(parameter(&at.conninfo, cases[i].key), cases[i].value);
    }
    test_case(NULL);
}

/** Nothing of the environment leads us elsewhere, or gives a password away. */
static void
environment(void)
{
    static const char *const set[][2] = {
        {"PGHOST", "10.255.255.1"},
        {"PGPORT", "1"},
        {"PGDATABASE", "other"},
        {"PGUSER", "other"},
        {"PGPASSWORD", "leaked"},
        {"PGOPTIONS", "-c fsync=x"},
        {"PGSSLMODE", "require"},
        {"PGPASSFILE", "/x"},
        {"PGTARGETSESSIONATTRS", "standby"},
        {"PGREQUIRESSL", "1"},
        {"PGAPPNAME", "other"},
        {"PGSSLMINPROTOCOLVERSION", "TLSv1"},
    };
    static const char *const refused[] = {"PGSERVICE", "PGHOSTADDR"};

    if (server.pid == 0)
        server_start(&server);
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++)
        (void)setenv(set[i][0], set[i][1], 1);
    REQUIRE_OK(server_open(&server, &store));
    REQUIRE_OK(coat_lane_open(store, NULL, &lane));
    CHECK_ERR(sign_in(lane, 1, 1, 10), COAT_OK);
    end();
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++)
        (void)unsetenv(set[i][0]);
    for (size_t i = 0; i < 2; i++) {
        (void)setenv(refused[i], "x", 1);
        CHECK_ERR(server_open(&server, &store), COAT_INVALID);
        (void)unsetenv(refused[i]);
    }
}

static const coat_test tests[] = {
    {"ST-5: URLs that would send secrets in the clear, or make no sense, are refused",
     refused_urls},
    {"ST-5: what libpq is given, TLS 1.2 and all verified where it is not this machine",
     parameters},
    {"ST-4 ST-5: libpq's environment variables decide nothing", environment},
};

int
main(int argc, char **argv)
{
    int rc = coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);

    server_stop(&server);
    return rc;
}
