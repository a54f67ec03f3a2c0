"""A settings file, the service that reads it, and a rotation of its secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.checks import Check
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.env_file import EnvFileDestination
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.private import PrivateCopy
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.rotate import Rotation
from ansible_collections.oncall.runbooks.plugins.module_utils.service.env_file import EnvFile
from token_service import KEY, OLD, Service


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / "roost" / ".env.prod"
    path.parent.mkdir()
    path.write_text(f"PORT=8082\n{KEY}={OLD}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def service(env_file: Path) -> Iterator[Service]:
    running = Service(lambda: EnvFile.read(str(env_file)).get(KEY) or "")
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def rotation(env_file: Path, service: Service, tmp_path: Path) -> Callable[..., Rotation]:
    """Make a rotation of the service's secret."""

    def make(**changed: Any) -> Rotation:
        check = Check(service.url, claims={"sub": "probe"}, timeout=2.0)
        settings = {
            "destination": EnvFileDestination(str(env_file), KEY),
            "consumers": service,
            "checks": [check],
            "copy": PrivateCopy(str(tmp_path / "private"), "run-1", KEY),
            "within": 0.3,
            **changed,
        }
        return Rotation(**settings)

    return make
