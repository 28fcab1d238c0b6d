/* SPDX-License-Identifier: Apache-2.0 */
#include "account/text.h"

#include "account/password.h"
#include "core/bytes.h"
#include <sodium.h>
#include <stdlib.h>

/* Sorted by bytes; written by scripts/make-blocklist. */
static const char blocklist[][COAT_BLOCK_ENTRY] = {
#include "blocklist.inc"
};

enum {
    BLOCKED = sizeof blocklist / sizeof blocklist[0],
    CONTEXT_WORDS = 24,
    CONTEXT_MIN = 3, /* characters of a whole name that count as context */
    PIECE_MIN = 4,   /* ... of a piece of it */
    TRIVIAL_MAX = 4,
    LEFT_OVER_MAX = 3, /* letters beside context words that still do not make a password */
};

size_t
coat_blocklist_count(void)
{
    return BLOCKED;
}

static int
compare_entry(const void *key, const void *entry)
{
    const coat_span *word = key;
    const char *text = entry;
    size_t len = strnlen(text, COAT_BLOCK_ENTRY);
    int order = memcmp(word->ptr, text, word->len < len ? word->len : len);

    return order != 0 ? order : (word->len > len) - (word->len < len);
}

bool
coat_blocklist_has(coat_span word)
{
    return word.len > 0 && word.len < COAT_BLOCK_ENTRY &&
           bsearch(&word, blocklist, BLOCKED, COAT_BLOCK_ENTRY, compare_entry) != NULL;
}

/* ---- forms under which a password is looked up ---- */

static bool
is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || c >= 0x80;
}

static bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

typedef struct form {
    uint8_t bytes[COAT_PASSWORD_NFC_MAX];
    size_t len;
} form;

static coat_span
form_span(const form *f)
{
    return (coat_span){f->bytes, f->len};
}

static void
form_lower(form *out, coat_span text)
{
    for (size_t i = 0; i < text.len; i++)
        out->bytes[i] = coat_ascii_lower(text.ptr[i]);
    out->len = text.len;
}

/* The usual letter substitutions, undone. */
static void
form_plain(form *out, coat_span text)
{
    static const char from[] = "0134578@$!+|", to[] = "oieastbasitl";

    for (size_t i = 0; i < text.len; i++) {
        const char *at = text.ptr[i] != '\0' ? strchr(from, text.ptr[i]) : NULL;

        out->bytes[i] = at != NULL ? (uint8_t)to[at - from] : text.ptr[i];
    }
    out->len = text.len;
}

static void
form_keep(form *out, coat_span text, bool digits)
{
    out->len = 0;
    for (size_t i = 0; i < text.len; i++)
        if (is_letter(text.ptr[i]) || (digits && is_digit(text.ptr[i])))
            out->bytes[out->len++] = text.ptr[i];
}

static coat_span
strip(coat_span text, bool front)
{
    while (text.len > 0 && !is_letter(text.ptr[text.len - 1]))
        text.len--;
    while (front && text.len > 0 && !is_letter(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    return text;
}

/* ---- common ---- */

/* The shortest unit that the text repeats, the last time perhaps in part. */
static coat_span
unit_of(coat_span text)
{
    for (size_t unit = 1; unit * 2 <= text.len && unit < COAT_BLOCK_ENTRY; unit++) {
        size_t i = unit;

        while (i < text.len && text.ptr[i] == text.ptr[i - unit])
            i++;
        if (i == text.len)
            return (coat_span){text.ptr, unit};
    }
    return text;
}

/* Listed, or two listed words in a row. */
static bool
is_listed(coat_span text)
{
    if (coat_blocklist_has(text))
        return true;
    if (text.len > 2 * (COAT_BLOCK_ENTRY - 1))
        return false;
    for (size_t cut = 1; cut < text.len; cut++)
        if (coat_blocklist_has((coat_span){text.ptr, cut}) &&
            coat_blocklist_has((coat_span){text.ptr + cut, text.len - cut}))
            return true;
    return false;
}

/* So little that any repetition of it is tried: few characters, or digits only. */
static bool
is_trivial(coat_span unit)
{
    bool letters = false;

    for (size_t i = 0; i < unit.len; i++) {
        if (!is_digit(unit.ptr[i]) && !is_letter(unit.ptr[i]))
            return false;
        letters |= !is_digit(unit.ptr[i]);
    }
    return unit.len <= TRIVIAL_MAX || !letters;
}

static bool
is_common(coat_span text)
{
    coat_span unit = unit_of(text);

    return is_listed(text) || (unit.len < text.len && (is_trivial(unit) || is_listed(unit) ||
                                                       is_listed(strip(unit, false))));
}

/* A listed word that ends in digits itself, with more behind it: trustno1 2345... */
static bool
is_padded(coat_span text, size_t letters_end)
{
    for (size_t len = letters_end + 1; len < text.len && len < COAT_BLOCK_ENTRY; len++)
        if (letters_end > 0 && coat_blocklist_has((coat_span){text.ptr, len}))
            return true;
    return false;
}

/* A run of one step through digits and letters: 123456789012345, abcdefghijklmno, 000... */
static bool
is_run(coat_span text)
{
    int step = 0;

    for (size_t i = 0; i < text.len; i++) {
        int now;

        if (!is_digit(text.ptr[i]) && !(text.ptr[i] >= 'a' && text.ptr[i] <= 'z'))
            return false;
        if (i == 0)
            continue;
        now = text.ptr[i] - text.ptr[i - 1];
        if (now == '0' - '9' || now == 'a' - 'z')
            now = 1;
        else if (now == '9' - '0' || now == 'z' - 'a')
            now = -1;
        if (now < -1 || now > 1 || (i > 1 && now != step))
            return false;
        step = now;
    }
    return text.len > 0;
}

static bool
judge_common(coat_span lower, form *plain, form *kept)
{
    coat_span ends = strip(lower, false), core = strip(lower, true);

    if (is_run(lower) || is_padded(lower, ends.len) || is_common(lower) || is_common(ends) ||
        is_common(core))
        return true;
    form_keep(kept, lower, false);
    if (is_common(form_span(kept)))
        return true;
    form_plain(plain, lower);
    if (is_common(form_span(plain)))
        return true;
    form_plain(plain, ends);
    if (is_common(form_span(plain)) || is_common(strip(form_span(plain), true)))
        return true;
    form_plain(plain, core);
    return is_common(form_span(plain));
}

/* ---- context ---- */

typedef struct context {
    uint8_t bytes[CONTEXT_WORDS][COAT_NAME_MAX];
    size_t len[CONTEXT_WORDS];
    size_t count;
} context;

static void
context_word(context *c, coat_span word, size_t min)
{
    for (unsigned reversed = 0; reversed < 2; reversed++) {
        if (word.len < min || word.len > COAT_NAME_MAX || c->count == CONTEXT_WORDS)
            return;
        for (size_t i = 0; i < word.len; i++)
            c->bytes[c->count][i] = reversed != 0 ? word.ptr[word.len - 1 - i] : word.ptr[i];
        c->len[c->count++] = word.len;
    }
}

/* A name as a whole (letters and digits, then letters only), and each of its pieces. */
static void
context_add(context *c, coat_span name, form *lower, form *kept)
{
    size_t start = 0;

    if (name.len > COAT_NAME_MAX)
        name.len = COAT_NAME_MAX;
    form_lower(lower, name);
    form_keep(kept, form_span(lower), true);
    context_word(c, form_span(kept), CONTEXT_MIN);
    form_keep(kept, form_span(lower), false);
    context_word(c, form_span(kept), CONTEXT_MIN);
    for (size_t i = 0; i <= lower->len; i++) {
        if (i < lower->len && is_letter(lower->bytes[i]))
            continue;
        context_word(c, (coat_span){lower->bytes + start, i - start}, PIECE_MIN);
        start = i + 1;
    }
}

/* Cut every context word out of text. @return whether there was any */
static bool
context_cut(const context *c, form *text)
{
    bool any = false;

    for (size_t w = 0; w < c->count; w++)
        for (size_t i = 0; i + c->len[w] <= text->len;) {
            if (memcmp(text->bytes + i, c->bytes[w], c->len[w]) != 0) {
                i++;
                continue;
            }
            any = true;
            text->len -= c->len[w];
            memmove(text->bytes + i, text->bytes + i + c->len[w], text->len - i);
        }
    return any;
}

static bool
is_context(const context *c, coat_span text, form *cut, form *kept)
{
    form_keep(cut, text, true);
    if (!context_cut(c, cut))
        return false;
    form_keep(kept, form_span(cut), false);
    return coat_text_points(form_span(kept)) <= LEFT_OVER_MAX || is_common(form_span(kept));
}

static coat_password_fault
judge_forms(coat_span name, coat_span password, const char *service, form *forms)
{
    form *lower = &forms[0], *plain = &forms[1], *kept = &forms[2];
    context words = {.count = 0};

    context_add(&words, name, lower, kept);
    context_add(&words, coat_span_of(service), lower, kept);
    form_lower(lower, password);
    form_plain(plain, form_span(lower));
    if (is_context(&words, form_span(lower), &forms[3], kept) ||
        is_context(&words, form_span(plain), &forms[3], kept))
        return COAT_PASSWORD_CONTEXT;
    return judge_common(form_span(lower), plain, kept) ? COAT_PASSWORD_COMMON
                                                       : COAT_PASSWORD_FINE;
}

coat_password_fault
coat_password_judge(coat_span name, coat_span password, const char *service_name)
{
    enum { FORMS = 5 };
    coat_password_fault fault = COAT_PASSWORD_FINE;
    form *forms;

    if (password.len > COAT_PASSWORD_MAX)
        return COAT_PASSWORD_LONG;
    forms = calloc(FORMS, sizeof *forms);
    if (forms == NULL)
        return COAT_PASSWORD_ENCODING; /* not judged, so not accepted */
    if (coat_text_nfc(password, forms[4].bytes, sizeof forms[4].bytes, &forms[4].len) !=
        COAT_OK)
        fault = COAT_PASSWORD_ENCODING;
    else if (coat_text_points(form_span(&forms[4])) < COAT_PASSWORD_MIN)
        fault = COAT_PASSWORD_SHORT;
    else
        fault = judge_forms(name, form_span(&forms[4]),
                            service_name != NULL ? service_name : "", forms);
    sodium_memzero(forms, FORMS * sizeof *forms);
    free(forms);
    return fault;
}

static const struct {
    const char *name, *text;
} faults[] = {
    [COAT_PASSWORD_FINE] = {"fine", "The password is fine."},
    [COAT_PASSWORD_SHORT] = {"short", "The password is too short: use at least 15 characters."},
    [COAT_PASSWORD_LONG] = {"long", "The password is too long: use at most 1024 bytes."},
    [COAT_PASSWORD_COMMON] = {"common",
                              "The password is made of words that are tried first: choose "
                              "something less common."},
    [COAT_PASSWORD_CONTEXT] = {"context",
                               "The password is made from your name or the name of this "
                               "service: choose something else."},
    [COAT_PASSWORD_ENCODING] = {"encoding", "The password is not valid UTF-8 text."},
};

const char *
coat_password_fault_name(coat_password_fault fault)
{
    return (unsigned)fault < sizeof faults / sizeof faults[0] ? faults[fault].name : "unknown";
}

const char *
coat_password_fault_text(coat_password_fault fault)
{
    return (unsigned)fault < sizeof faults / sizeof faults[0] ? faults[fault].text
                                                              : "The password cannot be used.";
}
