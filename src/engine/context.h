/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ENGINE_CONTEXT_H
#define COAT_ENGINE_CONTEXT_H

/**
 * Coarse client context (LC-13): address network (/24, /48), family of the User-Agent,
 * language. What is missing on either side says nothing.
 */

#include <coatcheck/record.h>

enum coat_context_change {
    COAT_CHANGED_ADDRESS = 1U << 0,
    COAT_CHANGED_AGENT = 1U << 1,
    COAT_CHANGED_LANGUAGE = 1U << 2,
};

/** @return coat_context_change bits */
uint32_t coat_context_compare(const coat_context *known, const coat_context *now);

/**
 * Does it look like another client? Another kind of agent does; another address alone is
 * mobility, another language alone a setting.
 */
bool coat_context_is_strange(uint32_t changed);

/** A context as it is kept: cut to the record's limits; its network only, in privacy mode. */
typedef struct coat_context_kept {
    coat_context view;
    char network[COAT_ADDRESS_MAX];
} coat_context_kept;

void coat_context_keep(const coat_context *context, bool privacy, coat_context_kept *out);

/** Fill what `now` lacks from `known`. */
coat_context coat_context_join(const coat_context *now, const coat_context *known);

#endif
