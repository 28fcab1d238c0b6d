/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that runs out while a header is read or made anew: whatever error pages follow, no
 * field that a client invented and no cookie of ours goes on. What access.c decides is tried in
 * tests/e2e/module; of its neighbours only what is reached here does something. */
#include "coat_test.h"

#include "nginx/access.c"
#include "nginx/cookies.c"
#include "nginx/scan.c"

#include "request.h"

/* ---- neighbours ---- */

/** What CSRF and CORS would go by. */
static unsigned crossed;

ngx_int_t
coat_ngx_cross(ngx_http_request_t *r, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
{
    (void)r;
    (void)lcf;
    crossed++;
    CHECK(ctx->facts_noted);
    CHECK(coat_span_is(ctx->facts.method, COAT_LIT("GET")));
    CHECK(coat_span_is(ctx->facts.origin, COAT_LIT("https://a")));
    CHECK(ctx->facts.accept.ptr == NULL && ctx->cors_method.ptr == NULL);
    return NGX_OK;
}

/** Everybody's session is live here. */
coat_table *
coat_ngx_table_of(coat_ngx_table *table, ngx_log_t *log)
{
    (void)log;
    return (coat_table *)table;
}

void
coat_table_check(const coat_table *table, const coat_table_query *query, coat_table_answer *out)
{
    (void)table;
    (void)query;
    *out = (coat_table_answer){.verdict = COAT_TABLE_LIVE};
}

void
coat_ngx_asker_of(const ngx_http_request_t *r, const coat_ngx_ctx *ctx,
                  const coat_ngx_table *table, coat_ngx_asker *room, coat_table_query *query)
{
    (void)r;
    (void)ctx;
    (void)table;
    (void)room;
    query->from = NULL;
}

ngx_int_t
coat_ngx_identity_table(ngx_http_request_t *r, coat_ngx_ctx *ctx, coat_span token,
                        const coat_table_answer *answer)
{
    (void)r;
    (void)token;
    (void)answer;
    ctx->values[COAT_NGX_USER] = COAT_NGX_STR("mara");
    return NGX_OK;
}

coat_table_memo *
coat_ngx_memo(void)
{
    return NULL;
}

int64_t
coat_ngx_now_ms(void)
{
    return 0;
}

/* Nobody asks the daemon here. */
#define NOT_REACHED(type, name, ...)                                                           \
    type name(__VA_ARGS__)                                                                     \
    {                                                                                          \
        test_fail(__FILE__, __LINE__, "not to be reached: %s", #name);                         \
        test_abort();                                                                          \
    }
#pragma GCC diagnostic ignored "-Wunused-parameter"
NOT_REACHED(void, coat_ngx_asker_keep, const ngx_http_request_t *r, const coat_ngx_ctx *ctx,
            const coat_ngx_table *table, uint64_t context)
NOT_REACHED(bool, coat_ngx_assertion_find, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx,
            const coat_handle *handle, ngx_pool_t *p)
NOT_REACHED(void, coat_ngx_assertion_keep, const coat_ngx_loc *lcf, coat_ngx_ctx *ctx)
NOT_REACHED(ngx_int_t, coat_ngx_identity_reply, ngx_http_request_t *r, coat_ngx_ctx *ctx)
NOT_REACHED(void, coat_ngx_table_heard, coat_ngx_table *table)
NOT_REACHED(ngx_int_t, coat_ngx_unavailable, ngx_http_request_t *r)
NOT_REACHED(ngx_int_t, coat_ngx_refuse, ngx_http_request_t *r)
NOT_REACHED(ngx_int_t, coat_ngx_pass, ngx_http_request_t *r, const coat_reply *reply)
NOT_REACHED(ngx_int_t, coat_ngx_question_verify, ngx_http_request_t *r, const coat_ngx_loc *lcf,
            coat_ngx_ctx *ctx, ngx_str_t *out)
NOT_REACHED(ngx_int_t, coat_ngx_question_refused, ngx_http_request_t *r,
            const coat_ngx_loc *lcf, coat_ngx_ctx *ctx, ngx_str_t *out)
NOT_REACHED(coat_ngx_ask *, coat_ngx_ask_start, coat_ngx_daemon *daemon, ngx_str_t text,
            ngx_str_t buf, ngx_msec_t timeout, coat_ngx_told done, void *owner, ngx_log_t *log)
NOT_REACHED(void, ngx_log_error_core, ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
            const char *fmt, ...)
NOT_REACHED(ngx_int_t, ngx_http_complex_value, ngx_http_request_t *r,
            ngx_http_complex_value_t *val, ngx_str_t *value)
NOT_REACHED(ngx_int_t, ngx_handle_read_event, ngx_event_t *rev, ngx_uint_t flags)
NOT_REACHED(void, ngx_http_finalize_request, ngx_http_request_t *r, ngx_int_t rc)
NOT_REACHED(void, ngx_http_run_posted_requests, ngx_connection_t *c)
NOT_REACHED(void, ngx_http_core_run_phases, ngx_http_request_t *r)
NOT_REACHED(void, ngx_http_block_reading, ngx_http_request_t *r)
NOT_REACHED(void, ngx_http_test_reading, ngx_http_request_t *r)
NOT_REACHED(void, ngx_http_request_empty_handler, ngx_http_request_t *r)
ngx_queue_t ngx_posted_events;

/* ---- places ---- */

#define NAMES                                                                                  \
    {                                                                                          \
        COAT_LIT("id"), COAT_LIT("id-pre"), COAT_LIT("id-device")                              \
    }

static coat_ngx_table table;
static coat_ngx_loc open_place = {.mode = COAT_NGX_OFF, .cookie_names = NAMES};
static coat_ngx_loc guarded = {.mode = COAT_NGX_ON,
                               .cookie_names = NAMES,
                               .table = &table,
                               .question = {1, (u_char *)"?"}};
static coat_ngx_loc only_cross = {
    .mode = COAT_NGX_OFF, .cookie_names = NAMES, .question = {1, (u_char *)"?"}};
static coat_ngx_loc optional = {.mode = COAT_NGX_OPTIONAL,
                                .cookie_names = NAMES,
                                .table = &table,
                                .question = {1, (u_char *)"?"}};
static coat_ngx_loc *const places[] = {&open_place, &guarded, &only_cross, &optional};
enum { PLACES = sizeof places / sizeof places[0] };

static void *locations[1];
static ngx_connection_t connection;

/** As nginx comes to an error page. */
static ngx_int_t
moved_to(coat_ngx_loc *place)
{
    request.internal = 1;
    contexts[0] = NULL;
    locations[0] = place;
    return coat_ngx_access(&request);
}

static bool
passes(ngx_int_t rc)
{
    return rc == NGX_OK || rc == NGX_DECLINED;
}

/** Elements between the parts' ends are ours to write to only as far as there is room. */
static void
check_pushes(void)
{
    static const ngx_str_t values[] = {COAT_NGX_STR("a"), COAT_NGX_STR("b")};
    const char *before = strdup(sent());

    for (int i = 0; i < 3; i++)
        REQUIRE(coat_ngx_push(&request, server.names, values, 2) == NGX_OK);
    CHECK_MEM(sent(), strlen(before), before, strlen(before));
    CHECK_INT(strlen(sent()) - strlen(before), 3 * strlen("X-Auth-User: a\nX-Auth-Roles: b\n"));
    free((void *)(uintptr_t)before);
}

/** A header with a field of ours at each choice of places, a cookie of ours at its end. */
static void
arrive(unsigned choice, unsigned count)
{
    begin();
    server.cross = 1;
    request.loc_conf = locations;
    request.connection = &connection;
    for (unsigned i = 0; i < count; i++)
        (void)add((choice >> i & 1) != 0 ? "X-Auth-User" : "Other", "evil");
    (void)add("Origin", "https://a");
    (void)add("x_auth_roles", "evil");
    (void)add("Cookie", "a=1; id=T");
    (void)add("Connection", "X-Auth-User");
}

/** Nothing of a client's own goes on. */
static void
check_clean(const char *user)
{
    const char *at = strstr(sent(), "X-Auth-User: ");

    CHECK(strstr(sent(), "X-Auth-User: evil") == NULL);
    CHECK(strstr(sent(), "x_auth_roles") == NULL);
    CHECK(strstr(sent(), "id=T") == NULL);
    CHECK(strstr(sent(), "Cookie: a=1\n") != NULL);
    CHECK(strstr(sent(), "Connection: \n") != NULL);
    CHECK((at != NULL) == (user != NULL));
    if (at != NULL) /* once */
        CHECK(strstr(at + 1, "X-Auth-User: ") == NULL);
}

/* ---- tests ---- */

enum { FIELDS = 6 };

/* The pool has memory for so many more pieces when the header arrives. */
static void
test_reading(void)
{
    for (unsigned choice = 0; choice < 1U << FIELDS; choice++)
        for (size_t place = 0; place < PLACES; place++)
            for (size_t memory = 0;; memory++) {
                ngx_int_t rc;

                arrive(choice, FIELDS);
                grants = memory;
                rc = coat_ngx_post_read(&request);
                grants = SIZE_MAX;
                if (rc == NGX_DECLINED)
                    break;
                CHECK_INT(rc, NGX_HTTP_INTERNAL_SERVER_ERROR);
                CHECK(coat_ngx_ctx_of(&request) == NULL);
                request.internal = 1;
                CHECK(coat_ngx_ctx_of(&request) == NULL);
                rc = moved_to(places[place]);
                CHECK_INT(rc, places[place] == &open_place ? NGX_DECLINED
                                                           : NGX_HTTP_INTERNAL_SERVER_ERROR);
                if (passes(rc))
                    check_clean(NULL);
                check_pushes();
            }
}

/* Nor is it there for the error page; that of the error page has it. */
static void
test_reading_again(void)
{
    for (unsigned choice = 0; choice < 1U << FIELDS; choice++)
        for (size_t memory = 0;; memory++) {
            ngx_int_t rc;

            arrive(choice, FIELDS);
            grants = 2; /* the context, and no more */
            rc = coat_ngx_post_read(&request);
            if (rc == NGX_DECLINED)
                break; /* all that is taken out ends a part */
            CHECK_INT(rc, NGX_HTTP_INTERNAL_SERVER_ERROR);
            grants = memory;
            rc = moved_to(&open_place);
            grants = SIZE_MAX;
            if (passes(rc))
                break;
            CHECK_INT(rc, NGX_HTTP_INTERNAL_SERVER_ERROR);
            CHECK_INT(moved_to(&open_place), NGX_DECLINED);
            check_clean(NULL);
            check_pushes();
        }
}

/* Let in somewhere, moved on by an error page without the memory for that, and on again. */
static void
test_anew(void)
{
    for (size_t first = 0; first < PLACES; first++)
        for (size_t last = 0; last < PLACES; last++)
            for (size_t memory = 0;; memory++) {
                bool named = places[last]->mode != COAT_NGX_OFF;
                ngx_int_t rc;

                arrive(0x15, FIELDS);
                guarded.fields[COAT_NGX_USER] = optional.fields[COAT_NGX_USER] =
                    server.names[0];
                locations[0] = places[first];
                REQUIRE(coat_ngx_post_read(&request) == NGX_DECLINED);
                REQUIRE(passes(coat_ngx_access(&request)));
                (void)add("Later", "x"); /* so that ours is cut out of the middle */
                grants = memory;
                rc = moved_to(places[last]);
                grants = SIZE_MAX;
                if (passes(rc))
                    check_clean(named ? "mara" : NULL);
                if (passes(rc))
                    break;
                CHECK_INT(rc, NGX_HTTP_INTERNAL_SERVER_ERROR);
                CHECK(passes(moved_to(places[last])));
                check_clean(named ? "mara" : NULL);
                check_pushes();
            }
    CHECK(crossed > 0);
}

/* The page for too many Cookie lines: the header was read to its end, and no check is made. */
static void
test_many_lines(void)
{
    for (size_t place = 0; place < PLACES; place++)
        for (unsigned choice = 0; choice < 1U << FIELDS; choice++) {
            ngx_table_elt_t *surplus = NULL;
            coat_ngx_ctx *ctx;

            arrive(choice, FIELDS);
            for (int i = 0; i <= COAT_NGX_COOKIE_LINES; i++)
                surplus = add("Cookie", "id=T");
            (void)add("X-Auth-User", "evil");
            CHECK_INT(coat_ngx_post_read(&request), NGX_HTTP_BAD_REQUEST);
            CHECK_INT(surplus->value.len, 0);
            ctx = coat_ngx_ctx_of(&request);
            CHECK(ctx->facts_noted && coat_span_is(ctx->facts.origin, COAT_LIT("https://a")));
            CHECK_INT(moved_to(places[place]),
                      places[place] == &open_place ? NGX_DECLINED : NGX_HTTP_BAD_REQUEST);
            if (places[place] == &open_place)
                check_clean(NULL);
            check_pushes();
        }
}

static const coat_test tests[] = {
    {"FA-3 FA-6 FA-7: a header that could not be read to its end is no way in for an error "
     "page",
     test_reading},
    {"FA-3 FA-7: nor is one that could not be read the second time", test_reading_again},
    {"FA-3: an error page that could not be begun leaves nothing of ours to the next",
     test_anew},
    {"FA-3 CK-3: the page for too many Cookie lines", test_many_lines},
};

COAT_TEST_MAIN(tests)
