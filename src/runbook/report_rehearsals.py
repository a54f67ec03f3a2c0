# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scores of rehearsals as a table on the screen, as a report, and as JUnit XML."""

from __future__ import annotations

import html
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text
from runbook_engine import state

from runbook.output_text import clock
from runbook.rehearsal.score import Kill

HEAD = ("rehearsal", "kind", "mitigation", "ends", "predicted", "undo", "kills", "time", "proved")


def row(score: Mapping[str, Any]) -> tuple[str, ...]:
    """Return one score in the columns of HEAD."""
    match, kills = score["predicted_matches"] or {}, score["kills"]
    undone = {True: "as before", False: "FAILED", None: ""}.get(score["undone"], str(score["undone"]))
    good = sum(1 for kill in kills if Kill(**kill).good)
    return (
        f"{score['system']} {score['runbook']} {score['fault']}",
        score["kind"],
        score["mitigation"] or "none is right",
        score["ends"],
        f"{match['matched']} of {match['compared']}" if match else "",
        undone,
        f"{good} of {len(kills)}" if kills else "",
        clock(score["recovery_s"]),
        "yes" if score["passed"] else "NO",
    )


def table(scores: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of all scores, those that failed last."""
    made = Table(*HEAD, box=None, padding=(0, 1), header_style="bold")
    for score in sorted(scores, key=lambda score: not score["passed"]):
        cells = row(score)
        style = "green" if score["passed"] else "bold red"
        made.add_row(*cells[:-1], Text(cells[-1], style=style))
    return made


def summary(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what all scores say together, one sentence each."""
    matches = [score["predicted_matches"] for score in scores if score["predicted_matches"]]
    compared, matched = (sum(match[key] for match in matches) for key in ("compared", "matched"))
    kills = [kill for score in scores for kill in score["kills"]]
    good = sum(1 for kill in kills if Kill(**kill).good)
    undone = [score["undone"] for score in scores if isinstance(score["undone"], bool)]
    return [
        f"{sum(1 for score in scores if score['passed'])} of {len(scores)} rehearsals proved",
        f"{matched} of {compared} changing steps did what the plan had said",
        f"{sum(undone)} of {len(undone)} undos gave back the state from before",
        f"{good} of {len(kills)} killed runs left nothing and were resumed without repeating anything",
    ]


def problem(score: Mapping[str, Any]) -> str:
    """Return what a rehearsal failed in, "" when it passed."""
    bad = [stage for stage in score["stages"] if stage["problem"]]
    if score["passed"]:
        return ""
    return f"{bad[0]['name']}: {' '.join(bad[0]['problem'].split())}" if bad else "it was not finished"


def write(path: Path, scores: Sequence[Mapping[str, Any]]) -> None:
    """Write the table, and below it what failed: HTML or Markdown, as the name of `path` ends."""
    write_one = _html if path.suffix == ".html" else _markdown
    state.write_whole(path.absolute(), write_one(scores).encode())


def _markdown(scores: Sequence[Mapping[str, Any]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    lines = ["# Rehearsals", "", *(f"- {told}" for told in summary(scores)), ""]
    lines += [line(HEAD), line(["---"] * len(HEAD)), *(line(row(s)) for s in scores)]
    lines += ["", *(f"- {row(s)[0]}: {problem(s)}" for s in scores if problem(s))]
    return "\n".join(lines).rstrip() + "\n"


def _html(scores: Sequence[Mapping[str, Any]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    style = (Path(__file__).resolve().parent / "report" / "report.css").read_text("utf-8")
    failed = "".join(f"<li>{html.escape(f'{row(s)[0]}: {problem(s)}')}</li>" for s in scores if problem(s))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Rehearsals</title>'
        f"<style>{style}</style></head><body><main><h1>Rehearsals</h1>"
        f"<ul>{''.join(f'<li>{told}</li>' for told in summary(scores))}</ul>"
        f"<table><thead>{line(HEAD, 'th')}</thead>"
        f"<tbody>{''.join(line(row(s), 'td') for s in scores)}</tbody></table>"
        f"{f'<ul>{failed}</ul>' if failed else ''}</main></body></html>\n"
    )


def write_junit(path: Path, scores: Sequence[Mapping[str, Any]]) -> None:
    """Write each rehearsal as a test suite, and each of its stages as a test case."""
    root = ET.Element("testsuites", name="rehearsals")
    for score in scores:
        cases = list(_cases(score))
        suite = ET.SubElement(
            root, "testsuite", name=row(score)[0], tests=str(len(cases)),
            failures=str(sum(1 for case in cases if len(case))),
            time=f"{sum(stage['seconds'] for stage in score['stages']):.3f}",
        )  # fmt: skip
        suite.extend(cases)
    text = ET.tostring(root, encoding="unicode")
    # XML has no way to write most control characters.
    state.write_whole(path.absolute(), "".join(c for c in text if c >= " " or c in "\t\n\r").encode())


def _cases(score: Mapping[str, Any]) -> Iterator[ET.Element]:
    for stage in score["stages"]:
        case = ET.Element(
            "testcase", classname=row(score)[0], name=stage["name"], time=f"{stage['seconds']:.3f}"
        )
        if stage["problem"]:
            ET.SubElement(case, "failure", message=stage["problem"])
        yield case
