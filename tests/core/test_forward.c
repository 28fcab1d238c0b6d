/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"
#include "core/bytes.h"

#include <coatcheck/forward.h>

/* Trusted: 10.0.0.0/8, 192.0.2.1 and fd00::/8. Clients are from elsewhere. */
static coat_network networks[3];

static coat_forward_conf
conf_of(coat_dialect dialect)
{
    REQUIRE_OK(coat_network_parse("10.0.0.0/8", &networks[0]));
    REQUIRE_OK(coat_network_parse("192.0.2.1", &networks[1]));
    REQUIRE_OK(coat_network_parse("fd00::/8", &networks[2]));
    return (coat_forward_conf){
        .dialect = dialect, .trusted = networks, .trusted_count = 3, .trust_unix = true};
}

static coat_address
address(const char *text)
{
    coat_address out = {0};

    if (text != NULL)
        REQUIRE_OK(coat_address_parse(coat_span_of(text), &out));
    return out;
}

/* Fields are written as in a request, "Name: value" and LF between. */
static size_t
fields_of(const char *text, coat_field *fields, size_t cap)
{
    size_t count = 0;

    while (text != NULL && *text != '\0') {
        const char *colon = strchr(text, ':'), *end = strchr(text, '\n');
        const char *value;

        REQUIRE(colon != NULL && count < cap);
        if (end == NULL)
            end = text + strlen(text);
        for (value = colon + 1; value < end && *value == ' '; value++)
            ;
        fields[count++] = (coat_field){
            {(const uint8_t *)text, (size_t)(colon - text)},
            {(const uint8_t *)value, (size_t)(end - value)},
        };
        text = *end == '\n' ? end + 1 : end;
    }
    return count;
}

static coat_err
read_forward(const coat_forward_conf *conf, const char *peer, const char *text,
             coat_forward *out)
{
    static coat_field fields[64];
    coat_address from = address(peer);
    size_t count = fields_of(text, fields, 64);

    return coat_forward_read(conf, &from, fields, count, COAT_LIT("PUT"), COAT_LIT("/own"),
                             COAT_LIT("own.example"), out);
}

#define CHECK_SPAN(got, want) CHECK_MEM((got).ptr, (got).len, (want), strlen(want))

static const struct chain_case {
    const char *label, *peer; /* peer NULL: Unix socket */
    const char *fields;
    const char *want; /* "unknown": none */
} chain_cases[] = {
#define FOR "X-Forwarded-For: "
    {"no chain", "10.0.0.1", "", "10.0.0.1"},
    {"no chain, Unix socket", NULL, "", "unknown"},
    {"one hop", "10.0.0.1", FOR "203.0.113.7", "203.0.113.7"},
    {"one hop, Unix socket", NULL, FOR "203.0.113.7", "203.0.113.7"},
    {"one hop, IPv6 proxy", "fd00::5", FOR "2001:db8::7", "2001:db8::7"},
    {"spoofed leftmost", "10.0.0.1", FOR "1.1.1.1, 203.0.113.7", "203.0.113.7"},
    {"spoofed as trusted", "10.0.0.1", FOR "10.9.9.9, 203.0.113.7", "203.0.113.7"},
    {"trusted hop between", "10.0.0.1", FOR "203.0.113.7, 10.0.0.2", "203.0.113.7"},
    {"two trusted hops", "10.0.0.1", FOR "203.0.113.7, 10.0.0.3, 192.0.2.1", "203.0.113.7"},
    {"spoof before two hops", "10.0.0.1", FOR "1.1.1.1,203.0.113.7,10.0.0.3", "203.0.113.7"},
    {"all trusted", "10.0.0.1", FOR "10.0.0.9, 10.0.0.3", "10.0.0.9"},
    {"untrusted peer", "203.0.113.9", FOR "1.1.1.1", "203.0.113.9"},
    {"nearly trusted peer", "11.0.0.1", FOR "1.1.1.1", "11.0.0.1"},
    {"mapped hop", "10.0.0.1", FOR "::ffff:203.0.113.7", "203.0.113.7"},
    {"mapped trusted hop", "10.0.0.1", FOR "203.0.113.7, ::ffff:10.0.0.2", "203.0.113.7"},
    {"IPv4 with port", "10.0.0.1", FOR "203.0.113.7:4711", "203.0.113.7"},
    {"IPv6 with port", "10.0.0.1", FOR "[2001:db8::7]:4711", "2001:db8::7"},
    {"IPv6 in brackets", "10.0.0.1", FOR "[2001:db8::7]", "2001:db8::7"},
    {"IPv4 in brackets", "10.0.0.1", FOR "[203.0.113.7]", "10.0.0.1"},
    {"bracket open", "10.0.0.1", FOR "[2001:db8::7", "10.0.0.1"},
    {"bracket and junk", "10.0.0.1", FOR "[2001:db8::7]x", "10.0.0.1"},
    {"port not a number", "10.0.0.1", FOR "203.0.113.7:http", "10.0.0.1"},
    {"port empty", "10.0.0.1", FOR "203.0.113.7:", "10.0.0.1"},
    {"port too long", "10.0.0.1", FOR "203.0.113.7:123456", "10.0.0.1"},
    {"zone id", "10.0.0.1", FOR "fe80::1%eth0", "10.0.0.1"},
    {"obfuscated", "10.0.0.1", FOR "_hidden", "10.0.0.1"},
    {"unknown", "10.0.0.1", FOR "203.0.113.7, unknown", "10.0.0.1"},
    {"unknown behind a trusted hop", "10.0.0.1", FOR "203.0.113.7, unknown, 10.0.0.2",
     "10.0.0.2"},
    {"host name", "10.0.0.1", FOR "client.example", "10.0.0.1"},
    {"malformed, Unix socket", NULL, FOR "203.0.113.7, x", "unknown"},
    {"empty", "10.0.0.1", FOR "", "10.0.0.1"},
    {"empty last", "10.0.0.1", FOR "203.0.113.7,", "10.0.0.1"},
    {"empty between", "10.0.0.1", FOR "203.0.113.7,,10.0.0.2", "10.0.0.2"},
    {"comma only", "10.0.0.1", FOR ",", "10.0.0.1"},
    {"spaces and tabs", "10.0.0.1", FOR "1.1.1.1 ,\t203.0.113.7\t", "203.0.113.7"},
    {"space inside", "10.0.0.1", FOR "203.0.113.7 10.0.0.2", "10.0.0.1"},
    {"leading zero", "10.0.0.1", FOR "203.0.113.07", "10.0.0.1"},
    {"two lines", "10.0.0.1", FOR "1.1.1.1\n" FOR "203.0.113.7", "203.0.113.7"},
    {"two lines, both trusted", "10.0.0.1", FOR "203.0.113.7\n" FOR "10.0.0.2", "203.0.113.7"},
    {"two lines, last empty", "10.0.0.1", FOR "203.0.113.7\n" FOR "", "10.0.0.1"},
    {"quoted", "10.0.0.1", FOR "\"203.0.113.7\"", "10.0.0.1"},
    {"other letter case", "10.0.0.1", "x-forwarded-FOR: 203.0.113.7", "203.0.113.7"},
    {"underscores", "10.0.0.1", "X_Forwarded_For: 203.0.113.7", "10.0.0.1"},
    {"one underscore", "10.0.0.1", "X-Forwarded_For: 203.0.113.7", "10.0.0.1"},
    {"X-Real-IP alone", "10.0.0.1", "X-Real-IP: 203.0.113.7", "10.0.0.1"},
    {"X-Real-IP beside", "10.0.0.1", "X-Real-IP: 1.1.1.1\n" FOR "203.0.113.7", "203.0.113.7"},
    {"Forwarded", "10.0.0.1", "Forwarded: for=203.0.113.7", "10.0.0.1"},
    {"longer name", "10.0.0.1", "X-Forwarded-Fort: 203.0.113.7", "10.0.0.1"},
};

static void
test_chain(void)
{
    static const coat_dialect dialects[] = {COAT_DIALECT_NGINX, COAT_DIALECT_FORWARDED,
                                            COAT_DIALECT_ENVOY, COAT_DIALECT_MODULE};

    CHECK(sizeof chain_cases / sizeof chain_cases[0] >= 30);
    for (size_t i = 0; i < sizeof chain_cases / sizeof chain_cases[0]; i++)
        for (size_t d = 0; d < 4; d++) {
            coat_forward_conf conf = conf_of(dialects[d]);
            coat_forward out = {0};
            char got[46];

            test_case(chain_cases[i].label);
            REQUIRE_OK(read_forward(&conf, chain_cases[i].peer, chain_cases[i].fields, &out));
            coat_address_format(&out.client, got, sizeof got);
            CHECK_STR(got, chain_cases[i].want);
        }
}

/* The walk looks at so many entries and no more, whether in one line or in many. */
static void
test_chain_limit(void)
{
    coat_forward_conf conf = conf_of(COAT_DIALECT_NGINX);
    static char line[16 * 200 + 1];
    coat_field fields[200];
    coat_address peer = address("10.0.0.1");
    coat_forward out;
    char got[46];

    for (int i = 0; i < 200; i++) /* the nearest is 10.0.0.199 */
        (void)snprintf(line + 16 * i, 17, "10.0.0.%-3d%s", i, i < 199 ? "  ,   " : "");
    for (int lines = 0; lines < 2; lines++) {
        size_t count = lines ? 200 : 1;

        for (size_t i = 0; i < count; i++) {
            fields[i].name = COAT_LIT("X-Forwarded-For");
            fields[i].value = lines ? (coat_span){(uint8_t *)line + 16 * i, i < 100 ? 8 : 10}
                                    : (coat_span){(uint8_t *)line, strlen(line)};
            while (fields[i].value.ptr[fields[i].value.len - 1] == ' ')
                fields[i].value.len--;
        }
        REQUIRE_OK(coat_forward_read(&conf, &peer, fields, count, (coat_span){0},
                                     (coat_span){0}, (coat_span){0}, &out));
        coat_address_format(&out.client, got, sizeof got);
        CHECK_STR(got, "10.0.0.168"); /* 199 is the first of 32 */
    }
}

static const struct request_case {
    const char *label;
    coat_dialect dialect;
    const char *fields;
    const char *method, *target, *host; /* method NULL: malformed; "": not forwarded */
    bool tls;
} request_cases[] = {
#define NGINX COAT_DIALECT_NGINX
#define FORWARDED COAT_DIALECT_FORWARDED
#define ENVOY COAT_DIALECT_ENVOY
    {"nginx", NGINX,
     "X-Original-Method: POST\nX-Original-URI: /a?b\nX-Original-Host: app.example\n"
     "X-Forwarded-Proto: https",
     "POST", "/a?b", "app.example", true},
    {"nginx, plain", NGINX, "X-Original-URI: /a\nX-Forwarded-Proto: http", "", "/a", "", false},
    {"nginx, nothing", NGINX, "", "", "", "", false},
    {"nginx does not read Traefik's", NGINX,
     "X-Forwarded-Method: POST\nX-Forwarded-Uri: /public\nX-Forwarded-Host: evil.example", "",
     "", "", false},
    {"nginx, letter case", NGINX, "x-ORIGINAL-uri: /a", "", "/a", "", false},
    {"nginx, underscores", NGINX, "X_Original_URI: /public\nX-Original_Method: GET", "", "", "",
     false},
    {"nginx, real and underscored", NGINX, "X-Original-URI: /a\nX_Original_URI: /public", "",
     "/a", "", false},
    {"Traefik", FORWARDED,
     "X-Forwarded-Method: DELETE\nX-Forwarded-Proto: https\nX-Forwarded-Host: "
     "app.example:8443\n"
     "X-Forwarded-Uri: /x?y=z",
     "DELETE", "/x?y=z", "app.example:8443", true},
    {"Traefik, WebSocket", FORWARDED, "X-Forwarded-Uri: /ws\nX-Forwarded-Proto: wss", "", "/ws",
     "", true},
    {"Traefik, plain WebSocket", FORWARDED, "X-Forwarded-Proto: ws", "", "", "", false},
    {"Traefik does not read nginx's", FORWARDED,
     "X-Original-Method: POST\nX-Original-URI: /public\nX-Original-Host: e", "", "", "", false},
    {"IPv6 host", FORWARDED, "X-Forwarded-Host: [2001:db8::1]:8443", "", "",
     "[2001:db8::1]:8443", false},
    {"Envoy", ENVOY, "X-Forwarded-Proto: https", "PUT", "/own", "own.example", true},
    {"Envoy, host of others", ENVOY, "X-Forwarded-Host: evil.example", "PUT", "/own",
     "own.example", false},
    {"options of all", NGINX, "X-Original-Method: OPTIONS\nX-Original-URI: *", "OPTIONS", "*",
     "", false},
    {"proto in capitals", NGINX, "X-Forwarded-Proto: HTTPS", "", "", "", true},

    {"two paths", NGINX, "X-Original-URI: /a\nX-Original-URI: /b", NULL, NULL, NULL, false},
    {"two equal paths", NGINX, "X-Original-URI: /a\nX-Original-URI: /a", NULL, NULL, NULL,
     false},
    {"two paths, letter case", NGINX, "X-Original-URI: /a\nx-original-uri: /b", NULL, NULL,
     NULL, false},
    {"two methods", NGINX, "X-Original-Method: GET\nX-Original-Method: POST", NULL, NULL, NULL,
     false},
    {"two hosts", NGINX, "X-Original-Host: a\nX-Original-Host: b", NULL, NULL, NULL, false},
    {"two protos", NGINX, "X-Forwarded-Proto: https\nX-Forwarded-Proto: http", NULL, NULL, NULL,
     false},
    {"two empty paths", NGINX, "X-Original-URI: \nX-Original-URI: ", NULL, NULL, NULL, false},
    {"two paths of Traefik", FORWARDED, "X-Forwarded-Uri: /a\nX-Forwarded-Uri: /b", NULL, NULL,
     NULL, false},
    {"two hosts of Traefik", FORWARDED, "X-Forwarded-Host: a\nX-Forwarded-Host: b", NULL, NULL,
     NULL, false},
    {"two methods of Traefik", FORWARDED, "X-Forwarded-Method: GET\nX-Forwarded-Method: GET",
     NULL, NULL, NULL, false},
    {"two protos for Envoy", ENVOY, "X-Forwarded-Proto: http\nX-Forwarded-Proto: https", NULL,
     NULL, NULL, false},
    {"dialects disagree on the path", NGINX, "X-Original-URI: /admin\nX-Forwarded-Uri: /public",
     NULL, NULL, NULL, false},
    {"dialects disagree on the path 2", FORWARDED,
     "X-Forwarded-Uri: /public\nX-Original-URI: /admin", NULL, NULL, NULL, false},
    {"dialects disagree on the method", FORWARDED,
     "X-Original-Method: POST\nX-Forwarded-Method: GET", NULL, NULL, NULL, false},
    {"dialects disagree with Envoy", ENVOY, "X-Original-URI: /public", NULL, NULL, NULL, false},
    {"dialects agree", NGINX, "X-Original-URI: /a\nX-Forwarded-Uri: /a", "", "/a", "", false},
    {"empty path", NGINX, "X-Original-URI: ", NULL, NULL, NULL, false},
    {"relative path", NGINX, "X-Original-URI: a", NULL, NULL, NULL, false},
    {"absolute URI", NGINX, "X-Original-URI: https://evil.example/", NULL, NULL, NULL, false},
    {"path with space", NGINX, "X-Original-URI: /a b", NULL, NULL, NULL, false},
    {"path not ASCII", NGINX, "X-Original-URI: /\xc3\xa9", NULL, NULL, NULL, false},
    {"path with tab", NGINX, "X-Original-URI: /a\tb", NULL, NULL, NULL, false},
    {"method with space", NGINX, "X-Original-Method: GET /", NULL, NULL, NULL, false},
    {"empty method", NGINX, "X-Original-Method: ", NULL, NULL, NULL, false},
    {"long method", NGINX, "X-Original-Method: AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDD", NULL, NULL,
     NULL, false},
    {"host list", FORWARDED, "X-Forwarded-Host: a.example, b.example", NULL, NULL, NULL, false},
    {"host with path", FORWARDED, "X-Forwarded-Host: a.example/x", NULL, NULL, NULL, false},
    {"host with user", FORWARDED, "X-Forwarded-Host: u@a.example", NULL, NULL, NULL, false},
    {"empty host", FORWARDED, "X-Forwarded-Host: ", NULL, NULL, NULL, false},
    {"proto list", FORWARDED, "X-Forwarded-Proto: https, http", NULL, NULL, NULL, false},
    {"proto junk", FORWARDED, "X-Forwarded-Proto: httpsx", NULL, NULL, NULL, false},
    {"proto empty", FORWARDED, "X-Forwarded-Proto: ", NULL, NULL, NULL, false},
};

static void
test_request(void)
{
    for (size_t i = 0; i < sizeof request_cases / sizeof request_cases[0]; i++) {
        const struct request_case *c = &request_cases[i];
        coat_forward_conf conf = conf_of(c->dialect);
        coat_forward out, before;

        test_case(c->label);
        memset(&before, 0xA5, sizeof before);
        out = before;
        CHECK_ERR(read_forward(&conf, i % 2 == 0 ? "10.0.0.1" : NULL, c->fields, &out),
                  c->method != NULL ? COAT_OK : COAT_MALFORMED);
        if (c->method == NULL) {
            CHECK(memcmp(&out, &before, sizeof out) == 0);
            continue;
        }
        CHECK(out.trusted);
        CHECK(out.tls == c->tls);
        CHECK_SPAN(out.method, c->method);
        CHECK_SPAN(out.target, c->target);
        CHECK_SPAN(out.host, c->host);
    }
}

/* Whoever is not trusted says nothing about others, not even something malformed. */
static void
test_untrusted(void)
{
    for (size_t i = 0; i < sizeof request_cases / sizeof request_cases[0]; i++) {
        coat_forward_conf conf = conf_of(request_cases[i].dialect);
        const char *peers[] = {"203.0.113.9", "2001:db8::9", NULL, "10.0.0.1", "10.0.0.1"};

        test_case(request_cases[i].label);
        for (size_t p = 0; p < sizeof peers / sizeof peers[0]; p++) {
            coat_address from = address(peers[p]);
            coat_forward out = {0};

            conf.trust_unix = p != 2;
            conf.trusted_count = p == 3 ? 0 : 3; /* trusts nobody */
            if (p == 4)
                conf.dialect = COAT_DIALECT_NONE; /* believes nothing */
            REQUIRE_OK(read_forward(&conf, peers[p], request_cases[i].fields, &out));
            CHECK(!out.trusted && !out.tls);
            CHECK(out.method.len == 0 && out.target.len == 0 && out.host.len == 0);
            CHECK(memcmp(&out.client, &from, sizeof from) == 0);
        }
    }
}

/* A zeroed configuration believes nobody. */
static void
test_default(void)
{
    coat_forward_conf conf = {0};
    coat_forward out = {0};

    REQUIRE_OK(
        read_forward(&conf, NULL, "X-Forwarded-For: 1.1.1.1\nX-Forwarded-Proto: https", &out));
    CHECK(!out.trusted && !out.tls && !out.client.known);
}

/* What the nginx module sends is read as what Traefik sends, to the last field. */
static void
test_module(void)
{
    CHECK_INT(COAT_DIALECT_NONE, 0); /* values are ABI */
    CHECK_INT(COAT_DIALECT_NGINX, 1);
    CHECK_INT(COAT_DIALECT_FORWARDED, 2);
    CHECK_INT(COAT_DIALECT_ENVOY, 3);
    CHECK_INT(COAT_DIALECT_MODULE, 4);
    for (size_t i = 0; i < sizeof request_cases / sizeof request_cases[0]; i++) {
        coat_forward_conf conf = conf_of(COAT_DIALECT_FORWARDED);
        coat_forward theirs = {0}, ours = {0};
        coat_err err;

        test_case(request_cases[i].label);
        err = read_forward(&conf, "10.0.0.1", request_cases[i].fields, &theirs);
        conf.dialect = COAT_DIALECT_MODULE;
        CHECK_ERR(read_forward(&conf, "10.0.0.1", request_cases[i].fields, &ours), err);
        CHECK(ours.trusted == theirs.trusted && ours.tls == theirs.tls);
        CHECK(coat_span_is(ours.method, theirs.method));
        CHECK(coat_span_is(ours.target, theirs.target));
        CHECK(coat_span_is(ours.host, theirs.host));
    }
}

static const coat_test tests[] = {
    {"FA-2: the client is the nearest hop that is not ours: 48 chains", test_chain},
    {"FA-2 RX-6: 200 entries, 32 are looked at", test_chain_limit},
    {"FA-1: what was asked, by dialect; repeated and conflicting fields are refused",
     test_request},
    {"FA-1: the nginx module's dialect reads the fields of dialect forwarded", test_module},
    {"FA-1: fields of an untrusted peer are ignored altogether", test_untrusted},
    {"FA-1: without configuration nobody is trusted", test_default},
};

COAT_TEST_MAIN(tests)
