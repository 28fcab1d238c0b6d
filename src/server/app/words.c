/* SPDX-License-Identifier: Apache-2.0 */
#include "server/app/words.h"

json_t *
coat_words_json(coat_span words)
{
    json_t *array = json_array();
    size_t from = 0;

    while (array != NULL && from < words.len) {
        size_t to = from;

        while (to < words.len && words.ptr[to] != ' ')
            to++;
        if (to > from)
            (void)json_array_append_new(
                array, json_stringn((const char *)words.ptr + from, to - from));
        from = to + 1;
    }
    return array;
}
