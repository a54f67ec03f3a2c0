# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a command line asks to be run: names resolved, folders and files checked, before anything is run."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from runbook_engine import commands, state
from runbook_engine.errors import UsageError

from runbook.catalog_systems import System
from runbook.errors import RefusedError
from runbook.output import make_console
from runbook.project import Project
from runbook.report_write import check_path
from runbook.runner import Request


@dataclass(frozen=True)
class Asked:
    """What the operator asked for, resolved: every name exists.

    `what` says it in words; `began` is when the clock of the recovery started (monotonic): with the command.
    """

    args: argparse.Namespace
    request: Request
    system: System
    target_s: float | None
    what: str
    console: Console
    began: float = field(default_factory=time.monotonic)


def resolve(
    args: argparse.Namespace,
    project: Project,
    runbook: str,
    system: System,
    *,
    where: tuple[tuple[Path, ...], str],
    variables: dict[str, Any],
    what: str,
) -> Asked:
    """Return what is to be run, every option checked before anything is run; `where`: overlays and limit."""
    if args.confirm and args.confirm != system.name:
        raise RefusedError(
            f"--confirm {args.confirm} is not the name of the system; nothing was changed.",
            f"if you mean it: --confirm {system.name}",
        )
    for path in (args.junit, args.report):
        if path:
            check_path(Path(path), report=path == args.report)
    records = state.state_dir(args.state)
    state.prepare(records)
    laid_over, limit = where
    declared = system.runbooks.get(runbook)
    minutes = declared.recovery_minutes if declared else None
    request = Request(
        project,
        project.playbook(runbook),
        (system.folder, *laid_over),
        records,
        variables,
        # The engine's first play runs on localhost: without it a limited run would never be opened.
        limit=f"{limit},localhost" if limit else "",
        timeout=args.timeout,
        given=_given(args),
    )
    console = make_console(stderr=args.json)
    return Asked(args, request, system, minutes * 60 if minutes else None, what, console)


def overlays(args: argparse.Namespace) -> tuple[Path, ...]:
    """Return the inventories that were given over the system's own."""
    return tuple(_inventory(given) for given in args.inventory)


def same_where(args: argparse.Namespace, result: Mapping[str, Any]) -> tuple[tuple[Path, ...], str]:
    """Return overlays and limit of a recorded run: its undo and its resumption go where it went."""
    used = commands.overlays(result)
    given = [str(path) for path in overlays(args)]
    if given and given != used:
        raise RefusedError(
            f"Run {result['run']} used {_listed(used)}, not {_listed(given)}; nothing was changed.",
            "leave out --inventory: the inventories of the run are used",
        )
    return tuple(_inventory(path) for path in used), args.limit or result["asked"].get("limit") or ""


def _listed(overlays: list[str]) -> str:
    return " ".join(f"--inventory {path}" for path in overlays) or "no overlay"


def _inventory(given: str) -> Path:
    path = Path(given).expanduser().absolute()
    if not path.exists():
        raise UsageError(f"There is no inventory {path}.", "name a folder or file that exists")
    return path


def _given(args: argparse.Namespace) -> dict[str, str]:
    named = {"project": args.project, "state": args.state}
    return {what: str(Path(path).expanduser().absolute()) for what, path in named.items() if path}
