/* SPDX-License-Identifier: Apache-2.0 */

/**
 * Puts sessions into an empty data directory of the daemon, as the daemon would make them but
 * many at once:
 *
 *   bench_fill DIRECTORY SESSIONS USERS AGE_S TOKENS NAME [TABLE SLOTS]
 *
 * makes the key file if there is none, SESSIONS sessions of USERS users (NAME-0, ...), created
 * AGE_S seconds ago, and prints TOKENS of the cookie values, evenly spread; then "# bytes" and
 * the bytes of all records together, sealed. With TABLE each session is then checked once, so
 * that it is in that node table, which the daemon takes over if its own has as many SLOTS.
 *
 * The environment may name another store than that in DIRECTORY: COAT_BENCH_STORE, a URL, and
 * COAT_BENCH_MODULES, where its module lies.
 */

#include <coatcheck/coatcheck.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

enum { IN_FLIGHT = 1000, KEYS_TEXT_MAX = 512, AGAIN_MS = 20 };

typedef struct flight {
    coat_call call;
    struct fill *fill;
    uint64_t number;
    bool again; /* to be started once more */
    char user[40];
} flight;

typedef struct fill {
    coat_desk *desk;
    const char *name;
    uint64_t next, count, made, users, every, bytes;
    int64_t age_ms;
    const char *table; /* or NULL: then no slots either */
    uint32_t slots;
    char (*tokens)[COAT_TOKEN_CHARS]; /* of all, for the table */
    flight flights[IN_FLIGHT];
} fill;

static void
must(coat_err err, const char *what)
{
    if (err == COAT_OK)
        return;
    (void)fprintf(stderr, "bench_fill: %s: %s\n", what, coat_err_text(err));
    exit(1);
}

static int64_t
aged_clock(void *ctx)
{
    const fill *f = ctx;

    return coat_clock_system(NULL) - f->age_ms;
}

static coat_keys *
make_keys(const char *path)
{
    char text[KEYS_TEXT_MAX];
    size_t len = 0;
    coat_keys *keys = NULL;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ssize_t have = fd < 0 ? -1 : read(fd, text, sizeof text);

    if (have > 0) {
        must(coat_keys_parse((coat_span){(uint8_t *)text, (size_t)have}, &keys, NULL), path);
    } else {
        must(coat_keys_generate(coat_clock_system(NULL), coat_rng_system, NULL, &keys), path);
        must(coat_keys_format(keys, text, sizeof text, &len), path);
        if (fd < 0 || write(fd, text, len) != (ssize_t)len)
            must(COAT_IO, path);
    }
    (void)close(fd);
    sodium_memzero(text, sizeof text);
    return keys;
}

/* Who asks in bench/rig.py: from elsewhere each session would be written once more. */
static const coat_context client = {
    .address = COAT_LIT("127.0.0.1"),
    .agent = COAT_LIT("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    .language = COAT_LIT("en-gb"),
};

static void made(coat_call *call);

static void
start(flight *f)
{
    f->call = (coat_call){
        .op = COAT_CALL_CREATE,
        .done = made,
        .ctx = f,
        .user = {(uint8_t *)f->user, strlen(f->user)},
        .roles = COAT_LIT("user editor"),
        .methods = COAT_LIT("pwd"),
        .context = client,
    };
    coat_call_start(f->fill->desk, &f->call);
}

static void
start_next(flight *f)
{
    fill *all = f->fill;

    if (all->next == all->count)
        return;
    f->number = all->next++;
    (void)snprintf(f->user, sizeof f->user, "%.15s-%llu", all->name,
                   (unsigned long long)(f->number % all->users));
    start(f);
}

static void
made(coat_call *call)
{
    flight *f = call->ctx;

    /* A disk or a server with other work. By the timer: a breaker that is open answers at once,
     * and the loop would never get to close it. */
    if (coat_err_kind_of(call->result) == COAT_KIND_RETRY) {
        f->again = true;
        return;
    }
    must(call->result, "create");
    if (f->number % f->fill->every == 0)
        (void)printf("%.*s\n", COAT_TOKEN_CHARS, call->token_text);
    f->fill->made++;
    f->fill->bytes += coat_record_size(coat_session_record(call->session)) + COAT_SEAL_BYTES;
    coat_session_free(call->session);
    if (f->fill->tokens != NULL)
        memcpy(f->fill->tokens[f->number], call->token_text, COAT_TOKEN_CHARS);
    start_next(f);
}

static void
on_again(uv_timer_t *timer)
{
    fill *all = timer->data;

    for (uint32_t i = 0; i < IN_FLIGHT; i++) {
        if (!all->flights[i].again)
            continue;
        all->flights[i].again = false;
        start(&all->flights[i]);
    }
}

static void
run(fill *all)
{
    for (uint32_t i = 0; i < IN_FLIGHT; i++) {
        all->flights[i].fill = all;
        start_next(&all->flights[i]);
    }
}

static void
checked(coat_call *call)
{
    must(call->result, "check");
    coat_session_free(call->session);
}

/* Not before all are made: the table takes nobody in while a session of the same owner is being
 * made. */
static void
fill_table(fill *all)
{
    for (uint64_t i = 0; all->tokens != NULL && i < all->count; i++) {
        coat_call call = {
            .op = COAT_CALL_CHECK,
            .done = checked,
            .token = {(uint8_t *)all->tokens[i], COAT_TOKEN_CHARS},
            .context = client,
        };

        coat_call_start(all->desk, &call); /* reads complete at once */
    }
}

static bool
take_arguments(fill *all, int argc, char **argv)
{
    unsigned long long count, users, tokens;

    if ((argc != 7 && argc != 9) || sscanf(argv[2], "%9llu", &count) != 1 ||
        sscanf(argv[3], "%9llu", &users) != 1 || sscanf(argv[5], "%9llu", &tokens) != 1 ||
        count < 1 || users < 1 || tokens < 1)
        return false;
    all->name = argv[6];
    all->count = count;
    all->users = users;
    all->every = tokens < count ? count / tokens : 1;
    all->age_ms = strtoll(argv[4], NULL, 10) * 1000;
    if (argc == 9) {
        all->table = argv[7];
        all->slots = (uint32_t)strtoul(argv[8], NULL, 10);
        all->tokens = calloc(count, COAT_TOKEN_CHARS);
        if (all->tokens == NULL)
            must(COAT_NO_MEMORY, "tokens");
    }
    return true;
}

static coat_engine *
open_engine(fill *all, const coat_keys *keys, coat_store *store)
{
    coat_engine_conf conf;
    coat_engine *engine;

    coat_engine_conf_default(&conf);
    conf.keys = keys;
    conf.store = store;
    conf.clock_off_ms = 0; /* it works by a clock of the past */
    conf.sessions_per_user = 0;
    conf.table_path = all->table;
    conf.table_slots = all->slots;
    conf.clock = aged_clock;
    conf.clock_ctx = all;
    must(coat_engine_new(&conf, &engine), "engine");
    return engine;
}

int
main(int argc, char **argv)
{
    static fill all;
    char path[400], url[420], message[256] = "";
    coat_store_conf store_conf = {
        .url = url, .message = message, .message_cap = sizeof message};
    coat_engine *engine;
    coat_store *store;
    coat_keys *keys;
    uv_timer_t again;
    uv_loop_t loop;

    if (!take_arguments(&all, argc, argv)) {
        (void)fprintf(stderr, "usage: bench_fill DIRECTORY SESSIONS USERS AGE_S TOKENS NAME "
                              "[TABLE SLOTS]\n");
        return 2;
    }
    must(coat_init(), "init");
    (void)snprintf(path, sizeof path, "%s/keys", argv[1]);
    (void)snprintf(url, sizeof url, "lmdb:%s/store", argv[1]);
    if (getenv("COAT_BENCH_STORE") != NULL)
        store_conf.url = getenv("COAT_BENCH_STORE");
    store_conf.module_dir = getenv("COAT_BENCH_MODULES");
    keys = make_keys(path);
    must(coat_store_open(&store_conf, &store), message);
    engine = open_engine(&all, keys, store);
    if (uv_loop_init(&loop) != 0)
        must(COAT_NO_MEMORY, "loop");
    must(coat_desk_open(engine, &loop, &all.desk), "desk");
    (void)uv_timer_init(&loop, &again);
    again.data = &all;
    (void)uv_timer_start(&again, on_again, AGAIN_MS, AGAIN_MS);
    run(&all);
    while (all.made < all.count)
        (void)uv_run(&loop, UV_RUN_ONCE);
    fill_table(&all);
    (void)printf("# bytes %llu\n", (unsigned long long)all.bytes);
    coat_desk_close(all.desk);
    uv_close((uv_handle_t *)&again, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    coat_engine_free(engine);
    coat_store_close(store);
    coat_keys_free(keys);
    free(all.tokens);
    return 0;
}
