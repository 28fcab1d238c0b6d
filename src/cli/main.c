/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the command, takes its arguments apart, runs it. */
#include "cli/cli.h"

#include "core/bytes.h"

#include <stdlib.h>
#include <unistd.h>

extern char **environ;

static bool
option_known(const coat_command *command, const char *arg)
{
    const char *at = command->options;
    size_t len = strcspn(arg, "=");

    while (at != NULL && *at != '\0') {
        size_t n = strcspn(at, "|"), name = strcspn(at, "=|");

        if (name == len && memcmp(at, arg, len) == 0)
            return (name < n) == (arg[len] == '=');
        at += n + (at[n] == '|');
    }
    return false;
}

/** Does an option of this name take a value ("--role=ROLE")? */
static bool
option_wants_value(const coat_command *command, const char *arg)
{
    const char *at = command->options;
    size_t len = strlen(arg);

    while (at != NULL && *at != '\0') {
        size_t n = strcspn(at, "|"), name = strcspn(at, "=|");

        if (name == len && memcmp(at, arg, len) == 0)
            return name < n;
        at += n + (at[n] == '|');
    }
    return false;
}

/* ---- help ---- */

static void
print_overview(FILE *out)
{
    (void)fprintf(out, "coatcheck: session-based authentication for web applications\n\n"
                       "Usage: coatcheck COMMAND [OPTIONS]\n\nCommands:\n");
    for (size_t i = 0; i < coat_commands_count; i++)
        (void)fprintf(out, "  %-18s %s\n", coat_commands[i].name, coat_commands[i].summary);
    (void)fprintf(out,
                  "\nEvery command:\n"
                  "  --config FILE      configuration file (default " COAT_CONFIG_FILE_DEFAULT
                  ", if it exists)\n"
                  "  --KEY=VALUE        any key of the configuration, e.g. "
                  "--session.idle-timeout=15m\n"
                  "  --json             output for programs\n"
                  "  --help             help on one command\n\n"
                  "Exit codes: 0 done, 1 not done, 2 wrong usage, 3 wrong configuration,\n"
                  "4 the daemon does not answer. See coatcheck(1) and coatcheck.yaml(5).\n");
}

static void
print_help(const coat_command *command, FILE *out)
{
    (void)fprintf(out, "Usage: coatcheck %s%s%s [OPTIONS]\n\n%s.\n", command->name,
                  command->operands[0] != '\0' ? " " : "", command->operands, command->summary);
    if (command->help != NULL)
        (void)fprintf(out, "\n%s", command->help);
    if (command->options != NULL && command->options[0] != '\0') {
        const char *at = command->options;

        (void)fprintf(out, "\nOptions:\n");
        while (*at != '\0') {
            size_t n = strcspn(at, "|");

            (void)fprintf(out, "  %.*s\n", (int)n, at);
            at += n + (at[n] == '|');
        }
    }
    (void)fprintf(out, "\nAlso: --config FILE, --KEY=VALUE, --json.\n");
}

/** "user": its commands. @return false if no command begins with this word */
static bool
print_group(const char *word, FILE *out)
{
    size_t len = strlen(word);
    bool any = false;

    for (size_t i = 0; i < coat_commands_count; i++) {
        const coat_command *c = &coat_commands[i];

        if (strncmp(c->name, word, len) != 0 || c->name[len] != ' ')
            continue;
        if (!any)
            (void)fprintf(out, "Usage: coatcheck %s COMMAND [OPTIONS]\n\nCommands:\n", word);
        any = true;
        (void)fprintf(out, "  %-18s %s\n", c->name, c->summary);
    }
    return any;
}

/* ---- arguments ---- */

/* The longest name that the first words make up: "user add" before "user". */
static const coat_command *
find_command(int argc, char **argv, int *used)
{
    for (int words = 2; words >= 1; words--) {
        char name[64];
        int n;

        if (argc - 1 < words)
            continue;
        n = words == 2 ? snprintf(name, sizeof name, "%s %s", argv[1], argv[2])
                       : snprintf(name, sizeof name, "%s", argv[1]);
        if (n < 0 || (size_t)n >= sizeof name)
            continue;
        for (size_t i = 0; i < coat_commands_count; i++)
            if (strcmp(coat_commands[i].name, name) == 0) {
                *used = words;
                return &coat_commands[i];
            }
    }
    return NULL;
}

static bool
fail(const char *what, const char *arg)
{
    (void)fprintf(stderr, "coatcheck: %s: %s (coatcheck --help)\n", what, arg);
    return false;
}

static bool
add(const char **list, size_t *count, size_t cap, const char *arg)
{
    if (*count == cap)
        return fail("too many arguments", arg);
    list[(*count)++] = arg;
    return true;
}

#define ADD(list, count, arg) add(list, &(count), sizeof(list) / sizeof(list)[0], arg)

/* "--role admin" is taken as "--role=admin": joined once, kept until exit. */
static char *joined[sizeof((coat_args *)0)->options / sizeof(char *)];
static size_t joined_count;

static const char *
join(const char *name, const char *value)
{
    size_t len = strlen(name) + strlen(value) + 2;
    char *text = joined_count < sizeof joined / sizeof joined[0] ? malloc(len) : NULL;

    if (text == NULL)
        return NULL;
    (void)snprintf(text, len, "%s=%s", name, value);
    joined[joined_count++] = text;
    return text;
}

static bool
take_option(coat_args *args, int argc, char **argv, int *i)
{
    const char *arg = argv[*i];

    if (strcmp(arg, "--json") == 0) {
        args->json = true;
        return true;
    }
    if (strcmp(arg, "--config") == 0 && *i + 1 < argc) {
        args->config_file = argv[++*i];
        return true;
    }
    if (strncmp(arg, "--config=", 9) == 0) {
        args->config_file = arg + 9;
        return true;
    }
    if (option_known(args->command, arg))
        return ADD(args->options, args->option_count, arg);
    if (option_wants_value(args->command, arg)) {
        const char *text = *i + 1 < argc ? join(arg, argv[++*i]) : NULL;

        return text != NULL ? ADD(args->options, args->option_count, text)
                            : fail("a value is missing", arg);
    }
    if (coat_config_is_flag(arg))
        return ADD(args->flags, args->flag_count, arg);
    return fail("unknown option", arg);
}

static bool
take_arguments(coat_args *args, int argc, char **argv, int from)
{
    bool options = true;

    for (int i = from; i < argc; i++) {
        bool fine;

        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
            continue;
        }
        if (options && strncmp(argv[i], "-", 1) == 0 && argv[i][1] != '\0')
            fine = take_option(args, argc, argv, &i);
        else
            fine = ADD(args->words, args->word_count, argv[i]);
        if (!fine)
            return false;
    }
    return true;
}

static bool
count_operands(const coat_args *args)
{
    const char *at = args->command->operands;
    size_t least = 0, most = 0;

    while (*at != '\0') {
        size_t n = strcspn(at, " ");

        most++;
        least += at[0] != '[';
        at += n + (at[n] == ' ');
    }
    if (args->word_count < least)
        return fail("an argument is missing", args->command->operands);
    if (args->word_count > most)
        return fail("unexpected argument", args->words[most]);
    return true;
}

static bool
wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return argc >= 2 && strcmp(argv[1], "help") == 0;
}

static int
no_command(int argc, char **argv, bool help)
{
    FILE *out = help ? stdout : stderr;
    bool named = argc >= 2 && argv[1][0] != '-';

    if (!named) {
        print_overview(out);
        return help ? COAT_EXIT_OK : COAT_EXIT_USAGE;
    }
    if (argc >= 3 && !help)
        (void)fprintf(stderr, "coatcheck: unknown command: %s %s\n", argv[1], argv[2]);
    if (print_group(argv[1], out))
        return help ? COAT_EXIT_OK : COAT_EXIT_USAGE;
    (void)fail("unknown command", argv[1]);
    return COAT_EXIT_USAGE;
}

int
main(int argc, char **argv)
{
    static char version[] = "version";
    coat_args args = {0};
    int used = 0;
    bool help = wants_help(argc, argv);

    if (argc >= 2 && strcmp(argv[1], "help") == 0) {
        argc--;
        argv++;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        argv[1] = version;
    args.command = find_command(argc, argv, &used);
    if (args.command == NULL)
        return no_command(argc, argv, help);
    if (help) {
        print_help(args.command, stdout);
        return COAT_EXIT_OK;
    }
    if (!take_arguments(&args, argc, argv, 1 + used) || !count_operands(&args))
        return COAT_EXIT_USAGE;
    args.input = (coat_config_input){.file = args.config_file,
                                     .env = environ,
                                     .flags = args.flags,
                                     .flag_count = args.flag_count};
    return args.command->run(&args);
}
