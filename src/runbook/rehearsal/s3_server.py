"""The embedded S3 server of the stand-in (moto), as a process of its own."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runbook.rehearsal.processes import Process, accepts_connections, free_port


@dataclass
class S3Server:
    """An S3 API on a loopback port; the access key is a generated canary."""

    folder: Path
    port: int = 0
    access_key: str = field(default_factory=lambda: "CANARYKEY" + secrets.token_hex(6).upper())
    secret_key: str = field(default_factory=lambda: "canary-" + secrets.token_hex(16), repr=False)

    def __post_init__(self) -> None:
        self._process: Process | None = None

    @property
    def endpoint(self) -> str:
        """URL of the S3 API."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it listens."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._process = Process(command, log=self.folder / "s3.log")
        self._process.start()
        self._process.ready(lambda: accepts_connections(self.port), timeout=30)

    def stop(self) -> None:
        """Stop the server; what it held is gone."""
        if self._process is not None:
            self._process.stop(timeout=3)

    def client(self) -> Any:
        """Return a boto3 client with this server's credentials."""
        import boto3  # noqa: PLC0415 - 0.4 s of import, paid only where it is used
        from botocore.config import Config  # noqa: PLC0415

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="auto",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
        )
