/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_CORE_HOST_H
#define COAT_CORE_HOST_H

/** Host names and addresses as they are configured: one spelling each. */

#include <coatcheck/base.h>

typedef enum coat_host_kind {
    COAT_HOST_BAD = 0,
    COAT_HOST_NAME,    /* lower-case letters, digits, inner hyphens; no trailing dot */
    COAT_HOST_ADDRESS, /* dotted IPv4, or IPv6 as browsers write it, without brackets */
} coat_host_kind;

coat_host_kind coat_host_kind_of(coat_span host);

#endif
