"""The memory of a restore does not grow with its backup."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest
from restoring import Restoring

from runbook.rehearsal.fault_proxy import S3FaultProxy

LIMIT = 128 * 1024 * 1024  # bytes resident of the job and everything it starts, for a backup of any size
ROWS = 150_000  # about 50 MB of dump: several times what may be in memory at once
WIDE = (
    "CREATE TABLE wide AS SELECT i AS id, md5(i::text) || md5((i * 7)::text) || md5((i * 13)::text)"
    " || repeat('x', 220) AS t FROM generate_series(1, {}) i; CREATE INDEX wide_t ON wide (t)"
)


def resident(pid: int) -> int:
    """Return the bytes resident of a process and all below it (shared pages counted each time)."""
    try:
        process = Path(f"/proc/{pid}")
        pages = int((process / "statm").read_text().split()[1])
        below = [
            child
            for task in (process / "task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return 0  # it ended while we looked
    return pages * 4096 + sum(resident(int(child)) for child in below)


def job_in(folder: Path) -> int:
    """Return the process id of the job whose own folder was made in `folder`; 0 while there is none."""
    for own in folder.glob("oncall-restore-*"):
        try:
            return int((own / "pid").read_text())
        except (OSError, ValueError):
            continue
    return 0


@pytest.mark.parametrize(
    "how",
    ["gzip", *(pytest.param(how, marks=pytest.mark.slow) for how in ("custom", "gzip-from-a-slow-store"))],
)
def test_a_restore_stays_within_128_megabytes(restoring: Restoring, how: str, tmp_path: Path) -> None:
    restoring.fill(WIDE.format(ROWS))
    if how == "custom":
        content, key = restoring.dump("-Fc", "-Z1"), "daily/app_20261120T030000Z.dump"
    else:
        content, key = gzip.compress(restoring.dump(), 1), "daily/app_20261120T030000Z.sql.gz"
    restoring.upload(content, key)
    peak = 0
    # A folder of its own: jobs that other tests start at the same time are not this one's to measure.
    restoring.settings["TMPDIR"] = str(tmp_path)
    with S3FaultProxy(restoring.s3.endpoint) as proxy:
        if "slow" in how:
            proxy.rules.add("slow", method="GET", path=r"\.gz", rate=6_000_000, times=0, skip=2)
        process = restoring.start(endpoint_url=proxy.url, jobs=2, allow_other_database=True)
        while process.poll() is None:
            peak = max(peak, resident(job_in(tmp_path)))
            time.sleep(0.02)
        said = process.communicate()[0].decode(errors="replace")
    assert "failed=0" in said, said[-2000:]
    assert "ignored=0" in said, said[-2000:]
    print(f"peak of {how}: {peak / 1e6:.0f} MB for a backup of {len(content) / 1e6:.0f} MB")
    assert 10_000_000 < peak <= LIMIT
