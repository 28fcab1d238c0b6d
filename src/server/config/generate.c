/* SPDX-License-Identifier: Apache-2.0 */
/* Prints what is generated from keys.def; scripts and tests call it, it is not installed. */
#include "server/config/config.h"

#include <string.h>

int
main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(FILE *out);
    } kinds[] = {
        {"docs", coat_config_docs},
        {"manual", coat_config_manual},
        {"defaults", coat_config_defaults},
        {"example", coat_config_example},
    };

    for (size_t i = 0; argc == 2 && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(argv[1], kinds[i].name) == 0) {
            kinds[i].print(stdout);
            return 0;
        }
    (void)fputs("usage: config-generate docs|manual|defaults|example\n", stderr);
    return 2;
}
