/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <sodium.h>

enum { KIND = 1, RECORD_CAP = 1024 };

/** A sealed record of some length, under address. @return sealed length */
static size_t
sealed_record(test_rng *rng, const coat_keys *keys, const uint8_t address[16], uint8_t *buf)
{
    coat_token token = fixture_token(rng, coat_keys_tags(keys));
    coat_record record = fixture_record(rng, &token);
    uint8_t data[64];
    size_t len = 0;

    (void)test_rng_fill(rng, data, sizeof data);
    record.data = (coat_span){data, test_rng_below(rng, sizeof data)};
    REQUIRE_OK(coat_record_encode(&record, buf, RECORD_CAP - COAT_SEAL_BYTES, &len));
    coat_seal(keys, KIND, address, buf, len);
    return len + COAT_SEAL_BYTES;
}

static void
round_trip(void)
{
    coat_keys *keys = fixture_keys();
    uint8_t address[16] = {1, 2, 3};

    for (size_t len = 0; len <= 300; len++) {
        uint8_t buf[300 + COAT_SEAL_BYTES + 1];
        coat_span payload = {NULL, 0};

        memset(buf, 0x5A, sizeof buf);
        coat_seal(keys, KIND, address, buf, len);
        CHECK_INT(buf[len + COAT_SEAL_BYTES], 0x5A);
        CHECK_ERR(
            coat_unseal(keys, KIND, address, (coat_span){buf, len + COAT_SEAL_BYTES}, &payload),
            COAT_OK);
        CHECK(payload.ptr == buf && payload.len == len);
    }
    coat_keys_free(keys);
}

static void
refuses(const coat_keys *keys, uint8_t kind, const uint8_t address[16], coat_span sealed)
{
    coat_span payload = {NULL, 4711};

    CHECK_ERR(coat_unseal(keys, kind, address, sealed, &payload), COAT_TAMPERED);
    CHECK(payload.ptr == NULL && payload.len == 4711);
}

static void
every_bit(void)
{
    long records = test_scaled(1000, 10);
    coat_keys *keys = fixture_keys();
    test_rng rng = {1};

    for (long i = 0; i < records; i++) {
        uint8_t buf[RECORD_CAP], address[16];
        size_t len;

        (void)test_rng_fill(&rng, address, sizeof address);
        len = sealed_record(&rng, keys, address, buf);
        for (size_t bit = 0; bit < 8 * len; bit++) {
            buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
            refuses(keys, KIND, address, (coat_span){buf, len});
            buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t bit = 0; bit < 128; bit++) {
            address[bit / 8] ^= (uint8_t)(1 << bit % 8);
            refuses(keys, KIND, address, (coat_span){buf, len});
            address[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (unsigned kind = 0; kind < 256; kind++)
            if (kind != KIND)
                refuses(keys, (uint8_t)kind, address, (coat_span){buf, len});
    }
    coat_keys_free(keys);
}

static void
transplants(void)
{
    coat_keys *keys = fixture_keys();
    uint8_t a[RECORD_CAP], b[RECORD_CAP], at_a[16] = {1}, at_b[16] = {2};
    test_rng rng = {2};
    size_t len_a = sealed_record(&rng, keys, at_a, a),
           len_b = sealed_record(&rng, keys, at_b, b);
    uint8_t swapped[RECORD_CAP];

    refuses(keys, KIND, at_b, (coat_span){a, len_a}); /* A's record under B's address */
    refuses(keys, KIND, at_a, (coat_span){b, len_b});

    memcpy(swapped, a, len_a); /* created and last seen changed places */
    memcpy(swapped + 16, a + 32, 8);
    memcpy(swapped + 32, a + 16, 8);
    swapped[16] ^= 1; /* both are the same moment in a fresh record */
    refuses(keys, KIND, at_a, (coat_span){swapped, len_a});

    memcpy(swapped, a, len_a); /* B's seal on A's record */
    memcpy(swapped + len_a - COAT_SEAL_BYTES, b + len_b - COAT_SEAL_BYTES, COAT_SEAL_BYTES);
    refuses(keys, KIND, at_a, (coat_span){swapped, len_a});
    refuses(keys, KIND, at_b, (coat_span){swapped, len_a});
    coat_keys_free(keys);
}

static void
lengths(void)
{
    coat_keys *keys = fixture_keys();
    uint8_t buf[RECORD_CAP], address[16] = {3};
    test_rng rng = {3};
    size_t len = sealed_record(&rng, keys, address, buf);

    for (size_t cut = 0; cut < len; cut++) {
        refuses(keys, KIND, address, (coat_span){buf, cut});
        if (cut > 0)
            refuses(keys, KIND, address, (coat_span){buf + cut, len - cut});
    }
    buf[len] = 0;
    refuses(keys, KIND, address, (coat_span){buf, len + 1});
    refuses(keys, KIND, address, (coat_span){NULL, 0});
    coat_keys_free(keys);
}

static void
key_generations(void)
{
    coat_keys *keys = fixture_keys(), *next = NULL, *last = NULL, *strange = NULL;
    uint8_t buf[RECORD_CAP], address[16] = {4};
    test_rng rng = {4};
    size_t len = sealed_record(&rng, keys, address, buf);
    coat_span payload;

    REQUIRE_OK(coat_keys_rotate(keys, 1, test_rng_fill, &rng, &next));
    REQUIRE_OK(coat_keys_rotate(next, 2, test_rng_fill, &rng, &last));
    REQUIRE_OK(coat_keys_generate(1, test_rng_fill, &rng, &strange));
    CHECK_ERR(coat_unseal(next, KIND, address, (coat_span){buf, len}, &payload), COAT_OK);
    refuses(last, KIND, address, (coat_span){buf, len}); /* two generations old */
    refuses(strange, KIND, address, (coat_span){buf, len});
    coat_keys_free(keys);
    coat_keys_free(next);
    coat_keys_free(last);
    coat_keys_free(strange);
}

static void
golden_seal(void)
{
    /* from Python's hashlib */
    coat_keys *keys = fixture_keys();
    uint8_t buf[5 + COAT_SEAL_BYTES] = "hello", address[16] = {9};
    char hex[2 * COAT_SEAL_BYTES + 1];

    coat_seal(keys, 2, address, buf, 5);
    (void)sodium_bin2hex(hex, sizeof hex, buf + 5, COAT_SEAL_BYTES);
    CHECK_STR(hex, "08000000fd1f5ddfbb69157d5efb4fc279886606");
    coat_keys_free(keys);
}

static const coat_test tests[] = {
    {"seal: what is sealed unseals, at every length", round_trip},
    {"ST-2: any changed bit of record, address or kind is noticed", every_bit},
    {"ST-2: transplanted records, seals and times are noticed", transplants},
    {"ST-2 ST-8: truncated and extended records are refused", lengths},
    {"ST-2: the last two key generations unseal, others do not", key_generations},
    {"UP-1: the seal has not drifted", golden_seal},
};
COAT_TEST_MAIN(tests)
