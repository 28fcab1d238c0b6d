/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* read(2), not stdio: no copy stays in a buffer of the library's. */
static bool
read_line(int fd, char *buf, size_t cap, size_t *len)
{
    *len = 0;
    for (;;) {
        char c;
        ssize_t n = read(fd, &c, 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || *len == cap)
            return false;
        if (n == 0 || c == '\n')
            return true;
        buf[(*len)++] = c;
    }
}

bool
coat_secret_line(char *buf, size_t cap, size_t *len)
{
    if (read_line(STDIN_FILENO, buf, cap, len) && *len > 0)
        return true;
    (void)fprintf(stderr,
                  "coatcheck: no password, or one that is too long, on standard input\n");
    return false;
}

static bool
ask_once(int tty, const char *prompt, char *buf, size_t cap, size_t *len)
{
    struct termios before, silent;
    bool fine;

    (void)!write(tty, prompt, strlen(prompt));
    if (tcgetattr(tty, &before) != 0)
        return false;
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    (void)tcsetattr(tty, TCSAFLUSH, &silent);
    fine = read_line(tty, buf, cap, len);
    (void)tcsetattr(tty, TCSAFLUSH, &before);
    (void)!write(tty, "\n", 1);
    return fine && *len > 0;
}

bool
coat_secret_ask(const char *prompt, bool repeat, char *buf, size_t cap, size_t *len)
{
    char again[2048];
    size_t again_len = 0;
    bool fine;
    int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (tty < 0) {
        (void)fprintf(stderr, "coatcheck: no terminal to ask for a password: use "
                              "--password-stdin\n");
        return false;
    }
    fine = ask_once(tty, prompt, buf, cap, len);
    if (fine && repeat) {
        fine = ask_once(tty, "Once more: ", again, sizeof again, &again_len) &&
               again_len == *len && memcmp(again, buf, *len) == 0;
        if (!fine)
            (void)fprintf(stderr, "coatcheck: the passwords differ\n");
    }
    sodium_memzero(again, sizeof again);
    (void)close(tty);
    return fine;
}
