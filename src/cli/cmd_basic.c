/* SPDX-License-Identifier: Apache-2.0 */
/* serve, version, config. */
#include "cli/commands.h"

#include <jansson.h>

int
coat_cmd_serve(const coat_args *args)
{
    return coat_serve(&args->input);
}

int
coat_cmd_version(const coat_args *args)
{
    if (args->json)
        (void)printf("{\"version\":\"%s\"}\n", coat_version());
    else
        (void)printf("coatcheck %s\n", coat_version());
    return COAT_EXIT_OK;
}

int
coat_cmd_config_check(const coat_args *args)
{
    coat_config *config = coat_args_config(args);
    char message[400];

    if (config == NULL)
        return COAT_EXIT_CONFIG;
    if (coat_serve_check(config, message, sizeof message) != COAT_OK) {
        (void)fprintf(stderr, "coatcheck: %s\n", message);
        coat_config_free(config);
        return COAT_EXIT_CONFIG;
    }
    if (args->json)
        (void)printf("{\"ok\":true}\n");
    else
        (void)printf("the configuration is fine%s%s\n", config->file[0] != '\0' ? ": " : "",
                     config->file);
    coat_config_free(config);
    return COAT_EXIT_OK;
}

static void
show_json(const coat_config *config)
{
    json_t *all = json_object();

    for (size_t i = 0; i < coat_config_count(); i++) {
        coat_config_item item;

        coat_config_item_get(config, i, &item);
        (void)json_object_set_new(
            all, item.path, json_pack("{s:s,s:s}", "value", item.value, "from", item.where));
    }
    (void)json_dumpf(all, stdout, JSON_INDENT(2));
    (void)printf("\n");
    json_decref(all);
}

int
coat_cmd_config_show(const coat_args *args)
{
    coat_config *config = coat_args_config(args);

    if (config == NULL)
        return COAT_EXIT_CONFIG;
    if (args->json)
        show_json(config);
    else
        coat_config_show(config, stdout);
    coat_config_free(config);
    return COAT_EXIT_OK;
}
