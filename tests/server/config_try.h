/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TEST_CONFIG_TRY_H
#define COAT_TEST_CONFIG_TRY_H

/** Trying configurations: what the configuration tests share. */

#include "coat_test.h"

#include "core/bytes.h"
#include "server/config/config.h"

/** Parse YAML text; the result must be freed, *error is set if it is NULL. */
static inline coat_config *
try_yaml(const char *text, coat_config_error *error)
{
    coat_config *config = NULL;
    coat_err err = coat_config_parse(coat_span_of(text), "test.yaml", NULL, &config, error);

    return err == COAT_OK ? config : NULL;
}

/** It must be refused; the key and a part of the message must be these. */
static inline void
expect_refused(const char *text, const char *key, const char *part)
{
    coat_config_error error = {0};
    coat_config *config = try_yaml(text, &error);

    CHECK(config == NULL);
    coat_config_free(config);
    if (strcmp(error.key, key) != 0)
        test_fail(__FILE__, __LINE__, "[%s] names key \"%s\", not \"%s\": %s", text, error.key,
                  key, error.text);
    if (strstr(error.text, part) == NULL)
        test_fail(__FILE__, __LINE__, "[%s] says \"%s\", not \"%s\"", text, error.text, part);
}

static inline void
expect_accepted(const char *text)
{
    coat_config_error error = {0};
    coat_config *config = try_yaml(text, &error);

    if (config == NULL)
        test_fail(__FILE__, __LINE__, "[%s] refused: %s: %s", text, error.key, error.text);
    coat_config_free(config);
}

#endif
