/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_REMOTE_TLS_H
#define COAT_STORE_REMOTE_TLS_H

/**
 * TLS between bytes and bytes: no sockets. Certificate and name of the server are always
 * verified, TLS 1.2 is the least, and there is no way to go on without (ST-5).
 */

#include "store/remote/buffer.h"

#include <coatcheck/store.h>

typedef struct remote_tls_conf {
    const char *ca_file;   /* PEM; NULL: the system's authorities */
    const char *cert_file; /* PEM chain of our own, with key_file; NULL: none */
    const char *key_file;
    const char *name; /* what the certificate must be for: host name or IP address */
} remote_tls_conf;

typedef struct remote_tls_context remote_tls_context;
typedef struct remote_tls remote_tls;

/** @param why  what is wrong with a file, for the operator; at least 200 bytes */
coat_err remote_tls_context_new(const remote_tls_conf *conf, remote_tls_context **out,
                                char *why, size_t cap);
void remote_tls_context_free(remote_tls_context *context);

/** @param name  what the certificate must be for instead of conf->name; NULL: that */
coat_err remote_tls_new(remote_tls_context *context, const char *name, remote_tls **out);
void remote_tls_free(remote_tls *tls);

/** What came from the server. COAT_OK; anything else: drop the connection. */
coat_err remote_tls_feed(remote_tls *tls, const uint8_t *bytes, size_t len);
/** Go on with the handshake. @retval COAT_OK  verified and done; COAT_BUSY  needs more bytes;
 * COAT_DENIED  the server is not who it should be, or speaks no TLS */
coat_err remote_tls_shake(remote_tls *tls);
/** Take decrypted bytes. @return how many; 0: none yet; negative: drop the connection */
long remote_tls_read(remote_tls *tls, uint8_t *bytes, size_t cap);
coat_err remote_tls_write(remote_tls *tls, const uint8_t *bytes, size_t len);
/** Move what must go to the server to the end of out. */
coat_err remote_tls_drain(remote_tls *tls, remote_buffer *out);
/** Why shaking failed. */
void remote_tls_reason(const remote_tls *tls, char *why, size_t cap);

#endif
