/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_OUTBOX_KIT_H
#define COAT_TEST_OUTBOX_KIT_H

/** An engine that keeps what it was to end, in a file of the test's. */

#include "engine/internal.h"
#include "rig.h"

#include <stdio.h>
#include <sys/stat.h>

enum { RECORD = 32 };

static rig r;
static char path[256];

static void
prepare(void)
{
    snprintf(path, sizeof path, "%s/ended", test_tmpdir());
    rig_prepare(&r, NULL, 1);
    r.conf.outbox_path = path;
}

static off_t
size_of(const char *file)
{
    struct stat st;

    return stat(file, &st) == 0 ? st.st_size : -1;
}

static void
stop_engine(void)
{
    coat_session_free(r.call.session);
    r.call.session = NULL;
    coat_desk_close(r.desk[0]);
    coat_engine_free(r.engine[0]);
    r.desk[0] = NULL;
    r.engine[0] = NULL;
}

#endif
