/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CLI_GATEWAY_CONF_H
#define COAT_CLI_GATEWAY_CONF_H

/** What conf.c and servers.c share. */

#include "cli/gateway/gateway.h"
#include "cli/gateway/syntax.h"

/** The host in "https://app.example.com:8443". */
coat_span coat_gateway_host(const char *origin);
/** Is an earlier origin on the same host? nginx takes each name once. */
bool coat_gateway_host_repeats(const coat_strings *origins, size_t index);

/** All server blocks. */
void coat_gateway_write_servers(coat_nginx_text *text, const coat_gateway_conf *conf);

#endif
