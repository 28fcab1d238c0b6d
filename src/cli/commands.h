/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CLI_COMMANDS_H
#define COAT_CLI_COMMANDS_H

/** The commands; their table is in commands.c. */

#include "cli/cli.h"

int coat_cmd_serve(const coat_args *args);
int coat_cmd_gateway(const coat_args *args);
int coat_cmd_user_add(const coat_args *args);
int coat_cmd_user_list(const coat_args *args);
int coat_cmd_user_show(const coat_args *args);
int coat_cmd_user_passwd(const coat_args *args);
int coat_cmd_user_roles(const coat_args *args);
int coat_cmd_user_disable(const coat_args *args);
int coat_cmd_user_enable(const coat_args *args);
int coat_cmd_user_delete(const coat_args *args);
int coat_cmd_user_import(const coat_args *args);
int coat_cmd_session_list(const coat_args *args);
int coat_cmd_session_show(const coat_args *args);
int coat_cmd_session_end(const coat_args *args);
int coat_cmd_session_end_all(const coat_args *args);
int coat_cmd_config_check(const coat_args *args);
int coat_cmd_config_show(const coat_args *args);
int coat_cmd_keys_rotate(const coat_args *args);
int coat_cmd_store_copy(const coat_args *args);
int coat_cmd_store_migrate(const coat_args *args);
int coat_cmd_reload(const coat_args *args);
int coat_cmd_status(const coat_args *args);
int coat_cmd_bench(const coat_args *args);
int coat_cmd_completion(const coat_args *args);
int coat_cmd_version(const coat_args *args);

#endif
