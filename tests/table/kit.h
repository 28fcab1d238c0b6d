/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_TABLE_KIT_H
#define COAT_TEST_TABLE_KIT_H

/** What the tests of the node table share: sessions made from a seed, and short ways to use
 * them. */

#include "coat_test.h"
#include "table/inside.h"

#include <sodium.h>
#include <string.h>

enum { KIT_MINUTE = 60000, KIT_HOUR = 60 * KIT_MINUTE };

static const int64_t kit_now = 1700000000000;
static int64_t kit_mono = 5000; /* of tables in shared mode */
static coat_tag_keys kit_tags = {.key = {{1, 2, 3}, {4, 5, 6}}, .count = 1};

typedef struct kit_session {
    coat_token token;
    char text[COAT_TOKEN_CHARS];
    coat_record record;
    char user[COAT_USER_MAX], roles[COAT_ROLES_MAX];
    int64_t next_due_ms;
    uint64_t context;
} kit_session;

/** A live session of the owner, made at kit_now, due in 15 minutes. */
static inline void
kit_session_make(kit_session *s, test_rng *rng, uint64_t owner, size_t user_len,
                 size_t roles_len)
{
    coat_owner o;

    memset(s, 0, sizeof *s);
    coat_store64(o.bytes, owner);
    if (coat_token_mint(o, kit_now, &kit_tags, test_rng_fill, rng, &s->token) != COAT_OK)
        test_fail(__FILE__, __LINE__, "no token");
    coat_token_encode(&s->token, s->text);
    for (size_t i = 0; i < user_len; i++)
        s->user[i] = (char)('a' + test_rng_below(rng, 26));
    for (size_t i = 0; i < roles_len; i++)
        s->roles[i] = (char)('a' + test_rng_below(rng, 26));
    s->record = (coat_record){.created_ms = kit_now,
                              .auth_ms = kit_now,
                              .seen_ms = kit_now,
                              .idle_ms = 30 * KIT_MINUTE,
                              .absolute_end_ms = kit_now + 12 * (int64_t)KIT_HOUR,
                              .rotated_ms = kit_now,
                              .user = {(const uint8_t *)s->user, user_len},
                              .roles = {(const uint8_t *)s->roles, roles_len},
                              .methods = COAT_LIT("pwd")};
    coat_secret_digest(s->token.secret, s->record.current_digest);
    s->next_due_ms = kit_now + 12 * (int64_t)KIT_HOUR;
}

/** The same session under another secret; the token of the former one stays valid text. */
static inline void
kit_session_rotate(kit_session *s, test_rng *rng)
{
    (void)test_rng_fill(rng, s->token.secret, sizeof s->token.secret);
    coat_token_tag(&s->token, &kit_tags);
    coat_token_encode(&s->token, s->text);
    coat_secret_digest(s->token.secret, s->record.current_digest);
}

static inline void
kit_conf(coat_table_conf *conf, const char *path, uint32_t slots)
{
    coat_table_conf_default(conf);
    conf->path = path;
    conf->slots = slots;
    conf->tags = &kit_tags;
    conf->now_ms = kit_now;
    conf->monotonic = test_clock;
    conf->monotonic_ctx = &kit_mono;
}

static inline coat_table_writer *
kit_create(const coat_table_conf *conf)
{
    coat_table_writer *w = NULL;

    REQUIRE_OK(coat_table_create(conf, &w));
    return w;
}

static inline coat_table_entry
kit_entry(const kit_session *s)
{
    return (coat_table_entry){.handle = &s->token.handle,
                              .record = &s->record,
                              .next_due_ms = s->next_due_ms,
                              .context = s->context};
}

static inline coat_err
kit_fill(coat_table_writer *w, const kit_session *s)
{
    coat_table_entry entry = kit_entry(s);

    return coat_table_fill(w, coat_table_ticket_take(w, entry.handle), &entry);
}

/** Somebody who asks, and how often that was wanted: .from = kit_who, .from_ctx = it. */
typedef struct kit_asker {
    coat_context context;
    int wanted;
} kit_asker;

static inline const coat_context *
kit_who(void *data)
{
    kit_asker *who = data;

    who->wanted++;
    return &who->context;
}

static inline coat_table_verdict
kit_ask(const coat_table *table, const kit_session *s, coat_table_query query,
        coat_table_answer *answer)
{
    query.token = (coat_span){(const uint8_t *)s->text, sizeof s->text};
    memset(answer, 0xa5, sizeof *answer);
    coat_table_check(table, &query, answer);
    return answer->verdict;
}

/** As a background request, so that asking changes nothing. */
static inline coat_table_verdict
kit_verdict(const coat_table *table, const kit_session *s, int64_t now_ms)
{
    coat_table_answer answer;

    return kit_ask(table, s, (coat_table_query){.now_ms = now_ms, .background = true}, &answer);
}

static inline coat_table_verdict
kit_live(const coat_table *table, const kit_session *s, int64_t now_ms)
{
    return coat_table_live(table, (coat_span){(const uint8_t *)s->text, sizeof s->text},
                           now_ms);
}

/** Does an answer that says LIVE say it of this session? */
static inline bool
kit_is(const coat_table_answer *answer, const kit_session *s)
{
    return coat_handle_equal(&answer->handle, &s->token.handle) &&
           coat_span_is(answer->user, s->record.user) &&
           coat_span_is(answer->roles, s->record.roles) &&
           coat_span_is(answer->methods, s->record.methods) &&
           answer->created_ms == s->record.created_ms && answer->auth_ms == s->record.auth_ms;
}

#endif
