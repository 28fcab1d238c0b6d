/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COATCHECK_COATCHECK_H
#define COATCHECK_COATCHECK_H

/** Everything. Most programs need only this one. */

#include <coatcheck/account.h>
#include <coatcheck/assertion.h>
#include <coatcheck/cookie.h>
#include <coatcheck/csrf.h>
#include <coatcheck/engine.h>
#include <coatcheck/forward.h>
#include <coatcheck/judge.h>
#include <coatcheck/origin.h>
#include <coatcheck/store.h>
#include <coatcheck/table.h>
#include <coatcheck/target.h>

#endif
