# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was asked for, checked before anything is done: system, group, mitigation, undo, options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runbook_engine import doors
from runbook_engine.approval import requirement
from runbook_engine.errors import UsageError, nearest

ENGINE_OPTIONS = frozenset(
    {"mitigation", "confirm", "undo", "undo_step", "resume", "plan_digest", "break_glass", "override"}
)
"""Names of the variables by which an operator talks to the engine, the same at every door."""

_FREE_PREFIXES = ("ansible_", "run_", "awx_", "tower_", "molecule_")
_TYPES: dict[str, Callable[[Any], bool]] = {
    # An id may look like a number, and then a door hands it over as one.
    "str": lambda v: isinstance(v, str | int) and not isinstance(v, bool),
    # A survey has no lists: there it is a text with commas.
    "list": lambda v: isinstance(v, list | str),
    "dict": lambda v: isinstance(v, dict),
    "int": lambda v: str(v).lstrip("-").isdigit(),
    "bool": lambda v: str(v).lower() in ("true", "false", "yes", "no", "on", "off", "1", "0"),
}


def check_request(
    header: Mapping[str, Any], system: Any, groups: Mapping[str, list[str]], variables: Mapping[str, Any],
    options: list[str], *, door: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the data of `run.opened`; raise UsageError that names what is wrong and the nearest valid names.

    `variables` are those a target sees; `options` are the names given on the command line or in the survey.
    """
    if not isinstance(system, Mapping) or not system.get("name"):
        raise UsageError(
            "The inventory does not say which system it is: `system.name` is missing.", _INVENTORY
        )
    targets = _targets(header, groups)
    _check_options(header, variables, options)
    mitigation = _mitigation(header, _text(variables, "mitigation"))
    undo = _text(variables, "undo")
    resume = _text(variables, "resume")
    _check_together(mitigation, undo, _text(variables, "undo_step"), resume)
    declared = (system.get("runbooks") or {}).get(header.get("name")) or {}
    severity = declared.get("severity") or header.get("severity")
    return {
        "system": system["name"],
        "severity": severity,
        "group": header["group"],
        "targets": targets,
        "mitigation": mitigation["name"] if mitigation else None,
        "parameters": _parameters(header, variables, door) | _parameters(mitigation or {}, variables, door),
        "undo": undo,
        "undo_step": _text(variables, "undo_step"),
        "resumes": resume,
        "timeouts": _timeouts(mitigation, variables),
        # The entry point that is asked what became of a step that was cut off.
        "outcome": (mitigation or {}).get("outcome"),
        "approval": requirement(declared, severity, mitigation) if mitigation else None,
        "proof": proof_wanted(system),
        "clocks": {k: v for k, v in declared.items() if k.endswith(("_minutes", "_hours"))},
    }


def proof_wanted(system: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{required, max_age_days}`: whether a change needs a proof, and its greatest age (0 = any)."""
    said = system.get("proof") or {}
    if not isinstance(said, Mapping) or not str(said.get("max_age_days", 0)).replace(".", "", 1).isdigit():
        raise UsageError(
            f"system.proof is {said!r}.", "write it as {required: true, max_age_days: 30} in the inventory"
        )
    return {
        # Some versions of Ansible hand over the text of what a template says.
        "required": str(said.get("required", False)).lower() in ("true", "yes", "on", "1"),
        "max_age_days": float(said.get("max_age_days", 0)),
    }


def _check_together(
    mitigation: Mapping[str, Any] | None, undo: str | None, undo_step: str | None, resume: str | None
) -> None:
    if mitigation and undo:
        raise UsageError("mitigation and undo were both given.", "give one of them")
    if undo_step and not undo:
        raise UsageError("undo_step was given without undo.", "name the run: undo")
    if resume and not mitigation:
        raise UsageError(
            "resume was given without mitigation.", "give the mitigation of the run to resume, too"
        )


def _timeouts(mitigation: Mapping[str, Any] | None, variables: Mapping[str, Any]) -> dict[str, int]:
    """Seconds that a step may take: every one, and those that change something; 0 = no limit."""
    given = {
        "step": ("run_step_timeout_s", variables.get("run_step_timeout_s") or 0),
        "mitigation": ("timeout_s of the mitigation", (mitigation or {}).get("timeout_s") or 0),
    }
    for name, value in given.values():
        if not str(value).isdigit():
            raise UsageError(
                f"{name} is {value!r}, which is no number of seconds.", "correct it; 0 = no limit"
            )
    return {key: int(value) for key, (_name, value) in given.items()}


_INVENTORY = "choose the inventory of a system: -i inventories/<system>"


def _targets(header: Mapping[str, Any], groups: Mapping[str, list[str]]) -> list[str]:
    group = str(header.get("group") or "")
    if group not in groups:
        known = [g for g in groups if g not in ("all", "ungrouped")]
        raise UsageError(f"The inventory has no group {group}. {nearest(group, known)}", _INVENTORY)
    if not groups[group]:
        raise UsageError(f"The group {group} has no host, so there is nothing to look at.", "add its hosts")
    return list(groups[group])


def _text(variables: Mapping[str, Any], name: str) -> str | None:
    """A survey gives "" for what was left out."""
    value = variables.get(name)
    return str(value).strip() or None if value is not None else None


def _mitigation(header: Mapping[str, Any], name: str | None) -> Mapping[str, Any] | None:
    if name is None:
        return None
    known = {m["name"]: m for m in header.get("mitigations") or []}
    if name not in known:
        raise UsageError(
            f"The runbook {header.get('name')} has no mitigation {name}. {nearest(name, known)}",
            "give one of these names, or none to diagnose only",
        )
    found: Mapping[str, Any] = known[name]
    return found


def _check_options(header: Mapping[str, Any], variables: Mapping[str, Any], options: list[str]) -> None:
    """A mistyped option would silently do something else than asked."""
    mitigations = header.get("mitigations") or []
    declared = {p["name"] for m in (header, *mitigations) for p in m.get("parameters") or ()}
    owners = {str(m.get("entry_point", "")).split("/")[0].rsplit(".", 1)[-1] for m in mitigations}
    owners |= {name.split("_")[0] for name in variables if "_" in name and name not in options}
    for name in options:
        known = name in ENGINE_OPTIONS | declared | {"system"} or name.startswith(_FREE_PREFIXES)
        if not known and not ("_" in name and name.split("_")[0] in owners):
            raise UsageError(
                f"There is no option {name}. {nearest(name, ENGINE_OPTIONS | declared)}", "correct it"
            )


def _parameters(owner: Mapping[str, Any], variables: Mapping[str, Any], door: str | None) -> dict[str, Any]:
    """The values of the parameters of a runbook or mitigation."""
    values: dict[str, Any] = {}
    for parameter in owner.get("parameters") or []:
        name = parameter["name"]
        value = variables.get(name, parameter.get("default"))
        if value in (None, ""):
            if parameter.get("required"):
                raise UsageError(
                    f"{owner['name']} needs {name}.",
                    f"give it: {doors.parameter(door, name, '…')}",
                )
            continue
        _check_value(parameter, value)
        values[name] = value
    return values


def _check_value(parameter: Mapping[str, Any], value: Any) -> None:
    name, kind, choices = parameter["name"], parameter.get("type", "str"), parameter.get("choices")
    if choices and value not in choices:
        raise UsageError(
            f"{name} is {value!r}. {nearest(str(value), map(str, choices))}", "choose one of them"
        )
    if not _TYPES.get(kind, _TYPES["str"])(value):
        raise UsageError(f"{name} is {value!r}, which is no {kind}.", "correct it")
