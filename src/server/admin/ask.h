/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_ADMIN_ASK_H
#define COAT_SERVER_ADMIN_ASK_H

/**
 * One request to the admin socket. Lives in the request's arena; ends with exactly one of
 * coat_ask_json(), coat_ask_done(), coat_ask_error(), coat_ask_fail().
 */

#include "account/text.h"
#include "server/admin/admin.h"
#include <jansson.h>

/** The policy writes the event ahead before the handler runs. */
#define COAT_ADMIN_CHANGES (COAT_HTTP_FLAG_USER << 0)

#define COAT_ASK_PAGE_MAX 1000 /* entries of a page that may be asked for (AD-5) */
/* ... that are given: a loop makes a page in one go, and requests wait behind it. */
#define COAT_ASK_PAGE_GIVEN 64
#define COAT_ASK_LIST_BYTES (COAT_HTTP_ANSWER_MAX - 8 * 1024) /* and its bytes */

typedef struct coat_ask {
    coat_audit_origin origin; /* first: audit events take it from the ctx of calls */
    coat_http_request *req;
    coat_app_loop *at;
    coat_process *process;
    const coat_settings *set;
    json_t *body; /* the request's; borrowed */
    coat_call call;
    coat_account_call account;
    coat_audit_call audit;
    json_t *list;
    size_t list_bytes;
    bool list_cut;
    bool pending; /* the first of two ends is */
    coat_handle last;
    coat_handle handle;
    coat_name name; /* of {user} or {name}, in NFC */
    char roles[COAT_ROLES_MAX + 1], methods[COAT_METHODS_MAX + 1];
    char *data; /* application data as text; freed at the end */
} coat_ask;

static inline coat_ask *
coat_ask_of(const coat_http_request *req)
{
    return req->user;
}

void coat_ask_call(coat_ask *ask, coat_call_op op, void (*done)(coat_call *call));
void coat_ask_account(coat_ask *ask, coat_account_op op, void (*done)(coat_account_call *call));

/** Takes the reference. */
void coat_ask_json(coat_ask *ask, unsigned status, json_t *json);
void coat_ask_done(coat_ask *ask); /* 204 */
/** 400 and the like with what is wrong and what would be right; detail is a literal. */
void coat_ask_error(coat_ask *ask, unsigned status, const char *code);
void coat_ask_fail(coat_ask *ask, coat_err err);
/** Has ask->call, one of those that end sessions, done so? */
bool coat_ask_has_ended(const coat_ask *ask);
/** Say so; or that it is kept, and done as soon as the store answers (SF-4). */
void coat_ask_ended(coat_ask *ask);

/** A text member of the body: false if it is there but no text. Absent: empty. */
bool coat_ask_text(const coat_ask *ask, const char *name, coat_span *out);
/** A list of words into one text with spaces: false if it is anything else or too long. */
bool coat_ask_words(const coat_ask *ask, const char *name, char *buf, size_t cap,
                    coat_span *out, bool *given);
/** A name as accounts and their sessions have it: in NFC if it can be an account's. */
coat_span coat_ask_name(coat_ask *ask, coat_span text);
/** {handle} of the path; answers 404 itself. */
bool coat_ask_handle(coat_ask *ask, coat_handle *out);
/** ?limit= and ?after= of a list; answers 400 itself. */
bool coat_ask_page(coat_ask *ask, uint32_t *limit, bool *has_cursor, coat_handle *cursor);
/** Add to the page's list unless it is full. */
void coat_ask_add(coat_ask *ask, json_t *item, const coat_handle *cursor);
/** Send the page: {"NAME": [...], "next": cursor or null}. */
void coat_ask_list(coat_ask *ask, const char *name, bool more);

/** What the interface shows of a session: never a token, digest or key (AD-4). */
json_t *coat_ask_session(const coat_ask *ask, const coat_session *session);

#endif
