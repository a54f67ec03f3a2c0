"""A switch whose end nobody saw: what it kept before it began says what it did, and takes it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from edge_servers import Act, admin_options

from runbook.rehearsal.vendors.base import VendorServer

RUN, LATER = "20261121t064300z-7f3a9c", "20261121t070000z-aaaaaa"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder in which the run is under way."""
    for run in (RUN, LATER):
        (tmp_path / "runs" / run).mkdir(parents=True)
    monkeypatch.setenv("ONCALL_PROGRESS", str(tmp_path / "runs" / RUN / "progress.jsonl"))
    return tmp_path / "runs"


@pytest.fixture
def ask(runs: Path, monkeypatch: pytest.MonkeyPatch, admin: VendorServer, act: Act) -> Any:
    """Ask in a later run what became of the first."""

    def asked(run: str = RUN) -> dict[str, Any]:
        monkeypatch.setenv("ONCALL_PROGRESS", str(runs / LATER / "progress.jsonl"))
        options = {k: v for k, v in admin_options(admin).items() if k != "probe"}
        return act("cdn_failover_info", run=run, **options)

    return asked


def test_a_switch_that_came_to_its_end_is_found_out_and_taken_back(
    admin: VendorServer, act: Act, ask: Any
) -> None:
    act("cdn_failover", **admin_options(admin))
    seen = ask()["outcome"]
    assert (seen["state"], admin.vendor.state["active"]) == ("done", "bunny")
    assert "goes to bunny" in seen["summary"]
    args = seen["undo"]["args"]
    act("cdn_failover", state="failed_back", before=args["before"], **admin_options(admin))
    assert admin.vendor.state["active"] == "cloudflare"
    assert ask()["outcome"]["state"] == "not_done"


def test_one_that_did_not_begin_left_nothing(ask: Any) -> None:
    seen = ask()["outcome"]
    assert (seen["state"], seen["undo"]) == ("not_done", None)
    assert f"run {RUN} did not begin" in seen["summary"]


def test_one_that_somebody_changed_since_is_neither(admin: VendorServer, act: Act, ask: Any) -> None:
    act("cdn_failover", **admin_options(admin))
    admin.vendor.state["active"] = "a third one"
    seen = ask()["outcome"]
    assert seen["state"] == "half"
    assert seen["undo"]["args"]["before"]["active"] == "cloudflare"


def test_half_a_line_is_none(runs: Path, admin: VendorServer, act: Act, ask: Any) -> None:
    act("cdn_failover", **admin_options(admin))
    path = runs / RUN / "progress.jsonl"
    path.write_text(path.read_text()[:-20])
    assert ask()["outcome"]["undo"] is None


def test_what_another_host_kept_is_its_own(runs: Path, admin: VendorServer, act: Act, ask: Any) -> None:
    act("cdn_failover", **admin_options(admin))
    path = runs / RUN / "progress.jsonl"
    path.write_text(path.read_text().replace("video1", "video2"))
    assert ask()["outcome"]["state"] == "not_done"


def test_without_a_record_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, admin: VendorServer, act: Act
) -> None:
    monkeypatch.delenv("ONCALL_PROGRESS", raising=False)
    options = {k: v for k, v in admin_options(admin).items() if k != "probe"}
    failed = act("cdn_failover_info", run=RUN, **options)
    assert failed["failed"]
    assert "run it through runbook" in failed["msg"]
