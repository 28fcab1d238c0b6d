/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

const coat_command coat_commands[] = {
    {"serve", "", "Run the daemon", "", "Stops on SIGTERM and SIGINT, reloads on SIGHUP.\n",
     coat_cmd_serve},
    {"config check", "", "Check the configuration", "", NULL, coat_cmd_config_check},
    {"config show", "", "Show the configuration in force, and where each value comes from", "",
     NULL, coat_cmd_config_show},
    {"version", "", "Show the version", "", NULL, coat_cmd_version},
};
const size_t coat_commands_count = sizeof coat_commands / sizeof coat_commands[0];
