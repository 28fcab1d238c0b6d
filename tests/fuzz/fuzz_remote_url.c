/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/remote/url.h"

#include <string.h>

static bool
inside(const remote_url *url, const char *text)
{
    return text == NULL ||
           (text >= url->text && text + strlen(text) <= url->text + REMOTE_URL_MAX);
}

/** One URL for each of its hosts, each with nothing but what was there. */
static void
take_list(const char *text)
{
    char one[REMOTE_URL_MAX + 1];
    remote_url_list list;
    size_t count = 0, hosts = 1;

    if (!remote_url_split(text, &list))
        return;
    for (size_t i = 0; i < list.hosts.len; i++)
        hosts += list.hosts.ptr[i] == ',';
    for (; remote_url_next(&list, one); count++) {
        size_t front = list.front.len, rest = strlen(list.rest);

        FUZZ_CHECK(strlen(one) <= strlen(text) && memcmp(one, text, front) == 0);
        FUZZ_CHECK(strcmp(one + strlen(one) - rest, list.rest) == 0);
        FUZZ_CHECK(memchr(one + front, ',', strlen(one) - rest - front) == NULL);
    }
    FUZZ_CHECK(count == hosts);
}

/* A store URL that is taken apart has all its parts within its own text, without control
 * characters; one that is refused says why; a colon before an @ is never accepted. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[REMOTE_URL_MAX + 8];
    const char *why = NULL;
    remote_url url;
    coat_err err;

    if (size >= sizeof text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    take_list(text);
    err = remote_url_parse(text, &url, &why);
    FUZZ_CHECK((err == COAT_OK) == (why == NULL));
    if (err != COAT_OK)
        return 0;
    FUZZ_CHECK(inside(&url, url.scheme) && inside(&url, url.user) && inside(&url, url.host) &&
               inside(&url, url.path));
    FUZZ_CHECK(url.param_count <= REMOTE_PARAMS_MAX);
    FUZZ_CHECK(url.host == NULL || url.host[0] != '\0');
    FUZZ_CHECK(url.user == NULL || url.host != NULL);
    for (size_t i = 0; i < url.param_count; i++) {
        FUZZ_CHECK(inside(&url, url.params[i].key) && inside(&url, url.params[i].value));
        FUZZ_CHECK(remote_url_param(&url, url.params[i].key) == url.params[i].value);
    }
    for (const char *c = url.path; *c != '\0'; c++)
        FUZZ_CHECK((uint8_t)*c >= 0x20 && *c != 0x7f);
    (void)remote_url_is_local(&url);
    return 0;
}
