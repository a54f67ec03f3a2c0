# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runbooks, read from the headers of their playbooks as plain YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.catalog_yaml import FileError, Reader, Step

EFFECTS = ("read", "change", "irreversible")
ROLES = (
    "on_call",
    "backend_lead",
    "data_owner",
    "infrastructure_owner",
    "finance_owner",
    "support_lead",
    "security",
)
"""Who can be called: the roles of escalation, which a system's `contacts` give to people."""


@dataclass(frozen=True)
class Mitigation:
    """A named way to make it better, as the header states it."""

    name: str
    title: str
    advised_when: str
    reason: str
    effect: str
    data_loss: str
    undo: str
    entry_point: str
    parameters: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Signal:
    """What triage recognises a runbook's incident by: `when` is jmespath over the findings of the system."""

    name: str
    when: str
    means: str


@dataclass(frozen=True)
class Escalation:
    """Whom to call, and when."""

    role: str
    when: str


@dataclass(frozen=True)
class Runbook:
    """One kind of incident; `path` is its playbook, `parameters` those that a diagnosis takes, too.

    diagnosis, causes, rollback: sentences for a person. explains: the runbooks whose signals this incident
    causes, too. confirm_by_owner: what was assumed where the prose does not say it. triages: it names the
    runbooks to run instead of mitigations, for every system, declared or not.
    """

    name: str
    title: str
    summary: str
    severity: str
    group: str
    symptoms: tuple[str, ...]
    mitigations: tuple[Mitigation, ...]
    path: Path
    parameters: tuple[dict[str, Any], ...] = ()
    diagnosis: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    rollback: tuple[str, ...] = ()
    escalation: tuple[Escalation, ...] = ()
    signals: tuple[Signal, ...] = ()
    explains: tuple[str, ...] = ()
    confirm_by_owner: tuple[str, ...] = ()
    triages: bool = False

    def mitigation(self, name: str) -> Mitigation | None:
        """Return the mitigation called `name`, None when the runbook has none."""
        return next((m for m in self.mitigations if m.name == name), None)


def runbook_files(playbooks: Path) -> list[Path]:
    """Return the playbooks of all runbooks, sorted by name."""
    return sorted(playbooks.glob("*.yml"))


def runbook_name(path: Path) -> str:
    """Return the name of the runbook whose playbook is `path`."""
    return path.stem.replace("_", "-")


def read_runbook(path: Path) -> Runbook:
    """Return the runbook of the playbook `path`; raise FileError when it has no header."""
    reader = Reader(path)
    steps: list[Step] = [0, "vars", "runbook"]
    data = reader.mapping(
        _header(reader), steps, "a mapping: name, title, summary, severity, group, mitigations"
    )
    texts = {
        key: reader.text_at(data.get(key), [*steps, key], f"{key}: a text")
        for key in ("name", "title", "summary", "severity", "group")
    }
    if texts["name"] != runbook_name(path):
        raise reader.problem(
            [*steps, "name"],
            f"name is {texts['name']!r}",
            f"{runbook_name(path)!r}, like the file of the playbook",
        )

    def sentences(key: str) -> tuple[str, ...]:
        return tuple(_texts(reader, data.get(key, []), [*steps, key]))

    return Runbook(
        **texts,
        symptoms=sentences("symptoms"),
        diagnosis=sentences("diagnosis"),
        causes=sentences("causes"),
        rollback=sentences("rollback"),
        explains=sentences("explains"),
        confirm_by_owner=sentences("confirm_by_owner"),
        escalation=tuple(
            Escalation(**given) for given in _records(reader, data, [*steps, "escalation"], ("role", "when"))
        ),
        signals=tuple(
            Signal(**given)
            for given in _records(reader, data, [*steps, "signals"], ("name", "when", "means"))
        ),
        mitigations=_mitigations(reader, data, steps),
        path=path,
        parameters=_parameters(reader, data, steps),
        triages=data.get("triages") is True,
    )


def _header(reader: Reader) -> Any:
    plays = reader.value
    if not isinstance(plays, list) or not plays or not isinstance(plays[0], dict):
        raise FileError(reader.path, 1, "is no list of plays", "a playbook: a list of plays")
    variables = plays[0].get("vars")
    header = variables.get("runbook") if isinstance(variables, dict) else None
    if header is None:
        raise reader.problem([0], "the first play has no header", "vars: {runbook: {name, title, ...}}")
    return header


def _texts(reader: Reader, value: Any, steps: list[Step]) -> list[str]:
    if not isinstance(value, list):
        raise reader.problem(steps, f"{steps[-1]} is not a list", f"{steps[-1]}: [sentence, ...]")
    return [reader.text_at(item, [*steps, number], "a sentence") for number, item in enumerate(value)]


def _records(
    reader: Reader, data: dict[str, Any], steps: list[Step], keys: tuple[str, ...]
) -> list[dict[str, str]]:
    """Return the mappings listed under the last of `steps`, each with all `keys` as texts."""
    listed = data.get(str(steps[-1]), [])
    expected = f"[{{{', '.join(keys)}}}, ...]"
    if not isinstance(listed, list):
        raise reader.problem(steps, f"{steps[-1]} is not a list", f"{steps[-1]}: {expected}")
    made = []
    for number, value in enumerate(listed):
        here: list[Step] = [*steps, number]
        given = reader.mapping(value, here, f"a mapping: {', '.join(keys)}")
        # A comma in a text without quotes ends it, and its rest reads as a key.
        if strange := sorted(map(str, given.keys() - set(keys))):
            raise reader.problem(here, f"{strange[0]!r} means nothing here", expected)
        made.append({key: reader.text_at(given.get(key), [*here, key], f"{key}: a text") for key in keys})
    return made


def _mitigations(reader: Reader, data: dict[str, Any], steps: list[Step]) -> tuple[Mitigation, ...]:
    listed = data.get("mitigations", [])
    here: list[Step] = [*steps, "mitigations"]
    if not isinstance(listed, list):
        raise reader.problem(here, "mitigations is not a list", "mitigations: a list of mappings")
    made = tuple(_mitigation(reader, item, [*here, number]) for number, item in enumerate(listed))
    names = [mitigation.name for mitigation in made]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise reader.problem([*here, number], f"a second mitigation is named {name}", "each name once")
    return made


def _mitigation(reader: Reader, value: Any, steps: list[Step]) -> Mitigation:
    data = reader.mapping(value, steps, "a mapping: name, title, advised_when, reason, effect, ...")
    keys = ("name", "title", "advised_when", "reason", "effect", "data_loss", "undo", "entry_point")
    texts = {key: reader.text_at(data.get(key), [*steps, key], f"{key}: a text") for key in keys}
    if texts["effect"] not in EFFECTS:
        raise reader.problem(
            [*steps, "effect"], f"effect is {texts['effect']!r}", "one of " + ", ".join(EFFECTS)
        )
    return Mitigation(**texts, parameters=_parameters(reader, data, steps))


def _parameters(reader: Reader, data: dict[str, Any], steps: list[Step]) -> tuple[dict[str, Any], ...]:
    parameters = data.get("parameters") or []
    if not isinstance(parameters, list) or not all(isinstance(p, dict) and p.get("name") for p in parameters):
        raise reader.problem(
            [*steps, "parameters"], "parameters is no list of mappings", "[{name, type}, ...]"
        )
    return tuple(parameters)
