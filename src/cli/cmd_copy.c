/* SPDX-License-Identifier: Apache-2.0 */
/* store copy: asks the daemon to do it; where none runs, does it itself. */
#include "cli/client.h"
#include "cli/commands.h"
#include "store/move.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_EVERY_MS = 250, SHOW_EVERY_STEPS = 20 };

/** What was asked for. */
typedef struct order {
    const char *from, *to; /* from NULL: the configured one */
    bool sessions_only, accounts, cancel;
} order;

typedef struct progress {
    bool json, terminal;
    long long sessions, accounts, meta, written, removed, unreadable, passes;
} progress;

static void
pause_ms(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};

    while (nanosleep(&left, &left) != 0) {
    }
}

/** A line of JSON each time, or one that is written over on a terminal, or only at the end. */
static void
show(const progress *p, const char *state, bool last)
{
    if (p->json)
        (void)printf("{\"state\":\"%s\",\"passes\":%lld,\"sessions\":%lld,\"accounts\":%lld,"
                     "\"meta\":%lld,\"written\":%lld,\"removed\":%lld,\"unreadable\":%lld}\n",
                     state, p->passes, p->sessions, p->accounts, p->meta, p->written,
                     p->removed, p->unreadable);
    else if ((p->terminal || last) && strncmp(state, "cancel", 6) != 0)
        (void)printf("%s%s: %lld sessions, %lld accounts, %lld counters; %lld written%s",
                     p->terminal ? "\r" : "", state, p->sessions, p->accounts, p->meta,
                     p->written, last ? "\n" : "");
    (void)fflush(stdout);
    if (last && p->unreadable > 0)
        (void)fprintf(stderr,
                      "coatcheck: %lld entries cannot be read by this version; they stay "
                      "in the source and were not copied\n",
                      p->unreadable);
}

/** @param message  what is left to be done, or "" */
static void
given_up(const progress *p, const char *message)
{
    if (!p->json)
        (void)printf("Given up: the source is in use as before.\n");
    if (message != NULL && message[0] != '\0')
        (void)fprintf(stderr, "coatcheck: %s\n", message);
}

/* ---- by the daemon ---- */

static void
take(progress *p, const json_t *answer)
{
    const struct {
        const char *name;
        long long *to;
    } fields[] = {{"sessions", &p->sessions}, {"accounts", &p->accounts},
                  {"meta", &p->meta},         {"written", &p->written},
                  {"removed", &p->removed},   {"unreadable", &p->unreadable},
                  {"passes", &p->passes}};

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        *fields[i].to = (long long)json_integer_value(json_object_get(answer, fields[i].name));
}

static const char usage_of_copy[] =
    "The daemon keeps it in step. To use it, set store.url to\n  %s\nand restart "
    "the daemon: as it ends, it copies the rest.\n";

/** @return -1 to go on, else an exit code */
static int
look(progress *p, unsigned status, const json_t *answer)
{
    const char *state = json_string_value(json_object_get(answer, "state"));
    const char *to = json_string_value(json_object_get(answer, "to"));
    bool over;

    if ((status != 200 && status != 202) || state == NULL || to == NULL)
        return coat_client_fail(status, answer, "store copy");
    over = strcmp(state, "copying") != 0 && strcmp(state, "cancelling") != 0;
    take(p, answer);
    show(p, state, over);
    if (!over)
        return -1;
    if (strcmp(state, "cancelled") == 0) {
        given_up(p, json_string_value(json_object_get(answer, "message")));
        return COAT_EXIT_OK;
    }
    if (strcmp(state, "in_step") != 0) {
        (void)fprintf(stderr, "coatcheck: %s\n",
                      json_string_value(json_object_get(answer, "message")));
        return COAT_EXIT_FAILED;
    }
    if (!p->json)
        (void)printf(usage_of_copy, to);
    return COAT_EXIT_OK;
}

static int
by_daemon(coat_client *client, progress *p, const order *o)
{
    json_t *answer = NULL, *body = json_pack("{s:s,s:b,s:b}", "to", o->to, "sessions_only",
                                             o->sessions_only, "cancel", o->cancel);
    unsigned status;
    int code;

    if (o->from != NULL)
        (void)json_object_set_new(body, "from", json_string(o->from));
    status = coat_client_ask(client, "POST", "/v1/store/copy", body, &answer);
    while ((code = look(p, status, answer)) < 0) {
        json_decref(answer);
        pause_ms(LOOK_EVERY_MS);
        status = coat_client_ask(client, "GET", "/v1/store/copy", NULL, &answer);
    }
    json_decref(answer);
    return code;
}

/* ---- without one ---- */

static void
count(progress *p, const coat_move *move)
{
    const coat_copy_counts *c = coat_copy_count(coat_move_copy(move));

    p->sessions = (long long)c->sessions;
    p->accounts = (long long)c->accounts;
    p->meta = (long long)c->meta;
    p->written = (long long)c->written;
    p->removed = (long long)c->removed;
    p->unreadable = (long long)c->unreadable;
    p->passes = c->passes;
}

static coat_err
move(const coat_move_conf *conf, progress *p, char *message, size_t cap)
{
    coat_move *m = NULL;
    bool complete = false;
    coat_err err = coat_move_begin(conf, &m, message, cap);

    if (err != COAT_OK)
        return err;
    for (unsigned steps = 0; err == COAT_OK && !complete; steps++) {
        err = coat_move_step(m, &complete);
        count(p, m);
        if (err == COAT_OK && steps % SHOW_EVERY_STEPS == 0)
            show(p, "copying", false);
    }
    if (err != COAT_OK)
        coat_move_explain(err, message, cap);
    else
        err = coat_move_finish(m, message, cap);
    count(p, m);
    if (err == COAT_OK)
        show(p, "moved", true);
    coat_move_free(m);
    return err;
}

static int
fail(coat_err err, const char *url, const char *message)
{
    (void)fprintf(stderr, "coatcheck: %s%s%s\n", url != NULL ? url : "",
                  url != NULL ? ": " : "", message[0] != '\0' ? message : coat_err_text(err));
    return coat_err_kind_of(err) == COAT_KIND_BAD ? COAT_EXIT_CONFIG : COAT_EXIT_FAILED;
}

/** @return an exit code */
static int
do_it(const coat_move_conf *conf, progress *p, bool cancel, char *message, size_t cap)
{
    coat_err err = cancel ? coat_move_cancel(conf, message, cap) : move(conf, p, message, cap);

    if (err != COAT_OK)
        return fail(err, NULL, message);
    if (cancel) {
        show(p, "cancelled", true);
        given_up(p, message);
    } else if (!p->json) {
        (void)printf("Moved. Use it from now on: %s: %s\n",
                     conf->what == COAT_COPY_ACCOUNTS ? "accounts.url" : "store.url",
                     conf->to_url);
    }
    return COAT_EXIT_OK;
}

static int
by_itself(coat_move_conf *conf, progress *p, coat_store_conf *store, bool cancel)
{
    char message[512] = "";
    coat_store *from = NULL, *to = NULL;
    coat_err err;
    int code = COAT_EXIT_OK;

    store->message = message;
    store->message_cap = sizeof message;
    store->url = conf->from_url;
    err = coat_store_open(store, &from);
    if (err == COAT_OK) {
        store->url = conf->to_url;
        err = coat_store_open(store, &to);
    }
    if (err != COAT_OK) {
        code = fail(err, store->url, message);
    } else {
        conf->from = from;
        conf->to = to;
        code = do_it(conf, p, cancel, message, sizeof message);
    }
    coat_store_close(to);
    coat_store_close(from);
    return code;
}

/** Where they are: accounts.url, or beside the sessions. */
static const char *
configured(const coat_config *config, const order *o)
{
    return o->accounts && config->accounts_url[0] != '\0' ? config->accounts_url
                                                          : config->store_url;
}

/** @return an exit code */
static int
carry_out(const coat_config *config, const order *o, progress *p)
{
    coat_move_conf conf = {.from_url = o->from != NULL ? o->from : configured(config, o),
                           .to_url = o->to,
                           .what = o->accounts        ? COAT_COPY_ACCOUNTS
                                   : o->sessions_only ? COAT_COPY_SESSIONS
                                                      : COAT_COPY_ALL,
                           .clock = coat_clock_system,
                           .rng = coat_rng_system};
    coat_client *client = coat_client_at(config->admin_socket);
    coat_store_conf store = {0};
    int code;

    if (client != NULL && coat_client_peer(client) != 0 && o->accounts) {
        (void)fprintf(stderr, "coatcheck: a daemon runs: accounts are moved while none does. "
                              "Stop the daemons of all machines, run this again, set "
                              "accounts.url and start them\n");
        code = COAT_EXIT_FAILED;
    } else if (client != NULL && coat_client_peer(client) != 0) {
        code = by_daemon(client, p, o);
    } else {
        coat_config_store(config, &store);
        code = by_itself(&conf, p, &store, o->cancel);
    }
    coat_client_close(client);
    return code;
}

static const char *
mistake(const order *o)
{
    if (o->to == NULL || o->to[0] == '\0')
        return "--to is missing: the URL of a store";
    return o->accounts && o->sessions_only ? "--accounts contradicts --sessions-only" : NULL;
}

int
coat_cmd_store_copy(const coat_args *args)
{
    const order o = {.from = coat_args_option(args, "--from"),
                     .to = coat_args_option(args, "--to"),
                     .sessions_only = coat_args_option(args, "--sessions-only") != NULL,
                     .accounts = coat_args_option(args, "--accounts") != NULL,
                     .cancel = coat_args_option(args, "--cancel") != NULL};
    progress p = {.json = args->json, .terminal = !args->json && isatty(STDOUT_FILENO) == 1};
    coat_config *config = coat_args_config(args);
    const char *wrong = mistake(&o);
    int code;

    if (config == NULL)
        return COAT_EXIT_CONFIG;
    if (wrong != NULL || coat_init() != COAT_OK) {
        (void)fprintf(stderr, "coatcheck: store copy: %s\n",
                      wrong != NULL ? wrong : "the library cannot be initialised");
        coat_config_free(config);
        return COAT_EXIT_USAGE;
    }
    code = carry_out(config, &o, &p);
    coat_config_free(config);
    return code;
}
