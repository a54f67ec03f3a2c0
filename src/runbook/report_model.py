# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a report says: one result turned into the facts that both templates print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runbook_engine import commands
from runbook_engine.plan_text import changes_nothing
from runbook_engine.render import findings_title, headline

from runbook.history import Plot
from runbook.output_result import diff_lines, plan_rows
from runbook.output_text import SEVERITY_ORDER, exit_tone, fact_rows, is_formality, readable, seconds


@dataclass(frozen=True)
class Report:
    """The facts of a report. `plan`: the result of the plan that this run applied, if it is known."""

    result: Mapping[str, Any]
    plan: Mapping[str, Any] | None
    generated: str
    rehearsal: Mapping[str, Any] | None = None
    history: Plot | None = None

    @property
    def title(self) -> str:
        """System, runbook and what was done."""
        return f"{self.result['system'] or 'unknown system'} · {self.runbook} · {self.what}"

    @property
    def runbook(self) -> str:
        """Name of the runbook."""
        return (self.result["runbook"] or {}).get("name") or "unknown runbook"

    @property
    def what(self) -> str:
        """What was asked for, in words."""
        mode, result = self.result["mode"], self.result
        if mode == "undo" or result["undo"]:
            return f"undo of {result['undo']}"
        return f"{mode} {result['mitigation']}" if result["mitigation"] else mode

    @property
    def verdict(self) -> str:
        """The exit's name for readers."""
        return headline(self.result)

    @property
    def findings_title(self) -> str:
        """What stands above the diagnosis."""
        return findings_title(self.result)

    @property
    def tone(self) -> str:
        """Colour of the verdict: ok, warn, info or bad. Only exit code 0 is ok."""
        return exit_tone(self.result["exit"]["code"])

    @property
    def target_s(self) -> float | None:
        """The recovery target in seconds."""
        minutes = (self.result["clocks"] or {}).get("recovery_minutes")
        return minutes * 60 if minutes else None

    @property
    def target_share(self) -> float | None:
        """Part of the recovery target that this run took, 1 = all of it."""
        spent = self.result["duration_s"]
        return spent / self.target_s if spent is not None and self.target_s else None

    @property
    def spent(self) -> str:
        """How long the run took."""
        return seconds(self.result["duration_s"])

    @property
    def target(self) -> str:
        """The recovery target in words."""
        return seconds(self.target_s)

    @staticmethod
    def took(step: Mapping[str, Any]) -> str:
        """How long a step took."""
        return seconds(step["duration_s"])

    @property
    def findings(self) -> list[Mapping[str, Any]]:
        """Findings of the diagnosis, the worst first."""
        return worst_first(self.result["findings"])

    @property
    def verified(self) -> list[Mapping[str, Any]]:
        """Findings of the verification, the worst first."""
        return worst_first(self.result["verification"]["findings"])

    @property
    def steps(self) -> list[Mapping[str, Any]]:
        """Steps that ran, in order."""
        return [
            s
            for s in self.result["steps"]
            if s["status"] != "skipped" and not is_formality(s["action"], s["status"])
        ]

    @property
    def skipped(self) -> int:
        """How many steps were skipped."""
        return sum(s["status"] == "skipped" for s in self.result["steps"])

    @property
    def losses(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Data loss as the steps measured it: step name and its facts."""
        if changes_nothing(self.result):
            return []
        return [
            (step["name"], fact_rows(step["data_loss"]))
            for step in self.steps
            if step.get("data_loss") is not None and step["phase"] == "mitigate"
        ]

    @property
    def loss_window(self) -> str:
        """The data-loss window in a few words; "" when there was nothing to do: then nothing is claimed."""
        if changes_nothing(self.result):
            return ""
        for step in self.steps:
            loss = step.get("data_loss") or (step.get("prediction") or {}).get("data_loss")
            if isinstance(loss, Mapping) and isinstance(loss.get("backup_age_s"), int | float):
                return seconds(loss["backup_age_s"])
            if isinstance(loss, str) and step["phase"] == "mitigate":
                return loss
        return str((self.result["plan"] or {}).get("data_loss") or "none: nothing was asked to change")

    @property
    def plan_facts(self) -> list[tuple[str, str]]:
        """Label and value of everything that the plan says."""
        return plan_rows(self.result) if self.result["plan"] else []

    @property
    def changes(self) -> list[dict[str, Any]]:
        """Each changing step with its predicted and its actual diff."""
        predicted = {item["step"]: item for item in (self.plan or self.result)["plan"]["predicted"]}
        actual = (
            {} if self.result["check_mode"] else {s["id"]: s for s in self.steps if s["effect"] != "read"}
        )
        made = []
        for step in {**predicted, **actual}:
            planned, done = predicted.get(step) if self._predicts else None, actual.get(step)
            before = diff_lines(planned["diff"]) if planned else None
            after = diff_lines(done.get("diff", [])) if done else None
            name = (done or planned or predicted[step])["name"]
            facts = fact_rows((planned or done or {}).get("prediction") or {})
            same = (
                self._without_ids(before) == self._without_ids(after)
                if before is not None and after is not None
                else None
            )
            made.append(
                {
                    "name": name,
                    "step": step,
                    "predicted": before,
                    "actual": after,
                    "same": same,
                    "facts": facts,
                    "irreversible": name in self.irreversible,
                }
            )
        return made

    def _without_ids(self, lines: list[str]) -> list[str]:
        """Names carry the id of the run that made them, so a plan has others than its application."""
        ids = [str(r["run"]) for r in (self.result, self.plan) if r]
        forms = [form for run in ids for form in (run, run.replace("-", "_"))]
        return [re.sub("|".join(map(re.escape, forms)), "RUN", line) for line in lines]

    @property
    def _predicts(self) -> bool:
        """Whether there is a prediction at all: this run is a plan, or its plan is known."""
        return self.result["check_mode"] or self.plan is not None

    @property
    def undos(self) -> list[tuple[str, str]]:
        """Step name and how it is taken back."""
        return [(s["name"], readable(u.get("summary"))) for s in self.steps for u in s.get("undo", ())]

    @property
    def irreversible(self) -> list[str]:
        """Names of the steps that nothing takes back."""
        return [s["name"] for s in self.steps if s["effect"] == "irreversible" and s["changed"]]

    @property
    def alarms(self) -> list[tuple[str, str]]:
        """What nobody may overlook, a word and a sentence each: an overridden rule, what cannot be undone."""
        result, found = self.result, []
        why = (result["gate"] or {}).get("break_glass")
        if why:
            who = readable(result["operator"])
            found.append(
                ("break-glass", f"{who} went on without the approval of a second operator, because: {why}")
            )
        overridden = (result["gate"] or {}).get("override")
        if overridden:
            stands = result["gate"]["proof"]
            found.append(
                (
                    "override",
                    f"{readable(result['operator'])} went on although this was not proved by a rehearsal "
                    f"({stands['line']}), because: {overridden}",
                )
            )
        lost = (result["lock"] or {}).get("lost")
        if lost:
            found.append(("lock lost", f"The lock of the system was lost during the run: {lost}"))
        if self.irreversible:
            tense = "would change" if result["check_mode"] else "changed"
            found.append(
                ("irreversible", f"Nothing takes back what this {tense}: {', '.join(self.irreversible)}")
            )
        return found

    @property
    def commands(self) -> list[str]:
        """How to run the same again, at two doors."""
        system, plan = self.result["system"] or "SYSTEM", self.result["mode"] == "plan"
        plain = [f"ansible-playbook -i inventories/{system} playbooks/{self.result['playbook']}"]
        plain += [f"-i {path}" for path in commands.overlays(self.result)]
        if self.result["undo"]:
            wrapper = commands.undo(self.result, self.result["undo"], apply=not plan)
            plain.append(f"-e undo={self.result['undo']}")
        elif self.result["mitigation"]:
            wrapper = commands.mitigate(self.result, self.result["mitigation"], apply=not plan)
            plain.append(f"-e mitigation={self.result['mitigation']}")
        else:
            wrapper = commands.measure(self.result)
        plain += [f"-e {name}={readable(value)}" for name, value in self.result["parameters"].items()]
        if self.result["mitigation"] or self.result["undo"]:
            plain.append("--check --diff" if plan else f"-e confirm={system}")
        return [wrapper, " ".join(plain)]

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Who, when, where, with what."""
        result = self.result
        commit = (result["commit"] or "unknown") + (" with local changes" if result["dirty"] else "")
        versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
        return [
            ("run", result["run"]),
            ("started", readable(result["started_at"])),
            ("finished", readable(result["finished_at"])),
            ("operator", readable(result["operator"])),
            ("controller", readable(result["controller"])),
            ("severity", readable(result["severity"])),
            ("hosts", ", ".join(result["targets"]) or "none"),
            ("commit", commit),
            ("versions", versions),
            ("record", f"{result['record']['events']} events, head {result['record']['head']}"),
        ]


def worst_first(findings: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return findings, the ones that matter first."""
    return sorted(findings, key=lambda f: SEVERITY_ORDER.index(f["status"]))
