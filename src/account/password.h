/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COAT_ACCOUNT_PASSWORD_H
#define COAT_ACCOUNT_PASSWORD_H

#include <coatcheck/account.h>

#define COAT_BLOCK_ENTRY 32 /* bytes of an entry with its NUL */

size_t coat_blocklist_count(void);
/** Is exactly this word listed? */
bool coat_blocklist_has(coat_span word);

#endif
