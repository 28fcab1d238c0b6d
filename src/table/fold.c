/* SPDX-License-Identifier: Apache-2.0 */

/** Activity on its way from the table into records, in slices (LC-4). */

#include "table/inside.h"

enum {
    BATCH = 64,   /* reports gathered under the mutex */
    STRETCH = 512 /* slots looked at under the mutex */
};

typedef struct fold_batch {
    uint32_t count;
    struct {
        coat_handle handle;
        int64_t seen_ms;
    } entry[BATCH];
} fold_batch;

static bool
ended(const coat_table_image *image, int64_t active_ms, int64_t now_ms)
{
    int64_t idle_end_ms;

    return now_ms >= image->absolute_end_ms ||
           (!__builtin_add_overflow(active_ms, coat_table_idle_ms(image->idle_flags),
                                    &idle_end_ms) &&
            now_ms >= idle_end_ms);
}

static void
fold_slot(coat_table_writer *w, uint32_t index, int64_t lag_ms, int64_t now_ms,
          fold_batch *batch)
{
    int64_t active_ms, tenth_ms, behind_ms;
    coat_table_image image;

    (void)coat_table_peek(w, index, &image);
    active_ms = coat_table_active_ms(w, index, &image);
    if (ended(&image, active_ms, now_ms)) {
        coat_table_wipe(w, index);
        return;
    }
    if (active_ms > now_ms)
        active_ms = now_ms; /* readers can write anything there */
    tenth_ms = coat_table_idle_ms(image.idle_flags) / 10;
    if (lag_ms > tenth_ms)
        lag_ms = tenth_ms;
    if (__builtin_sub_overflow(active_ms, coat_table_folded_ms(w, index, &image), &behind_ms) ||
        behind_ms <= 0 || behind_ms < lag_ms)
        return;
    w->folded[index] =
        coat_table_seen_word(w->view.base_s, active_ms, coat_table_seq(w, index));
    batch->entry[batch->count].handle = image.handle;
    batch->entry[batch->count].seen_ms = active_ms;
    batch->count++;
}

bool
coat_table_fold(coat_table_writer *w, uint32_t slots, int64_t lag_ms, int64_t now_ms,
                coat_table_fold_fn report, void *ctx)
{
    bool at_end = false;

    while (slots > 0 && !at_end) {
        fold_batch batch;

        batch.count = 0;
        coat_table_lock(w);
        for (uint32_t n = 0; n < STRETCH && slots > 0 && batch.count < BATCH && !at_end; n++) {
            if (coat_table_print(w, w->fold_at) != 0)
                fold_slot(w, w->fold_at, lag_ms, now_ms, &batch);
            slots--;
            w->fold_at++;
            at_end = w->fold_at == w->view.geometry.slots;
        }
        if (at_end)
            w->fold_at = 0;
        coat_table_unlock(w);
        for (uint32_t i = 0; i < batch.count; i++)
            report(ctx, &batch.entry[i].handle, batch.entry[i].seen_ms);
    }
    return at_end;
}
