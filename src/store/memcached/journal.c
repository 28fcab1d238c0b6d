/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What was ended in the last two minutes (RV-5). A server that comes back may have older data:
 * a restored machine, or a file for warm restarts. So the first connections after a loss say it
 * again before they take requests. The journal is this process's memory: it does not survive a
 * restart of the daemon.
 */

#include "store/memcached/memcached.h"

void
mc_journal_add(mc_node *node, const mc_ended *ended)
{
    mc_journal *j = &node->journal;
    int64_t now_ms = remote_now_ms(&node->remote);

    pthread_mutex_lock(&node->remote.mutex);
    if (j->ring == NULL)
        j->ring = calloc(MC_JOURNAL_MAX, sizeof *j->ring);
    if (j->ring != NULL) {
        /* When it is full, the oldest gives way. */
        size_t at = (j->first + j->count) % MC_JOURNAL_MAX;

        if (j->count == MC_JOURNAL_MAX)
            j->first = (j->first + 1) % MC_JOURNAL_MAX;
        else
            j->count++;
        j->ring[at] = *ended;
        j->ring[at].when_ms = now_ms;
        j->added++;
    }
    pthread_mutex_unlock(&node->remote.mutex);
}

/** The next entry behind number `next` that is young enough. Others may be added meanwhile. */
static bool
entry_at(mc_node *node, uint64_t *next, mc_ended *out)
{
    mc_journal *j = &node->journal;
    int64_t since_ms = remote_now_ms(&node->remote) - MC_JOURNAL_MS;
    bool found = false;

    pthread_mutex_lock(&node->remote.mutex);
    if (*next < j->added - j->count)
        *next = j->added - j->count;
    while (!found && *next < j->added) {
        size_t index = (size_t)((*next)++ - (j->added - j->count));

        *out = j->ring[(j->first + index) % MC_JOURNAL_MAX];
        found = out->when_ms >= since_ms;
    }
    pthread_mutex_unlock(&node->remote.mutex);
    return found;
}

bool
mc_journal_replay(mc_link *link)
{
    mc_node *node = mc_node_of_link(link);
    mc_ended ended;
    uint64_t next = 0;
    bool known;

    pthread_mutex_lock(&node->remote.mutex);
    known = node->replayed >= link->losses;
    pthread_mutex_unlock(&node->remote.mutex);
    while (!known && entry_at(node, &next, &ended)) {
        mc_place place = mc_place_of_handle(&ended.handle);

        if (!mc_op_start(link, MC_OP_ENDED, &place, &ended, NULL))
            return false;
    }
    return true;
}
