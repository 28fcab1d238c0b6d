/* SPDX-License-Identifier: Apache-2.0 */
/* store migrate: talks to the store itself, since no daemon runs before its tables are there.
 */
#include "cli/commands.h"

int
coat_cmd_store_migrate(const coat_args *args)
{
    coat_config *config = coat_args_config(args);
    const char *url = coat_args_option(args, "--url");
    char message[400] = "";
    coat_store_conf conf = {0};
    uint32_t from = 0, to = 0;
    coat_err err;

    if (config == NULL)
        return COAT_EXIT_CONFIG;
    coat_config_store(config, &conf);
    conf.url = url != NULL ? url : conf.url;
    conf.message = message;
    conf.message_cap = sizeof message;
    err = coat_store_migrate(&conf, &from, &to);
    coat_config_free(config);
    if (err != COAT_OK) {
        (void)fprintf(stderr, "coatcheck: %s\n",
                      message[0] != '\0'        ? message
                      : err == COAT_UNSUPPORTED ? "this store has no tables to migrate"
                                                : coat_err_name(err));
        return err == COAT_IO ? COAT_EXIT_FAILED : COAT_EXIT_CONFIG;
    }
    if (args->json)
        (void)printf("{\"from\":%u,\"to\":%u}\n", from, to);
    else if (from == to)
        (void)printf("the tables are of version %u already\n", to);
    else
        (void)printf("the tables are of version %u now\n", to);
    return COAT_EXIT_OK;
}
