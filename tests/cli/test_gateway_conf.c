/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include "cli/gateway/gateway.h"

#include <stdlib.h>

/* ---- a reader of nginx's syntax, by ngx_conf_read_token(), that owes nothing to the writer
 * ---- */

enum { TOKENS_MAX = 4096, TEXT_MAX = 64 * 1024 };

typedef struct token {
    char kind; /* 'w' word, ';', '{', '}' */
    const char *text;
} token;

typedef struct reading {
    token list[TOKENS_MAX];
    size_t count;
    char words[TEXT_MAX];
    size_t used;
    bool fine;
} reading;

static void
push(reading *r, char kind, size_t from)
{
    if (r->count == TOKENS_MAX || r->used + 1 >= TEXT_MAX) {
        r->fine = false;
        return;
    }
    r->words[r->used++] = '\0';
    r->list[r->count++] = (token){kind, r->words + from};
}

static const char *
read_word(reading *r, const char *p)
{
    char quote = *p == '"' || *p == '\'' ? *p++ : '\0';
    size_t from = r->used;

    while (*p != '\0' && r->used + 2 < TEXT_MAX &&
           (quote != '\0' ? *p != quote : strchr(" \t\r\n;{", *p) == NULL)) {
        if (*p == '\\' && strchr("\"'\\", p[1]) != NULL && p[1] != '\0')
            p++;
        r->words[r->used++] = *p++;
    }
    if (quote != '\0' && *p++ != quote)
        r->fine = false; /* it never ends */
    if (quote != '\0' && strchr(" \t\r\n;{)", *p) == NULL)
        r->fine = false; /* nginx: "unexpected" */
    push(r, 'w', from);
    return p;
}

static void
read_conf(reading *r, const char *p)
{
    r->count = r->used = 0;
    r->fine = true;
    while (*p != '\0' && r->fine) {
        if (strchr(" \t\r\n", *p) != NULL)
            p++;
        else if (*p == '#')
            p += strcspn(p, "\n");
        else if (strchr(";{}", *p) != NULL)
            push(r, *p, r->used), p++;
        else
            p = read_word(r, p);
    }
}

/** Words that differ, if both have the same shape; -1: they have not. */
static int
differences(const reading *a, const reading *b, const char **last)
{
    int count = 0;

    if (!a->fine || !b->fine || a->count != b->count)
        return -1;
    for (size_t i = 0; i < a->count; i++) {
        if (a->list[i].kind != b->list[i].kind)
            return -1;
        if (strcmp(a->list[i].text, b->list[i].text) == 0)
            continue;
        *last = b->list[i].text;
        count++;
    }
    return count;
}

/* ---- settings ---- */

static coat_gateway_options options;
static char text[COAT_GATEWAY_TEXT_MAX], message[COAT_GATEWAY_MESSAGE_MAX];

static coat_config *
config_of(const char *const *flags, size_t count)
{
    coat_config_input input = {.flags = flags, .flag_count = count};
    coat_config *config = NULL;
    coat_config_error error;

    if (coat_config_parse((coat_span){NULL, 0}, "test", &input, &config, &error) != COAT_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", error.key, error.text);
    return config;
}

static void
base(coat_gateway_conf *c, const coat_config *config, bool tls)
{
    memset(&options, 0, sizeof options);
    options.max_body = 1000;
    REQUIRE_OK(coat_gateway_upstream_parse(
        tls ? "https://app.internal" : "http://127.0.0.1:3000", &options.upstream, message));
    REQUIRE_OK(coat_gateway_listen_parse("127.0.0.1:8080", &options.listens[0], message));
    options.listen_count = 1;
    if (tls) {
        REQUIRE_OK(coat_gateway_listen_parse("0.0.0.0:80", &options.redirects[0], message));
        options.redirect_count = 1;
        (void)snprintf(options.tls_cert, sizeof options.tls_cert, "/c");
        (void)snprintf(options.tls_key, sizeof options.tls_key, "/k");
    }
    *c = (coat_gateway_conf){.options = &options,
                             .config = config,
                             .module = "/m.so",
                             .dir = "/d",
                             .ca_file = "/ca",
                             .pages_address = "unix:/http.sock",
                             .gate_address = "unix:/gate.sock"};
}

static coat_err
write_conf(const coat_gateway_conf *c)
{
    coat_out out = coat_out_init(text, sizeof text);

    return coat_gateway_write(c, &out, message);
}

static const char *const plain_flags[] = {"--public.origins=http://localhost:8080",
                                          "--cookie.name=id", "--cookie.secure=false",
                                          "--cookie.allow-plaintext=true"};
static const char *const tls_flags[] = {
    "--public.origins=https://app.example.com,https://app.example.com:8443,https://b.example"};

/* ---- nothing breaks out ---- */

static const char *const hostile[] = {
    "\"; evil on; \"",
    "\"; } } http { server { return 200; } } #",
    "\\\"; evil on;",
    "\\\\\"; evil on;",
    "ends with \\",
    "ends with \"",
    "{",
    "}",
    ";",
    "'",
    "''",
    "# no comment",
    " ",
    "a b",
    "\\",
    "\\n",
    "\xc3\xa4",
    "\xff\xfe",
    "!@%^&*()`~|<>?,",
    "(",
    "/*",
    "%{x}",
};
static const char *const impossible[] = {"$",    "a$b",  "$request_uri", "${x}", "a\nb", "a\rb",
                                         "a\tb", "\x7f", "\x01",         "a\n}", "\n"};

/** Every text that settings can bring in, by number. @return false: there are no more */
static bool
inject(coat_gateway_conf *c, size_t where, const char *value, coat_config *config)
{
    static coat_strings strings;
    static const char *one;

    one = value;
    strings = (coat_strings){&one, 1};
    options.rule_count = 1;
    options.rules[0] = (coat_gateway_rule){
        .path = "/admin", .roles = {coat_span_of("admin")}, .role_count = 1};
    c->user = "worker";
    c->group = "group";
    (void)snprintf(options.access_log, sizeof options.access_log, "/log");
#define COPY(field) ((void)snprintf(options.field, sizeof options.field, "%s", value))
    switch (where) {
    case 0:
        return c->module = value, true;
    case 1:
        return c->dir = value, true;
    case 2:
        return c->user = value, true;
    case 3:
        return c->group = value, true;
    case 4:
        return c->ca_file = value, true;
    case 5:
        return c->pages_address = value, true;
    case 6:
        return c->gate_address = value, true;
    case 7:
        return COPY(tls_cert), true;
    case 8:
        return COPY(tls_key), true;
    case 9:
        return COPY(access_log), true;
    case 10:
        return COPY(upstream.server), true;
    case 11:
        return COPY(upstream.host), true;
    case 12:
        return options.rules[0].roles[0] = coat_span_of(value), true;
    case 13:
        return options.listens[0].text = value, true;
    case 14:
        return options.redirects[0].text = value, true;
    case 15:
        return config->table_path = value, true;
    case 16:
        return config->base_path = value, true;
    case 17:
        return config->cookie_name = value, true;
    case 18:
        return config->header_user = value, true;
    case 19:
        return config->header_time = value, true;
    case 20:
        return config->cors_origins = strings, true;
    case 21:
        return config->cors_methods = strings, true;
    case 22:
        return config->cors_headers = strings, true;
    case 23:
        return config->cors_exposed = strings, true;
    case 24:
        return config->origins = strings, true;
    default:
        return false;
    }
#undef COPY
}

/* A configuration with each of these texts, and its reading beside that of a harmless one. */
static void
try_value(size_t where, const char *value, reading *harmless, reading *read)
{
    const char *const flags[] = {tls_flags[0], "--cors.origins=https://spa.example",
                                 "--cors.exposed=x"};
    coat_config *config = config_of(flags, 3);
    coat_gateway_conf c;
    const char *found = NULL;
    int differ;

    REQUIRE(config != NULL);
    base(&c, config, true);
    (void)inject(&c, where, "harmless", config);
    REQUIRE_OK(write_conf(&c));
    read_conf(harmless, text);
    base(&c, config, true);
    (void)inject(&c, where, value, config);
    REQUIRE_OK(write_conf(&c));
    read_conf(read, text);
    differ = differences(harmless, read, &found);
    CHECK(differ > 0);
    if (differ > 0 && where != 24) /* an origin is taken apart */
        CHECK(strstr(found, value) != NULL);
    coat_config_free(config);
}

static void
hostile_values(void)
{
    reading *harmless = calloc(1, sizeof *harmless), *read = calloc(1, sizeof *read);
    coat_config *config = config_of(tls_flags, 1);
    coat_gateway_conf c;
    size_t places = 0;

    REQUIRE(harmless != NULL && read != NULL && config != NULL);
    base(&c, config, true);
    while (inject(&c, places, "x", config))
        places++;
    CHECK_INT(places, 25);
    for (size_t where = 0; where < places; where++)
        for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
            test_case(hostile[i]);
            try_value(where, hostile[i], harmless, read);
        }
    coat_config_free(config);
    free(harmless);
    free(read);
}

static void
random_values(void)
{
    reading *harmless = calloc(1, sizeof *harmless), *read = calloc(1, sizeof *read);
    test_rng rng = {.state = 7};
    long rounds = test_scaled(20000, 300);

    REQUIRE(harmless != NULL && read != NULL);
    for (long round = 0; round < rounds; round++) {
        static const char alphabet[] = "\"\\;{}# '\"\\ab\xc3";
        char value[24];
        size_t len = 1 + test_rng_below(&rng, sizeof value - 2);

        for (size_t i = 0; i < len; i++)
            value[i] = alphabet[test_rng_below(&rng, sizeof alphabet - 1)];
        value[len] = '\0';
        try_value(test_rng_below(&rng, 25), value, harmless, read);
    }
    free(harmless);
    free(read);
}

static void
impossible_values(void)
{
    coat_config *config = config_of(tls_flags, 1);
    coat_gateway_conf c;

    REQUIRE(config != NULL);
    coat_config_free(config);
    for (size_t where = 0; where < 20; where++)
        for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
            test_case(impossible[i]);
            config = config_of(tls_flags, 1);
            base(&c, config, true);
            (void)inject(&c, where, impossible[i], config);
            CHECK_ERR(write_conf(&c), COAT_INVALID);
            CHECK(strstr(message, "neither \"$\" nor control characters") != NULL);
            coat_config_free(config);
        }
}

/* ---- what stands in it ---- */

typedef struct expect {
    const char *name, *has, *lacks;
} expect;

static void
check_all(const expect *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        test_case(list[i].name);
        CHECK(list[i].has == NULL || strstr(text, list[i].has) != NULL);
        CHECK(list[i].lacks == NULL || strstr(text, list[i].lacks) == NULL);
    }
}

static void
plain_configuration(void)
{
    static const expect list[] = {
        {"everything needs a session", "        coatcheck on;\n", "coatcheck optional"},
        {"CS-5: and comes from our own pages", "        coatcheck_csrf on;\n", NULL},
        {"origins", "coatcheck_origins \"http://localhost:8080\";", NULL},
        {"the daemon's cookie", "coatcheck_cookie \"id\";", NULL},
        {"and table", "coatcheck_table \"/run/coatcheck/table\";", NULL},
        {"and socket", "coatcheck_daemon \"unix:/gate.sock\";", NULL},
        {"no CORS unless configured", "coatcheck_cors off;", "coatcheck_cors \""},
        {"no assertion unless asked for", NULL, "coatcheck_assertion"},
        {"all is one user", NULL, "\nuser "},
        {"no TLS", NULL, "ssl"},
        {"no log", "access_log off;", "log_format"},
        {"the host is ours", "\"localhost\" \"localhost:8080\";", NULL},
        {"other names lead to ours", "return 302 \"http://localhost:8080$request_uri\";", NULL},
        {"the body's limit", "client_max_body_size 1000;", NULL},
    };
    coat_config *config = config_of(plain_flags, 4);
    coat_gateway_conf c;

    REQUIRE(config != NULL);
    base(&c, config, false);
    REQUIRE_OK(write_conf(&c));
    check_all(list, sizeof list / sizeof list[0]);
    coat_config_free(config);
}

static void
tls_configuration(void)
{
    static const expect list[] = {
        {"CK-1: the daemon's cookie", "coatcheck_cookie \"__Host-id\";", NULL},
        {"the certificate", "ssl_certificate \"/c\";\n    ssl_certificate_key \"/k\";", NULL},
        {"HTTP/2 as nginx before 1.25 has it", "listen \"127.0.0.1:8080\" ssl http2;",
         "http2 on"},
        {"HSTS", "\"\" max-age=31536000;", NULL},
        {"each host once", "server_name \"app.example.com\" \"b.example\";", NULL},
        {"the first origin of a host", "\"app.example.com\" \"app.example.com\";",
         "8443\";\n    }"},
        {"the redirect", "listen \"0.0.0.0:80\";\n        return 301", NULL},
        {"the upstream's name is checked", "proxy_ssl_verify on;", NULL},
        {"by its name", "proxy_ssl_name \"app.internal\";", NULL},
        {"by these certificates", "proxy_ssl_trusted_certificate \"/ca\";", NULL},
        {"with TLS", "proxy_pass https://coatcheck_application;",
         "proxy_pass http://coatcheck_app"},
    };
    coat_config *config = config_of(tls_flags, 1);
    coat_gateway_conf c;

    REQUIRE(config != NULL);
    base(&c, config, true);
    REQUIRE_OK(write_conf(&c));
    check_all(list, sizeof list / sizeof list[0]);
    c.http2_directive = true;
    REQUIRE_OK(write_conf(&c));
    CHECK(strstr(text, "listen \"127.0.0.1:8080\" ssl;\n        http2 on;") != NULL);
    CHECK(strstr(text, "ssl http2") == NULL);
    coat_config_free(config);
}

static void
every_option(void)
{
    static const char *const flags[] = {"--public.origins=http://localhost:8080",
                                        "--cookie.name=id",
                                        "--cookie.secure=false",
                                        "--cookie.allow-plaintext=true",
                                        "--csrf.allow-same-site=true",
                                        "--identity.roles=",
                                        "--identity.user=X-Who",
                                        "--cors.origins=https://spa.example,https://b.example",
                                        "--cors.exposed=x-total",
                                        "--cors.max-age=5m",
                                        "--server.base-path=/door"};
    static const expect list[] = {
        {"optional", "        coatcheck optional;\n", NULL},
        {"same-site", "coatcheck_csrf same-site;", NULL},
        {"an assertion", "coatcheck_assertion on;", NULL},
        {"a header of another name", "coatcheck_header user \"X-Who\";", "X-Auth-User"},
        {"one that is left out", "coatcheck_header roles off;", NULL},
        {"CORS", "coatcheck_cors \"https://spa.example\" \"https://b.example\";", NULL},
        {"its lists", "coatcheck_cors_expose \"x-total\";", NULL},
        {"its age", "coatcheck_cors_max_age 300s;", NULL},
        {"the pages' path", "location ^~ \"/door/\" {", "/auth"},
        {"a rule",
         "location ~* \"^/a[.]b\" {\n            coatcheck on;\n            "
         "coatcheck_require \"role=x\" \"role=y\";\n            coatcheck_max_age 60s;\n",
         NULL},
        {"workers", "user \"www-data\" \"coatcheck\";", NULL},
        {"a log", "access_log \"/log\" coatcheck;", "access_log off"},
    };
    coat_config *config = config_of(flags, sizeof flags / sizeof flags[0]);
    coat_gateway_conf c;

    REQUIRE(config != NULL);
    base(&c, config, false);
    c.user = "www-data";
    c.group = "coatcheck";
    options.optional = options.assertion = true;
    (void)snprintf(options.access_log, sizeof options.access_log, "/log");
    REQUIRE_OK(
        coat_gateway_rule_parse("/a.b:role=x,role=y,max-age=1m", &options.rules[0], message));
    options.rule_count = 1;
    REQUIRE_OK(write_conf(&c));
    check_all(list, sizeof list / sizeof list[0]);
    options.no_csrf = true;
    REQUIRE_OK(write_conf(&c));
    CHECK(strstr(text, "coatcheck_csrf same-site") == NULL);
    coat_config_free(config);
}

static void
empty_lists(void)
{
    static const char *const flags[] = {"--public.origins=https://app.example",
                                        "--cors.origins=https://spa.example",
                                        "--cors.methods=", "--cors.headers="};
    coat_config *config = config_of(flags, sizeof flags / sizeof flags[0]);
    coat_gateway_conf c;

    REQUIRE(config != NULL);
    base(&c, config, true);
    REQUIRE_OK(write_conf(&c));
    CHECK(strstr(text, "coatcheck_cors_methods off;") != NULL);
    CHECK(strstr(text, "coatcheck_cors_headers off;") != NULL);
    coat_config_free(config);
}

/* packaging/nginx/pages.conf is for those who write their nginx configuration themselves. */
static void
packaged_pages(void)
{
    static char file[4096], ours[4096];
    coat_out out = coat_out_init(ours, sizeof ours);
    FILE *in = fopen(PAGES_PATH, "r");
    const char *at;
    size_t len;

    REQUIRE(in != NULL);
    len = fread(file, 1, sizeof file - 1, in);
    file[len] = '\0';
    (void)fclose(in);
    coat_gateway_write_pages(&out, "", "http://unix:/run/coatcheck/http.sock:");
    REQUIRE(coat_out_end(&out));
    at = strstr(file, "proxy_pass");
    REQUIRE(at != NULL);
    CHECK_STR(at, ours);
}

static void
too_long(void)
{
    coat_config *config = config_of(plain_flags, 4);
    coat_gateway_conf c;
    coat_out out;

    REQUIRE(config != NULL);
    base(&c, config, false);
    REQUIRE_OK(write_conf(&c));
    for (size_t cap = 0; cap <= strlen(text); cap += 1 + cap / 8) {
        out = coat_out_init(text, cap);
        CHECK_ERR(coat_gateway_write(&c, &out, message), COAT_TOO_LARGE);
    }
    coat_config_free(config);
}

static const coat_test tests[] = {
    {"no text of the settings leaves its place in nginx's syntax", hostile_values},
    {"nor does any mixture of what means something to nginx", random_values},
    {"what cannot be written is refused, and named", impossible_values},
    {"CS-5 FA-7: the usual configuration", plain_configuration},
    {"CK-1: with TLS", tls_configuration},
    {"every option and key does what it says", every_option},
    {"CO-3: an empty list of methods or fields allows none", empty_lists},
    {"the snippet for coatcheck's pages is the same as ours", packaged_pages},
    {"a configuration is whole or refused", too_long},
};
COAT_TEST_MAIN(tests)
