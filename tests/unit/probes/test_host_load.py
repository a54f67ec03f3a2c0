"""A load that waits for the disk is told from one that waits for processors."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.oncall.runbooks.plugins.module_utils.probes.host import measure_load
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.thresholds import DEFAULTS


def test_what_was_waited_for_is_told_where_the_kernel_says_it(tmp_path: Path) -> None:
    (tmp_path / "pressure").mkdir()
    for what, share in (("cpu", "3.00"), ("io", "71.40")):
        line = f"some avg10=1.00 avg60={share} avg300=2.00 total=12345\nfull avg10=0.00 avg60=0.00\n"
        (tmp_path / "pressure" / what).write_text(line)
    (found,) = measure_load(DEFAULTS, str(tmp_path))
    assert (found["observed"]["waited_cpu_percent"], found["observed"]["waited_io_percent"]) == (3.0, 71.4)
    assert "for a processor 3 %, for the disk 71 %" in found["summary"]


def test_an_older_kernel_tells_the_load_alone(tmp_path: Path) -> None:
    (found,) = measure_load(DEFAULTS, str(tmp_path))
    assert found["observed"]["waited_io_percent"] is None
    assert "waited" not in found["summary"]
