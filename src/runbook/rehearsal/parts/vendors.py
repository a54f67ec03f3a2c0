"""The APIs of vendors: each stand-in of `vendors/` a process of its own, with a folder of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runbook.rehearsal.processes import Process, accepts_connections, free_port

NAMES = ("stripe", "cloudflare", "hetzner", "messages")
"""Parts of a stack that are vendors."""


class Vendor:
    """One vendor in `folder`/vendors; `account` says what it is to know of the system before it starts."""

    def __init__(self, folder: Path, name: str, account: Mapping[str, Any]) -> None:
        self.name = name
        self._folder = folder / "vendors" / name
        self._account = account
        self._port = free_port()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Where it will listen."""
        return f"http://127.0.0.1:{self._port}"

    def launch(self) -> None:
        """Start it."""
        self._folder.mkdir(parents=True, mode=0o700)
        (self._folder / "account.json").write_text(json.dumps(self._account))
        command = [sys.executable, "-m", f"runbook.rehearsal.vendors.{self.name}"]
        command += ["--port", str(self._port), "--folder", str(self._folder)]
        self._process = Process(command, log=self._folder / "log")
        self._process.start()

    def wait_ready(self) -> None:
        """Wait until it listens."""
        assert self._process is not None
        self._process.ready(lambda: accepts_connections(self._port), timeout=20)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop()

    def describe(self) -> dict[str, Any]:
        """Return its address, its folder, and what its state began with: keys, tokens, ids."""
        state = json.loads((self._folder / "state.json").read_text())
        told = {key: value for key, value in state.items() if isinstance(value, str)}
        about = {**self._account, **told, "base_url": self.url, "folder": str(self._folder)}
        return {"vendors": {self.name: about}}
