/* SPDX-License-Identifier: Apache-2.0 */
/* gateway: sign-in in front of any application. */
#include "cli/commands.h"
#include "cli/gateway/gateway.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>

static int
say(int code, const char *message)
{
    (void)fprintf(stderr, "coatcheck: %s\n", message);
    return code;
}

static int
print(const coat_gateway *g, bool json)
{
    char message[COAT_GATEWAY_MESSAGE_MAX];
    char *text = coat_gateway_text(g, g->plan.config, message);
    json_t *answer;

    if (text == NULL)
        return say(COAT_EXIT_CONFIG, message);
    if (json) {
        answer = json_pack("{s:s}", "configuration", text);
        (void)json_dumpf(answer, stdout, JSON_INDENT(2));
        (void)printf("\n");
        json_decref(answer);
    } else {
        (void)fputs(text, stdout);
    }
    free(text);
    return COAT_EXIT_OK;
}

static int
check_worker(const coat_gateway *g)
{
    const char *dir = g->plan.config->runtime_dir;
    char above[COAT_GATEWAY_FILE_MAX];
    char *slash;

    /* The directory itself is the daemon's to open; the way there is not. */
    (void)snprintf(above, sizeof above, "%s", dir);
    slash = strrchr(above, '/');
    if (slash != NULL && slash != above)
        *slash = '\0';
    if (coat_gateway_worker_enters(&g->plan.worker, above))
        return COAT_EXIT_OK;
    (void)fprintf(stderr,
                  "coatcheck: nginx's workers come as user %s, who cannot enter %s; choose "
                  "another runtime.directory, or another user with --user\n",
                  g->plan.worker.user, above);
    return COAT_EXIT_CONFIG;
}

/* Whatever can be known to be wrong is found before anything is started. */
static int
start(coat_gateway *g)
{
    char message[COAT_GATEWAY_MESSAGE_MAX];
    sigset_t set;
    int code = check_worker(g);

    if (code != COAT_EXIT_OK)
        return code;
    if (coat_serve_check(g->plan.config, message, sizeof message) != COAT_OK)
        return say(COAT_EXIT_CONFIG, message);
    if (!coat_gateway_ports_free(&g->options))
        return COAT_EXIT_CONFIG;
    coat_gateway_signals(&set);
    if (coat_gateway_files_open(&g->plan, &g->files, message) != COAT_OK)
        return say(COAT_EXIT_CONFIG, message);
    if (!coat_gateway_prepare(g, g->plan.config))
        code = COAT_EXIT_CONFIG;
    else if (coat_gateway_files_accept(&g->files, message) != COAT_OK)
        code = say(COAT_EXIT_CONFIG, message);
    else
        code = coat_gateway_supervise(g);
    coat_gateway_files_close(&g->files);
    return code;
}

int
coat_cmd_gateway(const coat_args *args)
{
    coat_gateway *g = calloc(1, sizeof *g);
    char message[COAT_GATEWAY_MESSAGE_MAX] = "out of memory";
    int code;

    if (g == NULL)
        return say(COAT_EXIT_FAILED, message);
    /* Whatever our parent did with these. */
    (void)signal(SIGCHLD, SIG_DFL);
    (void)signal(SIGPIPE, SIG_IGN);
    g->args = args;
    if (coat_gateway_options_read(args, &g->options, message) != COAT_OK) {
        free(g);
        return say(COAT_EXIT_USAGE, message);
    }
    code = coat_gateway_plan_make(args, &g->options, &g->plan);
    if (code == COAT_EXIT_OK &&
        (coat_gateway_files_name(&g->plan, &g->files, message) != COAT_OK ||
         coat_gateway_find(&g->options, !g->options.print, &g->nginx, message) != COAT_OK))
        code = say(COAT_EXIT_CONFIG, message);
    if (code == COAT_EXIT_OK)
        code = g->options.print ? print(g, args->json) : start(g);
    coat_gateway_plan_free(&g->plan);
    free(g);
    return code;
}
