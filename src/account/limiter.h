/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_LIMITER_H
#define COAT_ACCOUNT_LIMITER_H

#include <coatcheck/account.h>

#define COAT_LIMITER_TRACKED 65536 /* networks per family (RX-7) */
#define COAT_LIMITER_WIDE 8        /* what a /24 or /48 may do, in smallest networks */
#define COAT_LIMITER_DISTINCT_MAX 32

/** New limits while running; penalties that run go on. distinct_max only within 0 / not 0. */
void coat_limiter_configure(coat_limiter *limiter, const coat_limiter_conf *conf);

#endif
