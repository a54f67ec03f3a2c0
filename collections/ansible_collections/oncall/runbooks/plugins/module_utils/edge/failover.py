# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send traffic to another origin and back: look, refuse, switch, prove from outside, or take it back."""

from __future__ import annotations

__metaclass__ = type

import json
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.edge.base import (
    EdgeProvider,
    EdgeState,
    Settings,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    ConflictError,
    OncallError,
    UsageError,
    VerificationError,
)

#: proves from outside that the origin answers and returns what was seen; raises VerificationError
Prove = Callable[[str], Dict[str, Any]]
_WAY_BACK = "oncall.runbooks.edge"


@dataclass(frozen=True)
class Wish:
    """What was asked for.

    back: to the normal origin; target: the origin by name ("" = choose); primary: the normal origin's name;
    before: `{active, settings}` of an earlier switch, to be put back exactly; force_reason: why an origin
    that is not healthy is good enough.
    """

    back: bool = False
    target: str = ""
    primary: str = ""
    before: Optional[Mapping[str, Any]] = None
    force_reason: str = ""


class SwitchError(VerificationError):
    """The switch failed; `undo` says how to take it back when it is, or may be, still in place."""


def switch(
    provider: EdgeProvider,
    wish: Wish,
    prove: Prove,
    *,
    check_mode: bool,
    keep: Callable[[Dict[str, Any]], None],
) -> Dict[str, Any]:
    """Do what `wish` says and return the module's result; in check mode only look and predict.

    `keep` gets the undo before anything is changed, so that it outlives this process. Raises OncallError; its
    `changed` says whether traffic is, or may be, directed otherwise than before.
    """
    state = provider.state()
    target = _target(provider, state, wish)
    wanted = _wanted(provider, state, target, wish)
    if not provider.same(state.settings, wanted):
        _refuse_unhealthy(provider, state, target, wish)
    # From here on only what the switch changes counts.
    state = replace(state, settings=provider.before_of(state.settings, wanted))
    result = _predicted(provider, state, target, wanted, wish)
    if check_mode:
        return result
    if not result["changed"]:
        result["proof"] = prove(target)
        return result
    keep(result["undo"])
    _carry_out(provider, state, wanted, careful=not wish.force_reason, undo=result["undo"])
    try:
        result["proof"] = prove(target)
    except OncallError as exc:
        raise _taken_back(provider, state, exc, result["undo"]) from None
    return result


def _wanted(provider: EdgeProvider, state: EdgeState, target: str, wish: Wish) -> Settings:
    if wish.before:
        return dict(wish.before["settings"])
    if wish.back and state.active == target:
        # It is back: its own ways to go on to other origins, which nobody recorded, stay.
        return state.settings
    return provider.planned(state, target)


def _target(provider: EdgeProvider, state: EdgeState, wish: Wish) -> str:
    if wish.before:
        return str(wish.before["active"])
    name = wish.target or (wish.primary if wish.back else _other(provider, state, wish.primary))
    if not name:
        next_step = "set primary, or give the state before the switch"
        raise UsageError("choose an origin", on=provider.place, got="none is named", next_step=next_step)
    if state.origin(name) is None:
        known = ", ".join(one.name for one in state.origins) or "none"
        got = "it has no origin %s; it has: %s" % (name, known)
        raise UsageError("choose an origin", on=provider.place, got=got, next_step="correct target")
    return name


def _other(provider: EdgeProvider, state: EdgeState, primary: str) -> str:
    """The one origin that is left when none was named; where traffic has left the primary, it stays."""
    if primary and state.active not in ("", primary):
        return state.active
    usable = [
        o.name for o in state.origins if o.healthy is not False and o.name not in (state.active, primary)
    ]
    if len(usable) == 1:
        return usable[0]
    got = "%d origins are left beside %s: %s" % (
        len(usable),
        state.active or primary or "the present one",
        state.describe(),
    )
    next_step = "set target" if usable else "bring another origin up, or set target and force_reason"
    raise ConflictError("choose an origin", on=provider.place, got=got, next_step=next_step)


def _refuse_unhealthy(provider: EdgeProvider, state: EdgeState, target: str, wish: Wish) -> None:
    found = state.origin(target)
    unseen = found is not None and found.healthy is None and provider.waits_for_health
    # Where traffic went to several origins at once there is no single one to ask.
    if wish.force_reason or unseen or not target or (found is not None and found.healthy):
        return
    raise ConflictError(
        "send traffic to %s" % target,
        on=provider.place,
        got=found.word if found else "it is not among the origins any more: %s" % state.describe(),
        next_step="bring it up first; if it has to take the traffic as it is, set force_reason",
        kind="unhealthy",
    )


def _predicted(
    provider: EdgeProvider, state: EdgeState, target: str, wanted: Settings, wish: Wish
) -> Dict[str, Any]:
    changed = wanted != state.settings
    origin = state.active or "several origins"
    said = (
        "traffic goes from %s to %s" % (origin, target) if changed else "traffic goes to %s already" % target
    )
    if wish.force_reason and changed:
        said += "; its health is not asked for, because: %s" % wish.force_reason
    result: Dict[str, Any] = {
        "changed": changed,
        "active_before": state.active,
        "active": target,
        "origins": [{"name": o.name, "healthy": o.healthy, "note": o.note} for o in state.origins],
        "prediction": {"summary": "%s: %s" % (provider.place, said), "data_loss": "none"},
        "diff": {"before": _text(state.settings), "after": _text(wanted)},
    }
    if changed:
        result["undo"] = _undo(provider, state, wanted)
    return result


def _undo(provider: EdgeProvider, state: EdgeState, wanted: Settings) -> Dict[str, Any]:
    return {
        "summary": "Send the traffic of %s to %s again." % (provider.place, state.active or "where it went"),
        "reversible": True,
        "role": _WAY_BACK,
        "entry_point": "failback",
        # `wanted` is for whoever has to find out whether a switch that was cut off came to its end.
        "args": {"before": {"active": state.active, "settings": state.settings}, "wanted": wanted},
    }


def _text(settings: Settings) -> str:
    return json.dumps(settings, indent=2, sort_keys=True) + "\n"


def _carry_out(
    provider: EdgeProvider, before: EdgeState, wanted: Settings, *, careful: bool, undo: Dict[str, Any]
) -> None:
    try:
        provider.apply(before, wanted, careful=careful)
    except OncallError as exc:
        # An answer that was lost does not say whether the request was carried out: look.
        if _is(provider, wanted):
            return
        raise _taken_back(provider, before, exc, undo) from None
    if not _is(provider, wanted):
        got = "it took the request, and says something else now"
        said = VerificationError("switch %s" % provider.place, got=got, next_step="look at it by hand")
        raise _taken_back(provider, before, said, undo)


def _is(provider: EdgeProvider, wanted: Settings) -> bool:
    try:
        return provider.same(provider.state().settings, wanted)
    except OncallError:
        return False


def _taken_back(
    provider: EdgeProvider, before: EdgeState, cause: OncallError, undo: Dict[str, Any]
) -> SwitchError:
    """Put back what was there and return the error that says why, and whether that worked."""
    try:
        _put_back(provider, before)
        now = provider.state()
        failed = "" if provider.same(now.settings, before.settings) else "traffic goes to %s" % now.active
    except OncallError as exc:
        failed = exc.message
    if failed:
        got = "%s And it could not be put back: %s" % (cause.message, failed)
        next_step = "take it back with the recorded undo, or by hand: %s" % json.dumps(before.settings)
        error = SwitchError("switch %s" % provider.place, got=got, next_step=next_step)
        error.changed, error.undo = True, undo
        return error
    got = "%s Traffic is as it was before" % cause.message
    return SwitchError("switch %s" % provider.place, got=got, next_step="remove the cause, then run it again")


def _put_back(provider: EdgeProvider, before: EdgeState) -> None:
    now = provider.state()
    if provider.same(now.settings, before.settings):
        return
    origin = before.origin(before.active)
    try:
        # What was well before is waited for; what was ill already has to take the traffic as it is.
        provider.apply(now, before.settings, careful=bool(origin and origin.healthy))
    except VerificationError:
        provider.apply(provider.state(), before.settings, careful=False)
