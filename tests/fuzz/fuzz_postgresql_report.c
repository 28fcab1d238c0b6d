/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"
#include "store/postgresql/postgresql.h"

#include <stdlib.h>
#include <string.h>

/* What is notified, by whomever: events of one kind, of bounded size and number, with an epoch
 * that the server could have given out; none of what is not understood, and none while the
 * watch is not ready.
 *
 * Input: the payload. libpq ends it at the first NUL. */

enum { PAYLOAD_MAX = 8000 };

static unsigned events;
static coat_watch_kind kind;

static void
on_event(void *ctx, const coat_watch_event *event)
{
    (void)ctx;
    FUZZ_CHECK(events == 0 || (event->kind == kind && kind == COAT_WATCH_ADDRESS));
    events++;
    kind = event->kind;
    FUZZ_CHECK(kind >= COAT_WATCH_ADDRESS && kind <= COAT_WATCH_SAID);
    FUZZ_CHECK(event->epoch <= INT64_MAX);
    FUZZ_CHECK(kind != COAT_WATCH_ALL || event->epoch <= PG_AGAIN_MAX);
    FUZZ_CHECK((event->message.len > 0) == (kind == COAT_WATCH_SAID));
    FUZZ_CHECK(event->message.len <= COAT_SAY_MAX);
    if (event->has_spare)
        FUZZ_CHECK(memcmp(event->spare.bytes + 8, event->owner.bytes, 8) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pg_store store;
    remote_watch watch = {.store = &store.remote, .sink = {.event = on_event}, .ready = true};
    char *payload = malloc(size + 1);

    FUZZ_CHECK(payload != NULL);
    if (size > 0)
        memcpy(payload, data, size);
    payload[size] = '\0';
    atomic_store(&store.global, 0);
    events = 0;
    if (pg_report(&watch, payload))
        FUZZ_CHECK(events >= 1 && events <= PAYLOAD_MAX / (2 * COAT_HANDLE_BYTES));
    else
        FUZZ_CHECK(events == 0 && atomic_load(&store.global) == 0);
    events = 0;
    watch.ready = false;
    (void)pg_report(&watch, payload);
    FUZZ_CHECK(events == 0);
    free(payload);
    return 0;
}
