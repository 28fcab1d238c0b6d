// SPDX-License-Identifier: Apache-2.0
// Traefik, as examples/proxies/traefik.yaml has it, in the model of traefik.mjs: it sends what Traefik
// sends, and makes of the answers what Traefik makes of them.
import { readFileSync } from 'node:fs';
import { runScenario, runVerdicts } from './scenario.mjs';
import { fill, yaml } from './site.mjs';
import { Traefik } from './traefik.mjs';

const traefik = {
  name: 'traefik',
  listeners: [{ tcp: true, dialect: 'forwarded' }],
  /* Traefik has no way to say "cannot tell" by itself: 500, without Retry-After. */
  away: 500,
  start: (site) => new Traefik(yaml(fill('traefik.yaml', [
    ['127.0.0.1:8082', `127.0.0.1:${site.listeners[0].port}`],
    ['127.0.0.1:3000', `127.0.0.1:${site.appPort}`],
    /* It waits for 30 s, which is not to be had otherwise; nobody needs to do so here. */
  ])), { port: site.port, key: readFileSync(site.key), cert: site.ca, authTimeout: 2000 }).start(),
};

runScenario(traefik);
runVerdicts(traefik);
