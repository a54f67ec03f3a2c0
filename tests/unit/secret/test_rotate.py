"""After a rotation the new secret is good and the old one is not, or everything is as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.checks import Check, baseline, prove
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.health import measure
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.private import PrivateCopy, kept_copies
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.rotate import Rotation
from ansible_collections.oncall.runbooks.plugins.module_utils.service.env_file import EnvFile
from token_service import KEY, LOGIN, OLD, Service

Make = Callable[..., Rotation]


def value(path: Path) -> str:
    return EnvFile.read(str(path)).get(KEY) or ""


def everything(folder: Path) -> str:
    return "".join(p.read_text() for p in folder.rglob("*") if p.is_file())


def test_the_new_one_is_good_the_old_one_is_not(
    rotation: Make, service: Service, env_file: Path, tmp_path: Path
) -> None:
    planned = rotation().rotate(64, check_mode=True)
    assert (value(env_file), service.started) == (OLD, 0)
    done = rotation().rotate(64, check_mode=False)
    new = value(env_file)
    assert len(new) == 64
    assert new != OLD
    assert done["baseline"] == [{"url": service.url, "old": "accepted", "foreign": "refused"}]
    assert done["verified"] == [{"url": service.url, "good": "accepted", "bad": "refused"}]
    assert service.secret == new
    told = json.dumps([planned, done])
    assert new not in told
    assert "canary" not in told
    assert planned["diff"] == done["diff"]
    assert planned["prediction"] == done["prediction"]
    assert env_file.stat().st_mode & 0o777 == 0o600
    (kept,) = kept_copies(str(tmp_path / "private"))
    assert Path(kept).stat().st_mode & 0o777 == 0o600
    assert Path(kept).parent.stat().st_mode & 0o777 == 0o700
    assert [p.name for p in env_file.parent.iterdir()] == [".env.prod"]


def test_undo_puts_the_old_one_back_and_deletes_its_copy(
    rotation: Make, service: Service, env_file: Path, tmp_path: Path
) -> None:
    done = rotation().rotate(64, check_mode=False)
    args = done["undo"]["args"]
    assert args == {"run": "run-1", "receipt": {}}
    rotation().take_back({}, check_mode=True)
    assert value(env_file) != OLD
    back = rotation().take_back(args["receipt"], check_mode=False)
    assert (value(env_file), service.secret) == (OLD, OLD)
    assert back["verified"][0] == {"url": service.url, "good": "accepted", "bad": "refused"}
    assert back["undo"]["reversible"] is False
    assert "canary" not in json.dumps(back)
    assert kept_copies(str(tmp_path / "private")) == []
    with pytest.raises(OncallError, match="not kept"):
        rotation().take_back({}, check_mode=False)


def test_after_a_breach_nothing_keeps_the_old_secret(rotation: Make, env_file: Path, tmp_path: Path) -> None:
    done = rotation(breach=True).rotate(64, check_mode=False)
    assert done["undo"]["reversible"] is False
    assert "leaked" in done["undo"]["summary"]
    assert OLD not in everything(tmp_path)


def test_a_forgotten_copy_of_the_old_secret_is_named(rotation: Make, env_file: Path) -> None:
    (env_file.parent / ".env.prod.bak").write_text(env_file.read_text())
    done = rotation(breach=True).rotate(64, check_mode=False)
    assert done["warnings"] == [
        f"the old secret still stands in {env_file.parent}/.env.prod.bak: remove it there"
    ]


@pytest.mark.parametrize("how", ["the service does not come up", "the service keeps the old secret"])
def test_a_failed_rotation_puts_the_old_secret_back(
    rotation: Make, service: Service, env_file: Path, tmp_path: Path, how: str
) -> None:
    if "come up" in how:
        service.breaks = 1
    else:
        service.stale = True
    with pytest.raises(OncallError, match="The old secret is back") as caught:
        rotation().rotate(64, check_mode=False)
    assert caught.value.changed is False
    assert "canary" not in caught.value.message
    assert value(env_file) == OLD
    assert service.secret == OLD
    assert kept_copies(str(tmp_path / "private")) == []


def test_what_cannot_be_put_back_says_so_and_keeps_the_way(
    rotation: Make, service: Service, env_file: Path, tmp_path: Path
) -> None:
    service.breaks = 2
    with pytest.raises(OncallError, match="not proved to be back") as caught:
        rotation().rotate(64, check_mode=False)
    assert caught.value.changed
    assert caught.value.undo is not None
    assert caught.value.undo["args"]["run"] == "run-1"
    assert kept_copies(str(tmp_path / "private"))


def test_after_a_breach_a_failed_proof_leaves_the_new_secret_and_says_so(
    rotation: Make, service: Service, env_file: Path, tmp_path: Path
) -> None:
    service.stale = True
    with pytest.raises(OncallError, match="stays: the old one does not come back, it leaked") as caught:
        rotation(breach=True).rotate(64, check_mode=False)
    assert caught.value.changed
    assert caught.value.undo is not None
    assert caught.value.undo["reversible"] is False
    assert value(env_file) != OLD
    assert OLD not in everything(tmp_path)


def test_a_lost_secret_is_made_anew(rotation: Make, service: Service, env_file: Path) -> None:
    env_file.write_text("PORT=8082\n")
    service.secret = "canary-nobody-knows-this-one-any-more"
    done = rotation().rotate(64, check_mode=False)
    assert done["baseline"][0]["old"] == "none"
    assert len(value(env_file)) == 64
    assert done["undo"]["reversible"] is False
    assert done["diff"]["before"] == "(no secret)\n"


def test_an_address_that_takes_any_token_proves_nothing(
    rotation: Make, service: Service, env_file: Path
) -> None:
    service.lax = True
    with pytest.raises(OncallError, match="signed with a secret nobody knows"):
        rotation().rotate(64, check_mode=False)
    assert (value(env_file), service.started) == (OLD, 0)


def test_a_service_that_is_down_before_may_still_be_rotated(
    rotation: Make, service: Service, env_file: Path
) -> None:
    down = Check("http://127.0.0.1:9/verify", timeout=0.2)
    with pytest.raises(OncallError, match="refused: nobody listens there"):
        rotation(checks=[down]).rotate(64, check_mode=False)
    assert value(env_file) == OLD, "it never came up, so the old secret is back"


@pytest.mark.parametrize("length", [0, 31, 513])
def test_a_length_that_is_no_secret_is_refused_by_name(rotation: Make, env_file: Path, length: int) -> None:
    with pytest.raises(OncallError, match=r"set length \(of the role: secret_length\)"):
        rotation().rotate(length, check_mode=False)
    assert value(env_file) == OLD


@pytest.mark.parametrize("length", [32, 33, 512])
def test_the_length_is_exact(rotation: Make, env_file: Path, length: int) -> None:
    rotation().rotate(length, check_mode=False)
    assert len(value(env_file)) == length


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("twice", "lines"),
        ("missing", "No such file"),
        ("no checks", "set verify"),
        ("private folder", "set private_dir"),
        ("no run", "set run to the id"),
    ],
)
def test_what_is_wrong_is_named_before_anything_changes(
    rotation: Make, service: Service, env_file: Path, broken: str, says: str
) -> None:
    tmp_path = env_file.parent.parent
    changed: dict[str, Any] = {}
    if broken == "twice":
        env_file.write_text(env_file.read_text() + f"export {KEY}=canary-second\n")
    elif broken == "missing":
        env_file.unlink()
    elif broken == "no checks":
        changed = {"checks": []}
    elif broken == "private folder":
        (tmp_path / "private").write_text("a file")
    else:
        changed = {"copy": PrivateCopy(str(tmp_path), "", KEY)}
    before = env_file.read_text() if env_file.exists() else ""
    with pytest.raises(OncallError, match="Next: ") as caught:
        rotation(**changed).rotate(64, check_mode=False)
    assert says in caught.value.message
    assert "canary" not in caught.value.message
    assert service.started == 0
    assert (env_file.read_text() if env_file.exists() else "") == before


def test_an_undo_does_not_undo_what_came_later(rotation: Make, env_file: Path, tmp_path: Path) -> None:
    rotation().rotate(64, check_mode=False)
    later = rotation(copy=PrivateCopy(str(tmp_path / "private"), "run-2", KEY))
    later.rotate(64, check_mode=False)
    now = value(env_file)
    with pytest.raises(OncallError, match="changed again since"):
        rotation().take_back({}, check_mode=False)
    assert value(env_file) == now


def test_release_deletes_the_copy_once(rotation: Make, tmp_path: Path) -> None:
    rotation().rotate(64, check_mode=False)
    assert rotation().release(check_mode=True)["changed"]
    assert kept_copies(str(tmp_path / "private"))
    assert rotation().release(check_mode=False)["changed"]
    assert kept_copies(str(tmp_path / "private")) == []
    assert rotation().release(check_mode=False)["changed"] is False


def test_the_secret_itself_can_be_the_token(service: Service) -> None:
    check = Check(service.url, kind="bearer")
    assert baseline([check], OLD)[0]["old"] == "accepted"
    assert prove([check], OLD, "canary-wrong", within=0)[0]["bad"] == "refused"
    with pytest.raises(OncallError, match="the right secret: refused"):
        prove([check], "canary-wrong", "", within=0)


def test_status_tells_everything_but_the_value(env_file: Path, tmp_path: Path, rotation: Make) -> None:
    params = {"path": str(env_file), "key": KEY, "min_length": 32, "private_dir": str(tmp_path / "private")}

    def seen() -> dict[str, str]:
        found = measure(params)
        assert "canary" not in json.dumps(found)
        return {f["check"]: f["status"] for f in found}

    assert seen() == {"secret_stored": "ok", "secret_copies": "ok"}
    rotation().rotate(64, check_mode=False)
    assert seen() == {"secret_stored": "ok", "secret_copies": "warn"}
    for content, status in (
        (f"{KEY}=canary-short\n", "fail"),
        (f"{KEY}={OLD}\n{KEY}={OLD}\n", "fail"),
        ("", "fail"),
    ):
        env_file.write_text(content)
        assert seen()["secret_stored"] == status
    env_file.write_text(f"{KEY}={OLD}\n")
    env_file.chmod(0o644)
    assert seen()["secret_stored"] == "warn"
    env_file.unlink()
    assert seen() == {"secret_stored": "fail"}


def test_a_login_shows_which_secret_signs(rotation: Make, service: Service, env_file: Path) -> None:
    check = Check(service.url, kind="login_hs256", login=LOGIN, then=service.url)
    done = rotation(checks=[check]).rotate(64, check_mode=False)
    assert done["baseline"][0]["old"] == "accepted"
    assert done["verified"][0] == {"url": service.url, "good": "accepted", "bad": "refused"}
    with pytest.raises(OncallError, match="this run has exchanged the secret already"):
        rotation(checks=[check]).rotate(64, check_mode=False)
    rotation().release(check_mode=False)
    service.stale = True
    with pytest.raises(OncallError, match="The old secret is back"):
        rotation(checks=[check]).rotate(64, check_mode=False)
    wrong = Check(
        service.url, kind="login_hs256", login={"email": "canary@example.com", "password": "canary-x"}
    )
    assert wrong.ask(OLD).startswith("the login: status 401")


def test_what_a_killed_attempt_left_is_no_obstacle(rotation: Make, env_file: Path, tmp_path: Path) -> None:
    PrivateCopy(str(tmp_path / "private"), "run-1", KEY).write(OLD, "canary-never-written")
    rotation().rotate(64, check_mode=False)
    assert rotation().take_back({}, check_mode=False)["changed"]
    assert value(env_file) == OLD


def test_a_service_that_still_has_the_old_secret_is_found_by_the_token_of_a_login(service: Service) -> None:
    other = Service(lambda: "canary-another-secret-0123456789abcdef")
    check = Check(service.url, kind="login_hs256", login=LOGIN, then=other.url)
    assert check.ask(OLD) == f"{other.url} refuses it"
    other.server.shutdown()
    other.server.server_close()
    assert "nobody listens" in check.ask(OLD)


def test_a_login_without_an_account_is_refused_before_anything(service: Service) -> None:
    given = {"url": service.url, "kind": "login_hs256", "login": {"email": "", "password": ""}}
    with pytest.raises(OncallError, match="set login to an account"):
        Check.from_options(given)


def test_a_run_that_is_killed_in_the_middle_can_still_be_taken_back(
    rotation: Make, service: Service, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(secrets: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(service, "recreate", killed)
    with pytest.raises(KeyboardInterrupt):
        rotation().rotate(64, check_mode=False)
    assert value(env_file) != OLD
    monkeypatch.undo()
    assert rotation().take_back({}, check_mode=False)["changed"]
    assert (value(env_file), service.secret) == (OLD, OLD)
