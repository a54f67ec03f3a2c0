"""Whoever sweeps reaches the hosts as the run did, and shows no secret on the way."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runbook_engine import stopping, sweep

GIVEN = {
    "inventory": ("hosts.yml",),
    "remote_user": "deploy",
    "ssh_common_args": "-o ProxyJump=bastion",
    "become": True,
    "private_key_file": None,
}


def _place(**play: str) -> sweep.Place:
    vault = SimpleNamespace(secrets=[("prod", SimpleNamespace(bytes=b"canary-vault"))])
    variables = {"ansible_port": 2222, "ansible_password": "canary-variable"}
    return stopping.place(
        GIVEN, "ansible.cfg", variables, SimpleNamespace(**play), SimpleNamespace(_vault=vault)
    )


def test_what_the_operator_gave_reaches_the_hosts_too() -> None:
    place = _place(password="canary-asked", become_pass="canary-root")
    assert place.options == ("--user=deploy", "--ssh-common-args=-o ProxyJump=bastion", "--become")
    assert [secret.option for secret in place.secrets] == [
        "--extra-vars=@",
        "--connection-password-file=",
        "--become-password-file=",
        "--vault-id=prod@",
    ]
    assert "canary" not in repr(place)


def test_a_run_without_any_of_it_has_none() -> None:
    place = stopping.place({"inventory": ["h,"]}, None, {}, None, None)
    assert (place.options, place.secrets) == ((), ())


def test_secrets_go_through_private_files_that_are_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def run(command: list[str], **_given: Any) -> SimpleNamespace:
        files = [Path(part.rpartition("=@" if "=@" in part else "@" if "@" in part else "=")[2])
                 for part in command if "/runbook-" in part]  # fmt: skip
        seen["text"] = [file.read_text() for file in files]
        seen["modes"] = {oct(p.stat().st_mode & 0o777) for f in files for p in (f, f.parent)}
        seen.update(files=files, argv=" ".join(command))
        return SimpleNamespace(stdout='h | SUCCESS => {"ended": [], "killed": [], "left": []}', stderr="")

    monkeypatch.setattr(sweep.subprocess, "run", run)
    assert sweep.remote(_place(password="canary-asked"), "r", ["h"])["h"] == {
        "ended": [], "killed": [], "left": [],
    }  # fmt: skip
    assert json.loads(seen["text"][0])["ansible_port"] == 2222
    assert seen["text"][1:] == ["canary-asked", "canary-vault"]
    assert seen["modes"] == {"0o600", "0o700"}
    assert "canary" not in seen["argv"]
    assert not any(file.exists() or file.parent.exists() for file in seen["files"])


def test_ansible_takes_its_passwords_from_such_files(tmp_path: Path) -> None:
    """The real thing: a variable and the password of a vault, as `ansible` reads them."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        json.dumps(
            {
                "all": {
                    "hosts": {"one": {"ansible_connection": "local"}},
                    "vars": {"ansible_python_interpreter": "{{ somewhere }}"},
                }
            }
        )
    )
    place = sweep.Place(
        (str(inventory),),
        None,
        str(tmp_path),
        secrets=(
            sweep.Secret("--extra-vars=@", json.dumps({"somewhere": sys.executable}).encode()),
            sweep.Secret("--connection-password-file=", b"canary-asked"),
            sweep.Secret("--become-password-file=", b"canary-root"),
            sweep.Secret("--vault-id=prod@", b"canary-vault"),
        ),
    )
    assert sweep.remote(place, "20260101t000000z-aaaaaa", ["one"]) == {
        "one": {"ended": [], "killed": [], "left": []}
    }
