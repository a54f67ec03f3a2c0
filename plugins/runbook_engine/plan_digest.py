# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The digest of a plan: what is bound before anything runs, and what its steps predict."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from runbook_engine.plain import digest

# What differs between two plans of the same thing: sizes, times and shares, a closing count of a line, and
# how many rows a table of a busy system has at that moment. None is not some: 0 stays.
_MEASURE = re.compile(
    r"\b\d+(?:[.,]\d+)*\s?(?:[kKMGTP]i?B|B|bytes|ms|s|min|h|d|%)(?!\w)|(?<=\s)\d+$"
    r"|\b[1-9]\d*(?:,\d{3})*(?= (?:rows?|active|revoked)\b)",
    re.MULTILINE,
)


def with_prediction(bound: str, run: str, predicted: Iterable[Mapping[str, Any]]) -> str:
    """Return the digest of a whole plan: `bound` (known before) and the predicted diffs of `run`."""
    told = [
        [p["name"], p["step"].partition("@")[2], [comparable(d, run) for d in p["diff"]]] for p in predicted
    ]
    return digest([bound, sorted(told, key=str)])


def comparable(diff: Mapping[str, Any], run: str) -> dict[str, str]:
    """Return the diff of a step of `run` without what differs between two runs that do the same.

    A plan and its apply are two runs: names made of the run's id and measured numbers do not count.
    """
    forms = re.compile("|".join(re.escape(form) for form in {run, run.replace("-", "_")}))
    return {key: _MEASURE.sub("N", forms.sub("RUN", str(value))) for key, value in diff.items()}
