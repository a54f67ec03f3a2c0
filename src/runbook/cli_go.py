# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan, show, ask, apply, tell: a change is planned and shown before it is asked for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runbook_engine import approval, commands, proof
from runbook_engine.verdict import CODES

from runbook.cli_asked import Asked
from runbook.errors import RefusedError
from runbook.live import LiveView
from runbook.output_result import print_result
from runbook.report_write import write, write_junit
from runbook.runner import Outcome, Request, RunnerError, execute


def go(asked: Asked, changing: bool) -> int:
    """Diagnose; or plan, and with --apply show it, ask, and apply exactly that. Return the exit code."""
    args = asked.args
    if not changing:
        return _finish(asked, _execute(asked, asked.request, "diagnose"))
    interactive = sys.stdin.isatty() and not args.no_input
    if args.apply and not args.confirm and not interactive:
        raise RefusedError(
            "Nobody can be asked here, and --confirm is missing; nothing was changed.",
            f"if you mean it: --confirm {asked.system.name}",
        )
    plan = _execute(asked, replace(asked.request, check=True), f"plan: {asked.what}")
    # Whoever interrupts a plan does not want what comes after it, also when the plan was complete by then.
    if not args.apply or plan.stopped or plan.result is None or plan.result["exit"]["name"] != "planned":
        return _finish(asked, plan)
    print_result(asked.console, plan.result, verdict=False)
    _check_proved(asked, plan.result)
    _check_approved(asked, plan.result)
    if not args.confirm:
        _ask(asked)
    confirmed = {"confirm": asked.system.name, "plan_digest": plan.result["plan"]["digest"]}
    for name in ("break_glass", "override"):
        if getattr(args, name):
            confirmed[name] = getattr(args, name)
    request = replace(asked.request, variables={**asked.request.variables, **confirmed})
    return _finish(asked, _execute(asked, request, f"apply: {asked.what}"))


def _check_proved(asked: Asked, plan: Mapping[str, Any]) -> None:
    """Before anybody types a name: the gate would refuse it anyway."""
    stands = plan["gate"].get("proof") or {}
    if stands.get("lacking") and not asked.args.override:
        names = {"system": asked.system.name, "runbook": plan["runbook"]["name"]}
        refused = proof.refusal(plan["door"], {**stands, **names})
        raise RefusedError(refused.reason, refused.next_step)


def _check_approved(asked: Asked, plan: Mapping[str, Any]) -> None:
    """Before anybody types a name: the gate would refuse it anyway."""
    if asked.args.break_glass or not (plan["approval"] or {}).get("required"):
        return
    given = approval.load(asked.request.state, plan["plan"]["digest"])
    if given is None:
        raise approval.ApprovalError(
            "This needs the approval of another operator; nothing was changed.",
            f"another operator runs: {commands.about(plan, 'approve', plan['run'])}; "
            "then run this command again; in an emergency: --break-glass 'why'",
        )
    approval.check(given, plan["plan"], plan["operator"], time.time())


def _ask(asked: Asked) -> None:
    """Ask for the system's name; an end of input is a no."""
    name = asked.system.name
    asked.console.print(f"\nType {name} to do this on {asked.system.title}; anything else changes nothing.")
    # Not input(): its prompt would go to stdout, which with --json is for the result alone.
    asked.console.file.write("> ")
    asked.console.file.flush()
    given = sys.stdin.readline().strip()
    if given != name:
        raise RefusedError(
            f"{given!r} is not {name}; nothing was changed."
            if given
            else "No name given; nothing was changed.",
            "run the same command again when you are ready",
        )


def _execute(asked: Asked, request: Request, what: str) -> Outcome:
    runbook = request.playbook.stem.replace("_", "-")
    asked.console.rule(f"{asked.system.name} · {runbook} · {what}", align="left", characters="-")
    outcome = execute(request, LiveView(asked.console, asked.target_s, asked.began))
    if outcome.result is None:
        raise RunnerError(
            _unrecorded(outcome), "look at what Ansible said above; start again when it is solved"
        )
    return outcome


def _unrecorded(outcome: Outcome) -> str:
    said = outcome.damage or outcome.output.strip() or "it said nothing"
    stopped = f" It was stopped: {outcome.stopped}." if outcome.stopped else ""
    return (
        f"The run left no record that can be read, so nothing is verified.{stopped} Ansible ended with "
        + (f"{outcome.rc} and said:\n{said}\n")
    )


def _finish(asked: Asked, outcome: Outcome) -> int:
    """Print and write what came out; the code is the record's, never the runner's."""
    result, args = outcome.result, asked.args
    assert result is not None
    print_result(asked.console, result)
    if outcome.stopped:
        asked.console.print(f"Stopped: {outcome.stopped}.")
    if args.report:
        write(Path(args.report), result, asked.request.state)
        asked.console.print(f"Report: {Path(args.report).absolute()}", soft_wrap=True)
    if args.junit:
        write_junit(Path(args.junit), result)
    if args.json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False, indent=2) + "\n")
    code: int = result["exit"]["code"]
    if code == 0 and outcome.rc != 0:
        # The record says green, the process that wrote it does not: that is not verified.
        return CODES["not_verified"]
    return code
