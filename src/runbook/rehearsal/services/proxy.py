"""proxy: where the public comes in; it passes everything on to PROXY_UPSTREAM."""

from __future__ import annotations

import argparse

from runbook.rehearsal.services.fetch import fetch
from runbook.rehearsal.services.web import Answer, Request, Service, in_background, listen

# Headers that belong to one connection, not to what is passed on.
_NOT_PASSED = {"host", "connection", "content-length", "transfer-encoding", "server", "date"}


def passed_on(url: str, request: Request) -> Answer:
    """Send a request to `url` and return its answer."""
    headers = {k: v for k, v in request.headers.items() if k.lower() not in _NOT_PASSED}
    got = fetch(url + request.path, headers, method=request.method, body=request.body)
    return Answer(
        got.status, got.body, {k: v for k, v in got.headers.items() if k.lower() not in _NOT_PASSED}
    )


class Proxy(Service):
    """Its own port is for its faults; the public's port is beside it."""

    name = "proxy"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.routes.append(("*", r".*", self.forward))
        in_background(listen(options.host, options.public_port, self.answer, self.log))

    def forward(self, request: Request) -> Answer:
        """Pass one request on."""
        return passed_on(self.env["PROXY_UPSTREAM"], request)


def run(options: argparse.Namespace) -> None:
    """Serve."""
    Proxy(options).serve()
