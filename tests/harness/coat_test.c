/* SPDX-License-Identifier: Apache-2.0 */
#include "coat_test.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DIRS_MAX = 256 };

static jmp_buf abort_point;
static int failures;
static const char *case_name;
static const char *skip_reason;
static char dirs[DIRS_MAX][256];
static int dir_count;
static pid_t dirs_owner;
static pid_t runner;

void
test_case(const char *name)
{
    case_name = name;
}

void
test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;

    failures++;
    printf("# %s:%d: ", file, line);
    if (case_name != NULL)
        printf("[%s] ", case_name);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

/* A child of a test ends with it: it must not run the tests that follow a second time. */
static _Noreturn void
leave(void)
{
    if (getpid() != runner) {
        (void)fflush(stdout);
        _exit(1);
    }
    longjmp(abort_point, 1);
}

void
test_abort(void)
{
    leave();
}

void
test_skip(const char *reason)
{
    skip_reason = reason;
    leave();
}

void
test_not_under_valgrind(const char *reason)
{
    if (getenv("COAT_VALGRIND") != NULL)
        test_skip(reason);
}

bool
test_equal_int(const char *file, int line, const char *what, long long got, long long want)
{
    if (got == want)
        return true;
    test_fail(file, line, "%s is %lld, expected %lld", what, got, want);
    return false;
}

bool
test_equal_err(const char *file, int line, const char *what, coat_err got, coat_err want)
{
    if (got == want)
        return true;
    test_fail(file, line, "%s is %s, expected %s", what, coat_err_name(got),
              coat_err_name(want));
    return false;
}

static void
print_bytes(const char *label, const uint8_t *bytes, size_t len)
{
    printf("#   %s (%zu): ", label, len);
    for (size_t i = 0; i < len && i < 200; i++)
        if (bytes[i] >= 0x20 && bytes[i] < 0x7f)
            putchar(bytes[i]);
        else
            printf("\\x%02x", bytes[i]);
    printf("\n");
}

bool
test_equal_mem(const char *file, int line, const char *what, const void *got, size_t got_len,
               const void *want, size_t want_len)
{
    if (got_len == want_len && (want_len == 0 || memcmp(got, want, want_len) == 0))
        return true;
    test_fail(file, line, "%s differs", what);
    print_bytes("got", got, got_len);
    print_bytes("want", want, want_len);
    return false;
}

long
test_scaled(long full, long floor)
{
    const char *text = getenv("COAT_TEST_SCALE");
    double percent = text != NULL ? strtod(text, NULL) : 1.0;
    long scaled = (long)((double)full * percent / 100.0);

    return scaled < floor ? floor : scaled;
}

uint64_t
test_rng_next(test_rng *rng)
{
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15U);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

uint64_t
test_rng_below(test_rng *rng, uint64_t limit)
{
    return limit == 0 ? 0 : test_rng_next(rng) % limit;
}

coat_err
test_rng_fill(void *ctx, uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)test_rng_next(ctx);
    return COAT_OK;
}

int64_t
test_clock(void *ctx)
{
    return *(int64_t *)ctx;
}

static int
remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void
remove_dirs(void)
{
    if (getpid() != dirs_owner)
        return;
    for (int i = 0; i < dir_count; i++)
        (void)nftw(dirs[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/** ThreadSanitizer has a thread of its own. */
#ifdef __SANITIZE_THREAD__
enum { THREADS_EXPECTED = 2 };
#else
enum { THREADS_EXPECTED = 1 };
#endif

/** A directory's links are its entries and itself, twice. */
static bool
has_threads(void)
{
    struct stat st;

    return stat("/proc/self/task", &st) != 0 || st.st_nlink > 2 + THREADS_EXPECTED;
}

pid_t
test_fork(void)
{
    const struct timespec ms = {.tv_nsec = 1000000};
    pid_t pid;

    /* A thread that was joined may be seen for a moment. */
    for (int i = 0; i < 5000 && has_threads(); i++)
        (void)nanosleep(&ms, NULL);
    REQUIRE(!has_threads());
    (void)fflush(NULL);
    pid = fork();
    REQUIRE(pid >= 0);
    return pid;
}

const char *
test_tmpdir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = dirs[dir_count];

    if (dir_count == DIRS_MAX) {
        fprintf(stderr, "too many temporary directories\n");
        abort();
    }
    if (dir_count == 0) {
        dirs_owner = getpid();
        (void)atexit(remove_dirs);
    }
    (void)snprintf(dir, sizeof dirs[0], "%s/coat-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(dir) == NULL) {
        perror(dir);
        abort();
    }
    dir_count++;
    return dir;
}

void
test_write_secret(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    REQUIRE(f != NULL);
    REQUIRE(fchmod(fileno(f), 0600) == 0);
    REQUIRE(fputs(text, f) >= 0);
    REQUIRE(fclose(f) == 0);
}

int
coat_test_main(int argc, char **argv, const coat_test *tests, size_t count)
{
    volatile int bad = 0;
    volatile size_t number = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    runner = getpid();
    for (volatile size_t i = 0; i < count; i++) {
        if (argc > 1 && strstr(tests[i].name, argv[1]) == NULL)
            continue;
        failures = 0;
        case_name = NULL;
        skip_reason = NULL;
        number++;
        if (setjmp(abort_point) == 0)
            tests[i].run();
        printf("%s %zu - %s%s%s\n", failures == 0 ? "ok" : "not ok", (size_t)number,
               tests[i].name, skip_reason != NULL ? " # SKIP " : "",
               skip_reason != NULL ? skip_reason : "");
        bad += failures != 0;
    }
    printf("1..%zu\n", (size_t)number);
    return bad != 0 || number == 0;
}
