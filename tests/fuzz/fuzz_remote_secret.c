/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/remote/url.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file of a password, whatever is in it: one line that is not too long is taken as it
 * stands, all else is refused and leaves nothing behind. A file that others may read is refused
 * whatever it holds.
 *
 * Input: from 128 on others may read the file; then what it holds. */

static char path[64];

static void
remove_file(void)
{
    (void)unlink(path);
}

static void
write_file(const uint8_t *data, size_t size, mode_t mode)
{
    int fd;

    if (path[0] == '\0') {
        (void)snprintf(path, sizeof path, "/dev/shm/coat-fuzz-secret-%d", (int)getpid());
        (void)atexit(remove_file);
    }
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    FUZZ_CHECK(fd >= 0 && fchmod(fd, mode) == 0);
    FUZZ_CHECK(write(fd, data, size) == (ssize_t)size);
    (void)close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t nothing[REMOTE_SECRET_MAX + 1];
    uint8_t guard = 0xA5;
    struct {
        char secret[REMOTE_SECRET_MAX + 1];
        uint8_t behind;
    } out;
    const char *why = "untouched";
    size_t line = 0;
    coat_err err;

    if (size == 0 || size > 4096)
        return 0;
    write_file(data + 1, size - 1, data[0] >= 128 ? 0640 : 0600);
    data++;
    size--;
    memset(&out, guard, sizeof out);
    err = remote_secret_read(path, out.secret, &why);
    FUZZ_CHECK((err == COAT_OK) == (why == NULL) && out.behind == guard);
    if (err != COAT_OK) {
        FUZZ_CHECK(memcmp(out.secret, nothing, sizeof nothing) == 0);
        return 0;
    }
    FUZZ_CHECK(data[-1] < 128 && size <= REMOTE_SECRET_MAX);
    while (line < size && data[line] != '\r' && data[line] != '\n')
        line++;
    FUZZ_CHECK(line > 0 && strlen(out.secret) == line && memcmp(out.secret, data, line) == 0);
    for (size_t i = line; i < size; i++)
        FUZZ_CHECK(data[i] == '\r' || data[i] == '\n');
    return 0;
}
