# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where proofs are: the rehearsals in the state folder, and those that the project brings with it.

    <state>/rehearsals/<id>/rehearsal.json   what one rehearsal showed
    proofs/<system>.json                     what a commit brings: a fresh clone has its proof

In the project's file each path stands once with its hash: it holds proofs of one and the same content only.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runbook_engine.errors import EngineError
from runbook_engine.ids import is_run_id
from runbook_engine.state import write_whole

FOLDER, FILE = "rehearsals", "rehearsal.json"
_SCHEMA = 1
_KEPT = (
    "rehearsal", "system", "runbook", "fault", "faults", "kind", "mitigation", "ends", "control", "detected",
    "recommended", "predicted_matches", "verified", "undone", "data_loss", "nothing_left",
    "resumed_repeats_nothing", "kills", "passed", "target_s", "recovery_s", "loss_window_s", "loss_rows",
    "commit", "machine", "ended", "content_sha256",
)  # fmt: skip

Found = dict[str, Any]
Newest = dict[tuple[str, str], dict[str, Found]]
"""(system, runbook) → fault → its newest rehearsal."""


class ProofError(EngineError):
    """The proofs of a project cannot be read or written."""

    kind = "proof"


def rehearsals(state: Path) -> Iterator[Found]:
    """Yield what every rehearsal in a state folder showed, the newest first; damaged ones are passed over.

    A damaged one proves nothing, and what it may have proved has then to be proved again.
    """
    try:
        names = sorted((entry.name for entry in (state / FOLDER).iterdir()), reverse=True)
    except OSError:
        return
    for name in filter(is_run_id, names):
        found = _read(state / FOLDER / name / FILE)
        if found.get("rehearsal") == name and all(found.get(key) for key in ("system", "runbook", "fault")):
            yield found


def shipped(root: Path, system: str) -> list[Found]:
    """Return the rehearsals of `system` that the project brings; none when it brings none.

    Raises ProofError when the file is damaged: it was made by a command and is never edited.
    """
    path = file_of(root, system)
    if not path.is_file():
        return []
    try:
        kept = json.loads(path.read_text("utf-8"))
        names, hashes = list(kept["files"]), list(kept["files"].values())
        return [
            {**found, "content": {names[n]: hashes[n] for n in found["content"]}}
            for found in kept["rehearsals"]
        ]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ProofError(
            f"{path} cannot be read: {error!r}.", "make it again: runbook proof --save, or check it out again"
        ) from error


def newest(root: Path, state: Path, systems: Mapping[str, list[str]]) -> Newest:
    """Return the newest rehearsal of every fault; `systems`: the runbooks that each system declares.

    Reading stops when each declared runbook has all the faults that its newest rehearsal knows. A damaged
    file of the project proves nothing; `shipped` says so, here it must not stand in the way of an incident.
    """
    made: Newest = {(system, runbook): {} for system, runbooks in systems.items() for runbook in runbooks}
    brought: list[Found] = []
    for system in systems:
        with contextlib.suppress(ProofError):
            brought += shipped(root, system)
    for found in sorted(brought, key=_id, reverse=True):
        _add(made, found)
    seen: Newest = {pair: {} for pair in made}
    for found in rehearsals(state):
        if all(_complete(faults) for faults in seen.values()):
            break
        _add(seen, found)
    for pair, faults in seen.items():
        for fault, found in faults.items():
            if _id(found) > _id(made[pair].get(fault, {})):
                made[pair][fault] = found
    return made


def file_of(root: Path, system: str) -> Path:
    """Return where the project brings the proofs of `system`."""
    return root / "proofs" / f"{system}.json"


def save(root: Path, system: str, found: Sequence[Mapping[str, Any]]) -> Path:
    """Write the rehearsals of `system` that the project brings, and return the file.

    Their contents must be of the same files: raises ProofError when two of them know a path by two hashes.
    """
    files: dict[str, str] = {}
    for one in found:
        for name, known in one["content"].items():
            if files.setdefault(name, known) != known:
                raise ProofError(
                    f"{name} was another file in rehearsal {one['rehearsal']}.", "rehearse all of it again"
                )
    files = dict(sorted(files.items()))
    place = {name: number for number, name in enumerate(files)}
    kept = [
        {
            **{key: one[key] for key in _KEPT if key in one},
            "content": sorted(place[n] for n in one["content"]),
        }
        for one in sorted(found, key=lambda one: (one["runbook"], one["fault"]))
    ]
    path = file_of(root, system)
    path.parent.mkdir(exist_ok=True)
    write_whole(path, _text({"schema": _SCHEMA, "system": system, "files": files, "rehearsals": kept}))
    path.chmod(0o644)
    return path


def _text(kept: Mapping[str, Any]) -> bytes:
    """One line for each file and each rehearsal: a reader of a diff sees which one changed."""
    lines = [f' "schema": {kept["schema"]},', f' "system": {json.dumps(kept["system"])},', ' "files": {']
    lines.append(",\n".join(f"  {json.dumps(name)}: {json.dumps(h)}" for name, h in kept["files"].items()))
    lines += [" },", ' "rehearsals": [']
    lines.append(",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in kept["rehearsals"]))
    return "\n".join(["{", *lines, " ]", "}", ""]).encode()


def _add(made: Newest, found: Found) -> None:
    pair = (str(found["system"]), str(found["runbook"]))
    if pair in made:
        made[pair].setdefault(str(found["fault"]), found)


def _complete(faults: Mapping[str, Found]) -> bool:
    first = next(iter(faults.values()), None)
    return first is not None and bool(first.get("faults")) and set(first["faults"]) <= faults.keys()


def _id(found: Mapping[str, Any]) -> str:
    return str(found.get("rehearsal") or "")


def _read(path: Path) -> Found:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
