"""Roost in containers: its compose project, its images, and what stays outside of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

import runbook
from runbook.rehearsal import engine
from runbook.rehearsal.parts.container_database import CONTAINER, MOUNTED, USER_ID, VOLUME, ContainerDatabase
from runbook.rehearsal.parts.roost_services import ORIGINS, RoostServices
from runbook.rehearsal.parts.services import answers, write_file
from runbook.rehearsal.processes import StandInError, wait_until

NAMES = {"relay": "roost-relay", "owl_api": "owl_api", "auth": "roost-auth"}
"""Services of the compose project and their containers, as in the real system."""
FILE = "docker-compose.prod.yml"
IMAGE = "roost/services"
RELEASE = "2026.11.2"
DATABASE_IMAGE = "postgres:18"
_SUBNET, _GATEWAY = "10.90.0.0/24", "10.90.0.1"
_APP = "/app"


class RoostContainers(RoostServices):
    """relay, owl_api and auth in containers; the tunnel and the origins stay processes, as on a real host.

    There the tunnel is a unit of systemd, and the origins are somewhere else.
    """

    def __init__(self, folder: Path, data: ContainerDatabase, more: Mapping[str, str]) -> None:
        super().__init__(folder, data, more)
        self.outside = dict(self.settings)
        self.settings |= self._inside()

    def _inside(self) -> dict[str, str]:
        """What the containers are told: they reach each other by name, and this side by the gateway."""
        database = urlsplit(self.settings["DATABASE_URL"])
        login = database.netloc.rpartition("@")[0]
        return {
            "DATABASE_URL": database._replace(netloc=f"{login}@{CONTAINER}:{database.port}").geturl(),
            **{f"{name.upper()}_URL": f"http://{name}:{self.ports[name]}" for name in NAMES},
            **{f"CDN_{name.upper()}_URL": f"http://{_GATEWAY}:{self.ports[name]}" for name in ORIGINS},
        }

    @property
    def supervised(self) -> Iterable[str]:
        """What is no container."""
        return [name for name in self.programs if name not in NAMES]

    def _command(self, name: str) -> list[str]:
        command = super()._command(name)
        return [str(self._outside_file) if part == str(self.env_file) else part for part in command]

    def _more_arguments(self, name: str) -> list[str]:
        # Containers ask the origins; nobody else is in this network.
        more = ["--host", "0.0.0.0"] if name in ORIGINS else []  # noqa: S104
        return [*super()._more_arguments(name), *more]

    @property
    def _outside_file(self) -> Path:
        return self.project / "outside.env"

    def launch(self) -> None:
        """Write the settings and start what is no container."""
        self.project.mkdir(mode=0o700, exist_ok=True)
        write_file(self._outside_file, self.outside)
        super().launch()

    def wait_ready(self) -> None:
        """Wait until every service answers."""
        super().wait_ready()
        for name, container in NAMES.items():
            url = self.url(name)
            try:
                wait_until(lambda url=url: answers(url), timeout=20, what=container)  # type: ignore[misc]
            except StandInError as error:
                raise StandInError(f"{error}: {engine.logs(container)}") from None

    def compose_services(self) -> dict[str, Any]:
        """Return the part of the compose file that is about the services."""
        return {name: self._compose_service(name) for name in NAMES}

    def _compose_service(self, name: str) -> dict[str, Any]:
        port, run = self.ports[name], str(self.folder / "run")
        command = ["python3", "-S", "-m", "runbook.rehearsal.services", name, "--name", name]
        # Files that it keeps have the same place inside: faults are told through them.
        kept = [run, self.settings["RELAY_CACHE_DIR"], self.settings["OWL_STATE_DIR"]]
        return {
            "image": f"{IMAGE}:{RELEASE}",
            "container_name": NAMES[name],
            "command": [*command, "--host", "0.0.0.0", "--port", str(port), "--run-dir", run],  # noqa: S104
            "env_file": [self.env_name],
            "ports": [f"127.0.0.1:{port}:{port}"],
            "volumes": [f"{path}:{path}" for path in kept],
            "stop_grace_period": "1s",
        }

    def describe(self) -> dict[str, Any]:
        """Return what stack.json says of the services."""
        told = super().describe()
        for name, container in NAMES.items():
            told["services"][name]["container"] = container
        return told


class Containers:
    """The engine and the compose project `roost` in it; `services` is None for a database alone."""

    def __init__(self, folder: Path, data: ContainerDatabase, services: RoostContainers | None) -> None:
        self.folder, self._data, self._services = folder, data, services
        self.file = folder / RoostServices.project_name / FILE
        self._engine = engine.Engine(folder / "disk")

    def launch(self) -> None:
        """Start the engine, and what is no container."""
        self._engine.launch()
        if self._services is not None:
            self._services.launch()

    def wait_ready(self) -> None:
        """Make the images, hand the database over, and bring the project up."""
        self._engine.wait_ready()
        self._load_images()
        self._data.hand_over()
        self._write_project()
        engine.compose(str(self.file), "up", "--detach")
        self._wait_for_database()
        if self._services is not None:
            self._services.wait_ready()

    def _wait_for_database(self) -> None:
        try:
            wait_until(self._data.server.answers, timeout=30, what="PostgreSQL in its container")
        except StandInError as error:
            raise StandInError(f"{error}: {engine.logs(CONTAINER)}") from None

    def _load_images(self) -> None:
        image = engine.Image()
        programs = image.add_postgres(self._data.server.binaries)
        image.load(DATABASE_IMAGE, self.folder, env=[f"PATH={programs}:/bin", "PGHOST=/tmp"])
        if self._services is None:
            return
        image = engine.Image()
        python = image.add_python()
        package = Path(runbook.__file__).parent
        for part in ("__init__.py", "rehearsal/__init__.py"):
            image.add_text(f"{_APP}/runbook/{part}", "")
        image.add_folder(package / "rehearsal" / "services", f"{_APP}/runbook/rehearsal/services")
        image.add_link("bin/python3", python)
        image.load(f"{IMAGE}:{RELEASE}", self.folder, env=["PATH=/bin", f"PYTHONPATH={_APP}"])

    def _write_project(self) -> None:
        self.file.parent.mkdir(mode=0o700, exist_ok=True)
        (self.folder / "disk" / "relay").mkdir(exist_ok=True)
        options = ["type=none", "o=bind", f"device={self._data.data}"]
        engine.docker("volume", "create", *[part for one in options for part in ("--opt", one)], VOLUME)
        services = self._services.compose_services() if self._services is not None else {}
        project = {
            "name": "roost",
            "services": {"postgres": self._postgres(), **services},
            "volumes": {"postgres_data": {"name": VOLUME, "external": True}},
            "networks": {"default": {"ipam": {"config": [{"subnet": _SUBNET, "gateway": _GATEWAY}]}}},
        }
        self.file.write_text(yaml.safe_dump(project, sort_keys=False))

    def _postgres(self) -> dict[str, Any]:
        port = self._data.server.port
        return {
            "image": DATABASE_IMAGE,
            "container_name": CONTAINER,
            "user": f"{USER_ID}:{USER_ID}",
            "command": ["postgres", "-D", MOUNTED],
            "ports": [f"127.0.0.1:{port}:{port}"],
            "volumes": [f"postgres_data:{MOUNTED}"],
            "shm_size": "256m",
            "stop_signal": "SIGINT",
            "stop_grace_period": "10s",
        }

    def stop(self) -> None:
        """End the containers, the engine, and what is no container."""
        self._engine.stop()
        if self._services is not None:
            self._services.stop()

    def describe(self) -> dict[str, Any]:
        """Return what stack.json says of it, with what it says of the services."""
        own = {"compose": str(self.file), "docker_root": str(self._engine.data)}
        return {**own, **(self._services.describe() if self._services is not None else {})}
