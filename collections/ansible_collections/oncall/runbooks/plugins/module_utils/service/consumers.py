# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The services that read a settings file: which of them run with other settings, and starting them again."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import EnvironmentFact
from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import choose_provider
from ansible_collections.oncall.runbooks.plugins.module_utils.service.health import health_predicate
from ansible_collections.oncall.runbooks.plugins.module_utils.service.restart import always_healthy, wait_well

Consumer = Mapping[str, Any]
Values = Mapping[str, Optional[str]]
_QUESTION_TIMEOUT = 10.0
_LAUNCH = 3.0


def stale(consumers: Sequence[Consumer], values: Values) -> List[Consumer]:
    """Return those that do not run with `values` (None = without that key), or of which it cannot be seen."""
    return [consumer for consumer in consumers if deviation(consumer, values) != ""]


def deviation(consumer: Consumer, values: Values) -> str:
    """Return which settings a running service has otherwise, or why that is not seen; empty when all fit."""
    provider = choose_provider(consumer["runtime"], timeout=_QUESTION_TIMEOUT)
    try:
        facts = provider.environment(values)
    except OncallError as exc:
        return exc.message
    wrong = [name for name, value in values.items() if facts[name].digest != EnvironmentFact.of(value).digest]
    return "%s is not what the file says" % ", ".join(sorted(wrong)) if wrong else ""


def start_again(
    consumers: Sequence[Consumer],
    values: Values,
    *,
    stop_timeout: float,
    timeout: float,
) -> None:
    """Start each with the settings of its file, in order, the next only when the one before is well.

    Times are in seconds. Raises OncallError.
    """
    for consumer in consumers:
        provider = choose_provider(consumer["runtime"], timeout=_QUESTION_TIMEOUT)
        healthy = health_predicate(consumer["health"]) if consumer.get("health") else always_healthy
        state = provider.state()
        if state.frozen:
            provider.thaw(state)
        provider.recreate(stop_timeout=stop_timeout)
        wait_well(
            provider,
            healthy,
            deadline=time.monotonic() + timeout,
            limit=timeout,
            clock=time.monotonic,
            sleep=time.sleep,
        )
        wrong = _lasting_deviation(consumer, values)
        if wrong:
            raise VerificationError(
                "see %s run with its settings" % consumer["name"],
                got=wrong,
                next_step="look whether another file or the unit itself sets them",
            )


def _lasting_deviation(consumer: Consumer, values: Values) -> str:
    """A launcher that reads the file and then becomes the service has other settings for a moment."""
    deadline = time.monotonic() + _LAUNCH
    while True:
        wrong = deviation(consumer, values)
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(0.05)


def names_of(consumers: Sequence[Consumer]) -> str:
    """Return their names for a sentence."""
    return ", ".join(consumer["name"] for consumer in consumers) or "no service"


def described(consumers: Sequence[Consumer]) -> List[Dict[str, Any]]:
    """Return what has to be kept of them to start them again later."""
    return [{key: dict(c).get(key) for key in ("name", "runtime", "health")} for c in consumers]
