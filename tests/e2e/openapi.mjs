// SPDX-License-Identifier: Apache-2.0
// As much YAML as src/server/admin/openapi.yaml uses: mappings and lists by indentation, plain and
// quoted scalars, flow lists, folded text. And the table of routes as the source has it.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { root } from './lib.mjs';

export function adminRoutes() {
  const text = readFileSync(path.join(root, 'src/server/admin/routes.c'), 'utf8');
  return [...text.matchAll(/\{COAT_HTTP_(\w+), "([^"]+)",/g)].map(([, method, p]) => ({ method, path: p }));
}

function scalar(text) {
  if (/^'.*'$|^".*"$/.test(text)) return text.slice(1, -1);
  if (/^\[.*\]$/.test(text)) return text.slice(1, -1).split(',').map((item) => scalar(item.trim()));
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?\d+$/.test(text) ? Number(text) : text;
}

const split = (text) => /^('[^']*'|"[^"]*"|[^\s:'"][^:]*):(?: (.*))?$/.exec(text);

export function parseYaml(text) {
  const lines = text.split('\n').filter((l) => l.trim() && !l.trim().startsWith('#')).map((l) => ({ indent: l.search(/\S/), text: l.trim() }));
  let at = 0;
  function block(indent) {
    return lines[at].text.startsWith('- ') ? list(indent) : mapping(indent);
  }
  function list(indent) {
    const out = [];
    while (at < lines.length && lines[at].indent === indent && lines[at].text.startsWith('- ')) {
      const rest = lines[at].text.slice(2);
      if (split(rest)) {
        lines[at] = { indent: indent + 2, text: rest };
        out.push(mapping(indent + 2));
      } else {
        out.push(scalar(rest));
        at++;
      }
    }
    return out;
  }
  function mapping(indent) {
    const out = {};
    while (at < lines.length && lines[at].indent === indent) {
      const m = split(lines[at].text);
      if (!m) throw new Error(`not understood: ${lines[at].text}`);
      const key = String(scalar(m[1]));
      if (key in out) throw new Error(`twice: ${key}`);
      at++;
      if (m[2] === '>-') {
        const words = [];
        while (at < lines.length && lines[at].indent > indent) words.push(lines[at++].text);
        out[key] = words.join(' ');
      } else if (m[2] !== undefined) {
        out[key] = scalar(m[2]);
      } else if (at < lines.length && (lines[at].indent > indent || (lines[at].indent === indent && lines[at].text.startsWith('- ')))) {
        out[key] = block(lines[at].indent);
      } else {
        out[key] = null;
      }
    }
    return out;
  }
  return block(0);
}

export function loadOpenapi() {
  return parseYaml(readFileSync(path.join(root, 'src/server/admin/openapi.yaml'), 'utf8'));
}

/** Faults of a value against a schema, as far as this description's schemas go. */
export function faults(spec, schema, value, where = '$') {
  if (schema.$ref) return faults(spec, schema.$ref.split('/').slice(1).reduce((o, k) => o[k], spec), value, where);
  if (value === null) return schema.nullable ? [] : [`${where} is null`];
  const type = Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value;
  if (schema.type && schema.type !== type) return [`${where} is ${type}, not ${schema.type}`];
  const out = [];
  if (type === 'array') value.forEach((item, i) => out.push(...faults(spec, schema.items ?? {}, item, `${where}[${i}]`)));
  if (schema.enum && !schema.enum.includes(value)) out.push(`${where} is ${value}`);
  if (type !== 'object') return out;
  for (const name of schema.required ?? []) if (!(name in value)) out.push(`${where}.${name} is missing`);
  for (const [name, inner] of Object.entries(value)) {
    const known = schema.properties?.[name];
    if (known) out.push(...faults(spec, known, inner, `${where}.${name}`));
    else if (schema.properties) out.push(`${where}.${name} is not described`);
  }
  return out;
}
