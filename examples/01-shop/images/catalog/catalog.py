#!/usr/bin/python3
"""The catalog: what the shop sells, read from a file that a ConfigMap provides."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ITEMS_FILE = os.environ.get("CATALOG_FILE", "/etc/catalog/items.json")
PORT = int(os.environ.get("LISTEN_PORT", "8080"))


def items() -> list[dict]:
    """The items as they are now: the file is read each time, so that a changed ConfigMap shows."""
    with open(ITEMS_FILE) as file:
        return json.load(file)


class Catalog(BaseHTTPRequestHandler):
    """GET /items, GET /items/NAME and GET /healthz."""

    def do_GET(self) -> None:
        if self.path == "/healthz":
            return self.answer(200, {"ok": True})
        if self.path == "/items":
            return self.answer(200, {"served_by": os.uname().nodename, "items": items()})
        name = self.path.removeprefix("/items/")
        for item in items():
            if item["name"] == name:
                return self.answer(200, item)
        return self.answer(404, {"error": f"no item {name}"})

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line per request, but not for the probe that comes each second."""
        if self.path != "/healthz":
            super().log_request(code, size)

    def answer(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"catalog: {len(items())} items, port {PORT}", flush=True)
    ThreadingHTTPServer(("", PORT), Catalog).serve_forever()
