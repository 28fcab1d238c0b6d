/* SPDX-License-Identifier: Apache-2.0 */
/** What is said before the first request: who we are, and whether this server will do. */

#include "store/memcached/memcached.h"

#include "core/out.h"

#include <stdio.h>

enum { HELLO_AUTH, HELLO_VERSION, HELLO_SETTINGS };

static bool
expect_hello(mc_link *link)
{
    return mc_expect(link, NULL, DUE_HELLO);
}

/** Version and settings: their replies come one after the other. */
static void
say_questions(mc_link *link)
{
    static const char text[] = "version\r\nstats settings\r\n";

    link->hello = HELLO_VERSION;
    remote_buffer_add(&link->out, text, sizeof text - 1);
    if (expect_hello(link))
        remote_link_queued(&link->base);
}

void
mc_put_password(const mc_store *store, remote_buffer *out)
{
    char length[32];
    int n = snprintf(length, sizeof length, "set auth 0 0 %zu\r\n",
                     strlen(store->user) + 1 + strlen(store->password));

    out->secret = true;
    remote_buffer_add(out, length, (size_t)n);
    remote_buffer_add(out, store->user, strlen(store->user));
    remote_buffer_add(out, " ", 1);
    remote_buffer_add(out, store->password, strlen(store->password));
    remote_buffer_add(out, "\r\n", 2);
}

void
mc_hello(mc_link *link)
{
    const mc_store *store = mc_node_of_link(link)->store;
    uint64_t connection = link->connection;

    if (store->password[0] == '\0') {
        say_questions(link);
        return;
    }
    /* By itself, so that the password lies in a buffer that never moves and is wiped. */
    link->hello = HELLO_AUTH;
    mc_put_password(store, &link->out);
    if (!expect_hello(link))
        return;
    remote_stream_write(link->stream, &link->out);
    if (link->connection == connection)
        link->out.secret = false;
}

static bool
is_recent(coat_span version)
{
    char text[16];
    unsigned major = 0, minor = 0, patch = 0;
    size_t len = version.len < sizeof text - 1 ? version.len : sizeof text - 1;

    memcpy(text, version.ptr, len);
    text[len] = '\0';
    if (sscanf(text, "%3u.%3u.%3u", &major, &minor, &patch) != 3)
        return false;
    return major > 1 || (major == 1 && (minor > 6 || (minor == 6 && patch >= 10)));
}

/** The value of "STAT name value". */
static bool
setting(coat_span line, const char *name, coat_span *out)
{
    static const char stat[] = "STAT ";
    size_t front = sizeof stat - 1 + strlen(name) + 1;

    if (line.len < front || memcmp(line.ptr, stat, sizeof stat - 1) != 0 ||
        memcmp(line.ptr + sizeof stat - 1, name, strlen(name)) != 0 ||
        line.ptr[front - 1] != ' ')
        return false;
    *out = (coat_span){line.ptr + front, line.len - front};
    return true;
}

/** @return what is wrong; NULL: nothing */
static const char *
take_setting(mc_link *link, coat_span line)
{
    mc_node *node = mc_node_of_link(link);
    coat_span value;
    uint64_t n;

    if (setting(line, "cas_enabled", &value) && !coat_span_is(value, COAT_LIT("yes")))
        return "it was started with -C, and without CAS no change is safe";
    if (setting(line, "item_size_max", &value)) {
        if (!mc_number(value, &n) || n < 4 * MC_ITEM_HEAD)
            return "its item_size_max (-I) is too small";
        n -= MC_ITEM_HEAD;
        atomic_store(&node->size_max, n < MC_VALUE_MAX ? (size_t)n : MC_VALUE_MAX);
    }
    if (setting(line, "maxbytes", &value) && mc_number(value, &n)) {
        pthread_mutex_lock(&node->remote.mutex);
        (void)snprintf(node->notice, sizeof node->notice,
                       "%.64s: a cache of %llu MiB: when it is full, sessions are dropped",
                       node->name, (unsigned long long)(n >> 20));
        pthread_mutex_unlock(&node->remote.mutex);
    }
    return NULL;
}

static void
settings_end(mc_link *link)
{
    mc_node *node = mc_node_of_link(link);
    static const mc_place life;

    link->due_first = (link->due_first + 1) % link->due_cap;
    link->due_count--;
    pthread_mutex_lock(&node->remote.mutex);
    node->trouble[0] = '\0';
    pthread_mutex_unlock(&node->remote.mutex);
    link->greeted = true;
    (void)mc_op_start(link, MC_OP_GREET, &life, NULL, NULL);
}

void
mc_hello_reply(mc_link *link, const mc_reply *reply)
{
    static const char version[] = "VERSION ";
    const char *wrong = NULL;
    coat_span line = reply->line;

    if (reply->code != MC_LINE) {
        wrong = "it answers strangely";
    } else if (link->hello == HELLO_AUTH) {
        if (coat_span_is(line, COAT_LIT("STORED"))) {
            link->due_count--;
            say_questions(link);
            return;
        }
        wrong = "user or password is refused";
    } else if (link->hello == HELLO_VERSION) {
        if (line.len < sizeof version - 1 || memcmp(line.ptr, version, sizeof version - 1) != 0)
            wrong = "it wants a password, or speaks another protocol";
        else if (!is_recent((coat_span){line.ptr + 8, line.len - 8}))
            wrong = "its version is older than 1.6.10";
        link->hello = HELLO_SETTINGS;
    } else if (coat_span_is(line, COAT_LIT("END"))) {
        settings_end(link);
        return;
    } else {
        wrong = line.len > 5 && memcmp(line.ptr, "STAT ", 5) == 0 ? take_setting(link, line)
                                                                  : "it answers strangely";
    }
    if (wrong != NULL)
        mc_fail(link, wrong);
}

void
mc_hello_go_on(mc_link *link)
{
    mc_node *node = mc_node_of_link(link);

    if (link->ready || link->own != NULL)
        return;
    if (link->hello == HELLO_SETTINGS) {
        link->hello++; /* once */
        if (!mc_journal_replay(link) || link->own != NULL)
            return;
    }
    pthread_mutex_lock(&node->remote.mutex);
    if (node->replayed < link->losses)
        node->replayed = link->losses;
    pthread_mutex_unlock(&node->remote.mutex);
    link->ready = true;
    remote_link_ready(&link->base);
}
