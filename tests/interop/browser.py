"""Headless Chromium with our pages, and the web server that they come from."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import queue
import threading
import time
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.interop.daemon import READY_S, Daemon, need
from tests.transports.certificates import PairFiles

PAGE = Path(__file__).with_name("page.html")


def fingerprint(pair: PairFiles) -> str:
    """Return the certificate's public key as Chromium wants it named."""
    certificate = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    key = certificate.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


class _Handler(BaseHTTPRequestHandler):
    """Gives the page to everybody, and takes what pages report."""

    results: queue.Queue[tuple[str, str]]

    def do_GET(self) -> None:
        self._answer(PAGE.read_bytes())

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        report = json.loads(self.rfile.read(size))
        self.results.put((report["name"], report["outcome"]))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Nobody reads it."""


class Browser:
    """
    A browser with a profile of its own.

    :param folder: for the profile; must be empty.
    :param pair: its key is trusted, whoever signed the certificate.
    """

    def __init__(self, folder: Path, pair: PairFiles) -> None:
        program = need("chromium")
        self._results: queue.Queue[tuple[str, str]] = queue.Queue()
        handler = type("Handler", (_Handler,), {"results": self._results})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        # Chromium as root refuses to run in its sandbox.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        self._profile = folder / "profile"
        self._daemon = Daemon(
            folder,
            "chromium",
            [
                *(program, "--headless", *sandbox),
                *("--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
                *("--no-first-run", "--disable-background-networking"),
                *("--disable-component-update", "--disable-sync", "--disable-extensions"),
                f"--user-data-dir={self._profile}",
                f"--ignore-certificate-errors-spki-list={fingerprint(pair)}",
                "--remote-debugging-port=0",
                "about:blank",
            ],
        )
        self._tools = f"http://127.0.0.1:{self._tools_port()}"

    def _tools_port(self) -> int:
        """Return where Chromium takes orders, once it says so."""
        said = self._profile / "DevToolsActivePort"
        until_s = time.monotonic() + READY_S
        while time.monotonic() < until_s and self._daemon.is_running():
            if said.exists() and (text := said.read_text()).count("\n"):
                return int(text.split("\n")[0])
            time.sleep(0.02)
        log = self._daemon.log()
        self.close()
        raise RuntimeError(f"chromium does not start:\n{log}")

    def open(self, **choices: object) -> None:
        """Open a page that does what *choices* say, see ``page.html``."""
        host, port = self._server.server_address[:2]
        page = f"http://{host!s}:{port}/?{urlencode(choices)}"
        order = f"{self._tools}/json/new?{urllib.request.quote(page, safe='')}"
        request = urllib.request.Request(order, method="PUT")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(request, timeout=READY_S).close()

    def results(self, count: int, timeout_s: float) -> Mapping[str, str]:
        """
        Return what *count* pages report, by their names.

        :raises AssertionError: one did not in time.
        """
        results: dict[str, str] = {}
        until_s = time.monotonic() + timeout_s
        while len(results) < count:
            try:
                left_s = max(until_s - time.monotonic(), 0.001)
                name, outcome = self._results.get(timeout=left_s)
            except queue.Empty:
                told = f"{results}\n{self._daemon.log()}"
                raise AssertionError(f"not all pages reported: {told}") from None
            results.setdefault(name, outcome)
        return results

    def close(self) -> None:
        """End the browser."""
        self._daemon.close()
        self._server.shutdown()
        self._server.server_close()
