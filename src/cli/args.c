/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of a command, taken apart by main.c. */
#include "cli/cli.h"

#include <string.h>

const char *
coat_args_nth(const coat_args *args, const char *name, size_t n)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < args->option_count; i++) {
        const char *option = args->options[i];

        if (strncmp(option, name, len) == 0 && (option[len] == '=' || option[len] == '\0') &&
            n-- == 0)
            return option[len] == '=' ? option + len + 1 : "";
    }
    return NULL;
}

const char *
coat_args_option(const coat_args *args, const char *name)
{
    return coat_args_nth(args, name, 0);
}

coat_config *
coat_args_config(const coat_args *args)
{
    coat_config *config = NULL;
    coat_config_error error;

    if (coat_config_load(&args->input, &config, &error) == COAT_OK)
        return config;
    coat_config_error_print(&error, stderr);
    return NULL;
}
