/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_STORE_COPY_H
#define COAT_STORE_COPY_H

/**
 * Making one store equal to another that is in use.
 *
 * The copy goes through the source again and again. A pass brings the target to what the pass
 * has seen: entries that are new or whose version has changed are written, those that are gone
 * are removed. So a pass during which nobody changes the source leaves the target equal to it,
 * whatever passes before it have missed, also after a copy that was killed: nothing is
 * remembered but in memory, and the target is looked through first.
 *
 * Nothing is judged: values are bytes, and expiry is copied, not looked at, so a clock that
 * stands wrong loses nothing. Versions and epochs are each store's own. Nobody else may write
 * to the target. What a cache forgets meanwhile is gone from the source, as if it were ended.
 *
 * Works on lanes without loop. One thread.
 */

#include <coatcheck/store.h>

typedef struct coat_copy_counts {
    uint64_t sessions, accounts, meta; /* in the source, as the pass has seen so far */
    uint64_t written, removed;         /* in the target, since the beginning */
    uint64_t unreadable; /* values of the source that it cannot read, as the last pass met them:
                            not copied */
    uint32_t passes;     /* complete ones */
} coat_copy_counts;

typedef enum coat_copy_what {
    COAT_COPY_ALL,
    COAT_COPY_SESSIONS, /* accounts and counters stay where they are (accounts.url) */
    COAT_COPY_ACCOUNTS, /* and counters: sessions stay where they are */
} coat_copy_what;

typedef struct coat_copy coat_copy;

/**
 * @param from, to  borrowed until coat_copy_free
 * @param clock  decides nothing but how long a cache keeps what it is given
 */
coat_err coat_copy_new(coat_lane *from, coat_lane *to, coat_copy_what what, coat_clock_fn clock,
                       void *clock_ctx, coat_copy **out) COAT_MUST_USE;
void coat_copy_free(coat_copy *copy); /* NULL is a no-op */

/**
 * The next slice: some hundred entries.
 * @param complete  a pass has ended with it
 * @retval STORE_DOWN, BUSY  one of them did not answer: the same slice is tried by the next
 * call
 * @retval COAT_REVOKED  everybody's sessions were ended in the target, later than in the source
 * @retval COAT_TAMPERED  there is something in the target that it cannot read
 * @retval COAT_UNSUPPORTED  the source, a cache, does not let its keys be listed
 */
coat_err coat_copy_step(coat_copy *copy, bool *complete) COAT_MUST_USE;
/** A whole pass from its beginning, also if one was under way. Errors as above. */
coat_err coat_copy_pass(coat_copy *copy) COAT_MUST_USE;
/** What the last complete pass has written and removed. */
uint64_t coat_copy_changes(const coat_copy *copy);
const coat_copy_counts *coat_copy_count(const coat_copy *copy);

/** Entries of META that belong to one store: its node table's stamp and the marks (mark.h). */
bool coat_copy_stays(const coat_handle *address);

#endif
