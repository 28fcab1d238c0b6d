/* SPDX-License-Identifier: Apache-2.0 */
#include "config_try.h"

#include "server/config/value.h"
#include "server/http/server.h"

#include <stdlib.h>

typedef struct bad {
    const char *text, *key, *part;
} bad;

#define REFUSE_ALL(cases)                                                                      \
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases)[0]; i++) {                            \
        test_case((cases)[i].text);                                                            \
        expect_refused((cases)[i].text, (cases)[i].key, (cases)[i].part);                      \
    }

static void
test_defaults(void)
{
    coat_config_error error;
    coat_config *c = try_yaml("", &error);

    REQUIRE(c != NULL);
    CHECK_INT(c->idle_ms, 30 * MINUTE);
    CHECK_INT(c->absolute_ms, 12 * HOUR);
    CHECK_INT(c->rotate_every_ms, 15 * MINUTE);
    CHECK_INT(c->rotate_grace_ms, 10 * SECOND);
    CHECK_INT(c->sessions_per_user, 10);
    CHECK_INT(c->argon_memory, 19456 * KIB);
    CHECK_INT(c->failures_known, 50);
    CHECK_INT(c->failures_unknown, 50);
    CHECK_INT(c->header_timeout_ms, 10 * SECOND);
    CHECK_INT(c->keepalive_ms, 60 * SECOND);
    CHECK_STR(c->cookie_name, "__Host-id");
    CHECK_STR(c->key_file, "/var/lib/coatcheck/keys");
    CHECK_STR(c->store_url, "lmdb:/var/lib/coatcheck/store");
    CHECK_STR(c->admin_socket, "/run/coatcheck/admin.sock");
    CHECK_INT(c->listeners.count, 1);
    CHECK_INT(c->listeners.list[0].trusted_count, 0);
    CHECK_STR(c->listeners.list[0].address, "unix:/run/coatcheck/http.sock");
    CHECK_STR(c->listeners.list[0].path, "/run/coatcheck/http.sock");
    CHECK_INT(c->listeners.list[0].dialect, COAT_DIALECT_NGINX);
    CHECK_INT(c->cors_origins.count, 0);
    CHECK(!c->deviates);
    coat_config_free(c);
}

static void
test_defaults_agree(void)
{
    coat_config *c = try_yaml("", NULL);
    coat_engine_conf engine, engine_before;
    coat_directory_conf directory, directory_before;
    coat_cookie_conf cookie, cookie_before;

    REQUIRE(c != NULL);
    coat_engine_conf_default(&engine_before);
    engine = engine_before;
    coat_config_engine(c, &engine);
    CHECK_INT(engine.policy.idle_ms, engine_before.policy.idle_ms);
    CHECK_INT(engine.policy.absolute_ms, engine_before.policy.absolute_ms);
    CHECK_INT(engine.policy.rotate_every_ms, engine_before.policy.rotate_every_ms);
    CHECK_INT(engine.policy.rotate_grace_ms, engine_before.policy.rotate_grace_ms);
    CHECK_INT(engine.policy.rotate_redeliver_ms, engine_before.policy.rotate_redeliver_ms);
    CHECK_INT(engine.sessions_per_user, engine_before.sessions_per_user);
    CHECK_INT(engine.data_max, engine_before.data_max);
    CHECK_INT(engine.table_slots, engine_before.table_slots);
    coat_directory_conf_default(&directory_before);
    directory = directory_before;
    coat_config_directory(c, &directory);
    CHECK_INT(directory.argon_kib, directory_before.argon_kib);
    CHECK_INT(directory.argon_passes, directory_before.argon_passes);
    CHECK_INT(directory.queue_wait_ms, directory_before.queue_wait_ms);
    CHECK_INT(directory.failures_known, directory_before.failures_known);
    CHECK_INT(directory.attempts_per_minute, directory_before.attempts_per_minute);
    coat_cookie_default(&cookie_before);
    coat_config_cookie(c, &cookie);
    CHECK_STR(cookie.name, cookie_before.name);
    CHECK_STR(cookie.path, cookie_before.path);
    CHECK(cookie.secure && cookie_before.secure);
    CHECK_INT(cookie.samesite, cookie_before.samesite);
    coat_config_free(c);
}

static void
test_precedence(void)
{
    char path[] = "PATH=/bin", file[] = "COATCHECK_CONFIG=/nowhere";
    char idle[] = "COATCHECK_SESSION_IDLE_TIMEOUT=6m",
         rotate[] = "COATCHECK_SESSION_ROTATE_EVERY=6m";
    char *env[] = {path, file, idle, rotate, NULL};
    const char *flags[] = {"--session.idle-timeout=7m"};
    coat_config_input input = {.env = env, .flags = flags, .flag_count = 1};
    coat_config *c = NULL;

    REQUIRE_OK(coat_config_parse(
        COAT_LIT("session: {idle-timeout: 5m, rotate-every: 5m, per-user: 5}"), "t.yaml",
        &input, &c, NULL));
    CHECK_INT(c->idle_ms, 7 * MINUTE);
    CHECK_INT(c->rotate_every_ms, 6 * MINUTE);
    CHECK_INT(c->sessions_per_user, 5);
    for (size_t i = 0; i < coat_config_count(); i++) {
        coat_config_item item;

        coat_config_item_get(c, i, &item);
        if (strcmp(item.path, "session.idle-timeout") == 0)
            CHECK_STR(item.where, "--session.idle-timeout");
        if (strcmp(item.path, "session.rotate-every") == 0)
            CHECK_STR(item.where, "COATCHECK_SESSION_ROTATE_EVERY");
        if (strcmp(item.path, "session.per-user") == 0)
            CHECK_STR(item.where, "t.yaml:1:57");
    }
    coat_config_free(c);
}

static void
test_environment_and_flags(void)
{
    static const struct {
        const char *env, *flag, *part;
    } cases[] = {
        {"COATCHECK_SESSION_IDEL_TIMEOUT=5m", NULL, "no key belongs to"},
        {"COATCHECK_SESSION_IDLE_TIMEOUT=5", NULL, "is not a duration"},
        {NULL, "--session.idel-timeout=5m", "did you mean --session.idle-timeout"},
        {NULL, "--session.idle-timeout", "no flag of a key"},
        {NULL, "session.idle-timeout=5m", "no flag of a key"},
        {NULL, "--cookie.same-site=Lax", "none of: lax, strict, none"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char variable[100];
        char *env[] = {variable, NULL};
        coat_config_input input = {.flags = &cases[i].flag,
                                   .flag_count = cases[i].flag != NULL};
        coat_config_error error = {0};
        coat_config *c = NULL;

        test_case(cases[i].env != NULL ? cases[i].env : cases[i].flag);
        if (cases[i].env != NULL) {
            (void)snprintf(variable, sizeof variable, "%s", cases[i].env);
            input.env = env;
        }
        CHECK_ERR(coat_config_parse((coat_span){NULL, 0}, "", &input, &c, &error),
                  COAT_INVALID);
        if (strstr(error.text, cases[i].part) == NULL)
            test_fail(__FILE__, __LINE__, "says \"%s\"", error.text);
    }
    CHECK(coat_config_is_flag("--log.level=debug"));
    CHECK(!coat_config_is_flag("--log.level"));
    CHECK(!coat_config_is_flag("--json"));
}

static void
test_a_flag_given_twice(void)
{
    const char *flags[] = {"--log.level=info", "--log.level=debug"};
    coat_config_input input = {.flags = flags, .flag_count = 2};
    coat_config *c = NULL;
    coat_config_error error = {0};

    CHECK_ERR(coat_config_parse((coat_span){NULL, 0}, "", &input, &c, &error), COAT_INVALID);
    CHECK(strstr(error.text, "second time") != NULL);
}

static void
test_cookie_contradictions(void)
{
    static const bad cases[] = {
        {"cookie: {domain: example.com}", "cookie.domain", ""},
        {"cookie: {domain: example.com, share-domain: true}", "cookie.domain", ""},
        {"cookie: {path: /app}", "cookie.path", ""},
        {"cookie: {secure: false}", "cookie.secure", ""},
        {"cookie: {name: __host-id}", "cookie.name", ""},
        {"cookie: {name: __HOST-id}", "cookie.name", ""},
        {"cookie: {name: __secure-id}", "cookie.name", ""},
        {"cookie: {name: __Secure-id, secure: false}", "cookie.secure", ""},
        {"cookie: {name: id, secure: false, same-site: none}", "cookie.secure", ""},
        {"cookie: {name: id, secure: false, partitioned: true}", "cookie.secure", ""},
        {"cookie: {name: id, domain: example.com}", "cookie.domain", ""},
        {"cookie: {name: id, domain: com, share-domain: true}", "cookie.domain", ""},
        {"cookie: {name: id, domain: 192.0.2.1, share-domain: true}", "cookie.domain", ""},
        {"cookie: {name: \"a b\"}", "cookie.name", ""},
        {"cookie: {name: \"a=b\"}", "cookie.name", ""},
        {"cookie: {name: \"a;b\"}", "cookie.name", ""},
        {"cookie: {name: \"\"}", "cookie.name", "must not be empty"},
        {"cookie: {same-site: off}", "cookie.same-site", "none of"},
        {"cookie: {path: \"/a;b\", name: id}", "cookie.path", ""},
    };

    REFUSE_ALL(cases);
    test_case("what is right");
    expect_accepted("cookie: {name: id, domain: example.com, share-domain: true}");
    expect_accepted("cookie: {same-site: none}");
    expect_accepted("cookie: {same-site: strict, partitioned: true}");
}

static void
test_plaintext(void)
{
    static const bad cases[] = {
        {"listeners: [\"0.0.0.0:8080\"]\ncookie: {allow-plaintext: true}\n"
         "public: {origins: [http://localhost:8080]}",
         "cookie.allow-plaintext", "not on a loopback"},
        {"listeners: [\"192.0.2.1:8080\"]\ncookie: {allow-plaintext: true}\n"
         "public: {origins: [http://localhost:8080]}",
         "cookie.allow-plaintext", "not on a loopback"},
        {"listeners: [\"127.0.0.1:8080\", \"[::]:8080\"]\ncookie: {allow-plaintext: true}",
         "cookie.allow-plaintext", "[::]:8080"},
        {"listeners: [fd:http]\ncookie: {allow-plaintext: true}", "cookie.allow-plaintext",
         "fd:http"},
        {"cookie: {allow-plaintext: true}\npublic: {origins: [http://example.com]}",
         "cookie.allow-plaintext", "example.com"},
        {"cookie: {allow-plaintext: true}\npublic: {origins: [http://localhost.example]}",
         "cookie.allow-plaintext", "localhost.example"},
        {"public: {origins: [http://example.com]}", "public.origins", "https only"},
        {"cookie: {name: id, secure: false}", "cookie.secure", "allow-plaintext"},
    };

    REFUSE_ALL(cases);
    test_case("what is right");
    expect_accepted("listeners: [\"127.0.0.1:8080\", \"[::1]:8080\", \"unix:/run/x.sock\"]\n"
                    "cookie: {allow-plaintext: true, name: id, secure: false}\n"
                    "public: {origins: [http://localhost:8080, \"http://127.0.0.1:8080\"]}");
}

static void
test_profiles(void)
{
    static const struct {
        const char *name, *text;
        bool ok, deviates;
    } cases[] = {
        {"aal1 at cap", "session: {profile: aal1, absolute-timeout: 30d, idle-timeout: 30d}",
         true, false},
        {"aal2 at cap", "session: {profile: aal2, absolute-timeout: 24h, idle-timeout: 1h}",
         true, false},
        {"aal3 at cap", "session: {profile: aal3, absolute-timeout: 12h, idle-timeout: 15m}",
         true, false},
        {"aal1 above", "session: {profile: aal1, absolute-timeout: 31d}", false, false},
        {"aal2 above", "session: {profile: aal2, absolute-timeout: 25h}", false, false},
        {"aal2 idle above", "session: {idle-timeout: 61m}", false, false},
        {"aal3 above", "session: {profile: aal3, idle-timeout: 16m}", false, false},
        {"aal2 above with reason",
         "session: {absolute-timeout: 7d, profile-deviation: \"kiosk, CISO 2026-3\"}", true,
         true},
        {"aal3 idle above with reason",
         "session: {profile: aal3, idle-timeout: 30m, profile-deviation: why}", true, true},
        {"aal3 13h with reason",
         "session: {profile: aal3, absolute-timeout: 13h, profile-deviation: why}", false,
         false},
        {"aal3 remember 13h with reason",
         "session: {profile: aal3, remember-absolute-timeout: 13h, profile-deviation: why}",
         false, false},
        {"aal1 above with reason: no more than the range",
         "session: {profile: aal1, absolute-timeout: 31d, profile-deviation: why}", false,
         false},
        {"remember above", "session: {remember-absolute-timeout: 30d}", false, false},
        {"reason without deviation", "session: {profile-deviation: why}", true, false},
        {"reason without text", "session: {absolute-timeout: 7d, profile-deviation: \"\"}",
         false, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coat_config_error error;
        coat_config *c = try_yaml(cases[i].text, &error);

        test_case(cases[i].name);
        CHECK_INT(c != NULL, cases[i].ok);
        if (c != NULL)
            CHECK_INT(c->deviates, cases[i].deviates);
        else
            CHECK(strncmp(error.key, "session.", 8) == 0);
        coat_config_free(c);
    }
}

static void
test_profile_lowers_defaults(void)
{
    coat_config *c = try_yaml("session: {profile: aal3}", NULL);
    bool seen = false;

    REQUIRE(c != NULL);
    CHECK_INT(c->idle_ms, 15 * MINUTE);
    CHECK_INT(c->absolute_ms, 12 * HOUR);
    CHECK_INT(c->remember_idle_ms, 15 * MINUTE);
    CHECK_INT(c->remember_absolute_ms, 12 * HOUR);
    CHECK(!c->deviates);
    for (size_t i = 0; i < coat_config_count(); i++) {
        coat_config_item item;

        coat_config_item_get(c, i, &item);
        seen |= strstr(item.where, "lowered to the cap of aal3") != NULL;
    }
    CHECK(seen);
    coat_config_free(c);
}

static void
test_session_contradictions(void)
{
    static const bad cases[] = {
        {"session: {absolute-timeout: 10m, rotate-every: 11m}", "session.rotate-every",
         "longer"},
        {"session: {idle-timeout: 59s}", "session.idle-timeout", "1m to 30d"},
        {"session: {absolute-timeout: 4m}", "session.absolute-timeout", "5m to 30d"},
        {"session: {rotate-grace: 61s}", "session.rotate-grace", "0s to 1m"},
        {"session: {data-max: 17KiB}", "session.data-max", "0 to 16KiB"},
    };

    REFUSE_ALL(cases);
    expect_accepted("session: {absolute-timeout: 5m}");
}

static void
test_weak_hashes(void)
{
    static const bad cases[] = {
        {"password: {memory: 47103KiB, passes: 1}", "password.memory", "too weak"},
        {"password: {passes: 1}", "password.passes", "too weak"},
        {"password: {memory: 19455KiB, passes: 2}", "password.memory", "too weak"},
        {"password: {memory: 19455KiB}", "password.memory", "too weak"},
        {"password: {memory: 12287KiB, passes: 3}", "password.memory", "too weak"},
        {"password: {memory: 12287KiB, passes: 64}", "password.memory", "too weak"},
        {"password: {memory: 1MiB, passes: 10}", "password.memory", "too weak"},
        {"password: {memory: 1KiB, passes: 10}", "password.memory", "range"},
        {"password: {passes: 0}", "password.passes", "range"},
        {"password: {memory: 19923457}", "password.memory", "multiple"},
    };

    REFUSE_ALL(cases);
    expect_accepted("password: {memory: 46MiB, passes: 1}");
    expect_accepted("password: {memory: 12MiB, passes: 3}");
}

static void
test_trust(void)
{
    static const bad cases[] = {
        {"listeners: [{address: \"127.0.0.1:1\", dialect: nginx, trusted: [0.0.0.0/0]}]",
         "listeners", "0.0.0.0/0"},
        {"listeners: [{address: \"127.0.0.1:1\", dialect: nginx, trusted: [\"::/0\"]}]",
         "listeners", "::/0"},
        {"listeners: [{address: \"127.0.0.1:1\", dialect: nginx, trusted: [0.0.0.0/1, "
         "128.0.0.0/1]}]",
         "listeners", "too wide"},
        {"listeners: [{address: \"127.0.0.1:1\", dialect: nginx, trusted: [\"::/1\"]}]",
         "listeners", ""},
        {"listeners: [{address: \"127.0.0.1:1\", dialect: nginx, trusted: [proxy]}]",
         "listeners", "no network"},
        {"listeners: [{address: \"127.0.0.1:1\", trusted: [10.0.0.0/8]}]", "listeners",
         "without a dialect"},
        {"listeners: [{address: \"127.0.0.1:1\", dialect: nginx}]", "listeners",
         "believe nobody"},
        {"listeners: [{address: \"127.0.0.1:1\", dialect: apache, trusted: [10.0.0.0/8]}]",
         "listeners", "none of: none, nginx, forwarded, envoy"},
        {"listeners: [{address: \"127.0.0.1:1\", dialect: nginx, trusted: [10.0.0.0/8], "
         "trust: []}]",
         "listeners", "\"trust\" is unknown"},
        {"listeners: [{address: \"127.0.0.1:1\", dialect: nginx, dialect: envoy}]", "listeners",
         "second time"},
        {"listeners: [\"unix:{data.directory}/http.sock\"]", "listeners", "no absolute path"},
        {"listeners: [\"unix:{runtime.directory}\"]", "listeners", "no absolute path"},
    };

    REFUSE_ALL(cases);
}

static void
test_listeners(void)
{
    coat_config *c = try_yaml("listeners:\n"
                              "  - address: tcp:127.0.0.1:8080\n"
                              "    dialect: forwarded\n"
                              "    trusted: [127.0.0.1/32, fd00::/16]\n"
                              "  - address: unix:/run/coatcheck/http.sock\n"
                              "    dialect: nginx\n"
                              "    group: www-data\n"
                              "  - \"[::1]:0;dialect=envoy;trusted=::1/128\"\n"
                              "  - address: unix:/run/coatcheck/gate.sock\n"
                              "    dialect: module\n"
                              "    group: www-data\n",
                              NULL);
    coat_forward_conf forward;
    coat_config_item item;

    REQUIRE(c != NULL);
    REQUIRE(c->listeners.count == 4);
    CHECK_STR(c->listeners.list[0].address, "127.0.0.1:8080");
    CHECK_INT(c->listeners.list[0].dialect, COAT_DIALECT_FORWARDED);
    CHECK_INT(c->listeners.list[0].trusted_count, 2);
    CHECK_STR(c->listeners.list[1].path, "/run/coatcheck/http.sock");
    CHECK_INT(c->listeners.list[1].mode, 0660);
    CHECK_STR(c->listeners.list[1].group, "www-data");
    CHECK_STR(c->runtime_group, "www-data");
    CHECK_INT(c->listeners.list[2].dialect, COAT_DIALECT_ENVOY);
    CHECK_INT(c->listeners.list[3].dialect, COAT_DIALECT_MODULE);
    CHECK_STR(c->listeners.list[3].path, "/run/coatcheck/gate.sock");
    forward = coat_config_forward(&c->listeners.list[0]);
    CHECK(!forward.trust_unix);
    forward = coat_config_forward(&c->listeners.list[1]);
    CHECK(forward.trust_unix);
    coat_config_item_get(c, 0, &item);
    CHECK_STR(item.path, "listeners");
    CHECK(strstr(item.value,
                 "127.0.0.1:8080;dialect=forwarded;trusted=127.0.0.1/32 fd00::/16") != NULL);
    coat_config_free(c);
}

static void
test_bad_listeners(void)
{
    static const bad cases[] = {
        {"listeners: []", "listeners", "0 entries"},
        {"listeners: [\":8080\"]", "listeners", "no address"},
        {"listeners: [\"localhost:8080\"]", "listeners", "no address"},
        {"listeners: [\"8080\"]", "listeners", "no port"},
        {"listeners: [\"127.0.0.1:65536\"]", "listeners", "no port"},
        {"listeners: [\"::1:8080\"]", "listeners", "no address"},
        {"listeners: [\"[127.0.0.1]:8080\"]", "listeners", "no address"},
        {"listeners: [\"unix:relative\"]", "listeners", "absolute"},
        {"listeners: [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "listeners", "twice"},
        {"listeners: [{address: \"127.0.0.1:1\", mode: \"0660\"}]", "listeners", "unix:"},
        {"listeners: [{address: \"unix:/x\", mode: \"0666\"}]", "listeners", "0600, 0660"},
        {"listeners: [{address: \"unix:/x\", mode: \"0660\"}]", "listeners", "belong together"},
        {"listeners: [{dialect: nginx}]", "listeners", "needs an address"},
        {"listeners: [{address: \"unix:/x\", dialect: modules}]", "listeners",
         "none, nginx, forwarded, envoy, module"},
        {"listeners: [{address: \"127.0.0.1:1\", dialect: module}]", "listeners",
         "believe nobody"},
        {"listeners: {address: x}", "listeners", "must be"},
        {"listeners: [[a]]", "listeners", "no text"},
    };

    REFUSE_ALL(cases);
}

static void
test_cors(void)
{
    static const bad cases[] = {
        {"cors: {origins: [\"*\"]}", "cors.origins", ""},
        {"cors: {origins: [\"null\"]}", "cors.origins", ""},
        {"cors: {origins: [\"https://*.example.com\"]}", "cors.origins", ""},
        {"cors: {origins: [\"https://.*\"]}", "cors.origins", ""},
        {"cors: {origins: [https://example.com/]}", "cors.origins", ""},
        {"cors: {origins: [https://EXAMPLE.com]}", "cors.origins", ""},
        {"cors: {origins: [example.com]}", "cors.origins", ""},
        {"cors: {origins: [https://a.example, https://a.example]}", "cors.origins", "twice"},
        {"cors: {methods: [\"*\"]}", "cors.methods", "wildcard"},
        {"cors: {headers: [\"*\"]}", "cors.headers", "wildcard"},
        {"cors: {exposed: [\"*\"]}", "cors.exposed", "wildcard"},
        {"cors: {headers: [\"x y\"]}", "cors.headers", "no token"},
        {"cors: {headers: [X-Token]}", "cors.headers", "lower case"},
        {"cors: {max-age: 11m}", "cors.max-age", "0s to 10m"},
    };
    coat_config *c;
    coat_cors_policy cors;

    REFUSE_ALL(cases);
    c = try_yaml("cors: {origins: [https://a.example], methods: [GET, PUT], exposed: [X-A]}",
                 NULL);
    REQUIRE(c != NULL);
    cors = coat_config_cors(c);
    CHECK_INT(cors.allowed.count, 1);
    CHECK_STR(cors.methods, "GET, PUT");
    CHECK_STR(cors.headers, "content-type, x-csrf-token");
    CHECK_STR(cors.exposed, "X-A");
    CHECK_INT(cors.max_age_s, 600);
    coat_config_free(c);
}

#define FIFTY "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void
test_assertions(void)
{
    static const bad cases[] = {
        {"assertion: {issuer: https://a.example}", "assertion.issuer", "nothing is signed"},
        {"assertion: {lifetime: 30s}", "assertion.lifetime", "nothing is signed"},
        {"assertion: {audiences: [api], lifetime: 9s}", "assertion.lifetime", "10s to 1m"},
        {"assertion: {audiences: [api], lifetime: 61s}", "assertion.lifetime", "10s to 1m"},
        {"assertion: {audiences: [api], lifetime: 30500ms}", "assertion.lifetime",
         "whole seconds"},
        {"assertion: {audiences: [api], issuer: \"a b\"}", "assertion.issuer", "visible"},
        {"assertion: {audiences: [api], issuer: \"\xc3\xa9\"}", "assertion.issuer", "visible"},
        {"assertion: {audiences: [\"a b\"]}", "assertion.audiences", "letters"},
        {"assertion: {audiences: [\"a%b\"]}", "assertion.audiences", "letters"},
        {"assertion: {audiences: [\"a&b\"]}", "assertion.audiences", "letters"},
        {"assertion: {audiences: [\"\"]}", "assertion.audiences", "empty"},
        {"assertion: {audiences: [api, api]}", "assertion.audiences", "twice"},
        {"assertion: {audiences: [\"yes\"]}", "assertion.audiences", "word"},
        {"assertion: {audiences: [\"no\"]}", "assertion.audiences", "word"},
        {"assertion: {audiences: [\"on\"]}", "assertion.audiences", "word"},
        {"assertion: {audiences: [api, \"off\"]}", "assertion.audiences", "word"},
        {"assertion: {audiences: [" FIFTY FIFTY FIFTY "]}", "assertion.audiences",
         "at most 128"},
        {"assertion: {audiences: [api]}\nidentity: {assertion: \"\"}", "identity.assertion",
         "is empty"},
        {"identity: {assertion: Authorization}", "identity.assertion", "meaning"},
        {"identity: {assertion: x-auth-time}", "identity.assertion", "twice"},
    };
    coat_config *c = try_yaml("", NULL);

    REQUIRE(c != NULL);
    CHECK_INT(c->assertion_audiences.count, 0);
    CHECK_INT(c->assertion_lifetime_ms, 60 * SECOND);
    CHECK_STR(c->header_assertion, "X-Auth-Assertion");
    coat_config_free(c);
    REFUSE_ALL(cases);
    expect_accepted("identity: {assertion: \"\"}");
    expect_accepted("assertion: {audiences: [], lifetime: 60s, issuer: \"\"}");
    expect_accepted("assertion: {audiences: [orders-api, \"https://api.example.com/v1~a_b\"], "
                    "lifetime: 10s, issuer: https://id.example.com/coatcheck}");
}

static void
test_other_contradictions(void)
{
    static const bad cases[] = {
        {"data: {pepper-file: \"{data.directory}/keys\"}", "data.pepper-file", "data.key-file"},
        {"table: {path: \"{runtime.directory}/admin.sock\"}", "admin.socket", "already"},
        {"listeners: [unix:/run/coatcheck/admin.sock]", "admin.socket", "listener"},
        {"data: {key-file: \"{home}/keys\"}", "data.key-file", "braces"},
        {"data: {directory: \"{runtime.directory}\"}", "data.directory", "braces"},
        {"server: {base-path: auth}", "server.base-path", ""},
        {"server: {base-path: /auth/}", "server.base-path", ""},
        {"server: {base-path: /a/../b}", "server.base-path", ""},
        {"server: {group: www-data}", "server.group", "server.user"},
        {"server: {user: www-data, allow-root: true}", "server.allow-root", "contradicts"},
        {"public: {default-target: //evil.example}", "public.default-target", ""},
        {"public: {default-target: https://evil.example/}", "public.default-target", ""},
        {"public: {origins: []}", "public.origins", "1 to 64"},
        {"identity: {user: Cookie}", "identity.user", "meaning"},
        {"identity: {roles: X-Forwarded-For}", "identity.roles", "meaning"},
        {"identity: {roles: x-auth-user}", "identity.roles", "twice"},
        {"identity: {user: \"X Y\"}", "identity.user", "no field name"},
        {"throttle: {failures-known: 51}", "throttle.failures-known", "101"},
        {"throttle: {failures-known: 5, failures-unknown: 4}", "throttle.failures-known",
         "9 tog"},
        {"admin: {mode: \"0660\"}", "admin.mode", "admin.group"},
        {"admin: {mode: \"0660\", group: a}\ntable: {group: b}", "admin.group", "one group"},
        {"table: {group: b}\nlisteners: [\"unix:/run/coatcheck/s;group=c\"]", "listeners",
         "one group"},
        {"log: {target: syslog}", "log.target", "no target"},
        {"log: {target: \"file:relative\"}", "log.target", "no target"},
        {"store: {url: nothing}", "store.url", "no store"},
        {"store: {map-size: 16MiB, reserve: 9MiB}", "store.reserve", "half"},
        {"pages: {name: \"a\\nb\"}", "pages.name", "control character"},
    };

    REFUSE_ALL(cases);
}

static void
test_conversions(void)
{
    coat_config *c =
        try_yaml("session: {reuse-policy: report, limit-policy: deny, context-policy: "
                 "step-up, context-privacy: true, data-max: 1KiB}\n"
                 "csrf: {allow-same-site: true}\n"
                 "password: {memory: 32MiB, passes: 3}\n"
                 "limits: {header-timeout: 5s, connections-per-source: 7}\n"
                 "public: {origins: [https://a.example, https://b.example], "
                 "return-origins: [https://c.example]}\n",
                 NULL);
    coat_engine_conf engine = {0};
    coat_directory_conf directory = {0};
    struct coat_http_limits limits = {0};
    coat_store_conf store = {0};

    REQUIRE(c != NULL);
    coat_config_engine(c, &engine);
    CHECK(engine.reuse_report_only && engine.sessions_deny && engine.context_privacy);
    CHECK_INT(engine.context_policy, COAT_CONTEXT_STEP_UP);
    CHECK_INT(engine.data_max, 1024);
    coat_config_directory(c, &directory);
    CHECK_INT(directory.argon_kib, 32768);
    CHECK_INT(directory.argon_passes, 3);
    CHECK(coat_config_site(c).allow_same_site);
    CHECK_INT(coat_config_site(c).own.count, 2);
    CHECK_STR(coat_config_return_origins(c).list[0], "https://c.example");
    coat_config_limits(c, &limits);
    CHECK_INT(limits.header_ms, 5000);
    CHECK_INT(limits.per_source, 7);
    coat_config_store(c, &store);
    CHECK_INT(store.map_bytes, 64 * GIB);
    coat_config_free(c);
}

static void
note_change(void *ctx, const coat_config_item *before, const coat_config_item *after)
{
    size_t *count = ctx;

    (*count)++;
    CHECK_STR(before->path, after->path);
}

static void
test_reload_difference(void)
{
    coat_config *a = try_yaml("session: {idle-timeout: 5m}\ntable: {slots: 2048}", NULL);
    coat_config *b = try_yaml("session: {idle-timeout: 6m}\ntable: {slots: 4096}", NULL);
    size_t changes = 0;

    REQUIRE(a != NULL && b != NULL);
    CHECK_INT(coat_config_diff(a, b, note_change, &changes), 1);
    CHECK_INT(changes, 2);
    CHECK_INT(coat_config_diff(a, a, note_change, &changes), 0);
    CHECK_INT(changes, 2);
    coat_config_free(a);
    coat_config_free(b);
}

/* What `config show` prints is a configuration with the same values. */
static void
test_show_reads_back(void)
{
    coat_config *a =
        try_yaml("session: {idle-timeout: 5m, profile-deviation: 'a \"b\" # c: d'}\n"
                 "listeners:\n  - {address: \"127.0.0.1:1\", dialect: nginx, "
                 "trusted: [10.0.0.0/8]}\n"
                 "admin: {users: [a, \"1\"]}\n",
                 NULL);
    coat_config *b = NULL;
    coat_config_error error = {0};
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    REQUIRE(a != NULL && out != NULL);
    coat_config_show(a, out);
    fclose(out);
    b = try_yaml(text, &error);
    if (b == NULL)
        test_fail(__FILE__, __LINE__, "%u:%u %s: %s", error.line, error.column, error.key,
                  error.text);
    else
        CHECK_INT(coat_config_diff(a, b, NULL, NULL), 0);
    if (b != NULL)
        CHECK_STR(b->profile_deviation, "a \"b\" # c: d");
    free(text);
    coat_config_free(a);
    coat_config_free(b);
}

static void
test_values(void)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } durations[] =
        {
            {"0s", 0},
            {"1ms", 1},
            {"250ms", 250},
            {"30m", 30 * MINUTE},
            {"24h", DAY},
            {"30d", 30 * DAY},
            {"", -1},
            {"5", -1},
            {"5 m", -1},
            {"1h30m", -1},
            {"-5m", -1},
            {"05m", -1},
            {"5M", -1},
            {"5min", -1},
            {"1.5h", -1},
            {"+5m", -1},
            {"999999999999999999d", -1},
            {"9999999999999999999ms", -1},
        },
      sizes[] = {
          {"0", 0},
          {"4096", 4096},
          {"16KiB", 16 * KIB},
          {"19MiB", 19 * MIB},
          {"64GiB", 64 * GIB},
          {"1TiB", TIB},
          {"1KB", -1},
          {"1k", -1},
          {"1 KiB", -1},
          {"0x10", -1},
          {"-1", -1},
          {"999999999999999TiB", -1},
      };

    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        int64_t ms = -1;
        coat_err err = coat_duration_parse(coat_span_of(durations[i].text), &ms);

        test_case(durations[i].text);
        CHECK_INT(err == COAT_OK, durations[i].ms >= 0);
        CHECK_INT(ms, durations[i].ms);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int64_t bytes = -1;
        coat_err err = coat_size_parse(coat_span_of(sizes[i].text), &bytes);

        test_case(sizes[i].text);
        CHECK_INT(err == COAT_OK, sizes[i].ms >= 0);
        CHECK_INT(bytes, sizes[i].ms);
    }
}

static const coat_test tests[] = {
    {"UP-5: defaults are those of the requirements' table", test_defaults},
    {"UP-5: defaults of the configuration are those of the library", test_defaults_agree},
    {"flags win over environment, environment over file", test_precedence},
    {"UP-5: unknown variables and flags are refused", test_environment_and_flags},
    {"UP-5: a flag given twice is refused", test_a_flag_given_twice},
    {"CK-2: contradictory cookie settings are refused and the key is named",
     test_cookie_contradictions},
    {"CK-8: plaintext is refused off loopback", test_plaintext},
    {"LC-3: profiles cap the timeouts, a reason lifts all caps but aal3's", test_profiles},
    {"LC-3: defaults follow the profile", test_profile_lowers_defaults},
    {"timeouts out of range or in contradiction are refused", test_session_contradictions},
    {"LG-1: weak hash settings are refused", test_weak_hashes},
    {"FA-1: trust in everybody is refused", test_trust},
    {"listeners are read in both forms", test_listeners},
    {"bad listeners are refused", test_bad_listeners},
    {"CO-1: wildcards and patterns are refused", test_cors},
    {"FA-10: assertions: what contradicts itself or could not be asked for is refused",
     test_assertions},
    {"ST-2: contradictions between keys are refused", test_other_contradictions},
    {"conversions carry every value over", test_conversions},
    {"a reload knows what changed and what needs a restart", test_reload_difference},
    {"config show reads back", test_show_reads_back},
    {"durations and sizes have one spelling", test_values},
};
COAT_TEST_MAIN(tests)
