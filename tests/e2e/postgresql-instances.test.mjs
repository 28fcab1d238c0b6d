// SPDX-License-Identifier: Apache-2.0
// Three instances over one real PostgreSQL.
import { scenarios } from './instances.mjs';
import { Server, only, usable } from './postgresql.mjs';

scenarios(new Server(), { keeps: true, usable, skip: only.skip });
