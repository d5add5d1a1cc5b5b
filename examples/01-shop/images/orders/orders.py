#!/usr/bin/python3
"""The legacy order book: one process, one SQLite file, as it has run in its virtual machine for years.

GET /orders lists what was ordered, POST /orders takes an order. The price of an item is asked from the
catalog by its service name: the machine calls the containers just as the containers call the machine.
"""

import json
import os
import sqlite3
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATABASE = os.environ.get("ORDERS_DATABASE", "/var/lib/orders/orders.db")
CATALOG = os.environ.get("CATALOG_URL", "http://catalog")
PORT = int(os.environ.get("LISTEN_PORT", "80"))
_lock = threading.Lock()


def database() -> sqlite3.Connection:
    """The database file, made on first use; every commit reaches the disk."""
    os.makedirs(os.path.dirname(DATABASE), exist_ok=True)
    connection = sqlite3.connect(DATABASE)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS orders"
        " (id INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT NOT NULL, quantity INTEGER NOT NULL, cents INTEGER)"
    )
    return connection


def orders() -> list[dict]:
    with _lock, database() as connection:
        rows = connection.execute("SELECT id, item, quantity, cents FROM orders ORDER BY id").fetchall()
    return [dict(zip(("id", "item", "quantity", "cents"), row, strict=True)) for row in rows]


def price(item: str) -> int:
    """What the catalog asks for an item, in cents. Raises KeyError when it does not know it."""
    try:
        with urllib.request.urlopen(f"{CATALOG}/items/{item}", timeout=20) as answer:
            return int(json.load(answer)["cents"])
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise KeyError(item) from None
        raise


def store(item: str, quantity: int) -> dict:
    cents = price(item) * quantity
    with _lock, database() as connection:
        row = connection.execute(
            "INSERT INTO orders (item, quantity, cents) VALUES (?, ?, ?)", (item, quantity, cents)
        )
    return {"id": row.lastrowid, "item": item, "quantity": quantity, "cents": cents}


def read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def state() -> dict:
    return {
        "host": os.uname().nodename,
        "kernel": os.uname().release,
        "boot_id": read("/proc/sys/kernel/random/boot_id"),
        "orders": orders(),
    }


class Book(BaseHTTPRequestHandler):
    """The whole web application."""

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, {"ok": True})
        elif self.path == "/orders":
            self.answer(200, state())
        else:
            self.answer(404, {"error": f"no page {self.path}"})

    def do_POST(self) -> None:
        if self.path != "/orders":
            return self.answer(404, {"error": f"no page {self.path}"})
        try:
            wanted = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
            item, quantity = str(wanted["item"]), int(wanted["quantity"])
            if not item.isalnum() or not 0 < quantity < 1000:
                raise ValueError("item must be one word and quantity between 1 and 999")
            self.answer(201, store(item, quantity))
        except KeyError as error:
            self.answer(422, {"error": f"no such item or field: {error}"})
        except (TypeError, ValueError) as error:
            self.answer(400, {"error": str(error)})
        except OSError as error:
            self.answer(502, {"error": f"the catalog does not answer: {error}"})

    def answer(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    database().close()
    ThreadingHTTPServer(("", PORT), Book).serve_forever()
