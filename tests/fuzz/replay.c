/* SPDX-License-Identifier: Apache-2.0 */

/* Feeds every file of a corpus folder to a fuzz target, in the order of their names: so each
 * build holds the properties for all inputs that were ever of interest, without a fuzzer. */

#include "fuzz.h"

#include <dirent.h>
#include <string.h>

enum { INPUT_MAX = 1 << 20, PATH_SIZE = 4096 };

extern int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int
visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/** @return false if the file cannot be read, or is larger than an input may be */
static int
replay(const char *folder, const char *name)
{
    char path[PATH_SIZE];
    uint8_t *data = NULL;
    size_t size = 0;
    FILE *file;
    int ok = 0;
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);

    if (length < 0 || (size_t)length >= sizeof path)
        return 0;
    file = fopen(path, "rbe");
    if (file == NULL)
        return 0;
    data = malloc(INPUT_MAX);
    if (data == NULL)
        goto out;
    size = fread(data, 1, INPUT_MAX, file);
    if (ferror(file) || !feof(file))
        goto out;
    /* An allocation of the exact size, so that ASan sees a read beyond the end. */
    if (size > 0) {
        uint8_t *exact = realloc(data, size);

        if (exact == NULL)
            goto out;
        data = exact;
    }
    ok = LLVMFuzzerTestOneInput(data, size) <= 0;
out:
    free(data);
    (void)fclose(file);
    return ok;
}

int
main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    int count, bad = 0;

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    if (LLVMFuzzerInitialize != NULL)
        (void)LLVMFuzzerInitialize(&argc, &argv);
    count = scandir(argv[1], &entries, visible, alphasort);
    for (int i = 0; i < count; i++) {
        int ok = replay(argv[1], entries[i]->d_name);

        (void)printf("%s %d - %s\n", ok ? "ok" : "not ok", i + 1, entries[i]->d_name);
        bad += !ok;
        free(entries[i]);
    }
    free(entries);
    if (count <= 0)
        (void)printf("not ok 1 - the corpus %s is empty or missing\n", argv[1]);
    (void)printf("1..%d\n", count > 0 ? count : 1);
    return bad != 0 || count <= 0;
}
