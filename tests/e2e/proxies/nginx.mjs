// SPDX-License-Identifier: Apache-2.0
// nginx in the foreground, as root or not.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { spawnProxy } from './site.mjs';

/** nginx around a file of /etc/nginx/conf.d/; `modules` are lines before everything else. */
export async function startNginx(site, conf, { modules = '', env } = {}) {
  const tmp = path.join(site.dir, 'nginx');
  mkdirSync(tmp, { mode: 0o700 });
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `    ${name}_temp_path ${tmp}/${name};\n`).join('');
  const main = path.join(tmp, 'nginx.conf');
  writeFileSync(path.join(tmp, 'site.conf'), conf);
  writeFileSync(main, `${modules}${process.getuid() === 0 ? 'user root root;\n' : ''}worker_processes 2;\ndaemon off;\nerror_log stderr info;\npid ${tmp}/nginx.pid;\n` +
    `${env ? Object.keys(env).map((name) => `env ${name};\n`).join('') : ''}events { worker_connections 512; }\nhttp {\n    access_log ${tmp}/access.log combined;\n    client_max_body_size 1m;\n${paths}    include ${tmp}/site.conf;\n}\n`);
  return spawnProxy(site, 'nginx', ['-p', tmp, '-c', main, '-e', 'stderr'], { env });
}
