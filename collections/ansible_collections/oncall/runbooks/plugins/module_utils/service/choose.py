# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which provider serves a runtime: one row per platform."""

from __future__ import annotations

__metaclass__ = type

import os
from typing import Any, Callable, Dict, Mapping

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.compose import ComposeProvider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.docker import DockerProvider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.process import ProcessProvider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.supervisor import SupervisorProvider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.systemd import SystemdProvider

KINDS = ("docker", "compose", "systemd", "supervisor", "process")

RUNTIME_SPEC: Dict[str, Any] = {
    "kind": {"type": "str", "choices": list(KINDS), "required": True},
    "name": {"type": "str"},
    "data_dir": {"type": "path"},
    "engine": {"type": "str", "default": "docker"},
    "bin_dir": {"type": "path"},
    "service": {"type": "str"},
    "project_dir": {"type": "path"},
    "file": {"type": "str", "default": "docker-compose.yml"},
    "env_file": {"type": "str"},
    "config": {"type": "path"},
}

Runtime = Mapping[str, Any]


def _docker(runtime: Runtime, timeout: float, log_path: str) -> Provider:  # noqa: ARG001 - the shared signature
    return DockerProvider(_named(runtime, "name"), timeout=timeout, engine=runtime.get("engine") or "docker")


def _compose(runtime: Runtime, timeout: float, log_path: str) -> Provider:  # noqa: ARG001 - the shared signature
    return ComposeProvider(
        _named(runtime, "name"),
        timeout=timeout,
        service=_named(runtime, "service"),
        project_dir=_named(runtime, "project_dir"),
        file=runtime.get("file") or "docker-compose.yml",
        env_file=runtime.get("env_file") or "",
        engine=runtime.get("engine") or "docker",
    )


def _systemd(runtime: Runtime, timeout: float, log_path: str) -> Provider:  # noqa: ARG001 - the shared signature
    return SystemdProvider(_named(runtime, "name"), timeout=timeout)


def _supervisor(runtime: Runtime, timeout: float, log_path: str) -> Provider:  # noqa: ARG001 - the shared signature
    return SupervisorProvider(_named(runtime, "name"), timeout=timeout, config=_named(runtime, "config"))


def _process(runtime: Runtime, timeout: float, log_path: str) -> Provider:
    bin_dir = runtime.get("bin_dir") or ""
    return ProcessProvider(_named(runtime, "data_dir"), timeout=timeout, log_path=log_path, bin_dir=bin_dir)


_PROVIDERS: Dict[str, Callable[[Runtime, float, str], Provider]] = {
    "docker": _docker,
    "compose": _compose,
    "systemd": _systemd,
    "supervisor": _supervisor,
    "process": _process,
}


def choose_provider(runtime: Runtime, *, timeout: float, log_path: str = "") -> Provider:
    """Return the provider of a `runtime` option; `timeout` is the time in seconds for one question."""
    return _PROVIDERS[runtime["kind"]](runtime, timeout, log_path)


def env_file_of(runtime: Runtime) -> str:
    """Return the path of the file with the service's settings, empty when the runtime names none."""
    name = runtime.get("env_file") or ""
    return os.path.join(runtime.get("project_dir") or "", name) if name else ""


def _named(runtime: Runtime, key: str) -> str:
    value = runtime.get(key)
    if not value:
        raise UsageError(
            "find the service",
            on="runtime of kind %s" % runtime["kind"],
            got="it has no %s" % key,
            next_step="set runtime.%s" % key,
        )
    return str(value)
