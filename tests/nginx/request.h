/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_NGINX_REQUEST_H
#define COAT_TEST_NGINX_REQUEST_H

/**
 * One request, for a test of files that take its header apart. nginx itself is not linked: what
 * they call of it stands here, as nginx 1.22 has it. For one .c file of a program, which
 * includes nginx/module.h before.
 */

ngx_module_t ngx_http_coatcheck_module = {.ctx_index = 0};

enum { BLOCKS_MAX = 4096 };
static void *blocks[BLOCKS_MAX];
static size_t block_count;
static size_t grants = SIZE_MAX; /* how often the pool has memory yet */

void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    (void)pool;
    if (grants == 0)
        return NULL;
    grants--;
    REQUIRE(block_count < BLOCKS_MAX);
    blocks[block_count] = malloc(size > 0 ? size : 1);
    REQUIRE(blocks[block_count] != NULL);
    memset(blocks[block_count], 0xa5, size); /* as nginx's pools, which are not zeroed */
    return blocks[block_count++];
}

void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
}

ngx_pool_cleanup_t *
ngx_pool_cleanup_add(ngx_pool_t *pool, size_t size)
{
    ngx_pool_cleanup_t *cln = ngx_palloc(pool, sizeof *cln);

    if (cln == NULL || (cln->data = ngx_palloc(pool, size)) == NULL)
        return NULL;
    cln->handler = NULL;
    cln->next = pool->cleanup;
    pool->cleanup = cln;
    return cln;
}

/* As in nginx: a part is full when it has nalloc elements, however many it has room for. */
void *
ngx_list_push(ngx_list_t *list)
{
    ngx_list_part_t *last = list->last;

    if (last->nelts == list->nalloc) {
        last = ngx_palloc(list->pool, sizeof *last);
        if (last == NULL)
            return NULL;
        last->elts = ngx_palloc(list->pool, list->nalloc * list->size);
        if (last->elts == NULL)
            return NULL;
        last->nelts = 0;
        last->next = NULL;
        list->last->next = last;
        list->last = last;
    }
    return (char *)last->elts + list->size * last->nelts++;
}

void
coat_ngx_ask_cancel(coat_ngx_ask *ask)
{
    CHECK(ask == NULL);
}

void
coat_ngx_unwatch(coat_ngx_ctx *ctx)
{
    CHECK(!ctx->watching);
}

/* ---- a request ---- */

static ngx_pool_t pool;
static ngx_http_request_t request;
static coat_ngx_srv server;
static void *contexts[1], *servers[1];

enum { FIRST_PART = 4 };

static void
begin(void)
{
    static const char *const names[] = {"X-Auth-User", "X-Auth-Roles"};

    grants = SIZE_MAX;
    while (block_count > 0)
        free(blocks[--block_count]);
    memset(&pool, 0, sizeof pool);
    memset(&request, 0, sizeof request);
    memset(&server, 0, sizeof server);
    contexts[0] = NULL;
    servers[0] = &server;
    request.main = &request;
    request.pool = &pool;
    request.ctx = contexts;
    request.srv_conf = servers;
    request.method_name = COAT_NGX_STR("GET");
    REQUIRE(ngx_list_init(&request.headers_in.headers, &pool, FIRST_PART,
                          sizeof(ngx_table_elt_t)) == NGX_OK);
    server.used = 1;
    for (size_t i = 0; i < 2; i++) {
        coat_ngx_name name = {.text = coat_ngx_text(coat_span_of(names[i])),
                              .lower = (u_char *)(i == 0 ? "x-auth-user" : "x-auth-roles")};

        coat_ngx_add_name(&server, &name);
    }
}

static ngx_table_elt_t *
add(const char *key, const char *value)
{
    ngx_table_elt_t *h = ngx_list_push(&request.headers_in.headers);

    REQUIRE(h != NULL);
    memset(h, 0, sizeof *h);
    h->key = coat_ngx_text(coat_span_of(key));
    h->lowcase_key = ngx_palloc(&pool, h->key.len + 1);
    for (size_t i = 0; i < h->key.len; i++)
        h->lowcase_key[i] = ngx_tolower(h->key.data[i]);
    h->value.len = strlen(value);
    h->value.data = ngx_palloc(&pool, h->value.len + 1); /* scan.c may write there */
    memcpy(h->value.data, value, h->value.len + 1);      /* as nginx leaves it, with NUL */
    return h;
}

/** The fields that nginx would send on, walked as its own modules do; "name: value\n" each. */
static const char *
sent(void)
{
    static char text[16384];
    ngx_list_part_t *part = &request.headers_in.headers.part;
    ngx_table_elt_t *h = part->elts;
    size_t len = 0;

    for (ngx_uint_t i = 0;; i++) {
        if (i >= part->nelts) {
            if (part->next == NULL)
                break;
            part = part->next;
            h = part->elts;
            i = 0; /* nginx reads h[0] now, whether or not there is one */
            REQUIRE(part->nelts > 0);
        }
        REQUIRE(len + h[i].key.len + h[i].value.len + 4 < sizeof text);
        len +=
            (size_t)snprintf(text + len, sizeof text - len, "%.*s: %.*s\n", (int)h[i].key.len,
                             h[i].key.data, (int)h[i].value.len, h[i].value.data);
    }
    text[len] = '\0';
    return text;
}

#endif
