# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run probes at the same time, each with its own time limit: one that hangs becomes a finding."""

from __future__ import annotations

__metaclass__ = type

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Collection, Dict, Iterable, List, Mapping, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding, worst
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub

Finding = Dict[str, Any]


@dataclass(frozen=True)
class Probe:
    """One measurement that yields the findings named in `checks`.

    `measure` may yield them one by one: what it yielded before its time was over is kept. `when_late` is the
    status of those that are missing then: `fail` where silence itself is the symptom. `about` is what they
    say of their object, such as which service it is.
    """

    checks: Tuple[str, ...]
    measure: Callable[[], Iterable[Finding]]
    timeout: float
    when_late: str = "unknown"
    about: Mapping[str, Any] = field(default_factory=dict)


class _Running:
    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.found: List[Finding] = []
        self.error = ""
        # Daemon: a thread that hangs in the kernel must not keep the module from ending.
        self.thread = threading.Thread(target=self._measure, daemon=True)
        self.started = time.monotonic()
        self.thread.start()

    def _measure(self) -> None:
        try:
            for found in self.probe.measure():
                self.found.append(found)
        except OncallError as exc:
            self.error = exc.message
        except Exception as exc:
            # The boundary of a probe: its failure must not cost the other measurements.
            self.error = "%s: %s" % (type(exc).__name__, exc)

    def findings(self) -> List[Finding]:
        self.thread.join(max(0.0, self.started + self.probe.timeout - time.monotonic()))
        # Read once: a late thread may still be appending.
        late, found = self.thread.is_alive(), list(self.found)
        have = {f["check"] for f in found}
        for check in self.probe.checks:
            if check not in have:
                found.append(self._missing(check, late))
        return found

    def _missing(self, check: str, late: bool) -> Finding:
        if late:
            text = "not measured: no result within %g s" % self.probe.timeout
            observed = dict(self.probe.about, timeout_s=self.probe.timeout)
            return finding(check, self.probe.when_late, text, observed=observed)
        text = scrub(self.error) or "the probe ended without a result"
        observed = dict(self.probe.about, error=text)
        return finding(check, "unknown", "not measured: %s" % text, observed=observed)


def run_probes(probes: Sequence[Probe]) -> List[Finding]:
    """Run all `probes` at once and return their findings in the order given.

    Takes as long as the longest time limit at most. Every check of every probe has a finding in the result.
    """
    running = [_Running(probe) for probe in probes]
    return [found for one in running for found in one.findings()]


def run_wanted(probes: Sequence[Probe], wanted: Collection[str]) -> List[Finding]:
    """Run those of `probes` that have one of the `wanted` checks, and return the findings of these checks."""
    found = run_probes([probe for probe in probes if not set(wanted).isdisjoint(probe.checks)])
    return [finding for finding in found if finding["check"] in wanted]


def measured(measure: Callable[[], List[Finding]]) -> Dict[str, Any]:
    """Return the result of a module that only measures: what was found, the worst of it, how long it took."""
    started = time.monotonic()
    findings = measure()
    spent = round(time.monotonic() - started, 3)
    return {"changed": False, "findings": findings, "status": worst(findings), "duration_s": spent}
