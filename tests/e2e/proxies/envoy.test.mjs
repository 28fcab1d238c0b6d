// SPDX-License-Identifier: Apache-2.0
// Envoy, as examples/proxies/envoy.yaml has it, in the model of envoy.mjs: it sends what Envoy sends, and
// makes of the answers what Envoy makes of them.
import { readFileSync } from 'node:fs';
import { Envoy, ownAddress } from './envoy.mjs';
import { runScenario, runVerdicts } from './scenario.mjs';
import { fill, yaml } from './site.mjs';

const envoy = {
  name: 'envoy',
  listeners: [{ file: 'envoy.sock', dialect: 'envoy', trusted: [`${ownAddress}/32`] }],
  strict: true,
  guards: true,
  client: '203.0.113.5',
  start(site) {
    const config = yaml(fill('envoy.yaml', [
      ['/run/coatcheck/envoy.sock', site.listeners[0].path],
      ['port_value: 3000', `port_value: ${site.appPort}`],
    ]));
    return new Envoy(config, { port: site.port, key: readFileSync(site.key), cert: site.ca, peer: this.client }).start();
  },
};

runScenario(envoy);
runVerdicts(envoy);
