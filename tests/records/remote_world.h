/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_TESTS_REMOTE_WORLD_H
#define COAT_TESTS_REMOTE_WORLD_H

/** Stores behind a network: two ways to one server, the first of which tests interfere with. */

#include "../store/fault_proxy.h"
#include "world.h"

extern fault_proxy world_proxy;  /* defined in remote_world.c */
extern fault_proxy world_direct; /* another machine's */

void world_ways_open(const char *socket);
void world_ways_close(void);
/** "redis", "prefix=w", 1: a URL of the way. Static. */
const char *world_way_url(bool through_proxy, const char *scheme, const char *param,
                          int number);

#endif
