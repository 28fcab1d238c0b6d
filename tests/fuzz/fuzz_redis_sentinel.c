/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/redis/sentinel.h"

#include <string.h>

/* A URL of sentinels: what is taken has hosts and ports for all of them, no two alike, a name
 * that a sentinel could know, and all else within its own text; what is refused says why.
 * An answer of a sentinel: what is taken is a place that can be connected to, and leads nowhere
 * but there; what is refused leaves the place as it was.
 *
 * Input: one byte, even for a URL; then the URL, or what the sentinel sends. */

static void
check_place(const redis_place *place)
{
    size_t len = strlen(place->host);

    FUZZ_CHECK(len > 0 && len <= SENTINEL_HOST_MAX && place->port > 0);
    for (size_t i = 0; i < len; i++)
        FUZZ_CHECK((uint8_t)place->host[i] > 0x20 && (uint8_t)place->host[i] < 0x7f &&
                   strchr("/\\@%,", place->host[i]) == NULL);
}

static void
take_url(const uint8_t *data, size_t size)
{
    char text[REMOTE_URL_MAX + 8], one[REMOTE_URL_MAX + 1];
    const char *why = NULL;
    redis_sentinels s;
    remote_url_list list;
    remote_url url;
    coat_err err;

    if (size >= sizeof text)
        return;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    err = redis_sentinel_parse(text, &s, &url, &why);
    FUZZ_CHECK((err == COAT_OK) == (why == NULL));
    if (err != COAT_OK)
        return;
    FUZZ_CHECK(s.count > 0 && s.count <= SENTINELS_MAX);
    FUZZ_CHECK(remote_url_split(text, &list));
    for (size_t i = 0; i < s.count; i++) {
        check_place(&s.at[i]);
        FUZZ_CHECK(remote_url_next(&list, one));
        for (size_t j = 0; j < i; j++)
            FUZZ_CHECK(!redis_place_equal(&s.at[i], &s.at[j]));
    }
    FUZZ_CHECK(!remote_url_next(&list, one));
    FUZZ_CHECK(s.name[0] != '\0' && strchr(s.name, '/') == NULL);
    FUZZ_CHECK(url.path >= url.text &&
               url.path + strlen(url.path) <= url.text + REMOTE_URL_MAX);
    (void)redis_sentinel_remote(&s);
}

static void
take_answer(const uint8_t *data, size_t size)
{
    redis_place before, place;
    resp_reader *reader = resp_reader_new();
    resp_reply *reply = NULL;

    memset(&before, 0x5a, sizeof before);
    if (reader == NULL)
        return;
    if (resp_feed(reader, data, size) == COAT_OK && resp_next(reader, &reply) == COAT_OK &&
        reply != NULL) {
        place = before;
        if (redis_sentinel_place(reply, &place) == NULL)
            check_place(&place);
        else
            FUZZ_CHECK(memcmp(&place, &before, sizeof place) == 0);
        resp_reply_free(reply);
    }
    resp_reader_free(reader);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 2 == 0)
        take_url(data + 1, size - 1);
    else
        take_answer(data + 1, size - 1);
    return 0;
}
