"""`make bench`: measure, print the ratios, say which promises are kept. Exit 1 when one is not."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "collections")]

from tests.benchmarks import catalog, dataset, record, restore, ssh, stream, switch, tokens, wrapper  # noqa: E402
from tests.benchmarks.measure import Bench, machine, run_in_turn, table  # noqa: E402


@dataclass(frozen=True)
class Section:
    """One part of the report: `runs` rounds are counted, after `warm_up` that are not."""

    title: str
    open: Callable[[argparse.Namespace, Path], AbstractContextManager[Bench]]
    runs: int
    warm_up: int = 1


SECTIONS = {
    "restore": Section(
        "Restore of a database of about 1 GB, verification and switch included",
        lambda options, scratch: restore.section(scratch, options.postgres, options.rows),
        runs=3,
        warm_up=0,
    ),
    "switch": Section(
        "The switch, as clients see it",
        lambda options, scratch: switch.section(scratch, options.postgres),
        runs=5,
    ),
    "tokens": Section(
        "Revoking 1,000,000 tokens with 4 writers and 4 readers beside it",
        lambda options, scratch: tokens.section(scratch, options.postgres),
        runs=3,
        warm_up=0,
    ),
    "stream": Section(
        "The whole diagnosis of a stream outage over SSH",
        lambda _options, scratch: stream.section(scratch),
        runs=5,
    ),
    "ssh": Section("First finding over SSH", lambda _options, scratch: ssh.section(scratch), runs=7),
    "wrapper": Section(
        "The command `runbook` over plain Ansible",
        lambda _options, scratch: wrapper.section(scratch),
        runs=11,
    ),
    "rehearsal": Section("A whole rehearsal", lambda _options, scratch: wrapper.rehearsal(scratch), runs=3),
    "record": Section("The record", lambda _options, scratch: record.section(scratch), runs=5),
    "catalog": Section("The catalog", lambda _options, scratch: catalog.section(scratch), runs=11),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--section", action="append", choices=SECTIONS, help="only this section (may be given again)"
    )
    parser.add_argument("--runs", type=int, default=0, help="counted runs of each variant (default: fitting)")
    parser.add_argument("--postgres", default="system", help="embedded, system or system-15 (default system)")
    parser.add_argument("--rows", type=int, default=dataset.ROWS, help="rows of the restored database")
    parser.add_argument("--only", default="", help="only variants whose name contains this text")
    parser.add_argument("--output", type=Path, help="also write the report to this file")
    return parser.parse_args()


def _measured(section: Section, options: argparse.Namespace) -> tuple[str, bool]:
    """Measure one section; return its part of the report and whether its promises are kept."""
    print(section.title, file=sys.stderr, flush=True)
    scratch = Path(tempfile.mkdtemp(prefix="oncall-bench-"))
    scratch.chmod(0o711)
    runs = options.runs or section.runs
    try:
        with section.open(options, scratch) as whole:
            bench = replace(whole, variants=[v for v in whole.variants if options.only in v.name])
            run_in_turn(bench.variants, runs=runs, warm_up=section.warm_up)
            text, kept = table(bench)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    how = f"{runs} runs each, in turn" if len(bench.variants) > 1 else f"{runs} runs"
    return f"## {section.title}\n\n{how}, after {section.warm_up} to warm up.\n\n{text}\n", kept


def main() -> int:
    """Run the measurements and print a Markdown report."""
    options = _options()
    # Without compiled bytecode every start of Python is slower than it is for anybody.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    measured_on = machine()
    parts = [_measured(SECTIONS[name], options) for name in options.section or SECTIONS]
    command = f"    {shlex.join(['.venv/bin/python', 'tests/benchmarks/run.py', *sys.argv[1:]])}"
    head = f"# Benchmarks\n\n{command}\n\nMeasured on: {measured_on}; PostgreSQL: {options.postgres}.\n"
    report = "\n".join([head, *(text for text, _ in parts)])
    print(report)
    if options.output:
        options.output.write_text(report)
    return 0 if all(kept for _, kept in parts) else 1


if __name__ == "__main__":
    sys.exit(main())
