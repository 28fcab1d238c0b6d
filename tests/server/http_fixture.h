/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_HTTP_FIXTURE_H
#define COAT_TEST_HTTP_FIXTURE_H

/**
 * A server driven by hand over real sockets, with a clock of its own, and clients that never
 * block. Its routes: see http_fixture.c.
 */

#include "coat_test.h"
#include "server/http/server.h"
#include <sys/socket.h>

typedef struct http_fixture {
    coat_http_server *server;
    coat_http_listener listeners[2];
    coat_http_conf conf;
    char paths[2][120];
    int64_t now_ms;
    unsigned runs;               /* of the handler of /run, /echo and /form */
    unsigned gone;               /* on_gone calls */
    coat_http_request *held[64]; /* of /hold, not answered yet */
    size_t held_count;
    unsigned logged, last_status;
    char last_reason[40];
    unsigned starts, stops;
} http_fixture;

/** Two Unix sockets, public and admin; change f->conf before http_fixture_start(). */
void http_fixture_init(http_fixture *f);
void http_fixture_start(http_fixture *f);
void http_fixture_fini(http_fixture *f);
/** Some rounds of the loop, without waiting. */
void http_fixture_spin(http_fixture *f);
/** Let time pass in steps of 100 ms. */
void http_fixture_pass(http_fixture *f, int64_t ms);

typedef struct http_client {
    int fd;
    char in[262144];
    size_t len;
    bool eof, reset;
} http_client;

void http_client_open(http_client *c, const http_fixture *f, size_t listener);
/** false: the peer does not take it all. */
bool http_client_send(http_client *c, const void *bytes, size_t len);
/** Read what there is. */
void http_client_read(http_client *c);
/** Send, spin, read. */
void http_client_talk(http_client *c, http_fixture *f, const char *text);
void http_client_close(http_client *c);

typedef struct http_answer {
    unsigned status;
    coat_span head, body; /* head without the status line */
    size_t total;
} http_answer;

/**
 * Parses the first answer in text, strictly: one status line, CRLF everywhere, valid fields,
 * Content-Length that is there and fits. @return false: none, or not valid
 */
bool http_answer_parse(const char *text, size_t len, bool head_request, http_answer *out);
/** Value of a field and how often it is there. */
size_t http_answer_field(const http_answer *answer, const char *name, coat_span *value);
/** Answers in all that was read; -1 if something is no answer. */
int http_client_answers(const http_client *c);

#endif
