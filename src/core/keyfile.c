/* SPDX-License-Identifier: Apache-2.0 */
#include "core/keys.h"
#include "core/out.h"
#include "core/taint.h"

#include <sodium.h>

/* One spelling only: single spaces, no leading zeros, lower-case hex, every line ended by a
 * newline. What parses is, byte for byte, what coat_keys_format() writes. */

static const char first_line[] = "coatcheck-keys 1\n";

typedef struct reader {
    const uint8_t *at, *end;
    unsigned line;
} reader;

static bool
take(reader *r, const char *literal)
{
    size_t len = strlen(literal);

    if ((size_t)(r->end - r->at) < len || memcmp(r->at, literal, len) != 0)
        return false;
    r->at += len;
    return true;
}

static bool
take_uint(reader *r, uint64_t max, uint64_t *out)
{
    const uint8_t *start = r->at;
    uint64_t value = 0;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
        uint64_t digit = *r->at - (uint64_t)'0';

        if (value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
        r->at++;
    }
    if (r->at == start || (*start == '0' && r->at - start > 1))
        return false;
    *out = value;
    return true;
}

/** Secret digits: no table, no branch on their value until the answer. */
static bool
take_key(reader *r, uint8_t key[static COAT_KEY_BYTES])
{
    unsigned bad = 0;

    if ((size_t)(r->end - r->at) < 2 * COAT_KEY_BYTES)
        return false;
    for (size_t i = 0; i < 2 * (size_t)COAT_KEY_BYTES; i++) {
        unsigned c = r->at[i];
        unsigned digit = c - '0', letter = c - 'a';
        unsigned is_digit = 0U - (digit < 10), is_letter = 0U - (letter < 6);

        bad |= ~(is_digit | is_letter);
        key[i / 2] =
            (uint8_t)(key[i / 2] << 4 | ((digit & is_digit) | ((letter + 10) & is_letter)));
    }
    r->at += 2 * (size_t)COAT_KEY_BYTES;
    coat_reveal(&bad, sizeof bad);
    return bad == 0;
}

static bool
take_live(reader *r, coat_key_live *live)
{
    uint64_t id, created;

    if (!take(r, "key ") || !take_uint(r, UINT32_MAX, &id) || !take(r, " ") ||
        !take_uint(r, INT64_MAX, &created) || !take(r, " ") || !take_key(r, live->key))
        return false;
    live->id = (uint32_t)id;
    live->created_ms = (int64_t)created;
    return take(r, "\n");
}

/** @return NULL, or what is wrong with line r->line; line 0 is the file as a whole */
static const char *
parse(reader *r, coat_key_set *set)
{
    r->line = 1;
    if (!take(r, first_line))
        return "expected: coatcheck-keys 1";
    r->line++;
    if (!take(r, "root ") || !take_key(r, set->root) || !take(r, "\n"))
        return "expected: root <64 hex digits>";
    while (r->at < r->end) {
        r->line++;
        if (set->count == COAT_KEYS_LIVE)
            return "more than two keys";
        set->live[1] = set->live[0]; /* newest last in the file, first here */
        set->live[0] = (coat_key_live){0};
        if (!take_live(r, &set->live[0]))
            return "expected: key <id> <created_ms> <64 hex digits>";
        set->count++;
    }
    r->line = 0;
    return coat_key_set_wrong(set);
}

coat_err
coat_keys_parse(coat_span text, coat_keys **out, coat_keys_error *error)
{
    reader r = {text.ptr, text.ptr != NULL ? text.ptr + text.len : NULL, 0};
    coat_keys *keys = coat_keys_alloc();
    const char *wrong;
    coat_err err;

    if (keys == NULL)
        return COAT_NO_MEMORY;
    wrong = parse(&r, &keys->set);
    err = wrong != NULL ? COAT_MALFORMED : coat_keys_seal_memory(keys);
    if (err != COAT_OK) {
        coat_keys_free(keys);
        if (error != NULL && wrong != NULL) {
            coat_out message = coat_out_init(error->text, sizeof error->text);

            error->line = r.line;
            coat_out_str(&message, wrong);
            (void)coat_out_end(&message);
        }
        return err;
    }
    *out = keys;
    return COAT_OK;
}

coat_err
coat_keys_format(const coat_keys *keys, char *buf, size_t cap, size_t *len)
{
    coat_out out = coat_out_init(buf, cap);
    char hex[2 * COAT_KEY_BYTES + 1];

    coat_out_str(&out, first_line);
    coat_out_str(&out, "root ");
    (void)sodium_bin2hex(hex, sizeof hex, keys->set.root, COAT_KEY_BYTES);
    coat_out_bytes(&out, hex, sizeof hex - 1);
    coat_out_str(&out, "\n");
    for (uint32_t i = keys->set.count; i-- > 0;) {
        const coat_key_live *live = &keys->set.live[i];

        coat_out_str(&out, "key ");
        coat_out_uint(&out, live->id);
        coat_out_str(&out, " ");
        coat_out_int(&out, live->created_ms);
        coat_out_str(&out, " ");
        (void)sodium_bin2hex(hex, sizeof hex, live->key, COAT_KEY_BYTES);
        coat_out_bytes(&out, hex, sizeof hex - 1);
        coat_out_str(&out, "\n");
    }
    sodium_memzero(hex, sizeof hex);
    if (out.over) {
        sodium_memzero(buf, out.len);
        return COAT_TOO_LARGE;
    }
    *len = out.len;
    return COAT_OK;
}
