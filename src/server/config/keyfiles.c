/* SPDX-License-Identifier: Apache-2.0 */
/* The files that hold secrets: installation keys and pepper. */
#include "server/config/files.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum { KEY_FILE_MAX = 1024, PEPPER_FILE_MAX = 128, PEPPER_HEX = 2 * COAT_KEY_BYTES };

static void
put(char *message, size_t cap, const char *path, const char *text)
{
    if (message != NULL && cap > 0)
        (void)snprintf(message, cap, "%.120s: %s", path, text);
}

static coat_err
keys_read(const char *path, coat_keys **out, char *message, size_t cap)
{
    coat_keys_error error = {0};
    uint8_t *bytes;
    size_t len;
    coat_err err = coat_file_read_private(path, KEY_FILE_MAX, &bytes, &len, message, cap);

    if (err != COAT_OK)
        return err;
    err = coat_keys_parse((coat_span){bytes, len}, out, &error);
    coat_file_release(bytes, len);
    if (err != COAT_OK && message != NULL && cap > 0)
        (void)snprintf(message, cap, "%.100s:%u: %s", path, error.line,
                       error.text[0] != '\0' ? error.text : coat_err_text(err));
    return err;
}

static coat_err
keys_write(const char *path, const coat_keys *keys, bool replace, char *message, size_t cap)
{
    char *text = sodium_malloc(KEY_FILE_MAX);
    size_t len = 0;
    coat_err err = COAT_NO_MEMORY;

    if (text != NULL)
        err = coat_keys_format(keys, text, KEY_FILE_MAX, &len);
    if (err != COAT_OK)
        put(message, cap, path, coat_err_text(err));
    else
        err = coat_file_write_private(path, (coat_span){(const uint8_t *)text, len}, replace,
                                      message, cap);
    sodium_free(text);
    return err;
}

static coat_err
keys_create(const char *path, int64_t now_ms, coat_keys **out, char *message, size_t cap)
{
    coat_keys *keys = NULL;
    coat_err err = coat_keys_generate(now_ms, coat_rng_system, NULL, &keys);

    if (err != COAT_OK) {
        put(message, cap, path, coat_err_text(err));
        return err;
    }
    err = keys_write(path, keys, false, message, cap);
    if (err == COAT_OK) {
        *out = keys;
        return COAT_OK;
    }
    coat_keys_free(keys);
    /* Another process was quicker: its keys are the keys. */
    return err == COAT_EXISTS ? keys_read(path, out, message, cap) : err;
}

coat_err
coat_keys_load(const char *path, bool create, int64_t now_ms, coat_keys **out, char *message,
               size_t cap)
{
    coat_err err = keys_read(path, out, message, cap);

    if (err == COAT_NOT_FOUND && create)
        return keys_create(path, now_ms, out, message, cap);
    return err;
}

coat_err
coat_keys_save(const char *path, const coat_keys *keys, char *message, size_t cap)
{
    return keys_write(path, keys, true, message, cap);
}

/* Do these 64 digits stand in the key file, in either letter case? */
static bool
holds_digits(coat_span file, const uint8_t *bytes, size_t len)
{
    char *hex = sodium_malloc(PEPPER_HEX + 1);
    bool found = hex == NULL; /* cannot tell: refuse */

    if (hex == NULL)
        return true;
    (void)sodium_bin2hex(hex, PEPPER_HEX + 1, bytes, len);
    for (size_t i = 0; i + PEPPER_HEX <= file.len && !found; i++)
        found = strncasecmp((const char *)file.ptr + i, hex, PEPPER_HEX) == 0;
    sodium_free(hex);
    return found;
}

static coat_err
check_purpose(const char *path, const char *key_file, const uint8_t *pepper, char *message,
              size_t cap)
{
    uint8_t *bytes;
    size_t len;
    coat_err err = coat_file_read_private(key_file, KEY_FILE_MAX, &bytes, &len, message, cap);

    if (err == COAT_NOT_FOUND) /* nothing there to be the same as */
        return COAT_OK;
    if (err != COAT_OK)
        return err;
    if (holds_digits((coat_span){bytes, len}, pepper, COAT_KEY_BYTES)) {
        put(message, cap, path,
            "holds a key of the key file: one key for two purposes; make "
            "another one, openssl rand -hex 32");
        err = COAT_INVALID;
    }
    coat_file_release(bytes, len);
    return err;
}

coat_err
coat_pepper_load(const char *path, const char *key_file, uint8_t **out, char *message,
                 size_t cap)
{
    uint8_t *text = NULL, *pepper = NULL;
    size_t len, n = 0;
    const char *end = NULL;
    coat_err err = coat_file_read_private(path, PEPPER_FILE_MAX, &text, &len, message, cap);

    if (err != COAT_OK)
        return err;
    if (len == PEPPER_HEX + 1 && text[PEPPER_HEX] == '\n')
        len--;
    pepper = sodium_malloc(COAT_KEY_BYTES);
    err = COAT_NO_MEMORY;
    if (pepper == NULL)
        goto out;
    err = COAT_MALFORMED;
    if (len != PEPPER_HEX ||
        sodium_hex2bin(pepper, COAT_KEY_BYTES, (const char *)text, len, NULL, &n, &end) != 0 ||
        n != COAT_KEY_BYTES || end != (const char *)text + len) {
        put(message, cap, path, "must hold 64 hexadecimal digits: openssl rand -hex 32");
        goto out;
    }
    err = check_purpose(path, key_file, pepper, message, cap);
    if (err != COAT_OK)
        goto out;
    *out = pepper;
    pepper = NULL;
out:
    coat_file_release(text, len);
    sodium_free(pepper);
    return err;
}

void
coat_pepper_free(uint8_t *pepper)
{
    sodium_free(pepper);
}
