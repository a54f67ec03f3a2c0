"""tunnel: stands in for cloudflared. Its metrics say how many connections it has; without one nobody gets in.

The public address is a port of its own. What comes in goes to auth, relay or owl_api by its path. A fault
{"connections": N} changes how many connections it has until it is started again, as with a connector that has
lost its way to the edge.
"""

from __future__ import annotations

import argparse
import re
import uuid
from http.server import ThreadingHTTPServer

from runbook.rehearsal.services.proxy import passed_on
from runbook.rehearsal.services.web import Answer, Request, Service, in_background, listen

_CONNECTIONS = 4
_WAYS = ((r"/(login|refresh|verify)", "AUTH_URL"), (r"/stream/.*", "RELAY_URL"), (r".*", "OWL_API_URL"))


class Tunnel(Service):
    """The metrics server; and, while there is a connection, the public address."""

    name = "tunnel"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._connections = _CONNECTIONS
        self._connector = str(uuid.uuid4())
        self._public: ThreadingHTTPServer | None = None
        self.routes = [("GET", "/ready", self.ready), ("GET", "/metrics", self.metrics)]
        self._open()

    def ready(self, _request: Request) -> Answer:
        """Answer as cloudflared's /ready does."""
        status = 200 if self._connections else 503
        said = {"status": status, "readyConnections": self._connections, "connectorId": self._connector}
        return Answer(status, said)

    def metrics(self, _request: Request) -> Answer:
        """Answer the one metric that matters, in Prometheus' format."""
        text = (
            "# TYPE cloudflared_tunnel_ha_connections gauge\n"
            f"cloudflared_tunnel_ha_connections {self._connections}\n"
        )
        return Answer(200, text.encode(), {"Content-Type": "text/plain; version=0.0.4"})

    def take_fault(self) -> None:
        """Also lose or gain connections."""
        super().take_fault()
        self._connections = int(self.fault.get("connections", _CONNECTIONS))
        if self._connections:
            self._open()
        elif self._public is not None:
            self.log("ERROR", "failed to serve tunnel connection: no connection to the edge is left")
            # Not shutdown(): the listener is served by another thread, and has only to stop accepting.
            self._public.socket.close()
            self._public = None

    def _open(self) -> None:
        if self._public is None:
            options = self.options
            self._public = listen(options.host, options.public_port, self.forward, self.log)
            in_background(self._public)

    def forward(self, request: Request) -> Answer:
        """Pass one request from outside on."""
        way = next(name for pattern, name in _WAYS if re.fullmatch(pattern, request.path))
        return passed_on(self.env[way], request)


def run(options: argparse.Namespace) -> None:
    """Serve."""
    Tunnel(options).serve()
