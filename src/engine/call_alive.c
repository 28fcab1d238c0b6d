/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/internal.h"

/**
 * COAT_CALL_ALIVE: has the session of a connection that began with this token ended since? Its
 * secret may have rotated any number of times and does not matter: a request was let in with
 * it, and nothing new is let in by the answer. So nothing is due here, nothing is written, and
 * a superseded secret is no theft.
 */

/**
 * Let the next look find it in the node table. What is entered is due at once and so answers no
 * check: whether this visitor is the one that the session knows (LC-13), and what is to be
 * handed out, only a check finds out.
 */
static void
fill(coat_task *task)
{
    coat_table_writer *writer = task->desk->engine->writer;
    coat_table_entry entry = {
        .handle = &task->handle,
        .record = &task->have->record,
        .next_due_ms = INT64_MIN,
        .seen_ms = task->seen_ms,
    };

    /* Refused if anything has changed since the load: then the next look asks again. */
    if (writer != NULL)
        (void)coat_table_fill(writer, task->ticket, &entry);
}

static void
loaded(coat_task *task)
{
    coat_err err = coat_task_loaded(task);

    if (err == COAT_OK && !coat_task_alive(task))
        err = COAT_NO_SESSION; /* left for a check, or the sweep, to end and to report */
    if (err == COAT_OK)
        fill(task);
    coat_task_finish(task, err);
}

void
coat_alive_start(coat_task *task)
{
    coat_engine *engine = task->desk->engine;

    if (coat_unsettled_ending(&engine->unsettled, &task->handle)) {
        coat_task_finish(task, COAT_NO_SESSION);
        return;
    }
    /* Of many connections that ask at the same time, one makes the load. */
    if (engine->writer != NULL &&
        coat_table_live(coat_table_writer_reader(engine->writer), task->call->token,
                        task->now_ms) == COAT_TABLE_LIVE) {
        coat_task_finish(task, COAT_OK);
        return;
    }
    coat_task_load(task, loaded);
}
