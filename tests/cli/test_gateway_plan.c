/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include "cli/gateway/plan.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char message[COAT_GATEWAY_MESSAGE_MAX], path[512];
static const char *const no_env[] = {NULL};

/* ---- a configuration file, and a plan by it ---- */

static void
write_file(const char *text)
{
    FILE *file;

    if (path[0] == '\0')
        (void)snprintf(path, sizeof path, "%s/coatcheck.yaml", test_tmpdir());
    file = fopen(path, "w");
    REQUIRE(file != NULL && fputs(text, file) >= 0 && fchmod(fileno(file), 0600) == 0);
    REQUIRE(fclose(file) == 0);
}

typedef struct
try {
    coat_args args;
    coat_gateway_options options;
    coat_gateway_plan plan;
    int code;
}
try;

/* What the plan says about its mistakes is looked at end to end; here it is not shown. */
static int
quietly(try *t)
{
    int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY), code;

    REQUIRE(saved >= 0 && null >= 0 && dup2(null, STDERR_FILENO) >= 0);
    code = coat_gateway_plan_make(&t->args, &t->options, &t->plan);
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    (void)close(null);
    return code;
}

/* Words with "--" and a key of the configuration are flags, all others options. */
static try *
plan(const char *yaml, const char *const *words)
{
    try *t = calloc(1, sizeof *t);

    REQUIRE(t != NULL);
    write_file(yaml);
    for (; *words != NULL; words++)
        if (coat_config_is_flag(*words))
            t->args.flags[t->args.flag_count++] = *words;
        else
            t->args.options[t->args.option_count++] = *words;
    t->args.options[t->args.option_count++] = "--upstream=http://127.0.0.1:3000";
    if (geteuid() == 0 && strstr(yaml, "server:") == NULL) {
        t->args.flags[t->args.flag_count++] = "--server.allow-root=true";
        t->args.options[t->args.option_count++] = "--user=root";
    }
    t->args.input = (coat_config_input){.file = path,
                                        .env = (char *const *)(uintptr_t)no_env,
                                        .flags = t->args.flags,
                                        .flag_count = t->args.flag_count};
    REQUIRE_OK(coat_gateway_options_read(&t->args, &t->options, message));
    t->code = quietly(t);
    return t;
}

#define PLAN(yaml, ...) plan(yaml, (const char *const[]){__VA_ARGS__, NULL})

static void
done(try *t)
{
    coat_gateway_plan_free(&t->plan);
    free(t);
}

static const char *
value(const try *t, const char *key)
{
    return coat_gateway_item(t->plan.config, key).value;
}

/** Is it a flag that was added? */
static bool
is_made(const try *t, const char *key)
{
    for (size_t i = 0; i < t->plan.made_count; i++)
        if (strncmp(t->plan.made[i] + 2, key, strlen(key)) == 0 &&
            t->plan.made[i][2 + strlen(key)] == '=')
            return true;
    return false;
}

/* ---- what is chosen ---- */

static void
nothing_said(void)
{
    try *t = PLAN("runtime:\n  directory: /r\n", NULL);

    REQUIRE(t->code == COAT_EXIT_OK);
    CHECK_STR(value(t, "public.origins"), "http://localhost:8080");
    CHECK_STR(value(t, "cookie.name"), "id");
    CHECK_STR(value(t, "cookie.secure"), "false");
    CHECK_STR(t->plan.pages_address, "unix:/r/http.sock");
    CHECK_STR(t->plan.gate_address, "unix:/r/gate.sock");
    CHECK_INT(t->plan.config->listeners.count, 2);
    CHECK_STR(value(t, "table.group"), "");
    CHECK(t->plan.plaintext && t->plan.current == t->plan.config);
    done(t);
}

static const struct origin_case {
    const char *name, *words[6], *origins;
} origins[] = {
    {"the usual port is left out", {"--listen=127.0.0.1:80"}, "http://localhost"},
    {"each port once",
     {"--listen=127.0.0.1:8080", "--listen=[::1]:8080", "--listen=127.0.0.1:81"},
     "http://localhost:8080, http://localhost:81"},
    {"with TLS",
     {"--tls-cert=/c", "--tls-key=/k", "--listen=127.0.0.1:8443"},
     "https://localhost:8443"},
    {"with TLS on its port",
     {"--tls-cert=/c", "--tls-key=/k", "--listen=[::1]:443"},
     "https://localhost"},
    {"what was said stays",
     {"--tls-cert=/c", "--tls-key=/k", "--public.origins=https://a.example,https://b.example"},
     "https://a.example, https://b.example"},
    {"said for this machine",
     {"--listen=127.0.0.1:8080", "--public.origins=http://127.0.0.1:9000"},
     "http://127.0.0.1:9000"},
};

static void
origin_cases(void)
{
    for (size_t i = 0; i < sizeof origins / sizeof origins[0]; i++) {
        try *t = plan("", origins[i].words);
        bool tls = strncmp(origins[i].origins, "https", 5) == 0;

        test_case(origins[i].name);
        REQUIRE(t->code == COAT_EXIT_OK);
        CHECK_STR(value(t, "public.origins"), origins[i].origins);
        CHECK_STR(value(t, "cookie.name"), tls ? "__Host-id" : "id");
        CHECK_STR(value(t, "cookie.secure"), tls ? "true" : "false");
        CHECK_INT(t->plan.plaintext, !tls);
        done(t);
    }
}

static const struct listener_case {
    const char *name, *yaml, *flag, *listeners; /* listeners NULL: nothing is added */
    const char *pages, *gate;
} listener_cases[] = {
    {"none said", "", NULL, NULL, "unix:/r/http.sock", "unix:/r/gate.sock"},
    {"others stay", "listeners:\n  - 127.0.0.1:81\n", NULL,
     "127.0.0.1:81, unix:/r/http.sock;dialect=nginx, unix:/r/gate.sock;dialect=module",
     "unix:/r/http.sock", "unix:/r/gate.sock"},
    {"one of the two", "listeners:\n  - address: unix:/own\n    dialect: module\n", NULL,
     "unix:/own;dialect=module, unix:/r/http.sock;dialect=nginx", "unix:/r/http.sock",
     "unix:/own"},
    {"both", "", "--listeners=unix:/a;dialect=nginx,unix:/b;dialect=module",
     "unix:/a;dialect=nginx, unix:/b;dialect=module", "unix:/a", "unix:/b"},
    {"a flag of the command line is added to, not repeated", "",
     "--listeners=unix:/a;dialect=nginx",
     "unix:/a;dialect=nginx, unix:/r/gate.sock;dialect=module", "unix:/a", "unix:/r/gate.sock"},
    {"one that is TCP is no socket for nginx", "",
     "--listeners=127.0.0.1:81;dialect=nginx;trusted=127.0.0.1/32",
     "127.0.0.1:81;dialect=nginx;trusted=127.0.0.1/32, unix:/r/http.sock;dialect=nginx, "
     "unix:/r/gate.sock;dialect=module",
     "unix:/r/http.sock", "unix:/r/gate.sock"},
};

static void
listeners(void)
{
    for (size_t i = 0; i < sizeof listener_cases / sizeof listener_cases[0]; i++) {
        const struct listener_case *c = &listener_cases[i];
        char yaml[512];
        try *t;

        test_case(c->name);
        (void)snprintf(yaml, sizeof yaml, "runtime:\n  directory: /r\n%s", c->yaml);
        t = plan(yaml, (const char *const[]){c->flag, NULL});
        REQUIRE(t->code == COAT_EXIT_OK);
        CHECK(c->listeners == NULL || strcmp(value(t, "listeners"), c->listeners) == 0);
        CHECK_STR(t->plan.pages_address, c->pages);
        CHECK_STR(t->plan.gate_address, c->gate);
        done(t);
    }
}

/* A file may hold what is right only with a gateway around it; a contradiction stays one. */
static void
what_is_said_stays(void)
{
    try *t = PLAN("cookie:\n  name: mine\npublic:\n  origins: [http://localhost:1]\n", NULL);

    REQUIRE(t->code == COAT_EXIT_OK);
    CHECK_STR(value(t, "cookie.name"), "mine");
    CHECK(!is_made(t, "cookie.name") && !is_made(t, "public.origins"));
    CHECK(is_made(t, "cookie.secure") && is_made(t, "cookie.allow-plaintext"));
    done(t);
    t = PLAN("cookie:\n  secure: true\n", NULL);
    REQUIRE(t->code == COAT_EXIT_OK); /* the daemon judges that: it refuses plain http then */
    CHECK_STR(value(t, "cookie.secure"), "true");
    done(t);
}

static const struct refused_case {
    const char *name, *yaml, *words[6];
    int code;
} refused[] = {
    {"https without a certificate", "public:\n  origins: [https://a.example]\n", {NULL}, 3},
    {"http with one",
     "public:\n  origins: [http://localhost]\n",
     {"--tls-cert=/c", "--tls-key=/k"},
     3},
    {"CK-8: plain http for others", "public:\n  origins: [http://a.example]\n", {NULL}, 3},
    {"the prefix of the cookie needs TLS", "cookie:\n  name: __Host-x\n", {NULL}, 3},
    {"nobody knows the name", "", {"--tls-cert=/c", "--tls-key=/k"}, 2},
    {"pages at the root", "", {"--server.base-path="}, 3},
    {"a rule for the pages", "", {"--protect=/auth/x"}, 2},
    {"a rule for the pages at another path",
     "",
     {"--server.base-path=/door", "--protect=/Door"},
     2},
    {"an assertion for nobody", "", {"--assertion"}, 3},
    {"a socket of the service manager", "", {"--listeners=fd:http;dialect=nginx"}, 3},
    {"a mistake in the file", "nonsense: 1\n", {NULL}, 3},
    {"a mistake in a flag", "", {"--session.idle-timeout=never"}, 3},
};

static void
refused_cases(void)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        try *t = plan(refused[i].yaml, refused[i].words);

        test_case(refused[i].name);
        CHECK_INT(t->code, refused[i].code);
        done(t);
    }
}

static void
rule_beside_the_pages(void)
{
    try *t = PLAN("", "--protect=/authors", "--protect=/a", "--protect=/x/auth");

    CHECK_INT(t->code, COAT_EXIT_OK);
    done(t);
}

/* ---- later ---- */

static void
reloads(void)
{
    try *t = PLAN("cookie:\n  name: one\nidentity:\n  user: X-One\n", NULL);
    coat_config *next = NULL;

    REQUIRE(t->code == COAT_EXIT_OK);
    write_file("cookie:\n  name: two\nidentity:\n  user: X-Two\n");
    REQUIRE(coat_gateway_plan_reload(&t->plan, &t->options, &next));
    CHECK_STR(next->header_user, "X-Two");
    CHECK_STR(next->cookie_name, "one"); /* the daemon keeps it until it is started again */
    CHECK(t->plan.current == t->plan.config);
    coat_gateway_plan_use(&t->plan, next);
    CHECK(t->plan.current == next && t->plan.config != next);
    REQUIRE(coat_gateway_plan_restart(&t->plan, &t->options));
    CHECK_STR(t->plan.config->cookie_name, "two");
    CHECK(t->plan.current == t->plan.config);
    CHECK_STR(t->plan.config->origins.list[0], "http://localhost:8080"); /* ours, still */
    done(t);
}

static void
broken_reloads(void)
{
    static const char *const broken[] = {"nonsense: 1\n", "cookie: [\n",
                                         "session:\n  idle-timeout: 99d\n"};
    try *t = PLAN("cookie:\n  name: one\n", NULL);
    int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);

    REQUIRE(t->code == COAT_EXIT_OK && saved >= 0 && null >= 0);
    (void)dup2(null, STDERR_FILENO);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        const coat_config *before = t->plan.config;
        coat_config *next = NULL;

        test_case(broken[i]);
        write_file(broken[i]);
        CHECK(!coat_gateway_plan_reload(&t->plan, &t->options, &next) && next == NULL);
        CHECK(!coat_gateway_plan_restart(&t->plan, &t->options));
        CHECK(t->plan.config == before && t->plan.current == before);
        CHECK_STR(t->plan.config->cookie_name, "one");
    }
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    (void)close(null);
    done(t);
}

static void
another_scheme(void)
{
    try *t = PLAN("public:\n  origins: [http://localhost:8080]\n", NULL);
    int saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);
    coat_config *next = NULL;

    REQUIRE(t->code == COAT_EXIT_OK && saved >= 0 && null >= 0);
    (void)dup2(null, STDERR_FILENO);
    write_file("public:\n  origins: [http://localhost:8081]\n");
    CHECK(coat_gateway_plan_reload(&t->plan, &t->options, &next));
    coat_gateway_plan_use(&t->plan, next);
    next = NULL;
    write_file("public:\n  origins: [https://localhost:8081]\n");
    CHECK(!coat_gateway_plan_reload(&t->plan, &t->options, &next) && next == NULL);
    CHECK(!coat_gateway_plan_restart(&t->plan, &t->options));
    CHECK_STR(t->plan.current->origins.list[0], "http://localhost:8081");
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    (void)close(null);
    done(t);
}

/* ---- users ---- */

static void
as_root(void)
{
    const struct passwd *nobody = getpwnam("nobody");
    const struct group *group = nobody != NULL ? getgrgid(nobody->pw_gid) : NULL;
    char listener[200], shared[64];
    try *t;

    if (geteuid() != 0 || group == NULL || getpwnam("daemon") == NULL)
        test_skip("for root, on a system with the users nobody and daemon");
    (void)snprintf(shared, sizeof shared, "%s", group->gr_name);
    (void)snprintf(listener, sizeof listener,
                   "unix:/r/gate.sock;dialect=module;mode=0660;group=%s", shared);
    t = PLAN("server:\n  user: nobody\nruntime:\n  directory: /r\n", "--user=daemon");
    REQUIRE(t->code == COAT_EXIT_OK);
    CHECK(t->plan.worker.share && t->plan.worker.separate);
    CHECK_STR(t->plan.worker.user, "daemon");
    CHECK_STR(t->plan.worker.group, shared); /* the daemon's: it may give files to it */
    CHECK_STR(value(t, "table.group"), shared);
    CHECK(strstr(value(t, "listeners"), listener) != NULL);
    CHECK_STR(t->plan.config->runtime_group, shared);
    done(t);
    t = PLAN("server:\n  user: nobody\ntable:\n  group: daemon\n", "--user=daemon");
    REQUIRE(t->code == COAT_EXIT_OK);
    CHECK_STR(t->plan.worker.group, "daemon"); /* the one that was said */
    CHECK(!is_made(t, "table.group"));
    done(t);
    t = PLAN("server:\n  allow-root: true\n", "--user=daemon");
    REQUIRE(t->code == COAT_EXIT_OK);
    CHECK(t->plan.worker.share && !t->plan.worker.separate);
    CHECK_STR(t->plan.worker.group, "daemon"); /* root gives files to anybody */
    done(t);
    t = PLAN("server:\n  user: nobody\n", "--user=nobody");
    REQUIRE(t->code == COAT_EXIT_OK);
    CHECK(!t->plan.worker.share && t->plan.worker.separate);
    CHECK(!is_made(t, "table.group"));
    done(t);
    t = PLAN("server:\n  threads: 1\n", NULL);
    CHECK_INT(t->code, COAT_EXIT_CONFIG);
    done(t);
}

static void
not_as_root(void)
{
    try *t;

    if (geteuid() == 0)
        test_skip("for everybody but root");
    t = PLAN("", "--user=nobody");
    CHECK_INT(t->code, COAT_EXIT_USAGE);
    done(t);
    t = PLAN("", NULL);
    REQUIRE(t->code == COAT_EXIT_OK);
    CHECK_STR(t->plan.worker.user, "");
    CHECK(!t->plan.worker.share && !t->plan.worker.separate);
    done(t);
}

/* ---- nginx's files ---- */

static bool
exists(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0;
}

static void
files(void)
{
    char yaml[600], run[400];
    coat_gateway_files one = {.lock = -1}, two = {.lock = -1};
    struct stat st;
    FILE *pid;
    try *t;

    (void)snprintf(run, sizeof run, "%s/run", test_tmpdir());
    (void)snprintf(yaml, sizeof yaml, "runtime:\n  directory: %s\n", run);
    t = PLAN(yaml, NULL);
    REQUIRE(t->code == COAT_EXIT_OK);
    REQUIRE_OK(coat_gateway_files_name(&t->plan, &one, message));
    REQUIRE_OK(coat_gateway_files_name(&t->plan, &two, message));
    CHECK(!exists(run));
    REQUIRE_OK(coat_gateway_files_open(&t->plan, &one, message));
    REQUIRE(lstat(one.dir, &st) == 0);
    CHECK_INT(st.st_mode & 07777, 0700);
    CHECK_ERR(coat_gateway_files_open(&t->plan, &two, message), COAT_IO);
    CHECK(strstr(message, "another gateway runs in") != NULL);
    CHECK_INT(coat_gateway_files_pid(&one), 0);
    pid = fopen(one.pid, "w");
    REQUIRE(pid != NULL && fputs("4711\n", pid) >= 0 && fclose(pid) == 0);
    CHECK_INT(coat_gateway_files_pid(&one), 4711);
    REQUIRE_OK(coat_gateway_files_write(&one, COAT_LIT("text"), message));
    REQUIRE(lstat(one.candidate, &st) == 0);
    CHECK_INT(st.st_mode & 07777, 0600);
    CHECK(!exists(one.conf));
    REQUIRE_OK(coat_gateway_files_accept(&one, message));
    CHECK(exists(one.conf) && !exists(one.candidate));
    CHECK_ERR(coat_gateway_files_accept(&one, message), COAT_IO); /* there is none now */
    coat_gateway_files_close(&one);
    CHECK(!exists(one.dir) && exists(run));
    coat_gateway_files_close(&one);
    REQUIRE_OK(coat_gateway_files_open(&t->plan, &two, message));
    coat_gateway_files_close(&two);
    done(t);
}

/* Whoever could put another directory there would command nginx's master. */
static void
unsafe_files(void)
{
    const char *above = test_tmpdir();
    char yaml[600], run[400], dir[420];
    coat_gateway_files f = {.lock = -1};
    try *t;

    (void)snprintf(run, sizeof run, "%s/run", above);
    (void)snprintf(yaml, sizeof yaml, "runtime:\n  directory: %s\n", run);
    t = PLAN(yaml, NULL);
    REQUIRE(t->code == COAT_EXIT_OK && mkdir(run, 0777) == 0 && chmod(run, 0777) == 0);
    REQUIRE_OK(coat_gateway_files_name(&t->plan, &f, message));
    CHECK_ERR(coat_gateway_files_open(&t->plan, &f, message), COAT_INVALID);
    t->plan.worker.separate = true;
    REQUIRE_OK(coat_gateway_files_name(&t->plan, &f, message));
    (void)snprintf(dir, sizeof dir, "%s-gateway", run);
    CHECK_STR(f.dir, dir);
    REQUIRE(symlink("/tmp", dir) == 0);
    CHECK_ERR(coat_gateway_files_open(&t->plan, &f, message), COAT_INVALID);
    REQUIRE(unlink(dir) == 0 && mkdir(dir, 0700) == 0 && chmod(dir, 0755) == 0);
    CHECK_ERR(coat_gateway_files_open(&t->plan, &f, message), COAT_INVALID);
    REQUIRE(chmod(dir, 0700) == 0 && chmod(above, 0770) == 0);
    CHECK_ERR(coat_gateway_files_open(&t->plan, &f, message), COAT_INVALID);
    CHECK(strstr(message, "can be written by others") != NULL);
    REQUIRE(chmod(above, 0700) == 0);
    REQUIRE_OK(coat_gateway_files_open(&t->plan, &f, message));
    coat_gateway_files_close(&f);
    done(t);
}

static const coat_test tests[] = {
    {"CK-8: what is chosen where nothing is said", nothing_said},
    {"origins: by the addresses, unless they are said", origin_cases},
    {"listeners: those that are missing are added", listeners},
    {"what is said stays", what_is_said_stays},
    {"CK-8: contradictions, and what cannot be known", refused_cases},
    {"a rule may begin like the pages' path", rule_beside_the_pages},
    {"UP-3: a reload follows what can change; a new daemon follows all of it", reloads},
    {"UP-3: a broken file changes nothing", broken_reloads},
    {"UP-3: nor does one with an origin that we do not listen for", another_scheme},
    {"HD-7: as root, two users and the group that they share", as_root},
    {"not as root, all is one user", not_as_root},
    {"nginx's files: private, locked, written whole, and removed", files},
    {"nginx's files: nowhere that others could write to", unsafe_files},
};
COAT_TEST_MAIN(tests)
