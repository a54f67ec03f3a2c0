# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a service runs with the settings it needs: that they are there, how long, never what they are."""

from __future__ import annotations

__metaclass__ = type

from dataclasses import dataclass
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import (
    EnvironmentFact,
    Provider,
    facts_of,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.env_file import EnvFile

Rule = Mapping[str, Any]


@dataclass(frozen=True)
class _Setting:
    """One rule, and what was seen of it: None where nothing could be seen; `lines` of the file set it."""

    rule: Rule
    running: Optional[EnvironmentFact]
    kept: Optional[EnvironmentFact]
    lines: int

    @property
    def is_number(self) -> bool:
        return self.rule.get("number") is not None

    @property
    def differ(self) -> bool:
        return bool(self.running and self.kept and self.running.digest != self.kept.digest)

    @property
    def remedy(self) -> str:
        """What would help: see measure_settings."""
        wrong = self.wrong(self.running)
        if self.kept is None or (not self.differ and not wrong and not self.wrong(self.kept)):
            return ""
        if not self.wrong(self.kept):
            return "recreate" if self.differ else ""
        known = self.is_number or self.rule.get("value") or (self.running and not wrong)
        return "correct" if known else "rotate"

    @property
    def status(self) -> str:
        if self.running is None:
            return self._bad() if self.remedy else "unknown"
        if self.wrong(self.running):
            return self._bad()
        # Well now, but what is made from the file next would be another.
        return "warn" if self.differ or self.lines > 1 else "ok"

    def _bad(self) -> str:
        # A number that deviates works, and somebody may have wanted it; a secret that is too short does not.
        return "warn" if self.is_number else "fail"

    def wrong(self, fact: Optional[EnvironmentFact]) -> str:
        """What is wrong with it in one place; empty when nothing is, or nothing was seen there."""
        if fact is None:
            return ""
        if not fact.present:
            return "missing"
        if fact.length == 0:
            return "empty"
        if fact.length < self.rule["min_length"]:
            return "%d characters instead of at least %d" % (fact.length, self.rule["min_length"])
        return self._another(fact)

    def _another(self, fact: EnvironmentFact) -> str:
        """How it is not what the rule says; empty when it is, or the rule says nothing."""
        wanted = self.rule.get("value")
        if self.is_number and fact.number != self.rule["number"]:
            told = "no number" if fact.number is None else fact.number
            return "%s instead of %d" % (told, self.rule["number"])
        if wanted and fact.digest != EnvironmentFact.of(wanted).digest:
            return "another one than it has to be"
        return ""

    def words(self, fact: Optional[EnvironmentFact]) -> str:
        """What is told of it in one place."""
        if fact is None:
            return "not seen"
        right = "%d" % fact.number if fact.number is not None else "present, %d characters" % fact.length
        return self.wrong(fact) or right

    def sentence(self) -> str:
        """All of it in one sentence."""
        text = "%s: %s in the running service" % (self.rule["name"], self.words(self.running))
        if self.kept is not None:
            text += ", %s in its file" % self.words(self.kept)
        if self.lines > 1:
            text += " (on %d lines, of which the last counts)" % self.lines
        if self.remedy == "recreate":
            text += "; a restart does not read the file again, the service has to be recreated"
        return text

    def expected(self) -> Dict[str, Any]:
        """What it has to be."""
        if self.is_number:
            return {"number": self.rule["number"]}
        told = {"present": True, "length_at_least": self.rule["min_length"]}
        return dict(told, another=False) if self.rule.get("value") else told


def measure_settings(provider: Provider, env_file: str, rules: Sequence[Rule]) -> Iterator[Dict[str, Any]]:
    """Yield a finding for each rule: in the running service, and in the file it is made from.

    `observed.remedy` is `recreate` when the file is right and the running service has something else,
    `rotate` when a secret is right in neither and nobody says what it has to be, `correct` when the file is
    wrong otherwise, else empty.
    """
    names = [rule["name"] for rule in rules]
    numbers = [rule["name"] for rule in rules if rule.get("number") is not None]
    running, problem = _running(provider, names, numbers)
    kept, lines, trouble = _kept(env_file, names, numbers)
    for rule in rules:
        name = rule["name"]
        seen = _Setting(rule, running.get(name), kept.get(name), lines.get(name, 0))
        yield finding(
            "service_settings",
            seen.status,
            ". ".join(text.rstrip(".") for text in (seen.sentence(), problem, trouble) if text) + ".",
            observed={
                "setting": name,
                "running": seen.running.as_dict() if seen.running else None,
                "file": dict(seen.kept.as_dict(), lines=seen.lines) if seen.kept else None,
                "differ": seen.differ,
                "remedy": seen.remedy,
            },
            expected=seen.expected(),
        )


def _running(
    provider: Provider, names: Sequence[str], numbers: Sequence[str]
) -> Tuple[Dict[str, EnvironmentFact], str]:
    try:
        return provider.environment(names, numbers), ""
    except OncallError as exc:
        return {}, exc.message


def _kept(
    path: str, names: Sequence[str], numbers: Sequence[str]
) -> Tuple[Dict[str, EnvironmentFact], Dict[str, int], str]:
    if not path:
        return {}, {}, ""
    try:
        there = EnvFile.read(path)
    except OncallError as exc:
        return {}, {}, exc.message
    return facts_of(there.values(), names, numbers), {name: there.count(name) for name in names}, ""
