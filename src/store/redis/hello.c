/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What is said before the first request, in one write: who we are, which server this is, and
 * whether it will do. A replica will not: it may be behind, and cannot write.
 */

#include "store/redis/redis.h"

#include "core/out.h"

#include <stdio.h>

enum {
    HELLO_AUTH,
    HELLO_SELECT,
    HELLO_CLIENT,
    HELLO_INFO,
    HELLO_LOAD,
    HELLO_FORMAT,
    HELLO_KILL,
    HELLO_END_DOUBT,
    HELLO_APPENDFSYNC,
    HELLO_SAVE,
    HELLO_MIN_REPLICAS,
};

void
redis_say(redis_link *link, uint8_t what, size_t count, const char *const *words)
{
    resp_begin(&link->out, count);
    for (size_t i = 0; i < count; i++)
        resp_arg_str(&link->out, words[i]);
    if (redis_expect(link, NULL, what, SCRIPT_COUNT) != COAT_OK)
        link->out.failed = true;
}

void
redis_say_format(redis_link *link, uint8_t what, const char *prefix)
{
    static const char *const keys[] = {"format", "global", "nothing"};
    redis_store *store = redis_store_of(link);
    coat_span body = redis_script_body(SCRIPT_HELLO);

    resp_begin(&link->out, 11);
    resp_arg_str(&link->out, "EVAL");
    resp_arg(&link->out, body.ptr, body.len);
    resp_arg_uint(&link->out, sizeof keys / sizeof keys[0]);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        resp_arg_two(&link->out, coat_span_of(prefix), coat_span_of(keys[i]));
    resp_arg_uint(&link->out, REDIS_FORMAT);
    resp_arg_uint(&link->out, atomic_load(&redis_home(store)->global));
    redis_last_args(link);
    if (redis_expect(link, NULL, what, SCRIPT_COUNT) != COAT_OK)
        link->out.failed = true;
}

void
redis_hello(redis_link *link)
{
    redis_store *store = redis_store_of(link);
    const char *user = store->url.user;
    uint64_t connection = link->connection;
    char db[16];

    /* By itself, so that the password lies in a buffer that never moves and is wiped. */
    if (user != NULL && store->password[0] != '\0')
        REDIS_SAY(link, HELLO_AUTH, "AUTH", user, store->password);
    else if (store->password[0] != '\0')
        REDIS_SAY(link, HELLO_AUTH, "AUTH", store->password);
    link->out.secret = true;
    if (link->out.len > 0)
        remote_stream_write(link->stream, &link->out);
    if (link->connection != connection)
        return; /* lost already */
    link->out.secret = false;
    (void)snprintf(db, sizeof db, "%u", store->db);
    if (store->db != 0)
        REDIS_SAY(link, HELLO_SELECT, "SELECT", db);
    if (store->cluster != NULL)
        redis_cluster_hello(link); /* first: also who will not do knows who does */
    REDIS_SAY(link, HELLO_INFO, "INFO");
    REDIS_SAY(link, HELLO_CLIENT, "CLIENT", "ID");
    /* An identifier that no client has; asked now whether it is allowed, see doubt.c. */
    REDIS_SAY(link, HELLO_KILL, "CLIENT", "KILL", "ID", "9223372036854775807");
    REDIS_SAY(link, HELLO_APPENDFSYNC, "CONFIG", "GET", "appendfsync");
    REDIS_SAY(link, HELLO_SAVE, "CONFIG", "GET", "save");
    if (store->sentinels.count > 0)
        REDIS_SAY(link, HELLO_MIN_REPLICAS, "CONFIG", "GET", "min-replicas-to-write");
    for (int script = SCRIPT_HELLO + 1; script < SCRIPT_COUNT; script++) {
        coat_span body = redis_script_body((redis_script)script);

        resp_begin(&link->out, 3);
        resp_arg_str(&link->out, "SCRIPT");
        resp_arg_str(&link->out, "LOAD");
        resp_arg(&link->out, body.ptr, body.len);
        link->shas[script][0] = '\0';
        if (redis_expect(link, NULL, HELLO_LOAD, (uint8_t)script) != COAT_OK)
            link->out.failed = true;
    }
    if (store->cluster == NULL) /* else once it is known what it has */
        redis_say_format(link, HELLO_FORMAT, store->prefix);
    remote_link_queued(&link->base);
}

coat_span
redis_info_field(coat_span info, const char *name)
{
    size_t len = strlen(name);

    for (size_t at = 0; at < info.len;) {
        const uint8_t *line = info.ptr + at, *end = memchr(line, '\n', info.len - at);
        size_t n = end != NULL ? (size_t)(end - line) : info.len - at;

        at += n + 1;
        if (n > 0 && line[n - 1] == '\r')
            n--;
        if (n > len && memcmp(line, name, len) == 0 && line[len] == ':')
            return (coat_span){line + len + 1, n - len - 1};
    }
    return (coat_span){NULL, 0};
}

static void
copy_text(char *to, size_t cap, coat_span from)
{
    coat_out out = coat_out_init(to, cap);

    coat_out_bytes(&out, from.ptr, from.len < cap - 1 ? from.len : cap - 1);
    (void)coat_out_end(&out);
    remote_line(to, cap, to);
}

/** "6.2.7": is it enough? */
static bool
is_recent(coat_span version)
{
    char text[16];
    unsigned major = 0, minor = 0;

    copy_text(text, sizeof text, version);
    return sscanf(text, "%2u.%2u", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 2));
}

const char *
redis_info_wrong(coat_span info, bool in_cluster, char *run_id_out)
{
    coat_span run_id = redis_info_field(info, "run_id");
    const char *wrong = NULL;

    if (run_id.len != REDIS_RUN_ID || memchr(run_id.ptr, '\0', REDIS_RUN_ID) != NULL)
        wrong = "it does not say which server it is";
    else if (!is_recent(redis_info_field(info, "redis_version")))
        wrong = "its version is older than 6.2";
    else if (coat_span_is(redis_info_field(info, "redis_mode"), COAT_LIT("sentinel")))
        wrong = "it is a sentinel, which redis+sentinel: is for";
    else if (!coat_span_is(redis_info_field(info, "role"), COAT_LIT("master")))
        wrong = "it is a replica";
    else if (coat_span_is(redis_info_field(info, "cluster_enabled"), COAT_LIT("1")) !=
             in_cluster)
        wrong = in_cluster ? "it is no node of a cluster: write redis://"
                           : "it is a node of a cluster: write redis+cluster://";
    else if (coat_span_is(redis_info_field(info, "loading"), COAT_LIT("1")))
        wrong = "it is still loading its data";
    if (wrong != NULL)
        return wrong;
    memcpy(run_id_out, run_id.ptr, REDIS_RUN_ID);
    run_id_out[REDIS_RUN_ID] = '\0';
    return NULL;
}

/** In a cluster a process can serve, follow for a while, and serve again. */
static void
take_history(redis_link *link, coat_span id)
{
    memset(link->history, 0, sizeof link->history);
    if (redis_store_of(link)->cluster != NULL && id.len == sizeof link->history)
        memcpy(link->history, id.ptr, id.len);
}

static bool
take_info(redis_link *link, coat_span info)
{
    const char *wrong =
        redis_info_wrong(info, redis_store_of(link)->cluster != NULL, link->run_id);

    if (wrong != NULL) {
        redis_fail(link, wrong);
        return false;
    }
    take_history(link, redis_info_field(info, "master_replid"));
    copy_text(link->policy, sizeof link->policy, redis_info_field(info, "maxmemory_policy"));
    link->aof = coat_span_is(redis_info_field(info, "aof_enabled"), COAT_LIT("1"));
    return true;
}

/** And about what would follow it. */
static void
judge_replicas(const redis_link *link, coat_out *out)
{
    const redis_sentinels *sentinels = &redis_store_of(link)->sentinels;

    if (sentinels->count == 0)
        return;
    if (strcmp(link->min_replicas, "0") == 0)
        coat_out_str(out, "; min-replicas-to-write 0: a primary that was cut off acknowledges "
                          "what a failover loses");
    if (sentinels->count < SENTINEL_ENOUGH)
        coat_out_str(out, "; fewer than 3 sentinels");
}

/** What an operator should know about this server (SF-3, SF-7). */
static void
judge_server(redis_link *link)
{
    redis_store *store = redis_store_of(link);
    char text[sizeof store->notice];
    coat_out out = coat_out_init(text, sizeof text);

    if (strncmp(link->policy, "allkeys-", 8) == 0) {
        coat_out_str(&out, "; maxmemory-policy ");
        coat_out_str(&out, link->policy);
        coat_out_str(&out, " may drop sessions and revocations: set noeviction");
    }
    if (!link->aof && link->save[0] == '\0') {
        coat_out_str(&out, "; nothing is kept on disk: a restart signs everybody out");
    } else if (!link->aof) {
        coat_out_str(&out, "; no append-only file: a crash loses minutes of changes");
    } else if (strcmp(link->appendfsync, "always") != 0) {
        coat_out_str(&out, "; appendfsync ");
        coat_out_str(&out, link->appendfsync);
        coat_out_str(&out, ": a crash loses up to a second");
    }
    if (!link->may_kill)
        coat_out_str(&out, "; without CLIENT KILL interrupted changes stay undecided");
    if (store->cluster != NULL)
        redis_cluster_judge(link, &out);
    judge_replicas(link, &out);
    (void)coat_out_end(&out);
    pthread_mutex_lock(&store->remote.mutex);
    (void)snprintf(store->notice, sizeof store->notice, "%s", text + (text[0] == ';' ? 2 : 0));
    store->trouble[0] = '\0';
    pthread_mutex_unlock(&store->remote.mutex);
}

bool
redis_take_format(redis_link *link, const resp_reply *reply)
{
    redis_store *store = redis_store_of(link);
    uint64_t format, global;

    if (!resp_is(reply, 2, RESP_STRING) || !resp_number(reply->items[1], &format) ||
        !resp_number(reply->items[2], &global)) {
        redis_fail(link, reply->type == RESP_ERROR
                             ? "it runs no scripts, is full, or the user may "
                               "not PUBLISH"
                             : "it answers strangely");
        return false;
    }
    if (format != REDIS_FORMAT) {
        redis_fail(link, "what it keeps was written by a newer version of coatcheck");
        return false;
    }
    redis_global_seen(store, global);
    if (store->cluster == NULL) /* where it is one bucket's only */
        link->told_global = global;
    judge_server(link);
    if (redis_journal_replay(link))
        return true;
    redis_fail(link, "out of memory");
    return false;
}

static void
take_setting(const resp_reply *reply, char *to, size_t cap)
{
    copy_text(to, cap, resp_is(reply, 1, RESP_STRING) ? reply->items[1]->text : COAT_LIT("?"));
}

bool
redis_hello_reply(redis_link *link, const redis_due *due, const resp_reply *reply)
{
    const char *wrong = NULL;

    if (due->what >= HELLO_CLUSTER)
        return redis_cluster_hello_reply(link, due, reply);
    switch (due->what) {
    case HELLO_AUTH:
        wrong = reply->type == RESP_STATUS ? NULL : "user or password is refused";
        break;
    case HELLO_SELECT:
        wrong = reply->type == RESP_STATUS ? NULL : "it has no such database";
        break;
    case HELLO_CLIENT:
        link->client = reply->type == RESP_INTEGER ? (uint64_t)reply->integer : 0;
        wrong = link->client != 0 ? NULL : "the user may not CLIENT ID";
        break;
    case HELLO_INFO:
        if (reply->type == RESP_STRING)
            return take_info(link, reply->text);
        wrong = "it wants a password, or the user may not INFO";
        break;
    case HELLO_FORMAT:
        return redis_take_format(link, reply);
    case HELLO_KILL:
        link->may_kill = reply->type == RESP_INTEGER;
        if (redis_doubts_end(link, NULL, HELLO_END_DOUBT, &link->settles) == COAT_NO_MEMORY)
            wrong = "out of memory";
        else if (link->out.len > 0)
            remote_link_queued(&link->base);
        break;
    case HELLO_END_DOUBT:
        wrong = reply->type == RESP_INTEGER ? NULL : "it does not drop an earlier connection";
        break;
    case HELLO_APPENDFSYNC:
        take_setting(reply, link->appendfsync, sizeof link->appendfsync);
        break;
    case HELLO_REPLAY:
        wrong = reply->type == RESP_ARRAY ? NULL : "it does not take what was ended before";
        break;
    case HELLO_MIN_REPLICAS:
        take_setting(reply, link->min_replicas, sizeof link->min_replicas);
        break;
    case HELLO_SAVE:
        take_setting(reply, link->save, sizeof link->save);
        break;
    default: /* HELLO_LOAD. If it failed, the script goes with each request. */
        if (reply->type == RESP_STRING)
            copy_text(link->shas[due->script], sizeof link->shas[0], reply->text);
        break;
    }
    if (wrong == NULL)
        return true;
    redis_fail(link, wrong);
    return false;
}
