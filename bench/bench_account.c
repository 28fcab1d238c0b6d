/* SPDX-License-Identifier: Apache-2.0 */

/* Sign-ins per second through the directory against the bare rate of Argon2id on as many
 * threads: what queue, store, throttling and records cost. Rounds alternate; medians. */

#include <coatcheck/account.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

enum { ROUNDS = 5, THREADS_MAX = 64, KIB = 19456, PASSES = 2, AHEAD = 4, USERS = 32 };

static const char password[] = "a quiet lamp behind the sofa";
static unsigned per_thread = 40;

static double
now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
must(coat_err err, const char *what)
{
    if (err == COAT_OK)
        return;
    (void)fprintf(stderr, "%s: %s\n", what, coat_err_text(err));
    exit(1);
}

static void *
bare_main(void *arg)
{
    uint8_t tag[32], salt[16] = {1};

    (void)arg;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), 10); /* as those of the directory */
    for (unsigned i = 0; i < per_thread; i++)
        if (crypto_pwhash(tag, sizeof tag, password, sizeof password - 1, salt, PASSES,
                          (size_t)KIB * 1024, crypto_pwhash_ALG_ARGON2ID13) != 0)
            abort();
    return NULL;
}

static double
bare_round(unsigned threads)
{
    pthread_t ids[THREADS_MAX];
    double start = now_s();

    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, bare_main, NULL) != 0)
            abort();
    for (unsigned i = 0; i < threads; i++)
        (void)pthread_join(ids[i], NULL);
    return threads * per_thread / (now_s() - start);
}

typedef struct flight {
    coat_account_call call;
    char name[32];
    coat_clerk *clerk;
    unsigned *left, *done;
} flight;

static void
next(coat_account_call *call)
{
    flight *f = call->ctx;

    must(call->result, "sign-in");
    ++*f->done;
    if (*f->left == 0)
        return;
    --*f->left;
    coat_account_start(f->clerk, call);
}

static double
directory_round(coat_clerk *clerk, uv_loop_t *loop, unsigned threads)
{
    static flight flights[THREADS_MAX * AHEAD];
    unsigned total = threads * per_thread, left = total, done = 0;
    double start = now_s();

    for (unsigned i = 0; i < threads * AHEAD && left > 0; i++) {
        flight *f = &flights[i];

        (void)snprintf(f->name, sizeof f->name, "user-%u", i % USERS);
        f->clerk = clerk;
        f->left = &left;
        f->done = &done;
        f->call = (coat_account_call){
            .op = COAT_ACCOUNT_SIGN_IN,
            .name = {(const uint8_t *)f->name, strlen(f->name)},
            .password = {(const uint8_t *)password, sizeof password - 1},
            .done = next,
            .ctx = f,
        };
        left--;
        coat_account_start(clerk, &f->call);
    }
    while (done < total)
        (void)uv_run(loop, UV_RUN_ONCE);
    return total / (now_s() - start);
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, by_value);
    return values[ROUNDS / 2];
}

static void
add_users(coat_directory *directory, coat_store *store)
{
    coat_lane *lane;
    coat_clerk *clerk;

    must(coat_lane_open(store, NULL, &lane), "lane");
    must(coat_clerk_open(directory, lane, NULL, &clerk), "clerk");
    for (unsigned i = 0; i < USERS; i++) {
        char name[32];
        coat_account_call add = {.op = COAT_ACCOUNT_ADD,
                                 .name = {(const uint8_t *)name, 0},
                                 .password = {(const uint8_t *)password, sizeof password - 1}};

        add.name.len = (size_t)snprintf(name, sizeof name, "user-%u", i);
        must(coat_account_run(clerk, &add), "add");
    }
    coat_clerk_close(clerk);
    coat_lane_close(lane);
}

/* usage: bench_account [threads [sign-ins for each thread and round [store URL]]] */
int
main(int argc, char **argv)
{
    coat_store_conf store_conf = {.url = argc > 3 ? argv[3] : "memory:"};
    unsigned threads = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
    double bare[ROUNDS], through[ROUNDS], b, t;
    coat_directory_conf conf;
    coat_directory *directory;
    coat_store *store;
    coat_keys *keys;
    coat_lane *lane;
    coat_clerk *clerk;
    uv_loop_t loop;

    per_thread = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : per_thread;
    threads = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
    must(coat_init(), "init");
    must(coat_keys_generate(1, coat_rng_system, NULL, &keys), "keys");
    must(coat_store_open(&store_conf, &store), "store");
    coat_directory_conf_default(&conf);
    conf.keys = keys;
    conf.store = store;
    conf.argon_kib = KIB;
    conf.argon_passes = PASSES;
    conf.hash_threads = threads;
    must(coat_directory_new(&conf, &directory, NULL, 0), "directory");
    add_users(directory, store);
    if (uv_loop_init(&loop) != 0)
        abort();
    must(coat_lane_open(store, &loop, &lane), "lane");
    must(coat_clerk_open(directory, lane, &loop, &clerk), "clerk");
    for (unsigned i = 0; i < ROUNDS; i++) {
        bare[i] = bare_round(threads);
        through[i] = directory_round(clerk, &loop, threads);
    }
    b = median(bare);
    t = median(through);
    printf("argon2id m=%d t=%d p=1, %u threads, %s\n", KIB, PASSES, threads, store_conf.url);
    printf(
        "bare hashes      %8.1f /s\nsign-ins         %8.1f /s\nratio            %8.3f  (goal "
        ">= 0.95)\n",
        b, t, t / b);
    coat_clerk_close(clerk);
    coat_lane_close(lane);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    coat_directory_free(directory);
    coat_store_close(store);
    coat_keys_free(keys);
    return 0;
}
