/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_SERVER_APP_LOOPS_H
#define COAT_SERVER_APP_LOOPS_H

/** Hooks of the HTTP server: what each loop has of its own. ctx is the coat_app. */

#include "server/app/app.h"

coat_err coat_app_loop_start(void *ctx, struct uv_loop_s *loop, unsigned index,
                             void **loop_data);
void coat_app_loop_stop(void *ctx, struct uv_loop_s *loop, unsigned index, void *loop_data);
/** After all loops' threads have ended: what they had, which their neighbours could read. */
void coat_app_loops_free(coat_app *app);

#endif
