/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What is asked of a server over TLS, against one in this very process: no sockets. This
 * machine's settings of OpenSSL are as weak as can be, so that only ours are left.
 */

#include "store/remote/tls.h"
#include "tls_fixture.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>

typedef struct peer {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
} peer;

static const char *
in_dir(const char *name, const char *ending)
{
    static char path[4][200];
    static int at;

    at = (at + 1) % 4;
    (void)snprintf(path[at], sizeof path[at], "%s%s%s%s", name[0] == '/' ? "" : dir,
                   name[0] == '/' ? "" : "/", name, ending);
    return path[at];
}

static void
make_more(void)
{
    if (dir[0] != '\0')
        return;
    make_all();
    make_certificate("ca", "client",
                     "DNS:localhost\\nextendedKeyUsage=clientAuth\\nkeyUsage=digitalSignature");
    make_certificate("ca", "middle", "DNS:middle\\nbasicConstraints=critical,CA:TRUE");
    make_certificate("middle", "leaf", "DNS:localhost,IP:127.0.0.1");
    shell("cd %s && cat leaf.pem middle.pem > chain.pem && cp leaf.key chain.key && : > empty "
          "&& echo rubbish > rubbish && openssl genrsa -out rsa.key 2048 2>/dev/null",
          dir);
}

/** @param most  the highest version of TLS it speaks; 0: any */
static void
peer_start(peer *p, const char *certificate, int most)
{
    make_more();
    *p = (peer){.ctx = SSL_CTX_new(TLS_server_method())};
    REQUIRE(p->ctx != NULL && SSL_CTX_set_max_proto_version(p->ctx, most) == 1);
    REQUIRE(SSL_CTX_use_certificate_chain_file(p->ctx, in_dir(certificate, ".pem")) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey_file(p->ctx, in_dir(certificate, ".key"),
                                        SSL_FILETYPE_PEM) == 1);
    p->ssl = SSL_new(p->ctx);
    p->in = BIO_new(BIO_s_mem());
    p->out = BIO_new(BIO_s_mem());
    (void)BIO_set_mem_eof_return(p->in, -1);
    SSL_set_bio(p->ssl, p->in, p->out);
    SSL_set_accept_state(p->ssl);
}

/** It wants a certificate that our authority has signed. */
static void
peer_wants(peer *p)
{
    SSL_set_verify(p->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    REQUIRE(SSL_CTX_load_verify_file(p->ctx, in_dir("ca", ".pem")) == 1);
}

static void
peer_stop(peer *p)
{
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    ERR_clear_error();
}

/** What each of them has to say to the other. @return how many bytes */
static size_t
carry(remote_tls *tls, peer *p)
{
    remote_buffer out = {0};
    uint8_t bytes[16384];
    size_t moved;
    int got;

    CHECK_ERR(remote_tls_drain(tls, &out), COAT_OK);
    moved = out.len;
    if (out.len > 0)
        CHECK_INT(BIO_write(p->in, out.ptr, (int)out.len), out.len);
    remote_buffer_free(&out);
    while ((got = BIO_read(p->out, bytes, sizeof bytes)) > 0) {
        CHECK_ERR(remote_tls_feed(tls, bytes, (size_t)got), COAT_OK);
        moved += (size_t)got;
    }
    return moved;
}

/** Until both are done, or one has given up. @return what we make of it */
static coat_err
meet(remote_tls *tls, peer *p)
{
    coat_err err;
    int theirs;

    do {
        ERR_raise(ERR_LIB_USER, 1); /* left by somebody else on this thread */
        err = remote_tls_shake(tls);
        theirs = SSL_do_handshake(p->ssl);
        ERR_clear_error();
    } while (carry(tls, p) > 0 && err != COAT_DENIED);
    return theirs == 1 || err != COAT_OK ? err : COAT_DENIED;
}

static remote_tls_context *
context_of(const char *ca, const char *certificate, const char *name)
{
    remote_tls_conf conf = {.name = name};
    remote_tls_context *context = NULL;
    char why[200] = "";

    conf.ca_file = ca != NULL ? in_dir(ca, ".pem") : NULL;
    conf.cert_file = certificate != NULL ? in_dir(certificate, ".pem") : NULL;
    conf.key_file = certificate != NULL ? in_dir(certificate, ".key") : NULL;
    if (remote_tls_context_new(&conf, &context, why, sizeof why) != COAT_OK)
        test_fail(__FILE__, __LINE__, "said: %s", why);
    return context;
}

/* ---- who it is ---- */

static void
servers(void)
{
    static const struct {
        const char *what, *certificate, *ca, *name;
        int most;
        const char *said; /* NULL: it will do */
    } cases[] = {
        {"fits", "good", "ca", "localhost", 0, NULL},
        {"fits, an address", "good", "ca", "127.0.0.1", 0, NULL},
        {"another authority", "good", "other-ca", "localhost", 0, "local issuer"},
        {"another name", "good", "ca", "db.example", 0, "ostname mismatch"},
        {"another address", "good", "ca", "10.0.0.1", 0, "IP address mismatch"},
        {"an address for a name", "name", "ca", "127.0.0.1", 0, "IP address mismatch"},
        {"a part of a name", "name", "ca", "example", 0, "ostname mismatch"},
        {"below a name", "name", "ca", "a.db.example", 0, "ostname mismatch"},
        {"a pattern within a word", "name", "ca", "cb.db.example", 0, "ostname mismatch"},
        {"expired", "expired", "ca", "localhost", 0, "expired"},
        {"a client's certificate", "client", "ca", "localhost", 0, "purpose"},
        {"its authority's certificate with it", "chain", "ca", "localhost", 0, NULL},
        {"and without it", "leaf", "ca", "localhost", 0, "local issuer"},
        {"an authority that another has made", "chain", "middle", "localhost", 0, "issuer"},
        {"itself for an authority", "good", "good", "localhost", 0, "issuer"},
        {"TLS 1.2", "good", "ca", "localhost", TLS1_2_VERSION, NULL},
        {"TLS 1.1", "good", "ca", "localhost", TLS1_1_VERSION, "TLS: "},
        {"TLS 1.0", "good", "ca", "localhost", TLS1_VERSION, "TLS: "},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        remote_tls_context *context;
        char why[200] = "";
        remote_tls *tls;
        peer p;

        test_case(cases[i].what);
        peer_start(&p, cases[i].certificate, cases[i].most);
        /* The name of this connection's own goes before the context's. */
        context = context_of(cases[i].ca, NULL, i % 2 != 0 ? "elsewhere" : cases[i].name);
        REQUIRE_OK(remote_tls_new(context, i % 2 != 0 ? cases[i].name : NULL, &tls));
        CHECK_ERR(meet(tls, &p), cases[i].said == NULL ? COAT_OK : COAT_DENIED);
        CHECK((SSL_do_handshake(p.ssl) == 1) == (cases[i].said == NULL));
        remote_tls_reason(tls, why, sizeof why);
        if (cases[i].said != NULL && strstr(why, cases[i].said) == NULL)
            test_fail(__FILE__, __LINE__, "said: %s", why);
        remote_tls_free(tls);
        remote_tls_context_free(context);
        peer_stop(&p);
    }
    test_case(NULL);
}

/** The machine's own where the URL names none; nobody's, if it has none. */
static void
system_authorities(void)
{
    static const char *const files[] = {"ca.pem", "other-ca.pem", "empty"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        remote_tls_context *context;
        remote_tls *tls;
        peer p;

        test_case(files[i]);
        peer_start(&p, "good", 0);
        (void)setenv("SSL_CERT_FILE", in_dir(files[i], ""), 1);
        (void)setenv("SSL_CERT_DIR", "/nonexistent", 1);
        context = context_of(NULL, NULL, "localhost");
        REQUIRE_OK(remote_tls_new(context, NULL, &tls));
        CHECK_ERR(meet(tls, &p), i == 0 ? COAT_OK : COAT_DENIED);
        remote_tls_free(tls);
        remote_tls_context_free(context);
        peer_stop(&p);
    }
    (void)unsetenv("SSL_CERT_FILE");
    (void)unsetenv("SSL_CERT_DIR");
    test_case(NULL);
}

/** It is told the name that is asked for, never an address (RFC 6066, section 3). */
static void
name_told(void)
{
    static const char *const names[] = {"localhost", "127.0.0.1"};

    for (size_t i = 0; i < 2; i++) {
        remote_tls_context *context;
        const char *told;
        remote_tls *tls;
        peer p;

        peer_start(&p, "good", 0);
        context = context_of("ca", NULL, names[i]);
        REQUIRE_OK(remote_tls_new(context, NULL, &tls));
        CHECK_ERR(meet(tls, &p), COAT_OK);
        told = SSL_get_servername(p.ssl, TLSEXT_NAMETYPE_host_name);
        CHECK(i == 0 ? told != NULL && strcmp(told, names[i]) == 0 : told == NULL);
        remote_tls_free(tls);
        remote_tls_context_free(context);
        peer_stop(&p);
    }
}

static void
no_name(void)
{
    static char long_name[257];
    remote_tls_conf conf = {.name = long_name};
    remote_tls_context *context;
    char why[200];
    remote_tls *tls = NULL;

    make_more();
    context = context_of("ca", NULL, "");
    CHECK_ERR(remote_tls_new(context, NULL, &tls), COAT_INVALID);
    CHECK(tls == NULL);
    CHECK_ERR(remote_tls_new(context, "", &tls), COAT_INVALID);
    remote_tls_context_free(context);
    memset(long_name, 'a', sizeof long_name - 1);
    CHECK_ERR(remote_tls_context_new(&conf, &context, why, sizeof why), COAT_TOO_LARGE);
    remote_tls_context_free(NULL);
    remote_tls_free(NULL);
}

/* ---- who we are ---- */

static void
own_certificates(void)
{
    static const struct {
        const char *certificate;
        bool will_do;
    } cases[] = {{"good", true}, {"chain", true}, {"leaf", false}, {NULL, false}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        remote_tls_context *context;
        remote_tls *tls;
        peer p;

        test_case(cases[i].certificate != NULL ? cases[i].certificate : "none");
        peer_start(&p, "good", TLS1_2_VERSION); /* refused before we are through */
        peer_wants(&p);
        context = context_of("ca", cases[i].certificate, "localhost");
        REQUIRE_OK(remote_tls_new(context, NULL, &tls));
        CHECK_ERR(meet(tls, &p), cases[i].will_do ? COAT_OK : COAT_DENIED);
        remote_tls_free(tls);
        remote_tls_context_free(context);
        peer_stop(&p);
    }
    test_case(NULL);
}

static void
files(void)
{
    static const struct {
        const char *ca, *cert, *key, *said; /* NULL: right */
    } cases[] = {
        {"ca.pem", "good.pem", "good.key", NULL},
        {"ca.pem", NULL, NULL, NULL},
        {"/nonexistent", NULL, NULL, "ca-file /nonexistent: "},
        {"/", NULL, NULL, "ca-file /: "},
        {"empty", NULL, NULL, "ca-file"},
        {"rubbish", NULL, NULL, "ca-file"},
        {"good.key", NULL, NULL, "ca-file"},
        {"ca.pem", "good.pem", NULL, "belong together"},
        {"ca.pem", NULL, "good.key", "belong together"},
        {"ca.pem", "/nonexistent", "good.key", "cert-file /nonexistent: "},
        {"ca.pem", "empty", "good.key", "cert-file"},
        {"ca.pem", "rubbish", "good.key", "cert-file"},
        {"ca.pem", "good.key", "good.key", "cert-file"},
        {"ca.pem", "good.pem", "/nonexistent", "key-file /nonexistent: "},
        {"ca.pem", "good.pem", "empty", "key-file"},
        {"ca.pem", "good.pem", "good.pem", "key-file"},
        {"ca.pem", "good.pem", "name.key", "key-file"}, /* of another certificate */
        {"ca.pem", "good.pem", "rsa.key", "key-file"},  /* not even of its kind */
    };

    make_more();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        remote_tls_conf conf = {.name = "localhost"};
        remote_tls_context *context = NULL;
        char why[200] = "";

        test_case(cases[i].said);
        conf.ca_file = in_dir(cases[i].ca, "");
        conf.cert_file = cases[i].cert != NULL ? in_dir(cases[i].cert, "") : NULL;
        conf.key_file = cases[i].key != NULL ? in_dir(cases[i].key, "") : NULL;
        CHECK_ERR(remote_tls_context_new(&conf, &context, why, sizeof why),
                  cases[i].said == NULL ? COAT_OK : COAT_INVALID);
        CHECK((context != NULL) == (cases[i].said == NULL));
        if (cases[i].said != NULL && strstr(why, cases[i].said) == NULL)
            test_fail(__FILE__, __LINE__, "said: %s", why);
        remote_tls_context_free(context);
    }
    test_case(NULL);
    CHECK_INT(ERR_peek_error(), 0); /* nothing is left for others to stumble over */
}

/* ---- afterwards ---- */

/** A connection over TLS 1.2, which is the only version that can begin again. */
static remote_tls *
connected(remote_tls_context **context, peer *p)
{
    remote_tls *tls;

    peer_start(p, "good", TLS1_2_VERSION);
    *context = context_of("ca", NULL, "localhost");
    REQUIRE_OK(remote_tls_new(*context, NULL, &tls));
    REQUIRE_OK(meet(tls, p));
    return tls;
}

static void
bytes_both_ways(void)
{
    static uint8_t sent[50000], got[sizeof sent];
    remote_tls_context *context;
    size_t len = 0;
    remote_tls *tls;
    long n;
    peer p;

    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 7 + i / 256);
    tls = connected(&context, &p);
    ERR_raise(ERR_LIB_USER, 1);
    CHECK_INT(remote_tls_read(tls, got, sizeof got), 0); /* nothing yet */
    CHECK_ERR(remote_tls_feed(tls, NULL, 0), COAT_OK);
    CHECK_ERR(remote_tls_write(tls, NULL, 0), COAT_OK);
    CHECK_ERR(remote_tls_write(tls, sent, sizeof sent), COAT_OK);
    CHECK(carry(tls, &p) > sizeof sent);
    while (len < sizeof got && (n = SSL_read(p.ssl, got + len, (int)(sizeof got - len))) > 0)
        len += (size_t)n;
    CHECK_MEM(got, len, sent, sizeof sent);
    CHECK_INT(SSL_write(p.ssl, sent, 3000), 3000);
    CHECK(carry(tls, &p) > 3000);
    CHECK_INT(remote_tls_read(tls, got, 10), 10);
    CHECK_INT(remote_tls_read(tls, got + 10, sizeof got), 2990);
    CHECK_MEM(got, 3000, sent, 3000);
    /* What was not said by it, or has an end, drops the connection. */
    CHECK_ERR(remote_tls_feed(tls, sent, 100), COAT_OK);
    CHECK(remote_tls_read(tls, got, sizeof got) < 0);
    remote_tls_free(tls);
    remote_tls_context_free(context);
    peer_stop(&p);
}

static void
never_anew(void)
{
    uint8_t before[64], after[64], byte;
    remote_tls_context *context;
    size_t len, len_after;
    remote_tls *tls;
    peer p;

    tls = connected(&context, &p);
    len = SSL_get_finished(p.ssl, before, sizeof before);
    CHECK(len > 0);
    CHECK_INT(SSL_renegotiate(p.ssl), 1);
    (void)SSL_do_handshake(p.ssl);
    for (int i = 0; i < 4; i++) {
        (void)carry(tls, &p);
        (void)remote_tls_read(tls, &byte, 1);
        (void)SSL_read(p.ssl, &byte, 1);
    }
    /* It has not come to an end once more. */
    len_after = SSL_get_finished(p.ssl, after, sizeof after);
    CHECK_MEM(after, len_after, before, len);
    remote_tls_free(tls);
    remote_tls_context_free(context);
    peer_stop(&p);
}

static void
closed(void)
{
    remote_tls_context *context;
    uint8_t byte;
    remote_tls *tls;
    peer p;

    tls = connected(&context, &p);
    (void)SSL_shutdown(p.ssl);
    (void)carry(tls, &p);
    CHECK(remote_tls_read(tls, &byte, 1) < 0);
    remote_tls_free(tls);
    remote_tls_context_free(context);
    peer_stop(&p);
}

static const coat_test tests[] = {
    {"ST-5: authority, name, time, purpose and version are verified", servers},
    {"ST-5: the machine's authorities where none are named", system_authorities},
    {"ST-5: the server is told the name that is asked for", name_told},
    {"ST-5: without a name nothing is verified, and nothing begun", no_name},
    {"ST-5: certificates of our own, with those that signed them", own_certificates},
    {"ST-5: files that will not do, and why", files},
    {"SF-6: bytes come through, and what is none of the server's drops the connection",
     bytes_both_ways},
    {"ST-5: a handshake is never begun anew", never_anew},
    {"SF-6: a connection that the server has closed is of no use", closed},
};

/** Any version, with any signature: what ours are to be refused by is ours alone. */
static void
weaken_openssl(void)
{
    static const char settings[] =
        "openssl_conf = o\n[o]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\n"
        "MinProtocol = TLSv1\nCipherString = DEFAULT:@SECLEVEL=0\n";
    char path[] = "/tmp/coat-openssl-XXXXXX";
    int fd = mkstemp(path);

    if (fd < 0 || write(fd, settings, sizeof settings - 1) != (ssize_t)sizeof settings - 1)
        abort();
    (void)close(fd);
    (void)setenv("OPENSSL_CONF", path, 1);
    if (OPENSSL_init_ssl(0, NULL) != 1)
        abort();
    (void)unsetenv("OPENSSL_CONF"); /* openssl(1) has its own */
    (void)unlink(path);
}

int
main(int argc, char **argv)
{
    weaken_openssl();
    return coat_test_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
