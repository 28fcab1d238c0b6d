/* SPDX-License-Identifier: Apache-2.0 */
#include "check_peers.h"

#include <stddef.h>

bool
peers_open(void)
{
    return true;
}

void
peers_close(void)
{
}

uint32_t
peers_count(void)
{
    return 0;
}

const char *
peers_version(void)
{
    return "";
}

const char *
peer_name(uint32_t index)
{
    (void)index;
    return NULL;
}

uint32_t
peer_rounds(uint32_t index)
{
    (void)index;
    return 0;
}

bool
peer_check(uint32_t index)
{
    (void)index;
    return false;
}
