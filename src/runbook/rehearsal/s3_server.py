"""S3 servers of the stand-in, each a process of its own: moto (embedded), and rclone where it is installed.

They differ where it matters: moto takes any credentials, any signature and URLs that have expired; rclone
checks signatures and clocks like a real store, and keeps the objects as files.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from runbook.rehearsal.processes import Process, StandInError, accepts_connections, free_port


@dataclass
class S3Server:
    """An S3 API on a loopback port (moto: in memory, fastest); the access key is a generated canary."""

    label: ClassVar[str] = "moto"
    # Whether it refuses what a real store refuses: wrong keys, wrong signatures, expired URLs.
    checks_signatures: ClassVar[bool] = False

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
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the server; what it needs a second for can be used for something else."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        self._process = Process(self._command(), log=self.folder / "s3.log", env=self._environment())
        self._process.start()

    def wait_ready(self) -> None:
        """Wait until the launched server listens."""
        if self._process is not None:
            self._process.ready(lambda: accepts_connections(self.port), timeout=30)

    @property
    def process_id(self) -> int:
        """Process id of the running server."""
        if self._process is None:
            raise StandInError("the S3 server was not started")
        return self._process.pid

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def stop(self) -> None:
        """Stop the server; what it held is gone."""
        if self._process is not None:
            self._process.stop(timeout=3)

    def make_bucket(self) -> str:
        """Make an empty bucket with a name of its own and return the name."""
        name = f"backups-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "auto"})
        return name

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


class RcloneServer(S3Server):
    """An S3 API that checks signatures, over a folder of files (`rclone serve s3`)."""

    label = "rclone"
    checks_signatures = True

    @staticmethod
    def program() -> str | None:
        """Return the path of rclone: beside this Python (a wheel brings it) or on PATH."""
        return shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

    def _command(self) -> list[str]:
        store = self.folder / "objects"
        store.mkdir(exist_ok=True)
        return [self.program() or "rclone", "serve", "s3", "--addr", f"127.0.0.1:{self.port}", str(store)]

    def _environment(self) -> dict[str, str]:
        # The key goes by the environment: a command line is everybody's to read. No configuration of
        # the user's own is used.
        return {
            **os.environ,
            "RCLONE_AUTH_KEY": f'"{self.access_key},{self.secret_key}"',
            "RCLONE_CONFIG": "",
        }


def available_servers() -> list[type[S3Server]]:
    """Return the kinds of S3 server that run on this machine, the embedded default first."""
    return [S3Server, RcloneServer] if RcloneServer.program() else [S3Server]
