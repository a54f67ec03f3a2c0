# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the report of a run as one HTML file or as Markdown, and its steps as JUnit XML."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runbook_engine import state
from runbook_engine.errors import UsageError

from runbook.history import Plot, plot, trends
from runbook.report_model import Report
from runbook.report_timeline import draw

_TEMPLATES = Path(__file__).resolve().parent / "report"
_FORMATS = {".html": "report.html.j2", ".md": "report.md.j2"}
_LOOK_BACK = 50


def check_path(path: Path, report: bool) -> None:
    """Refuse a file that could not be written, before anything runs: UsageError."""
    if report and path.suffix not in _FORMATS:
        raise UsageError(f"{path} is neither .html nor .md.", "end the report's name with .html or .md")
    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(
            f"{path} cannot be written: {folder} is no folder that you may write to.", "choose another"
        )


def write(
    path: Path, result: Mapping[str, Any], where: Path, rehearsal: Mapping[str, Any] | None = None
) -> None:
    """Write the report of `result` to `path`; `where`: the state folder, where its plan is looked for."""
    check_path(path, report=True)
    state.write_whole(path.absolute(), render(path.suffix, result, where, rehearsal).encode())


def render(
    suffix: str, result: Mapping[str, Any], where: Path, rehearsal: Mapping[str, Any] | None = None
) -> str:
    """Return the report as text; `suffix` is .html or .md, `rehearsal` the score that the run was part of."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - only reports need it

    html = suffix == ".html"
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=html,  # noqa: S701 - Markdown is escaped by the filter `cell`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    report = Report(result, _plan_of(result, where), now, rehearsal, _history(rehearsal, where))
    timeline = draw(list(report.steps), result["started_at"], result["duration_s"])
    return environment.get_template(_FORMATS[suffix]).render(r=report, t=timeline)


def _cell(value: Any) -> str:
    """A text inside a Markdown table or line: one line, nothing in it is markup."""
    text = " ".join(str(value).split())
    for mark in ("\\", "|", "`", "*", "_", "<", "["):
        text = text.replace(mark, f"\\{mark}")
    return text


def _history(rehearsal: Mapping[str, Any] | None, where: Path) -> Plot | None:
    """The plot of all rehearsals of this fault; None of a run that is no rehearsal."""
    if rehearsal is None:
        return None
    found = trends(None, where, [rehearsal["system"]], rehearsal["runbook"], rehearsal["fault"])
    return plot(found[0]) if found else None


def _plan_of(result: Mapping[str, Any], where: Path) -> Mapping[str, Any] | None:
    """The newest plan with the digest of this run's: what was predicted for exactly this."""
    if result["plan"] is None or result["check_mode"]:
        return None
    for folder in state.list_runs(where)[:_LOOK_BACK]:
        try:
            other = state.load_result(folder)
        except (OSError, ValueError):
            continue
        if (
            other
            and other.get("check_mode")
            and (other.get("plan") or {}).get("digest") == result["plan"]["digest"]
        ):
            return other
    return None


def write_junit(path: Path, result: Mapping[str, Any]) -> None:
    """Write each step as a test case, and the run's exit as the last one."""
    suite = ET.Element("testsuite", name=f"{result['system']}.{(result['runbook'] or {}).get('name')}")
    for step in result["steps"]:
        case = ET.SubElement(
            suite, "testcase", classname=step["phase"] or "other", name=f"{step['name']} [{step['host']}]",
            time=f"{step['duration_s'] or 0:.3f}",
        )  # fmt: skip
        _junit_outcome(case, step)
    ended = result["exit"]
    last = ET.SubElement(suite, "testcase", classname="run", name=f"exit {ended['code']} {ended['name']}")
    if ended["code"] not in (0, 3):
        ET.SubElement(last, "failure", message=ended["reason"]).text = f"Next: {ended['next_step']}"
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suite.set("time", f"{result['duration_s'] or 0:.3f}")
    state.write_whole(path.absolute(), _printable(ET.tostring(suite, encoding="unicode")).encode())


def _junit_outcome(case: ET.Element, step: Mapping[str, Any]) -> None:
    message = str(step.get("msg") or step["status"])
    if step["status"] in ("failed", "rescued"):
        ET.SubElement(case, "failure", message=message)
    elif step["status"] in ("unreachable", "started"):
        ET.SubElement(case, "error", message=message)
    elif step["status"] == "skipped":
        ET.SubElement(case, "skipped")


def _printable(text: str) -> str:
    """XML has no way to write most control characters."""
    return "".join(c for c in text if c >= " " or c in "\t\n\r")
