/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench: what this machine does with this configuration, in a few seconds. It works on keys, a
 * store and a node table of its own, beside the real ones on the same disk, and removes them.
 * Comparisons with other software are in the source tree: make bench.
 */
#include "cli/commands.h"
#include "cli/table.h"

#include "core/bytes.h"

#include <dirent.h>
#include <sodium.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { GROUP = 100, GROUPS = 50, SESSIONS = GROUP * GROUPS, CHECKS = 200000, HASHES = 5 };

typedef struct figures {
    double create_per_s, end_per_s, check_ns, invented_ns, hash_ms;
} figures;

typedef struct bench {
    char dir[512], url[540];
    coat_keys *keys;
    coat_store *store;
    coat_engine *engine;
    coat_desk *desk;
    char (*tokens)[COAT_TOKEN_CHARS];
    coat_handle *handles;
} bench;

static double
now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
remove_dir(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(path);
}

static bool
fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "coatcheck: %s: %s\n", what, why);
    return false;
}

static bool
open_all(bench *b, const coat_config *config)
{
    char message[512] = "";
    coat_store_conf store = {.url = b->url, .message = message, .message_cap = sizeof message};
    coat_engine_conf engine;
    coat_err err;

    (void)snprintf(b->dir, sizeof b->dir, "%s/bench-%ld", config->data_dir, (long)getpid());
    (void)snprintf(b->url, sizeof b->url, "lmdb:%s", b->dir);
    b->tokens = calloc(SESSIONS, sizeof *b->tokens);
    b->handles = calloc(SESSIONS, sizeof *b->handles);
    if (b->tokens == NULL || b->handles == NULL)
        return fail("bench", coat_err_text(COAT_NO_MEMORY));
    err = coat_keys_generate(coat_clock_system(NULL), coat_rng_system, NULL, &b->keys);
    if (err == COAT_OK)
        err = coat_store_open(&store, &b->store);
    if (err != COAT_OK)
        return fail(b->dir, message[0] != '\0' ? message : coat_err_text(err));
    coat_engine_conf_default(&engine);
    engine.keys = b->keys;
    engine.store = b->store;
    engine.sessions_per_user = 0;
    err = coat_engine_new(&engine, &b->engine);
    if (err == COAT_OK)
        err = coat_desk_open(b->engine, NULL, &b->desk);
    return err == COAT_OK || fail("engine", coat_err_text(err));
}

static void
close_all(bench *b)
{
    coat_desk_close(b->desk);
    coat_engine_free(b->engine);
    coat_store_close(b->store);
    coat_keys_free(b->keys);
    free(b->tokens);
    free(b->handles);
    if (b->dir[0] != '\0')
        remove_dir(b->dir);
}

/** Calls under way at once: what one commit of the store gathers. */
typedef struct group {
    coat_call calls[GROUP];
    size_t left;
    coat_err err;
} group;

static void
one_done(coat_call *call)
{
    group *g = call->ctx;

    g->left--;
    if (call->result != COAT_OK)
        g->err = call->result;
}

static bool
run_group(bench *b, group *g, coat_call_op op, size_t from)
{
    static const char data[] = "{\"cart\":[1,2,3],\"theme\":\"dark\"}";

    memset(g, 0, sizeof *g);
    g->left = GROUP;
    for (size_t i = 0; i < GROUP; i++) {
        coat_call *call = &g->calls[i];

        call->op = op;
        call->done = one_done;
        call->ctx = g;
        if (op == COAT_CALL_CREATE) {
            call->user = COAT_LIT("bench");
            call->roles = COAT_LIT("member");
            call->data = COAT_LIT(data);
        } else {
            call->has_handle = true;
            call->handle = b->handles[from + i];
        }
        /* The last one drives the lane until it is done itself; the others are by then. */
        if (i + 1 < GROUP)
            coat_call_start(b->desk, call);
        else if (coat_call_run(b->desk, call) != COAT_OK)
            g->err = call->result;
    }
    for (size_t i = 0; i < GROUP; i++) {
        coat_call *call = &g->calls[i];

        if (op == COAT_CALL_CREATE && call->session != NULL) {
            memcpy(b->tokens[from + i], call->token_text, COAT_TOKEN_CHARS);
            b->handles[from + i] = *coat_session_handle(call->session);
        }
        coat_session_free(call->session);
    }
    return g->left == 0 && g->err == COAT_OK;
}

static bool
measure_store(bench *b, coat_call_op op, double *per_s)
{
    group *g = malloc(sizeof *g);
    double from = now_s();
    bool fine = g != NULL;

    for (size_t i = 0; fine && i < GROUPS; i++) {
        fine = run_group(b, g, op, i * GROUP);
        coat_progress(op == COAT_CALL_CREATE ? "created" : "ended", (i + 1) * GROUP,
                      i + 1 == GROUPS);
    }
    *per_s = SESSIONS / (now_s() - from);
    free(g);
    return fine || fail("bench", "the store did not answer");
}

/* The first check of a session reads the store and fills the node table. */
static bool
fill_table(bench *b)
{
    for (size_t i = 0; i < SESSIONS; i++) {
        coat_call call = {.op = COAT_CALL_CHECK,
                          .token = {(const uint8_t *)b->tokens[i], COAT_TOKEN_CHARS}};
        coat_err err = coat_call_run(b->desk, &call);

        coat_session_free(call.session);
        if (err != COAT_OK)
            return fail("check", coat_err_text(err));
    }
    return true;
}

static bool
measure_checks(bench *b, figures *f)
{
    coat_table_answer answer;
    char invented[COAT_TOKEN_CHARS];
    size_t live = 0, refused = 0;
    double from = now_s();

    for (size_t i = 0; i < CHECKS; i++) {
        coat_table_query query = {
            .token = {(const uint8_t *)b->tokens[i % SESSIONS], COAT_TOKEN_CHARS},
            .now_ms = coat_engine_now_ms(b->engine)};

        coat_engine_peek(b->engine, &query, &answer);
        live += answer.verdict == COAT_TABLE_LIVE;
    }
    f->check_ns = (now_s() - from) / CHECKS * 1e9;
    memset(invented, 'A', sizeof invented);
    from = now_s();
    for (size_t i = 0; i < CHECKS; i++) {
        coat_table_query query = {.token = {(const uint8_t *)invented, sizeof invented},
                                  .now_ms = coat_engine_now_ms(b->engine)};

        coat_engine_peek(b->engine, &query, &answer);
        refused += answer.verdict == COAT_TABLE_REFUSE;
    }
    f->invented_ns = (now_s() - from) / CHECKS * 1e9;
    return (live == CHECKS && refused == CHECKS) ||
           fail("bench", "the node table did not answer as it should");
}

static bool
measure_hash(const coat_config *config, figures *f)
{
    uint8_t out[32], salt[crypto_pwhash_SALTBYTES] = {0};
    double from = now_s();

    for (int i = 0; i < HASHES; i++)
        if (crypto_pwhash(out, sizeof out, "benchmark", 9, salt,
                          (unsigned long long)config->argon_passes,
                          (size_t)config->argon_memory, crypto_pwhash_ALG_ARGON2ID13) != 0)
            return fail("password hash", "not enough memory");
    f->hash_ms = (now_s() - from) / HASHES * 1e3;
    return true;
}

static void
print(const coat_args *args, const figures *f)
{
    if (args->json) {
        (void)printf("{\"create_per_s\":%.0f,\"end_per_s\":%.0f,\"check_ns\":%.0f,"
                     "\"invented_ns\":%.0f,\"hash_ms\":%.2f}\n",
                     f->create_per_s, f->end_per_s, f->check_ns, f->invented_ns, f->hash_ms);
        return;
    }
    (void)printf(
        "sign-ins, durable, %d at a time      %10.0f per second (password hash aside)\n"
        "sign-outs, durable, %d at a time     %10.0f per second\n"
        "check of a cookie, %d sessions      %10.0f ns\n"
        "refusal of an invented cookie         %10.0f ns\n"
        "one password hash                     %10.2f ms\n",
        GROUP, f->create_per_s, GROUP, f->end_per_s, SESSIONS, f->check_ns, f->invented_ns,
        f->hash_ms);
}

int
coat_cmd_bench(const coat_args *args)
{
    coat_config *config = coat_args_config(args);
    figures f = {0};
    bench b = {0};
    bool fine;

    if (config == NULL)
        return COAT_EXIT_CONFIG;
    fine = coat_init() == COAT_OK && open_all(&b, config) &&
           measure_store(&b, COAT_CALL_CREATE, &f.create_per_s) && fill_table(&b) &&
           measure_checks(&b, &f) && measure_store(&b, COAT_CALL_END, &f.end_per_s) &&
           measure_hash(config, &f);
    if (fine)
        print(args, &f);
    close_all(&b);
    coat_config_free(config);
    return fine ? COAT_EXIT_OK : COAT_EXIT_FAILED;
}
