/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_BENCH_CHECK_PEERS_H
#define COAT_BENCH_CHECK_PEERS_H

/** What a JSON Web Token costs to verify; check_peers_none.c stands in where libjwt is not. */

#include <stdbool.h>
#include <stdint.h>

bool peers_open(void);
void peers_close(void);
uint32_t peers_count(void);
const char *peers_version(void);
const char *peer_name(uint32_t index);
/** Checks in a round: some ten milliseconds of them. */
uint32_t peer_rounds(uint32_t index);
bool peer_check(uint32_t index);

#endif
