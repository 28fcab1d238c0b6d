/* SPDX-License-Identifier: Apache-2.0 */
#include "core/keys.h"
#include "fixture.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD "coatcheck-keys 1\n"
#define ROOT "root " FIXTURE_ROOT "\n"
#define KEY7 "key 7 1600000000000 " FIXTURE_OLD "\n"
#define KEY8 "key 8 1650000000000 " FIXTURE_NEW "\n"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static const struct parse_case {
    const char *name, *text;
    unsigned line; /* of the error; 999: accepted */
} parse_cases[] = {
    {"one key", HEAD ROOT KEY7, 999},
    {"two keys", HEAD ROOT KEY7 KEY8, 999},
    {"highest id and time", HEAD ROOT "key 4294967295 9223372036854775807 " FIXTURE_OLD "\n",
     999},
    {"created at 0", HEAD ROOT "key 1 0 " FIXTURE_OLD "\n", 999},
    {"empty", "", 1},
    {"newer format", "coatcheck-keys 2\n" ROOT KEY7, 1},
    {"byte order mark", "\xef\xbb\xbf" HEAD ROOT KEY7, 1},
    {"CRLF", "coatcheck-keys 1\r\n" ROOT KEY7, 1},
    {"only the first line", HEAD, 2},
    {"no root", HEAD KEY7, 2},
    {"short root", HEAD "root 1111\n" KEY7, 2},
    {"long root", HEAD "root " FIXTURE_ROOT "1\n" KEY7, 2},
    {"root not hex",
     HEAD "root g11111111111111111111111111111111111111111111111111111111111111"
          "1\n" KEY7,
     2},
    {"upper-case hex",
     HEAD "root A11111111111111111111111111111111111111111111111111111111111111"
          "1\n" KEY7,
     2},
    {"root of zeros", HEAD "root " ZEROS "\n" KEY7, 0},
    {"no key", HEAD ROOT, 0},
    {"key of zeros", HEAD ROOT "key 1 1 " ZEROS "\n", 0},
    {"key is the root", HEAD ROOT "key 1 1 " FIXTURE_ROOT "\n", 0},
    {"the same key twice", HEAD ROOT KEY7 "key 8 1 " FIXTURE_OLD "\n", 0},
    {"the same id twice", HEAD ROOT KEY7 "key 7 1 " FIXTURE_NEW "\n", 0},
    {"newest first", HEAD ROOT KEY8 KEY7, 0},
    {"id 0", HEAD ROOT "key 0 1 " FIXTURE_OLD "\n", 0},
    {"three keys", HEAD ROOT KEY7 KEY8 KEY8, 5},
    {"id too large", HEAD ROOT "key 4294967296 1 " FIXTURE_OLD "\n", 3},
    {"time too large", HEAD ROOT "key 1 9223372036854775808 " FIXTURE_OLD "\n", 3},
    {"time wraps", HEAD ROOT "key 1 18446744073709551617 " FIXTURE_OLD "\n", 3},
    {"negative time", HEAD ROOT "key 1 -1 " FIXTURE_OLD "\n", 3},
    {"leading zero", HEAD ROOT "key 07 1 " FIXTURE_OLD "\n", 3},
    {"plus sign", HEAD ROOT "key +7 1 " FIXTURE_OLD "\n", 3},
    {"two spaces", HEAD ROOT "key  7 1 " FIXTURE_OLD "\n", 3},
    {"tab", HEAD ROOT "key\t7 1 " FIXTURE_OLD "\n", 3},
    {"no id", HEAD ROOT "key  1 " FIXTURE_OLD "\n", 3},
    {"comment", HEAD ROOT KEY7 "# mine\n", 4},
    {"blank line", HEAD ROOT KEY7 "\n", 4},
    {"no newline at the end", HEAD ROOT "key 7 1600000000000 " FIXTURE_OLD, 3},
    {"trailing space", HEAD ROOT "key 7 1600000000000 " FIXTURE_OLD " \n", 3},
};

static void
parse_table(void)
{
    REQUIRE_OK(coat_init());
    for (size_t i = 0; i < sizeof parse_cases / sizeof parse_cases[0]; i++) {
        const struct parse_case *c = &parse_cases[i];
        coat_span text = fixture_text(c->text, strlen(c->text));
        coat_keys_error error = {4711, ""};
        coat_keys *keys = NULL;
        coat_err err = coat_keys_parse(text, &keys, &error);

        test_case(c->name);
        if (c->line == 999) {
            char back[512];
            size_t len = 0;

            CHECK_ERR(err, COAT_OK);
            REQUIRE(keys != NULL);
            CHECK_INT(error.line, 4711);
            CHECK_ERR(coat_keys_format(keys, back, sizeof back, &len), COAT_OK);
            CHECK_MEM(back, len, text.ptr, text.len); /* one spelling */
            coat_keys_free(keys);
            continue;
        }
        CHECK_ERR(err, COAT_MALFORMED);
        CHECK(keys == NULL);
        CHECK_INT(error.line, c->line);
        CHECK(error.text[0] != '\0');
        CHECK(strstr(error.text, "1111") == NULL); /* no key in a message */
        CHECK_ERR(coat_keys_parse(text, &keys, NULL), COAT_MALFORMED);
    }
    CHECK_ERR(coat_keys_parse((coat_span){NULL, 0}, &(coat_keys *){NULL}, NULL),
              COAT_MALFORMED);
}

static void
every_prefix(void)
{
    coat_keys *keys = NULL;
    size_t first = sizeof(HEAD ROOT KEY7) - 1;

    REQUIRE_OK(coat_init());
    for (size_t len = 0; len < sizeof FIXTURE_KEYS - 1; len++) {
        if (len == first)
            continue; /* a whole file with one key */
        CHECK_ERR(coat_keys_parse(fixture_text(FIXTURE_KEYS, len), &keys, NULL),
                  COAT_MALFORMED);
    }
    CHECK(keys == NULL);
}

static void
purposes_are_apart(void)
{
    coat_keys *keys = fixture_keys();
    const uint8_t *seen[3 * COAT_KEY_USES];
    size_t count = 0, roots = 0;

    for (int use = -1; use < 20; use++) {
        const uint8_t *root = coat_keys_root(keys, (coat_key_use)use);
        const uint8_t *live[3];

        for (uint32_t i = 0; i < 3; i++)
            live[i] = coat_keys_live(keys, (coat_key_use)use, i);
        CHECK(live[2] == NULL);
        CHECK((root != NULL) + (live[0] != NULL) == (use >= 1 && use <= 9));
        CHECK((live[0] != NULL) == (live[1] != NULL));
        roots += root != NULL;
        for (size_t i = 0; i < 3; i++) {
            const uint8_t *key = i == 2 ? root : live[i];

            if (key == NULL)
                continue;
            CHECK(!sodium_is_zero(key, COAT_KEY_BYTES));
            for (size_t k = 0; k < count; k++)
                CHECK(memcmp(seen[k], key, COAT_KEY_BYTES) != 0);
            seen[count++] = key;
        }
    }
    CHECK_INT(roots, 4);
    CHECK_INT(count, 4 + 2 * 5);
    CHECK_MEM(coat_keys_tags(keys)->key[0], 16, coat_keys_live(keys, COAT_KEY_TAG, 0), 16);
    CHECK_MEM(coat_keys_tags(keys)->key[1], 16, coat_keys_live(keys, COAT_KEY_TAG, 1), 16);
    CHECK_INT(coat_keys_tags(keys)->count, 2);
    coat_keys_free(keys);
}

/* The derivation decides whether everybody stays logged in over an upgrade. */
static void
golden_derivation(void)
{
    static const struct {
        coat_key_use use;
        const char *hex;
    } golden[] = {
        {COAT_KEY_TAG, "5477c36349fd336960db7bd4e58a0016e3abe28a6f8a4684240e1dc77c3947d0"},
        {COAT_KEY_SEAL, "ced821eceeedc37e4c2d903dd0b2802d7f5b284c54a8329ed057fd1d900381da"},
        {COAT_KEY_CSRF, "4fa07e1e47e751079ab0284d8853fee448aa686ae82e83c46f605f43e85e0b5b"},
        {COAT_KEY_OWNER, "2eb6a6733e6ff4fd21ef9f052e670141b94cbe4539b01d0f88687355ebb43974"},
        {COAT_KEY_ACCOUNT, "e02985630ac3dfa750689aa73f72aba09b3bb6b239fab08d149d2618b0678513"},
        {COAT_KEY_AUDIT, "3ce86ad1f53c1fd624b809dd725b9d8994c821b238732eb36f3729fc286a4237"},
        {COAT_KEY_THROTTLE, "3197820d710f866b96a30820f6788e85adfb738bb0c0befb1c46cc439f1bf386"},
        {COAT_KEY_ASSERTION,
         "619e22b1dfe143d495e3d3c198aeb2318c6b80127a2473ac9440634f7df95d12"},
        {COAT_KEY_DEVICE, "9b9a360923f090ea820e90aae07ab9d62a3c9abd4c9045394e39c9cb36f9729f"},
    };
    coat_keys *keys = fixture_keys();
    coat_owner owner = coat_keys_owner(keys, COAT_LIT("alice"));
    coat_handle handle = {{1, 2, 3}};
    char hex[2 * COAT_KEY_BYTES + 1];

    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        const uint8_t *key = coat_keys_live(keys, golden[i].use, 0);

        if (key == NULL)
            key = coat_keys_root(keys, golden[i].use);
        (void)sodium_bin2hex(hex, sizeof hex, key, COAT_KEY_BYTES);
        CHECK_STR(hex, golden[i].hex);
    }
    (void)sodium_bin2hex(hex, sizeof hex, owner.bytes, sizeof owner.bytes);
    CHECK_STR(hex, "59bfd51875914428");
    coat_keys_audit_digest(keys, &handle, hex);
    CHECK_MEM(hex, 16, "0021f1dd68cb19b3", 16);
    coat_keys_free(keys);
}

static void
generate_and_rotate(void)
{
    test_rng rng = {1};
    coat_keys *a = NULL, *b = NULL, *c = NULL;
    coat_handle handle = {{1}};
    char hex_a[16], hex_c[16];
    coat_owner owner_a, owner_c;

    REQUIRE_OK(coat_init());
    REQUIRE_OK(coat_keys_generate(1000, test_rng_fill, &rng, &a));
    CHECK_INT(coat_keys_count(a), 1);
    CHECK_INT(coat_keys_id(a, 0), 1);
    CHECK_INT(coat_keys_id(a, 1), 0);
    CHECK_INT(coat_keys_created_ms(a, 0), 1000);
    REQUIRE_OK(coat_keys_rotate(a, 2000, test_rng_fill, &rng, &b));
    CHECK_INT(coat_keys_count(b), 2);
    CHECK_INT(coat_keys_id(b, 0), 2);
    CHECK_INT(coat_keys_id(b, 1), 1);
    CHECK_MEM(coat_keys_live(b, COAT_KEY_SEAL, 1), 32, coat_keys_live(a, COAT_KEY_SEAL, 0), 32);
    REQUIRE_OK(coat_keys_rotate(b, 3000, test_rng_fill, &rng, &c));
    CHECK_INT(coat_keys_id(c, 0), 3);
    CHECK_INT(coat_keys_id(c, 1), 2);
    CHECK_INT(coat_keys_created_ms(c, 1), 2000);
    CHECK_MEM(coat_keys_live(c, COAT_KEY_TAG, 1), 32, coat_keys_live(b, COAT_KEY_TAG, 0), 32);

    /* What addresses owners never changes. */
    owner_a = coat_keys_owner(a, COAT_LIT("u"));
    owner_c = coat_keys_owner(c, COAT_LIT("u"));
    CHECK_MEM(owner_a.bytes, 8, owner_c.bytes, 8);
    coat_keys_audit_digest(a, &handle, hex_a);
    coat_keys_audit_digest(c, &handle, hex_c);
    CHECK_MEM(hex_a, 16, hex_c, 16);
    coat_keys_free(a);
    coat_keys_free(b);
    coat_keys_free(c);
    coat_keys_free(NULL);
}

static coat_err
rng_failing_at(void *ctx, uint8_t *buf, size_t len)
{
    int *left = ctx;

    memset(buf, 0x42 + *left, len);
    return (*left)-- > 0 ? COAT_OK : COAT_RNG_FAILED;
}

static void
failures_publish_nothing(void)
{
    coat_keys *keys = fixture_keys(), *out = NULL;
    coat_owner owner = {{7}};
    char small[512];
    size_t len = 4711;

    for (int ok = 0; ok < 2; ok++) {
        int left = ok;

        CHECK_ERR(coat_keys_generate(1, rng_failing_at, &left, &out), COAT_RNG_FAILED);
        CHECK(out == NULL);
    }
    CHECK_ERR(coat_keys_rotate(keys, 1, rng_failing_at, &(int){0}, &out), COAT_RNG_FAILED);
    CHECK(out == NULL);
    CHECK_ERR(coat_owner_random(rng_failing_at, &(int){0}, &owner), COAT_RNG_FAILED);
    CHECK_INT(owner.bytes[0], 7);
    for (size_t cap = 0; cap < sizeof FIXTURE_KEYS - 1; cap++) {
        memset(small, '#', sizeof small);
        CHECK_ERR(coat_keys_format(keys, small, cap, &len), COAT_TOO_LARGE);
        CHECK_INT(small[cap], '#');
        CHECK(memmem(small, cap, "22222222", 8) == NULL); /* nothing secret is left */
    }
    CHECK_INT(len, 4711);
    coat_keys_free(keys);
}

static void
last_id(void)
{
    static const char text[] = HEAD ROOT "key 4294967295 1 " FIXTURE_OLD "\n";
    coat_keys *keys = NULL, *out = NULL;
    test_rng rng = {1};

    REQUIRE_OK(coat_init());
    REQUIRE_OK(coat_keys_parse(COAT_LIT(text), &keys, NULL));
    CHECK_ERR(coat_keys_rotate(keys, 1, test_rng_fill, &rng, &out), COAT_INVALID);
    CHECK(out == NULL);
    coat_keys_free(keys);
}

/* Writing to loaded keys kills the process, as does reading behind them. */
static void
memory_is_guarded(void)
{
    for (int what = 0; what < 2; what++) {
        int status = 0;
        pid_t pid = test_fork();

        if (pid == 0) {
            coat_keys *keys = fixture_keys();
            size_t past = (sizeof(coat_keys) + 63) / 64 * 64;
            volatile uint8_t *at = (volatile uint8_t *)keys;
            int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

            (void)dup2(null, 2);
            if (what == 0)
                at[0] = 1;
            else
                (void)at[past];
            _exit(0);
        }
        REQUIRE(waitpid(pid, &status, 0) == pid);
        CHECK(status != 0); /* a signal, or a sanitizer's exit */
    }
}

static const coat_test tests[] = {
    {"ST-2: key files have one spelling; reused and empty keys are refused", parse_table},
    {"every prefix of a key file is refused", every_prefix},
    {"ST-2: each purpose has its own key", purposes_are_apart},
    {"UP-1: derived keys have not drifted", golden_derivation},
    {"keys rotate, the root stays", generate_and_rotate},
    {"ID-2: a failure publishes nothing", failures_publish_nothing},
    {"key ids are never used twice", last_id},
    {"HD-6: loaded keys are read-only and guarded", memory_is_guarded},
};
COAT_TEST_MAIN(tests)
