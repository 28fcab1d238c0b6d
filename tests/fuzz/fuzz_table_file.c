/* SPDX-License-Identifier: Apache-2.0 */

/**
 * A table's files in which anything may stand. The input is a list of pokes into a good table:
 * u32 position, u8 length, bytes; position bit 31: into the activity file. What is left of the
 * input says how many 255ths of each file there are (254 of the table: all but a byte), and
 * whether they are there at all. Opened by a reader and taken over by a writer, such files
 * crash nobody, and nobody is told LIVE of a token whose secret's digest is in none of the
 * slots, nor that a session is live whose handle is in none.
 */

#include "fuzz.h"
#include "table/inside.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLOTS = 32, SESSIONS = 6, UNKNOWN = SESSIONS, TOKENS, ARENA = 4096 };

static const int64_t now_ms = 1700000000000;
static coat_tag_keys tags = {.key = {{1}}, .count = 1};
static char path[64], seen_path[80];
static uint8_t *good, *good_seen;
static size_t good_len, good_seen_len;
static coat_token tokens[TOKENS]; /* of the sessions, and the first with another secret */
static char texts[TOKENS][COAT_TOKEN_CHARS];

static coat_err
rng(void *ctx, uint8_t *buf, size_t len)
{
    static uint8_t counter; /* tokens only have to differ */

    (void)ctx;
    memset(buf, ++counter, len);
    return COAT_OK;
}

static void
conf_make(coat_table_conf *conf)
{
    coat_table_conf_default(conf);
    conf->path = path;
    conf->slots = SLOTS;
    conf->arena_bytes = ARENA;
    conf->tags = &tags;
    conf->now_ms = now_ms;
    conf->rng = rng;
}

static coat_err
enter(coat_table_writer *w, size_t i)
{
    static const char roles[200] = "admin editor";
    coat_record record = {.created_ms = now_ms,
                          .seen_ms = now_ms,
                          .idle_ms = 1000000,
                          .absolute_end_ms = now_ms + 1000000,
                          .user = COAT_LIT("alice"),
                          .roles = {(const uint8_t *)roles, i % 2 != 0 ? sizeof roles : 12}};
    coat_table_entry entry = {
        .handle = &tokens[i].handle, .record = &record, .next_due_ms = now_ms + 1000000};

    coat_secret_digest(tokens[i].secret, record.current_digest);
    return coat_table_fill(w, coat_table_ticket_take(w, entry.handle), &entry);
}

static uint8_t *
slurp(const char *file, size_t *len)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    uint8_t *bytes;

    FUZZ_CHECK(fd >= 0 && fstat(fd, &st) == 0);
    *len = (size_t)st.st_size;
    bytes = malloc(*len);
    FUZZ_CHECK(bytes != NULL && pread(fd, bytes, *len, 0) == st.st_size);
    (void)close(fd);
    return bytes;
}

static void
spill(const char *file, const uint8_t *bytes, size_t len, mode_t mode)
{
    int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, mode);

    FUZZ_CHECK(fd >= 0 && pwrite(fd, bytes, len, 0) == (ssize_t)len);
    FUZZ_CHECK(ftruncate(fd, (off_t)len) == 0);
    (void)close(fd);
}

static void
remove_files(void)
{
    static const char *const suffixes[] = {"", ".seen", ".lock"};
    char name[96];

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        (void)unlink(name);
    }
}

static void
setup(void)
{
    coat_table_conf conf;
    coat_table_writer *w;
    coat_owner owner = {{7}};

    FUZZ_CHECK(coat_init() == COAT_OK);
    (void)snprintf(path, sizeof path, "/dev/shm/coat-fuzz-table-%d", (int)getpid());
    (void)snprintf(seen_path, sizeof seen_path, "%s.seen", path);
    (void)atexit(remove_files);
    conf_make(&conf);
    FUZZ_CHECK(coat_table_create(&conf, &w) == COAT_OK);
    for (size_t i = 0; i < SESSIONS; i++) {
        FUZZ_CHECK(coat_token_mint(owner, now_ms, &tags, rng, NULL, &tokens[i]) == COAT_OK);
        FUZZ_CHECK(enter(w, i) == COAT_OK);
    }
    tokens[UNKNOWN] = tokens[0];
    tokens[UNKNOWN].secret[0] ^= 1;
    coat_token_tag(&tokens[UNKNOWN], &tags);
    for (size_t i = 0; i < TOKENS; i++)
        coat_token_encode(&tokens[i], texts[i]);
    coat_table_writer_close(w);
    good = slurp(path, &good_len);
    good_seen = slurp(seen_path, &good_seen_len);
}

static coat_table_verdict
ask_with(const coat_table *table, coat_span span, int64_t at_ms, coat_table_memo *memo)
{
    coat_table_answer answer;

    coat_table_check(table, &(coat_table_query){.token = span, .now_ms = at_ms, .memo = memo},
                     &answer);
    if (answer.verdict == COAT_TABLE_LIVE) {
        const uint8_t *end = (const uint8_t *)answer.identity + sizeof answer.identity;

        FUZZ_CHECK(answer.user.len <= COAT_USER_MAX && answer.roles.len <= COAT_ROLES_MAX &&
                   answer.methods.len <= COAT_METHODS_MAX);
        FUZZ_CHECK(answer.methods.ptr + answer.methods.len < end);
        FUZZ_CHECK(memo != NULL || coat_table_live(table, span, at_ms) == COAT_TABLE_LIVE);
    }
    return answer.verdict;
}

static coat_span
text_of(size_t i)
{
    return (coat_span){(const uint8_t *)texts[i], sizeof texts[i]};
}

/* What a worker remembers is of former tables, too: where an entry was says nothing. */
static coat_table_verdict
ask(const coat_table *table, size_t i, int64_t at_ms)
{
    static coat_table_memo *memo;
    coat_table_verdict remembered, verdict;

    if (memo == NULL)
        memo = coat_table_memo_new();
    FUZZ_CHECK(memo != NULL);
    remembered = ask_with(table, text_of(i), at_ms, memo);
    verdict = ask_with(table, text_of(i), at_ms, NULL);
    return remembered == COAT_TABLE_LIVE ? remembered : verdict;
}

static bool
is_live(const coat_table *table, size_t i, int64_t at_ms)
{
    return coat_table_live(table, text_of(i), at_ms) == COAT_TABLE_LIVE;
}

/** @param at  where it was the last time, and is as a rule: a search costs more than the rest
 */
static bool
is_somewhere(const uint8_t *bytes, size_t len, const void *what, size_t what_len, size_t *at)
{
    const uint8_t *found = *at + what_len <= len && memcmp(bytes + *at, what, what_len) == 0
                               ? bytes + *at
                               : memmem(bytes, len, what, what_len);

    if (found != NULL)
        *at = (size_t)(found - bytes);
    return found != NULL;
}

static void
check_token(const coat_table *table, const uint8_t *bytes, size_t len, size_t i)
{
    static const int64_t times[] = {INT64_MIN, 0, now_ms, now_ms + 999999, INT64_MAX};
    static size_t digest_at[TOKENS], handle_at[TOKENS];
    const coat_token *token = &tokens[i];
    bool live = false, handle_live = false;
    uint8_t digest[COAT_DIGEST_BYTES];

    for (size_t t = 0; t < sizeof times / sizeof times[0]; t++) {
        live = ask(table, i, times[t]) == COAT_TABLE_LIVE || live;
        handle_live = is_live(table, i, times[t]) || handle_live;
    }
    coat_secret_digest(token->secret, digest);
    if (live)
        FUZZ_CHECK(is_somewhere(bytes, len, digest, sizeof digest, &digest_at[i]));
    if (handle_live)
        FUZZ_CHECK(
            is_somewhere(bytes, len, &token->handle, sizeof token->handle, &handle_at[i]));
}

static void
check_all(const coat_table *table, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < TOKENS; i++)
        check_token(table, bytes, len, i);
}

/* A context's number is never 0, which stands for none, and depends on each part of it. */
static void
check_rest(const coat_table *table)
{
    static uint8_t longer[300];
    coat_context some = {COAT_LIT("a"), COAT_LIT("bc"), COAT_LIT("")},
                 other = {COAT_LIT("ab"), COAT_LIT("c"), COAT_LIT("")},
                 big = {COAT_LIT("a"), {longer, sizeof longer}, COAT_LIT("")};
    uint64_t number = coat_table_context(table, &some);

    FUZZ_CHECK(number != 0 && number == coat_table_context(table, &some));
    FUZZ_CHECK(number != coat_table_context(table, &other));
    FUZZ_CHECK(number != coat_table_context(table, &big));
    (void)coat_table_stale(table);
    (void)coat_table_time_ms(table);
}

/* As long as it says that it is. */
static void
check_size(const uint8_t *bytes, size_t len)
{
    coat_table_geometry geometry;
    size_t table, seen;

    memcpy(&geometry, bytes + offsetof(coat_table_head, geometry), sizeof geometry);
    FUZZ_CHECK(coat_table_size(geometry, &table, &seen) == COAT_OK && table == len);
}

static void
ignore(void *ctx, const coat_handle *handle, int64_t seen_ms)
{
    (void)ctx;
    (void)handle;
    (void)seen_ms;
}

static void
as_writer(const uint8_t *bytes, size_t len)
{
    coat_table_conf conf;
    coat_table_writer *w;
    coat_table_change change;

    conf_make(&conf);
    if (coat_table_create(&conf, &w) != COAT_OK)
        return;
    check_all(coat_table_writer_reader(w), bytes, len);
    (void)coat_table_fold(w, UINT32_MAX, 0, now_ms, ignore, NULL);
    for (size_t i = 0; i < SESSIONS; i++) {
        coat_table_change_begin(w, &tokens[i].handle, &change);
        coat_table_change_end(w, &change, NULL);
        /* Whatever stood there, it is gone. */
        FUZZ_CHECK(ask(coat_table_writer_reader(w), i, now_ms) != COAT_TABLE_LIVE);
        FUZZ_CHECK(!is_live(coat_table_writer_reader(w), i, now_ms));
        (void)enter(w, i); /* refused where the file claims a later epoch */
    }
    coat_table_writer_close(w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *table, *seen;
    coat_table *reader;
    size_t got;

    if (good == NULL)
        setup();
    table = malloc(good_len);
    seen = malloc(good_seen_len);
    FUZZ_CHECK(table != NULL && seen != NULL);
    memcpy(table, good, good_len);
    memcpy(seen, good_seen, good_seen_len);
    while (size > 5) {
        uint32_t at = coat_load32(data);
        uint8_t *file = at >> 31 != 0 ? seen : table;
        size_t file_len = at >> 31 != 0 ? good_seen_len : good_len;
        const uint8_t *bytes;
        size_t len = data[4];

        data += 5;
        size -= 5;
        bytes = fuzz_take(&data, &size, len, &got);
        at = (at & 0x7fffffff) % (uint32_t)file_len;
        memcpy(file + at, bytes, got < file_len - at ? got : file_len - at);
    }
    got = size > 0 ? good_len * data[0] / UINT8_MAX : good_len;
    if (size > 0 && data[0] == UINT8_MAX - 1)
        got = good_len - 1;
    remove_files();
    if (size < 3 || (data[2] & 1) == 0)
        spill(path, table, got, 0640);
    if (size < 3 || (data[2] & 2) == 0)
        spill(seen_path, seen, size > 1 ? good_seen_len * data[1] / UINT8_MAX : good_seen_len,
              0660);
    if (coat_table_open(path, &reader) == COAT_OK) {
        check_size(table, got);
        check_all(reader, table, got);
        check_rest(reader);
        coat_table_close(reader);
    }
    as_writer(table, got);
    free(table);
    free(seen);
    return 0;
}
