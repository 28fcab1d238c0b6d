/* SPDX-License-Identifier: Apache-2.0 */

/** What lies in a store, and what becomes of who changes it there. */

#include "records.h"

#include <stdlib.h>

/* ---- needles in a haystack of any size ---- */

enum { NEEDLE_MAX = 64, NEEDLE_HEAD = 8 };

typedef struct needle {
    uint64_t head; /* its first bytes */
    uint8_t bytes[NEEDLE_MAX];
    size_t len;
} needle;

static needle *needles;
static size_t needle_count;
static uint8_t heads[1 << 16]; /* of two bytes: is there any? */
static size_t looked_at, found;

static uint64_t
head_of(const uint8_t *bytes)
{
    uint64_t head;

    memcpy(&head, bytes, NEEDLE_HEAD);
    return head;
}

static void
add_needle(const void *bytes, size_t len)
{
    needle *n;

    needles = realloc(needles, (needle_count + 1) * sizeof *needles);
    REQUIRE(needles != NULL && len >= NEEDLE_HEAD && len <= NEEDLE_MAX);
    n = &needles[needle_count++];
    memcpy(n->bytes, bytes, len);
    n->len = len;
    n->head = head_of(bytes);
    heads[(size_t)n->bytes[0] << 8 | n->bytes[1]] = 1;
}

static int
by_head(const void *a, const void *b)
{
    const needle *x = a, *y = b;

    return (x->head > y->head) - (x->head < y->head);
}

/** The bytes of a token's secret, and how they look in base64, base64url and hex. */
static void
add_token(const rig_token *text)
{
    coat_token token;
    char form[NEEDLE_MAX];

    REQUIRE_OK(coat_token_decode(rig_span(text), &token));
    add_needle(token.secret, COAT_SECRET_BYTES);
    add_needle(text->text, COAT_TOKEN_CHARS);
    for (size_t shift = 0; shift < 3; shift++) { /* wherever it may begin within a group */
        size_t chars = (COAT_SECRET_BYTES - 3 - shift) / 3 * 4;

        coat_b64url_encode(token.secret + shift, COAT_SECRET_BYTES - shift, form);
        add_needle(form, chars);
        for (size_t i = 0; i < chars; i++)
            form[i] = form[i] == '-' ? '+' : form[i] == '_' ? '/' : form[i];
        add_needle(form, chars);
    }
    for (size_t i = 0; i < COAT_SECRET_BYTES; i++)
        (void)snprintf(form + 2 * i, 3, "%02x", token.secret[i]);
    add_needle(form, 2 * COAT_SECRET_BYTES);
    for (size_t i = 0; i < 2 * COAT_SECRET_BYTES; i++)
        form[i] = (char)(form[i] >= 'a' ? form[i] - 'a' + 'A' : form[i]);
    add_needle(form, 2 * COAT_SECRET_BYTES);
}

static void
look(const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at + NEEDLE_HEAD <= len; at++) {
        needle key = {.head = 0};
        const needle *hit;

        if (!heads[(size_t)bytes[at] << 8 | bytes[at + 1]])
            continue;
        key.head = head_of(bytes + at);
        hit = bsearch(&key, needles, needle_count, sizeof *needles, by_head);
        found += hit != NULL && hit->len <= len - at &&
                 memcmp(hit->bytes, bytes + at, hit->len) == 0;
    }
    looked_at += len;
}

static void
search_begin(void)
{
    free(needles);
    needles = NULL;
    needle_count = looked_at = found = 0;
    memset(heads, 0, sizeof heads);
}

static void
search(void)
{
    qsort(needles, needle_count, sizeof *needles, by_head);
    the_world.dump(r.inner, look);
}

/** Every string in a dump that is as long as a token, as a cookie. */
static unsigned tried;

static void
try_as_cookie(const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at + COAT_TOKEN_BYTES <= len && tried < 200; at += 13) {
        rig_token text;

        coat_b64url_encode(bytes + at, COAT_TOKEN_BYTES, text.text);
        CHECK_ERR(rig_check(&r, 0, &text), COAT_NO_SESSION);
        tried++;
    }
}

static void
holds_no_token(void)
{
    long n = test_scaled(10000, 40);
    rig_token token = {{0}}, last = {{0}};

    records_begin(1);
    search_begin();
    for (long i = 0; i < n; i++) {
        char user[32];

        (void)snprintf(user, sizeof user, "user%ld", i);
        token = last = rig_sign_in(&r, 0, user);
        add_token(&token);
        rig_pass(&r, 15 * MINUTE);
        REQUIRE_OK(rig_check(&r, 0, &token)); /* now there is a pending secret, too */
        last = rig_token_of(&r);
        REQUIRE(r.call.set_token);
        add_token(&last);
        REQUIRE_OK(rig_check(&r, 0, &last)); /* and a previous one */
        if (i % 4 == 0)
            CHECK_ERR(rig_end(&r, 0, &last), COAT_OK);
    }
    search();
    CHECK_INT(found, 0);
    CHECK(looked_at > (size_t)n * 100);
    tried = 0;
    the_world.dump(r.inner, try_as_cookie);
    CHECK(tried > 50);
    /* The search finds what is there. */
    search_begin();
    add_needle(rig_handle(&last).bytes + 8, 8);
    if (the_world.is_cache) {
        char hex[17];

        search_begin();
        for (size_t i = 0; i < 8; i++)
            (void)snprintf(hex + 2 * i, 3, "%02x", rig_handle(&last).bytes[8 + i]);
        add_needle(hex, 16);
    }
    search();
    CHECK(found > 0);
    search_begin();
    records_end();
}

/* ---- ST-2, ST-8, UP-1: what was changed in the store ---- */

static void
expect_refused(const rig_token *token, coat_event_type type)
{
    rig_forget(&r);
    CHECK(rig_check(&r, 0, token) != COAT_OK);
    CHECK(r.call.session == NULL && !r.call.set_token);
    CHECK(coat_err_kind_of(r.call.result) != COAT_KIND_RETRY);
    CHECK_INT(rig_events(&r, type), 1);
}

static void
flipped_and_transplanted(void)
{
    static stored s, other;
    long records = test_scaled(1000, 1), step = test_scaled(100, 1) >= 100 ? 1 : 23;
    rig_token token = {{0}}, second = {{0}}, third = {{0}};
    coat_handle handle, to;

    records_begin(1);
    for (long n = 0; n < records; n++) {
        token = rig_sign_in(&r, 0, "ada");
        handle = rig_handle(&token);
        REQUIRE_OK(records_fetch(&handle, &s));
        for (size_t bit = (size_t)(n % step); bit < s.len * 8; bit += (size_t)step) {
            s.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
            records_put(&handle, &s);
            expect_refused(&token, COAT_EVENT_RECORD_TAMPERED);
            s.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
        records_put(&handle, &s);
        CHECK_ERR(rig_check(&r, 0, &token), COAT_OK); /* refused, never deleted */
    }
    /* Under another user's address, and under another of the same user. */
    second = rig_sign_in(&r, 0, "bob");
    third = rig_sign_in(&r, 0, "ada");
    for (int i = 0; i < 2; i++) {
        to = rig_handle(i == 0 ? &second : &third);
        REQUIRE_OK(records_fetch(&to, &other));
        s.version = other.version;
        records_put(&to, &s);
        expect_refused(i == 0 ? &second : &third, COAT_EVENT_RECORD_TAMPERED);
    }
    /* An older state of the same record is not news to its seal, but its version is. */
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    records_end();
}

static void
cut_short(void)
{
    static stored whole, s;
    long records = test_scaled(100, 1);
    size_t step = test_scaled(100, 1) >= 100 ? 1 : 3;

    records_begin(1);
    for (long n = 0; n < records; n++) {
        rig_token token = rig_sign_in(&r, 0, "ada");
        coat_handle handle = rig_handle(&token);

        REQUIRE_OK(records_fetch(&handle, &whole));
        s = whole;
        for (size_t len = 0; len < whole.len; len += step) {
            s.len = len;
            records_put(&handle, &s);
            expect_refused(&token, COAT_EVENT_RECORD_TAMPERED);
            /* And with a seal of ours: as if written so by a faulty release. */
            if (len + COAT_SEAL_BYTES >= whole.len)
                continue;
            coat_seal(r.keys, 1, handle.bytes, s.bytes, len);
            s.len = len + COAT_SEAL_BYTES;
            records_put(&handle, &s);
            rig_forget(&r);
            CHECK(rig_check(&r, 0, &token) != COAT_OK && r.call.session == NULL);
            CHECK_INT(rig_events(&r, COAT_EVENT_RECORD_UNREADABLE), 1);
            memcpy(s.bytes, whole.bytes, whole.len);
        }
        whole.version = s.version;
        records_put(&handle, &whole);
        CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    }
    records_end();
}

/** A record of a release that is not yet: denied, kept, and live again for that release. */
static void
newer_record(void)
{
    static stored s, kept;
    rig_token token, other;
    coat_handle handle;

    records_begin(2);
    token = rig_sign_in(&r, 0, "ada");
    other = rig_sign_in(&r, 1, "ada");
    handle = rig_handle(&token);
    REQUIRE_OK(records_fetch(&handle, &s));
    kept = s;
    s.bytes[2] = COAT_RECORD_FORMAT + 1; /* little-endian, behind "CC" */
    coat_seal(r.keys, 1, handle.bytes, s.bytes, s.len - COAT_SEAL_BYTES);
    records_put(&handle, &s);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_ERR(rig_check(&r, i, &token), COAT_NEWER_FORMAT);
        CHECK(r.call.session == NULL);
        CHECK_ERR(rig_check(&r, i, &other), COAT_OK); /* nobody else is bothered */
    }
    CHECK_INT(rig_listed(&r, 0, "ada"), 1);
    records_sweep();
    kept.version = s.version;
    records_put(&handle, &kept); /* it is there still */
    CHECK_ERR(rig_check(&r, 1, &token), COAT_OK);
    /* What either release revokes holds for both. */
    kept.version++;
    REQUIRE_OK(records_fetch(&handle, &kept));
    memcpy(kept.bytes, s.bytes, s.len);
    records_put(&handle, &kept);
    CHECK_ERR(rig_end_user(&r, 1, "ada"), COAT_OK);
    CHECK_ERR(records_fetch(&handle, &kept), COAT_NO_SESSION);
    CHECK_ERR(rig_check(&r, 0, &other), COAT_NO_SESSION);
    records_end();
}

/** A store that a newer release has taken over is not used, and left as it is. */
static void
newer_store(void)
{
    char message[400] = "";
    coat_store_conf conf = {.message = message, .message_cap = sizeof message};
    coat_store *late = NULL;
    rig_token token;
    coat_err err;

    if (the_world.newer == NULL)
        test_skip("its format is held by tests of its own");
    records_begin(1);
    token = rig_sign_in(&r, 0, "ada");
    the_world.newer(false);
    conf.url = the_world.url(false);
    err = coat_store_open(&conf, &late);
    if (err == COAT_OK) { /* it may have been told only that nothing can be served */
        coat_lane *lane;
        coat_store_req req = {.op = COAT_OP_LOAD,
                              .space = COAT_SPACE_SESSION,
                              .address = rig_handle(&token),
                              .now_ms = r.wall};

        REQUIRE_OK(coat_lane_open(late, NULL, &lane));
        CHECK(coat_store_run(lane, &req) != COAT_OK);
        CHECK(req.result != COAT_NO_SESSION);
        coat_lane_close(lane);
        coat_store_close(late);
    }
    CHECK(message[0] != '\0');
    the_world.newer(true);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    records_end();
}

/* ---- ST-7: whose clock it is that ends a session ---- */

static void
expiry_by_record(void)
{
    rig_token token, kept;
    coat_handle handle;
    uint64_t entries;

    records_begin(1);
    records_precise(true);
    token = rig_sign_in(&r, 0, "ada");
    kept = rig_sign_in(&r, 0, "bob");
    entries = records_entries();
    rig_pass(&r, 30 * MINUTE - 1);
    CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    rig_pass(&r, 30 * MINUTE + 1);
    CHECK_INT(records_entries(), entries); /* the server has not expired anything */
    CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
    CHECK_ERR(rig_check(&r, 0, &kept), COAT_NO_SESSION);
    /* The record decides even where the store's own mark says it lives longer. */
    {
        static stored s;

        token = rig_sign_in(&r, 0, "ada");
        handle = rig_handle(&token);
        REQUIRE_OK(records_fetch(&handle, &s));
        s.expires_ms = 0;
        records_put(&handle, &s);
        rig_pass(&r, 30 * MINUTE - 1);
        CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
        REQUIRE_OK(records_fetch(&handle, &s));
        s.expires_ms = 0;
        records_put(&handle, &s);
        rig_pass(&r, 30 * MINUTE + 1);
        CHECK_ERR(records_fetch(&handle, &s), COAT_OK);
        CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
    }
    /* And a server that forgets early means to sign in again. */
    if (the_world.forget != NULL) {
        token = rig_sign_in(&r, 0, "ada");
        handle = rig_handle(&token);
        the_world.forget(&handle);
        CHECK_ERR(rig_check(&r, 0, &token), COAT_NO_SESSION);
        token = rig_sign_in(&r, 0, "ada");
        CHECK_ERR(rig_check(&r, 0, &token), COAT_OK);
    }
    records_precise(false);
    records_end();
}

static const coat_test tests[] = {
    {"ST-1: all that a store keeps holds no token, in no form", holds_no_token},
    {"ST-2: bits flipped and records moved in a store are refused and reported",
     flipped_and_transplanted},
    {"ST-8: every prefix of a stored record is denied, reported and kept", cut_short},
    {"UP-1: records of a newer release are denied and kept", newer_record},
    {"UP-1: a store of a newer release is left alone", newer_store},
    {"ST-7: a record's own times decide, whatever the store does with it", expiry_by_record},
};
const records_tests at_rest_tests = {tests, sizeof tests / sizeof tests[0]};
