#!/usr/bin/python3
"""The shop window: shows what the catalog sells and what the order book holds, and takes orders.

It knows its two neighbours by service name only. Whether one of them is a container or a virtual machine
makes no difference to it.
"""

import hashlib
import hmac
import html
import json
import os
import signal
import sys
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ORDERS = os.environ.get("ORDERS_URL", "http://orders")
CATALOG = os.environ.get("CATALOG_URL", "http://catalog")
KEY = os.environ.get("FORM_KEY", "").encode()
TITLE = os.environ.get("SHOP_TITLE", "Shop")
PORT = int(os.environ.get("LISTEN_PORT", "8080"))

PAGE = """<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>
<style>body{{font:16px system-ui;max-width:44rem;margin:2rem auto;padding:0 1rem}}table{{border-collapse:collapse}}
td,th{{text-align:left;padding:.2rem 1rem .2rem 0;border-bottom:1px solid #ddd}}small{{color:#666}}</style>
<h1>{title}</h1>
<h2>Catalog <small>from container {catalog_host}</small></h2><table><tr><th>item<th>price{items}</table>
<h2>Orders <small>from virtual machine {orders_host}, kernel {kernel}</small></h2>
<table><tr><th>no<th>item<th>quantity<th>total{orders}</table>
<form method=post action=/order><input type=hidden name=seal value={seal}>
<p><select name=item>{options}</select> <input name=quantity type=number min=1 max=999 value=1>
<button>Order</button></form><p><small>this page: container {web_host}</small>"""


def ask(url: str, body: dict | None = None) -> dict:
    """One JSON request to a neighbour."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def seal() -> str:
    """The form's seal: every replica makes and accepts the same one, since they share the Secret's key."""
    return hmac.new(KEY, b"order form", hashlib.sha256).hexdigest()


def state() -> dict:
    book, catalog = ask(f"{ORDERS}/orders"), ask(f"{CATALOG}/items")
    return {
        "web": os.uname().nodename,
        "orders": book["orders"],
        "orders_host": book["host"],
        "orders_kernel": book["kernel"],
        "orders_boot_id": book["boot_id"],
        "catalog": catalog["items"],
        "catalog_host": catalog["served_by"],
    }


def page() -> str:
    now = state()
    money = "{:.2f}".format
    return PAGE.format(
        title=html.escape(TITLE),
        catalog_host=html.escape(now["catalog_host"]),
        orders_host=html.escape(now["orders_host"]),
        kernel=html.escape(now["orders_kernel"]),
        web_host=html.escape(now["web"]),
        seal=seal(),
        items="".join(f"<tr><td>{html.escape(i['name'])}<td>{money(i['cents'] / 100)}" for i in now["catalog"]),
        options="".join(f"<option>{html.escape(i['name'])}" for i in now["catalog"]),
        orders="".join(
            f"<tr><td>{o['id']}<td>{html.escape(o['item'])}<td>{o['quantity']}<td>{money((o['cents'] or 0) / 100)}"
            for o in now["orders"]
        ),
    )


class Web(BaseHTTPRequestHandler):
    """GET / and POST /order for people; GET /api/state and POST /api/orders for programs."""

    def do_GET(self) -> None:
        if self.path == "/healthz":
            return self.answer(200, b"ok\n", "text/plain")
        try:
            if self.path == "/api/state":
                return self.answer(200, json.dumps(state()).encode(), "application/json")
            if self.path == "/":
                return self.answer(200, page().encode(), "text/html; charset=utf-8")
        except OSError as error:
            return self.answer(502, f"a neighbour does not answer: {error}\n".encode(), "text/plain")
        return self.answer(404, b"no such page\n", "text/plain")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path == "/api/orders":
            return self.forward(body)
        if self.path == "/order":
            return self.take(dict(urllib.parse.parse_qsl(body.decode())))
        return self.answer(404, b"no such page\n", "text/plain")

    def forward(self, body: bytes) -> None:
        try:
            made = ask(f"{ORDERS}/orders", json.loads(body))
        except urllib.error.HTTPError as error:
            return self.answer(error.code, error.read(), "application/json")
        except ValueError as error:
            return self.answer(400, json.dumps({"error": str(error)}).encode(), "application/json")
        except OSError as error:
            return self.answer(502, json.dumps({"error": str(error)}).encode(), "application/json")
        return self.answer(201, json.dumps(made).encode(), "application/json")

    def take(self, form: dict) -> None:
        if not hmac.compare_digest(form.get("seal", ""), seal()):
            return self.answer(403, b"this form was not ours\n", "text/plain")
        try:
            ask(f"{ORDERS}/orders", {"item": form.get("item", ""), "quantity": form.get("quantity", "")})
        except OSError as error:
            return self.answer(502, f"the order was not taken: {error}\n".encode(), "text/plain")
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """One line per request, but not for the probe that comes each second."""
        if self.path != "/healthz":
            super().log_request(code, size)

    def answer(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"web: orders at {ORDERS}, catalog at {CATALOG}, port {PORT}", flush=True)
    ThreadingHTTPServer(("", PORT), Web).serve_forever()
