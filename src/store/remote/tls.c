/* SPDX-License-Identifier: Apache-2.0 */
#include "store/remote/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

struct remote_tls_context {
    SSL_CTX *ctx;
    char name[256];
};

struct remote_tls {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

static coat_err
complain(const char *what, const char *file, char *why, size_t cap)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    (void)snprintf(why, cap, "%s %.100s: %.60s", what, file,
                   reason != NULL ? reason : "cannot be used");
    ERR_clear_error();
    return COAT_INVALID;
}

static coat_err
load_files(SSL_CTX *ctx, const remote_tls_conf *conf, char *why, size_t cap)
{
    if (conf->ca_file != NULL && SSL_CTX_load_verify_file(ctx, conf->ca_file) != 1)
        return complain("ca-file", conf->ca_file, why, cap);
    if (conf->ca_file == NULL && SSL_CTX_set_default_verify_paths(ctx) != 1)
        return complain("the system's authorities", "", why, cap);
    if ((conf->cert_file == NULL) != (conf->key_file == NULL)) {
        (void)snprintf(why, cap, "cert-file and key-file belong together");
        return COAT_INVALID;
    }
    if (conf->cert_file == NULL)
        return COAT_OK;
    if (SSL_CTX_use_certificate_chain_file(ctx, conf->cert_file) != 1)
        return complain("cert-file", conf->cert_file, why, cap);
    if (SSL_CTX_use_PrivateKey_file(ctx, conf->key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return complain("key-file", conf->key_file, why, cap);
    return COAT_OK;
}

coat_err
remote_tls_context_new(const remote_tls_conf *conf, remote_tls_context **out, char *why,
                       size_t cap)
{
    remote_tls_context *context = calloc(1, sizeof *context);
    coat_err err = COAT_NO_MEMORY;

    if (context != NULL)
        context->ctx = SSL_CTX_new(TLS_client_method());
    if (context != NULL && context->ctx != NULL &&
        SSL_CTX_set_min_proto_version(context->ctx, TLS1_2_VERSION) == 1) {
        SSL_CTX_set_verify(context->ctx, SSL_VERIFY_PEER, NULL);
        (void)SSL_CTX_set_mode(context->ctx, SSL_MODE_RELEASE_BUFFERS);
        (void)SSL_CTX_set_options(context->ctx, SSL_OP_NO_RENEGOTIATION);
        err = load_files(context->ctx, conf, why, cap);
    }
    if (err == COAT_OK && snprintf(context->name, sizeof context->name, "%s", conf->name) >=
                              (int)sizeof context->name)
        err = COAT_TOO_LARGE;
    if (err != COAT_OK) {
        remote_tls_context_free(context);
        return err;
    }
    *out = context;
    return COAT_OK;
}

void
remote_tls_context_free(remote_tls_context *context)
{
    if (context == NULL)
        return;
    SSL_CTX_free(context->ctx);
    free(context);
}

/** The certificate must be for this name, or for this address. */
static bool
expect_name(SSL *ssl, const char *name)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1)
        return true;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* SSL_set_tlsext_host_name() without its cast: OpenSSL takes a copy. */
    return SSL_set1_host(ssl, name) == 1 &&
           SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                    (void *)(uintptr_t)name) == 1;
}

coat_err
remote_tls_new(remote_tls_context *context, const char *name, remote_tls **out)
{
    remote_tls *tls = calloc(1, sizeof *tls);

    if (tls == NULL)
        return COAT_NO_MEMORY;
    name = name != NULL ? name : context->name;
    tls->ssl = SSL_new(context->ctx);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        SSL_free(tls->ssl);
        free(tls);
        return COAT_NO_MEMORY;
    }
    (void)BIO_set_mem_eof_return(tls->in, -1);
    (void)BIO_set_mem_eof_return(tls->out, -1);
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_connect_state(tls->ssl);
    /* An empty name would be verified by nothing. */
    if (name[0] == '\0' || !expect_name(tls->ssl, name)) {
        remote_tls_free(tls);
        return COAT_INVALID;
    }
    *out = tls;
    return COAT_OK;
}

void
remote_tls_free(remote_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    free(tls);
}

coat_err
remote_tls_feed(remote_tls *tls, const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return COAT_OK;
    return len <= INT32_MAX && BIO_write(tls->in, bytes, (int)len) == (int)len ? COAT_OK
                                                                               : COAT_NO_MEMORY;
}

coat_err
remote_tls_shake(remote_tls *tls)
{
    int rc;

    ERR_clear_error();
    rc = SSL_do_handshake(tls->ssl);
    if (rc == 1)
        /* Verified already, or the handshake had failed; asked again, since all depends on it.
         */
        return SSL_get_verify_result(tls->ssl) == X509_V_OK ? COAT_OK : COAT_DENIED;
    rc = SSL_get_error(tls->ssl, rc);
    return rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE ? COAT_BUSY : COAT_DENIED;
}

long
remote_tls_read(remote_tls *tls, uint8_t *bytes, size_t cap)
{
    int got, rc;

    ERR_clear_error();
    got = SSL_read(tls->ssl, bytes, cap < INT32_MAX ? (int)cap : INT32_MAX);
    if (got > 0)
        return got;
    rc = SSL_get_error(tls->ssl, got);
    return rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

coat_err
remote_tls_write(remote_tls *tls, const uint8_t *bytes, size_t len)
{
    ERR_clear_error();
    if (len == 0)
        return COAT_OK;
    return len <= INT32_MAX && SSL_write(tls->ssl, bytes, (int)len) == (int)len ? COAT_OK
                                                                                : COAT_IO;
}

coat_err
remote_tls_drain(remote_tls *tls, remote_buffer *out)
{
    char *bytes;
    long len = BIO_get_mem_data(tls->out, &bytes);

    if (len <= 0)
        return COAT_OK;
    remote_buffer_add(out, bytes, (size_t)len);
    (void)BIO_reset(tls->out);
    return out->failed ? COAT_NO_MEMORY : COAT_OK;
}

void
remote_tls_reason(const remote_tls *tls, char *why, size_t cap)
{
    long verified = SSL_get_verify_result(tls->ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    if (verified != X509_V_OK)
        (void)snprintf(why, cap, "TLS: %.150s", X509_verify_cert_error_string(verified));
    else
        (void)snprintf(why, cap, "TLS: %.150s", reason != NULL ? reason : "handshake failed");
}
