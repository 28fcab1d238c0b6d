/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CLI_CLI_H
#define COAT_CLI_CLI_H

/** What the commands share: their table, their arguments, the way to the daemon. */

#include "server/config/config.h"
#include "server/server.h"

#include <stdio.h>

typedef struct coat_command coat_command;

/** Arguments of a command, taken apart. Spans of argv: live as long as the process. */
typedef struct coat_args {
    const coat_command *command;
    const char *words[16]; /* operands, in order */
    size_t word_count;
    const char *options[32]; /* "--name" or "--name=value", of the command's own */
    size_t option_count;
    const char *flags[64]; /* of configuration keys */
    size_t flag_count;
    const char *config_file;
    bool json;
    coat_config_input input; /* points to flags */
} coat_args;

struct coat_command {
    const char *name;     /* "user add" */
    const char *operands; /* "NAME" */
    const char *summary;  /* one line */
    const char
        *options; /* "--role=ROLE|--password-stdin": what it knows besides the common ones */
    const char *help; /* more lines, may be NULL */
    int (*run)(const coat_args *args);
};

extern const coat_command coat_commands[];
extern const size_t coat_commands_count;

/** Value of an option of the command ("" for one without value), NULL if it was not given. */
const char *coat_args_option(const coat_args *args, const char *name);
/** The n-th value of an option that may be repeated. */
const char *coat_args_nth(const coat_args *args, const char *name, size_t n);

/** Load the configuration that the arguments name; prints what is wrong with it. */
coat_config *coat_args_config(const coat_args *args);

#endif
