# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The services that read a secret when they start: started again, in order, each well before the next."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, List, Mapping, Protocol, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import Provider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import choose_provider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.health import health_predicate
from ansible_collections.oncall.runbooks.plugins.module_utils.service.restart import (
    always_healthy,
    restart_service,
)

_ASK_TIMEOUT = 10.0


class Consumers(Protocol):
    """Whoever has to start again so that a changed secret is read."""

    names: List[str]

    def look(self) -> None:
        """Raise OncallError when one of them could not be started again; changes nothing."""

    def recreate(self, secrets: Sequence[str]) -> List[Dict[str, Any]]:
        """Start all of them again and return the ends of their logs, kept before, without `secrets`."""


class LocalConsumers:
    """Services of the host that this runs on."""

    def __init__(self, services: Sequence[Mapping[str, Any]], params: Mapping[str, Any]) -> None:
        self._services, self._params = services, params
        self.names = [str(one["name"]) for one in services]
        self._providers = [choose_provider(one["runtime"], timeout=_ASK_TIMEOUT) for one in services]

    def look(self) -> None:
        for provider in self._providers:
            if type(provider).recreate is Provider.recreate:
                raise UsageError(
                    "start %s again with a changed secret" % provider.name,
                    got="a runtime of kind %s keeps the settings it was made with" % provider.kind,
                    next_step="name what made it (kind compose), or the program that supervises it",
                )
            self._restart(provider, {}, check_mode=True)

    def recreate(self, secrets: Sequence[str]) -> List[Dict[str, Any]]:
        evidence: List[Dict[str, Any]] = []
        for provider, service in zip(self._providers, self._services):  # noqa: B905 - Python 3.8
            done = self._restart(provider, service.get("health") or {}, check_mode=False)
            evidence += [_without(one, secrets) for one in done["evidence"]]
        return evidence

    def _restart(self, provider: Provider, health: Mapping[str, Any], *, check_mode: bool) -> Dict[str, Any]:
        params = dict(self._params, recreate=True)
        healthy = health_predicate(health) if health else always_healthy
        return restart_service(provider, healthy, params, check_mode=check_mode)


def _without(entry: Dict[str, Any], secrets: Sequence[str]) -> Dict[str, Any]:
    for secret in filter(None, secrets):
        if secret in entry.get("content", ""):
            entry["content"] = entry["content"].replace(secret, "********")
            entry["summary"] += "; a secret was taken out of it"
    return entry
