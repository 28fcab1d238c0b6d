/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_FILES_H
#define COAT_TESTS_FILES_H

/** Files of a server, as they are. */

#include "coat_test.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef void (*take_bytes)(const uint8_t *bytes, size_t len);

/** A file that is not there is none. @return its size */
static inline size_t
take_file(const char *path, take_bytes take)
{
    FILE *file;
    struct stat st;
    uint8_t *bytes;
    size_t len;

    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || (file = fopen(path, "rbe")) == NULL)
        return 0;
    (void)fseek(file, 0, SEEK_END);
    len = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(len + 1);
    REQUIRE(bytes != NULL);
    len = fread(bytes, 1, len, file);
    take(bytes, len);
    free(bytes);
    (void)fclose(file);
    return len;
}

/** All files right in a folder. @return their size */
static inline size_t
take_folder(const char *folder, take_bytes take)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    size_t len = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[600];

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        len += take_file(path, take);
    }
    if (dir != NULL)
        (void)closedir(dir);
    return len;
}

#endif
