# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which provider serves a runtime: one row per platform."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Callable, Dict

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.docker import DockerProvider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.process import ProcessProvider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.systemd import SystemdProvider

RUNTIME_SPEC: Dict[str, Any] = {
    "kind": {"type": "str", "choices": ["docker", "systemd", "process"], "required": True},
    "name": {"type": "str"},
    "data_dir": {"type": "path"},
    "engine": {"type": "str", "default": "docker"},
    "bin_dir": {"type": "path"},
}


def _docker(runtime: Dict[str, Any], timeout: float, log_path: str) -> Provider:  # noqa: ARG001 - the shared signature
    return DockerProvider(_named(runtime, "name"), timeout=timeout, engine=runtime.get("engine") or "docker")


def _systemd(runtime: Dict[str, Any], timeout: float, log_path: str) -> Provider:  # noqa: ARG001 - the shared signature
    return SystemdProvider(_named(runtime, "name"), timeout=timeout)


def _process(runtime: Dict[str, Any], timeout: float, log_path: str) -> Provider:
    bin_dir = runtime.get("bin_dir") or ""
    return ProcessProvider(_named(runtime, "data_dir"), timeout=timeout, log_path=log_path, bin_dir=bin_dir)


_PROVIDERS: Dict[str, Callable[[Dict[str, Any], float, str], Provider]] = {
    "docker": _docker,
    "systemd": _systemd,
    "process": _process,
}


def choose_provider(runtime: Dict[str, Any], *, timeout: float, log_path: str = "") -> Provider:
    """Return the provider of a `runtime` option; `timeout` is the time in seconds for one question."""
    return _PROVIDERS[runtime["kind"]](runtime, timeout, log_path)


def _named(runtime: Dict[str, Any], key: str) -> str:
    value = runtime.get(key)
    if not value:
        raise UsageError(
            "find the service",
            on="runtime of kind %s" % runtime["kind"],
            got="it has no %s" % key,
            next_step="set runtime.%s" % key,
        )
    return str(value)
