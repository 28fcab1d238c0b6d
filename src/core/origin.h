/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_ORIGIN_H
#define COAT_CORE_ORIGIN_H

#include <coatcheck/origin.h>

/** The entry of the list that equals the bytes exactly; "null" never does. NULL if none. */
const char *coat_origins_match(const coat_origins *origins, coat_span origin);

#endif
