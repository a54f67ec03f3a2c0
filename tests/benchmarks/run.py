"""`make bench`: measure, print the ratios, say which promises are kept. Exit 1 when one is not."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from runbook.rehearsal.postgres_server import choose_binaries  # noqa: E402
from runbook.rehearsal.s3_server import S3Server  # noqa: E402
from tests.benchmarks import dataset  # noqa: E402
from tests.benchmarks.measure import Target, Variant, machine, run_in_turn, table  # noqa: E402
from tests.benchmarks.restore import TARGETS, WINDOW_LIMIT_MS, RestoreBench  # noqa: E402


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each variant (default 3)")
    parser.add_argument("--postgres", default="system", help="embedded, system or system-15 (default system)")
    parser.add_argument("--rows", type=int, default=dataset.ROWS, help="rows of the dataset")
    parser.add_argument("--only", default="", help="only variants whose name contains this text")
    return parser.parse_args()


def _restore(options: argparse.Namespace, scratch: Path) -> tuple[list[Variant], list[Target], float]:
    server = dataset.server_in(scratch / "pg", choose_binaries(options.postgres))
    s3 = S3Server(scratch / "s3")
    s3.start()
    try:
        dumps = dataset.prepare(ROOT / ".cache" / "bench", server, options.rows)
        dataset.upload(s3, dumps)
        bench = RestoreBench(server, s3, dumps, scratch)
        try:
            variants = [v for v in bench.variants() if options.only in v.name]
            run_in_turn(variants, runs=options.runs)
        finally:
            bench.close()
        names = {v.name for v in variants}
        targets = [t for t in TARGETS if {t.variant, t.of} <= names]
        return variants, targets, max(bench.windows, default=0.0)
    finally:
        s3.stop()
        server.stop()


def main() -> int:
    """Run the measurements and print a Markdown report."""
    options = _options()
    scratch = Path(tempfile.mkdtemp(prefix="oncall-bench-"))
    scratch.chmod(0o711)
    try:
        variants, targets, window = _restore(options, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    text, kept = table(variants, targets)
    print(f"\nMeasured on: {machine()}; {options.runs} runs each, in turn; PostgreSQL: {options.postgres}\n")
    print(text)
    print(f"\nLongest switch: {window:.0f} ms without a live database (limit {WINDOW_LIMIT_MS} ms).")
    return 0 if kept and window <= WINDOW_LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
