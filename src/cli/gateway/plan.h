/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CLI_GATEWAY_PLAN_H
#define COAT_CLI_GATEWAY_PLAN_H

/** What plan.c and flags.c share. */

#include "cli/gateway/gateway.h"

/** "coatcheck: ..." on standard error. @return code */
int coat_gateway_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** One key by its path. */
coat_config_item coat_gateway_item(const coat_config *config, const char *path);
bool coat_gateway_is_default(const coat_config *config, const char *path);
/** The first Unix socket of that dialect; NULL if there is none. */
const coat_listener_conf *coat_gateway_listener(const coat_config *config,
                                                coat_dialect dialect);
/** Browsers see the scheme that we listen with. @return an exit code */
int coat_gateway_schemes_check(const coat_gateway_options *options, const coat_config *config);

/**
 * Pick the workers and add flags to the plan's input.
 * @param asked  the configuration as it is without us
 * @return an exit code; what is wrong was printed
 */
int coat_gateway_plan_flags(coat_gateway_plan *plan, const coat_gateway_options *options,
                            const coat_config *asked);

#endif
