"""A program that goes on after the command that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runbook.rehearsal.processes import StandInError, alive, start_lasting

SAYS = (
    "import sys, time; sys.stderr.write('canary of a complaint\\n');print({!r}, flush=True); time.sleep(60)"
)


def test_who_reads_our_output_to_its_end_does_not_wait_for_it(tmp_path: Path) -> None:
    starts = (
        "import sys; from pathlib import Path; from runbook.rehearsal.processes import start_lasting;"
        "print(start_lasting([sys.executable, '-c', sys.argv[1]], Path(sys.argv[2]), says='held'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", starts, SAYS.format("held"), str(tmp_path / "log")],
        capture_output=True, timeout=20, check=True,
    )  # fmt: skip
    pid = int(done.stdout)
    try:
        assert alive(pid)
        assert done.stderr == b""
        assert (tmp_path / "log").read_text() == "canary of a complaint\n"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_one_that_says_something_else_is_ended_and_its_complaint_told(tmp_path: Path) -> None:
    with pytest.raises(StandInError, match="did not begin: canary of a complaint"):
        start_lasting([sys.executable, "-c", SAYS.format("no")], tmp_path / "log", says="held")
