# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A target group of AWS (Elastic Load Balancing v2): traffic goes to its registered targets."""

from __future__ import annotations

__metaclass__ = type

import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.aws import Aws
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.base import (
    EdgeProvider,
    EdgeState,
    Origin,
    Settings,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    OncallError,
    UsageError,
    VerificationError,
)

_POLL = 2.0  # seconds
_LEAVING = ("draining", "unhealthy.draining")
# What the group says of a target that it does not send traffic to on principle.
_IDLE = ("unused", "unavailable", "initial")


class TargetGroup(EdgeProvider):
    """An origin is a named set of targets, all of them registered in one target group, or none."""

    kind = "elbv2"
    waits_for_health = True

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not options.get("target_group") or not options.get("targets"):
            got = "target_group or targets is missing"
            next_step = "set elbv2.target_group (name or ARN) and elbv2.targets"
            raise UsageError("use the target group", got=got, next_step=next_step)
        self._aws = Aws(options, "elbv2")
        self._group, self._arn = str(options["target_group"]), ""
        self._sets = {name: sorted(map(str, members)) for name, members in options["targets"].items()}
        self._timeout, self._drain = options["healthy_within"], options["drained_within"]
        self._clock, self._sleep = clock, sleep

    @property
    def place(self) -> str:
        return "target group %s" % self._group.rpartition("targetgroup/")[2].split("/")[0]

    def state(self) -> EdgeState:
        health = self._health()
        registered = sorted(name for name, word in health.items() if word not in _LEAVING)
        origins = tuple(_origin(name, members, health) for name, members in sorted(self._sets.items()))
        active = next((name for name, members in self._sets.items() if members == registered), "")
        return EdgeState(active, origins, {"targets": registered})

    def planned(self, state: EdgeState, target: str) -> Settings:  # noqa: ARG002 - the shared signature
        return {"targets": list(self._sets[target])}

    def apply(self, state: EdgeState, wanted: Settings, *, careful: bool) -> None:
        have, want = set(state.settings["targets"]), set(wanted["targets"])
        if want - have:
            self._call("register", "register_targets", Targets=_targets(want - have))
        if careful:
            self._wait_healthy(want)
        if have - want:
            self._call("deregister", "deregister_targets", Targets=_targets(have - want))
            self._wait_gone(have - want)

    def _wait_healthy(self, names: "set[str]") -> None:
        def missing() -> str:
            health = self._health()
            ill = {name: health.get(name, "not registered") for name in sorted(names)}
            return ", ".join("%s is %s" % pair for pair in ill.items() if pair[1] != "healthy")

        self._wait("see every new target healthy", missing, self._timeout)

    def _wait_gone(self, names: "set[str]") -> None:
        def left() -> str:
            health = self._health()
            return ", ".join("%s is %s" % (name, health[name]) for name in sorted(names) if name in health)

        self._wait("see the old targets drained", left, self._drain)

    def _wait(self, tried: str, reason: Callable[[], str], limit: float) -> None:
        deadline = self._clock() + limit
        while True:
            said = reason()
            if not said:
                return
            if self._clock() > deadline:
                next_step = "see the health check of the group and whether the targets answer it"
                got = "after %g s: %s" % (limit, said)
                raise VerificationError(tried, on=self.place, got=got, next_step=next_step)
            self._sleep(_POLL)

    def _health(self) -> Dict[str, str]:
        answer = self._call("read the health of", "describe_target_health")
        return {
            "%s:%d" % (one["Target"]["Id"], one["Target"]["Port"]): one["TargetHealth"]["State"]
            for one in answer["TargetHealthDescriptions"]
        }

    def _call(self, what: str, operation: str, **arguments: Any) -> Dict[str, Any]:
        tried = "%s the targets" % what
        self._arn = self._arn or self._resolve()
        return self._aws.call(operation, tried, self.place, TargetGroupArn=self._arn, **arguments)

    def _resolve(self) -> str:
        if self._group.startswith("arn:"):
            return self._group
        found = self._aws.call(
            "describe_target_groups", "find the target group", self._group, Names=[self._group]
        )
        return str(found["TargetGroups"][0]["TargetGroupArn"])


def _origin(name: str, members: List[str], health: Mapping[str, str]) -> Origin:
    words = {member: health.get(member, "not registered") for member in members}
    note = ", ".join("%s %s" % pair for pair in sorted(words.items()))
    return Origin(name, _healthy(tuple(words.values())), note)


def _healthy(words: Tuple[str, ...]) -> Optional[bool]:
    if all(word == "healthy" for word in words):
        return True
    # Only a registered target is checked: of the others nothing is known yet.
    if all(word in ("healthy", "not registered", *_IDLE) for word in words):
        return None
    return False


def _targets(names: "set[str]") -> List[Dict[str, Any]]:
    made = []
    for name in sorted(names):
        identifier, _colon, port = name.rpartition(":")
        if not identifier or not port.isdigit():
            raise OncallError(
                "use the target %s" % name, got="it is not ID:PORT", next_step="correct elbv2.targets"
            )
        made.append({"Id": identifier, "Port": int(port)})
    return made
