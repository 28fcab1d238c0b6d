/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CLI_COMMANDS_H
#define COAT_CLI_COMMANDS_H

/** The commands; their table is in commands.c. */

#include "cli/cli.h"

int coat_cmd_serve(const coat_args *args);
int coat_cmd_version(const coat_args *args);
int coat_cmd_config_check(const coat_args *args);
int coat_cmd_config_show(const coat_args *args);

#endif
