#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small application behind the gateway: it prints who is signed in.

It knows nothing of cookies or passwords. The gateway lets only signed-in visitors through and
says who they are in X-Auth-User and X-Auth-Roles; what a client sends under these names never
arrives. So it must be reachable through the gateway only: it listens on loopback.

Usage: app.py PORT
"""
import html
import http.server
import json
import signal
import sys
import urllib.parse

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Example application</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 100%/1.6 system-ui, sans-serif; max-width: 38rem; margin: 10vh auto; padding: 0 1rem; }}
</style></head>
<body><main>
<h1>Hello, <span id="user">{user}</span></h1>
<p>This is an application behind coatcheck. It was told who you are; it never saw your password or
your cookie's secret.</p>
<dl><dt>Roles</dt><dd id="roles">{roles}</dd><dt>Path</dt><dd id="path">{path}</dd></dl>
<p><a href="/auth/">My account</a> · <a href="/auth/sessions">My devices</a></p>
</main></body></html>
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def identity(self, name):
        return urllib.parse.unquote(self.headers.get(name, ""))

    def answer(self):
        user, roles = self.identity("X-Auth-User"), self.identity("X-Auth-Roles")
        if self.path.startswith("/whoami"):
            body = json.dumps({"user": user, "roles": roles.split()}).encode()
            kind = "application/json"
        else:
            shown = {"user": user or "stranger", "roles": roles or "none", "path": self.path}
            body = PAGE.format(**{k: html.escape(v) for k, v in shown.items()}).encode()
            kind = "text/html; charset=utf-8"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = answer

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.answer()

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
    except KeyboardInterrupt:
        pass
