/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_CONFIG_FILES_H
#define COAT_SERVER_CONFIG_FILES_H

/**
 * Files and directories of the service: made 0600 in 0700, owned by the user who runs it, and
 * refused, path named, when they are anything else (ST-4). Paths are opened component by
 * component's last with O_NOFOLLOW, and what was opened is what is checked.
 *
 * message: at least 200 bytes, what is wrong and the command that mends it; may be NULL.
 */

#include <coatcheck/keys.h>
#include <sys/types.h>

/** Make (with missing parents' last component only) or check a directory of mode `mode`. */
coat_err coat_dir_ensure(const char *path, mode_t mode, gid_t group, char *message,
                         size_t cap) COAT_MUST_USE;
/** Open an existing private file for reading. NOT_FOUND, INVALID (mode, owner, kind), IO. */
coat_err coat_file_open_private(const char *path, int *fd, char *message,
                                size_t cap) COAT_MUST_USE;
/** Its whole content, at most max bytes; release with coat_file_release (wipes). */
coat_err coat_file_read_private(const char *path, size_t max, uint8_t **bytes, size_t *len,
                                char *message, size_t cap) COAT_MUST_USE;
void coat_file_release(uint8_t *bytes, size_t len);
/**
 * Write a private file so that it is there whole or not at all, also after a crash.
 * @param replace  false: EXISTS if it is there
 */
coat_err coat_file_write_private(const char *path, coat_span bytes, bool replace, char *message,
                                 size_t cap) COAT_MUST_USE;
/** Check what a socket's path holds before binding: nothing, or a socket of our own. */
coat_err coat_socket_path_check(const char *path, char *message, size_t cap) COAT_MUST_USE;

/** Load the key file; if it is missing and create is set, make one. */
coat_err coat_keys_load(const char *path, bool create, int64_t now_ms, coat_keys **out,
                        char *message, size_t cap) COAT_MUST_USE;
/** Replace the key file (keys rotate). */
coat_err coat_keys_save(const char *path, const coat_keys *keys, char *message,
                        size_t cap) COAT_MUST_USE;
/**
 * Load the pepper: 64 hexadecimal digits. Refused if they stand in the key file too: one key
 * for two purposes (ST-2). *out: 32 bytes of locked memory, coat_pepper_free.
 */
coat_err coat_pepper_load(const char *path, const char *key_file, uint8_t **out, char *message,
                          size_t cap) COAT_MUST_USE;
void coat_pepper_free(uint8_t *pepper);

#endif
