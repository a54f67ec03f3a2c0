"""A small real service for tests: what `/health` answers is in a file, and it logs what it is told to.

Run as `python web.py FOLDER PORT`; it reads FOLDER/answer.json (status, body, delay) at each request.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[1])


class Handler(BaseHTTPRequestHandler):
    """Answers every path alike."""

    def do_GET(self) -> None:
        """Answer as the file says."""
        answer = json.loads((FOLDER / "answer.json").read_text())
        time.sleep(answer.get("delay", 0))
        body = answer.get("body", {"status": "ok"})
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(answer.get("status", 200))
        for name, value in answer.get("headers", {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_arguments: object) -> None:
        """Stay silent: the log has only what a test wants in it."""


if __name__ == "__main__":
    print((FOLDER / "says.txt").read_text() if (FOLDER / "says.txt").exists() else "", flush=True)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
