// SPDX-License-Identifier: Apache-2.0
// Origins that are not what they look like, for the daemon and for the nginx module alike.

/** CORS: none of them is https://spa.example. Bytes above 0x7f are latin1. */
export const strangers = [
  'https://spa.example.evil.net', 'https://evilspa.example', 'https://xspa.example', 'https://spa.examples', 'https://spa.exampl', 'http://spa.example',
  'https://spa.example:443', 'https://spa.example:8443', 'https://SPA.example', 'https://Spa.Example', 'HTTPS://spa.example', 'https://spa.example/',
  'https://spa.example.', 'https://.spa.example', 'https://*.example', 'https://*', '*', 'null', 'NULL', 'Null', 'https://user@spa.example',
  'https://spa.example@evil.net', 'https://evil.net/https://spa.example', 'https://spa.example?x', 'https://spa.example#x', 'https://spa.example,https://evil.net',
  'https://spa.example https://evil.net', 'https://spa-example', 'https://spaxexample', 'https:/spa.example', 'https:spa.example', '//spa.example',
  'spa.example', 'https://sp\xe4.example', 'https://[::1]', 'https://127.0.0.1', 'file://', 'data:', 'chrome-extension://abc', 'https://spa.example\\',
  'https://spa.example%00', 'https://spa.example%0d%0a', 'https://spa%2eexample', 'https://', `https://${'a'.repeat(4000)}.example`,
];

/** CSRF: none of them is https://app.example. Text is UTF-8 on the wire. */
export const refusedOrigins = [
  'https://app.example.attacker.net', 'https://attacker.app.example', 'http://app.example', 'https://app.example:444',
  'https://app.example:8443', 'https://user@app.example', 'https://user:pw@app.example', 'https://app.example.', 'https://APP.example',
  'https://App.Example', 'HTTPS://app.example', 'https://xn--pp-yia.example', 'https://äpp.example', 'null', 'https://app.example/',
  'https://app.example/x', 'https://app.example?x', 'https://app.example#x', 'https:app.example', '//app.example', 'app.example', 'https://',
  'https://app.exampl', 'https://app.examplee', 'https://appxexample', ' https://app.example evil', 'https://app.example, https://app.example',
  'https://app.example https://evil.example', 'file://', 'data:', 'https://[::1]', 'https://127.0.0.1', 'ws://app.example', 'wss://app.example',
  'https://app.example:', 'https://app.example:0443', 'https://app.example:+443', 'https://app%2eexample', 'https://app.example\\', 'https://localhost',
];
