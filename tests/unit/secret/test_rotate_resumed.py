"""A rotation that was not brought to its end: what comes after it goes back to the secret from before it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.env_file import EnvFileDestination
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.private import PrivateCopy, kept_copies
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.rotate import Rotation
from ansible_collections.oncall.runbooks.plugins.module_utils.service.env_file import EnvFile
from token_service import KEY, OLD, Service

Make = Callable[..., Rotation]
SHORT = "canary-short"


class Stuck(EnvFileDestination):
    """A file that takes a new secret, and then no other: the one from before cannot be put back."""

    def put_back(self, old: str, receipt: dict[str, Any]) -> None:
        raise OncallError("write the secret", on=self.place, got="no space left", next_step="make room")


def value(path: Path) -> str:
    return EnvFile.read(str(path)).get(KEY) or ""


@pytest.fixture
def by(rotation: Make, tmp_path: Path, env_file: Path) -> Make:
    """Make the rotation of a run by its name."""

    def make(run: str, **changed: Any) -> Rotation:
        destination = changed.pop("destination", EnvFileDestination(str(env_file), KEY))
        copy = PrivateCopy(str(tmp_path / "private"), run, KEY, destination.place)
        return rotation(copy=copy, destination=destination, **changed)

    return make


def failed(rotation: Rotation) -> OncallError:
    with pytest.raises(OncallError) as caught:
        rotation.rotate(64, check_mode=False)
    assert caught.value.changed
    assert caught.value.undo is not None
    assert "canary" not in json.dumps(caught.value.undo)
    return caught.value


def test_resumed_and_taken_back_it_is_the_secret_from_before_the_first_run(
    by: Make, service: Service, env_file: Path, tmp_path: Path
) -> None:
    service.breaks = 1
    assert failed(by("run-1", destination=Stuck(str(env_file), KEY))).undo["reversible"]  # type: ignore[index]
    stopped = value(env_file)
    done = by("run-2").rotate(64, check_mode=False)
    assert value(env_file) not in (OLD, stopped)
    assert len(kept_copies(str(tmp_path / "private"))) == 1, "the old secret is kept once"
    # As an undo of both runs: first all of it as a plan, then the last change first.
    assert by("run-1").take_back({}, check_mode=True)["changed"] is False
    assert by("run-2").take_back(done["undo"]["args"]["receipt"], check_mode=True)["changed"]
    with pytest.raises(OncallError, match="run run-2 went on with this rotation"):
        by("run-1").take_back({}, check_mode=False)
    by("run-2").take_back(done["undo"]["args"]["receipt"], check_mode=False)
    assert (value(env_file), service.secret) == (OLD, OLD)
    assert by("run-1").take_back({}, check_mode=False)["changed"] is False
    assert (value(env_file), service.secret) == (OLD, OLD)
    assert not list((tmp_path / "private").glob("*/*"))


def test_a_killed_run_that_is_resumed_is_taken_back_with_it(
    by: Make, service: Service, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(secrets: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(service, "recreate", killed)
        for run in ("run-1", "run-2"):
            with pytest.raises(KeyboardInterrupt):
                by(run).rotate(64, check_mode=False)
    assert by("run-1").take_back({}, check_mode=True)["changed"], "also without the run that went on"
    by("run-3").rotate(64, check_mode=False)
    by("run-3").take_back({}, check_mode=False)
    assert (value(env_file), service.secret) == (OLD, OLD)


def test_what_is_back_and_not_proved_is_proved_by_the_undo(
    by: Make, service: Service, env_file: Path, tmp_path: Path
) -> None:
    service.breaks = 2
    error = failed(by("run-1"))
    assert "not proved to be back" in error.message
    assert value(env_file) == OLD
    assert by("run-1").take_back({}, check_mode=True)["changed"]
    back = by("run-1").take_back({}, check_mode=False)
    assert back["verified"] == [{"url": service.url, "good": "accepted", "bad": "none"}]
    assert (value(env_file), service.secret) == (OLD, OLD)
    assert kept_copies(str(tmp_path / "private")) == []


def test_what_is_back_and_not_proved_may_be_resumed_and_both_taken_back(
    by: Make, service: Service, env_file: Path
) -> None:
    service.breaks = 2
    failed(by("run-1"))
    by("run-2").rotate(64, check_mode=False)
    for run in ("run-2", "run-1"):
        by(run).take_back({}, check_mode=True)
    for run in ("run-2", "run-1"):
        by(run).take_back({}, check_mode=False)
    assert (value(env_file), service.secret) == (OLD, OLD)


def test_where_there_was_none_a_resumed_run_says_so_too(
    by: Make, service: Service, env_file: Path, tmp_path: Path
) -> None:
    env_file.write_text("PORT=8082\n")
    service.breaks = 1
    error = failed(by("run-1"))
    assert error.undo == {
        "summary": "The old secret is not put back: there was none. No copy of it was kept.",
        "reversible": False,
        "no_way_back": True,
    }
    planned = by("run-2").rotate(64, check_mode=True)
    assert "cannot be put back: there was none" in planned["prediction"]["summary"]
    done = by("run-2").rotate(64, check_mode=False)
    assert done["undo"] == planned["undo"] == error.undo
    assert not list((tmp_path / "private").glob("*/*")), "nothing is kept that nobody goes back to"


def test_a_secret_too_short_to_sign_with_is_not_kept_and_the_plan_says_so(
    by: Make, service: Service, env_file: Path, tmp_path: Path
) -> None:
    env_file.write_text(f"{KEY}={SHORT}\n")
    planned = by("run-1").rotate(64, check_mode=True)
    assert "it has 12 characters, too few to sign with" in planned["prediction"]["summary"]
    assert planned["undo"]["reversible"] is False
    service.breaks = 1
    assert "stays" in failed(by("run-1")).message
    assert value(env_file) != SHORT
    assert not kept_copies(str(tmp_path / "private"))
    done = by("run-2").rotate(64, check_mode=False)
    assert done["prediction"]["summary"] == planned["prediction"]["summary"]
    assert done["undo"] == planned["undo"]


def test_a_short_secret_that_the_services_take_comes_back(by: Make, service: Service, env_file: Path) -> None:
    env_file.write_text(f"{KEY}={SHORT}\n")
    service.secret = SHORT
    done = by("run-1").rotate(64, check_mode=False)
    by("run-1").take_back(done["undo"]["args"]["receipt"], check_mode=False)
    assert (value(env_file), service.secret) == (SHORT, SHORT)


def test_what_a_run_has_kept_is_still_kept_when_it_tries_again_and_cannot_write(
    by: Make, service: Service, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.breaks = 1
    failed(by("run-1", destination=Stuck(str(env_file), KEY)))
    full = Stuck(str(env_file), KEY)
    monkeypatch.setattr(full, "store", lambda _value: full.put_back("", {}))
    with pytest.raises(OncallError, match="no space left") as caught:
        by("run-1", destination=full).rotate(64, check_mode=False)
    assert not caught.value.changed
    by("run-1").take_back({}, check_mode=False)
    assert (value(env_file), service.secret) == (OLD, OLD)


def test_a_rotation_of_another_file_with_the_same_secret_is_another(
    by: Make, service: Service, env_file: Path
) -> None:
    other = env_file.parent / "other.env"
    other.write_text(env_file.read_text())
    service.breaks = 1
    failed(by("run-1", destination=Stuck(str(env_file), KEY)))
    service.stale = True
    with pytest.raises(OncallError, match="The old secret is back"):
        by("run-2", destination=EnvFileDestination(str(other), KEY)).rotate(64, check_mode=False)
    service.stale = False
    assert by("run-1").take_back({}, check_mode=False)["changed"]
    assert value(env_file) == OLD
