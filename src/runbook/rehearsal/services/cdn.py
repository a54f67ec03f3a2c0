"""An origin of the CDN: fetches streams from relay and says in X-Served-By who it is."""

from __future__ import annotations

import argparse

from runbook.rehearsal.services.fetch import fetch
from runbook.rehearsal.services.web import Answer, Request, Service


class Origin(Service):
    """Passes on what relay answers; 502 when relay does not answer."""

    name = "cdn"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._relay = self.env["RELAY_URL"]
        self.routes.append(("GET", r"/owl/stream/(?P<slug>[\w-]+)", self.stream))

    def stream(self, request: Request) -> Answer:
        """Answer a stream as relay gives it."""
        headers = {"Authorization": request.headers.get("Authorization", "")}
        got = fetch(f"{self._relay}/stream/{request.params['slug']}", headers)
        return Answer(got.status, got.body, {"X-Served-By": self.called, "Content-Type": got.kind})


def run(options: argparse.Namespace) -> None:
    """Serve."""
    Origin(options).serve()
