"""relay: where a stream comes from. It keeps the newest piece of each stream on its disk."""

from __future__ import annotations

import argparse
import os
import secrets

from runbook.rehearsal.services import guard
from runbook.rehearsal.services.postgres_client import Database
from runbook.rehearsal.services.web import Answer, Refused, Request, Service, folder

_PIECE = 64 * 1024


class Relay(Service):
    """Gives pieces of a stream to whoever has a token with a good signature."""

    name = "relay"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._database = Database(self.env.get("DATABASE_URL", ""), "roost-relay")
        self._secret = self.env.get("AUTH_JWT_SECRET", "")
        self._disk = folder(self.env["RELAY_CACHE_DIR"])
        self.routes.append(("GET", r"/stream/(?P<slug>nest-\d{1,6})", self.stream))

    def check(self) -> None:
        """It needs its database and a disk that takes a piece."""
        self._database.query('SELECT 1 FROM "Owl Registry"."Owl Nest" LIMIT 1')
        self._write("health")

    def stream(self, request: Request) -> Answer:
        """Answer the newest piece of a stream."""
        guard.signed(request, self._secret)
        slug = request.params["slug"]
        number = slug.partition("-")[2]
        known = self._database.query(
            'SELECT 1 FROM "Owl Registry"."Owl Nest" WHERE "Nest №" = $1::int', number
        )
        if not known:
            raise Refused(404, f"there is no stream {slug}")
        self._write(slug)
        return Answer(200, b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:2.0,\n" + f"{slug}.ts\n".encode())

    def _write(self, name: str) -> None:
        path = self._disk / f"{name}.{secrets.token_hex(4)}"
        try:
            with path.open("wb") as handle:
                handle.write(b"\x47" * _PIECE)
        except OSError as error:
            raise OSError(error.errno, f"cannot write a piece: {os.strerror(error.errno or 0)}") from None
        finally:
            path.unlink(missing_ok=True)


def run(options: argparse.Namespace) -> None:
    """Serve."""
    Relay(options).serve()
