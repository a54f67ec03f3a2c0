"""A program of a real supervisord: its states, its restart, and what may be told of its settings."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    UnreachableError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.supervisor import SupervisorProvider

from runbook.rehearsal.processes import wait_until

from .conftest import SECRET, Supervised


def test_every_state_is_told_apart(supervised: Supervised) -> None:
    web = supervised.provider()
    running = web.state()
    assert (running.running, running.well, running.pid > 0) == (True, True, True)
    assert not supervised.provider("nobody").state().exists
    stopped = supervised.provider("broken").state()
    # Another test may have started it and ended it again.
    assert (stopped.exists, stopped.running) == (True, False)
    assert stopped.word in ("stopped", "exited")
    os.kill(running.pid, signal.SIGSTOP)
    wait_until(lambda: web.state().frozen, timeout=5, what="the freeze")
    assert not web.state().well
    web.thaw(web.state())
    wait_until(lambda: web.state().well, timeout=5, what="the thaw")


def test_a_restart_makes_another_process_that_reads_its_settings_again(supervised: Supervised) -> None:
    web, before = supervised.provider(), supervised.provider().state()
    supervised.env_file.write_text("AUTH_JWT_EXPIRY=86400\n")
    done = web.recreate(stop_timeout=5)
    after = web.state()
    assert (after.running, after.pid != before.pid, "restart web" in done) == (True, True, True)
    names = ["AUTH_JWT_SECRET", "AUTH_JWT_EXPIRY"]
    # The launcher has the daemon's environment until it becomes the service.
    wait_until(lambda: web.environment(names)["AUTH_JWT_EXPIRY"].present, timeout=5, what="the service")
    facts = web.environment(names, ["AUTH_JWT_EXPIRY"])
    assert not facts["AUTH_JWT_SECRET"].present
    assert facts["AUTH_JWT_EXPIRY"].number == 86400


def test_of_a_secret_only_presence_and_length_are_told(supervised: Supervised) -> None:
    fact = supervised.provider().environment(["AUTH_JWT_SECRET"])["AUTH_JWT_SECRET"]
    assert fact.as_dict() == {"present": True, "length": len(SECRET)}
    assert SECRET not in repr(fact)


def test_its_log_is_read_from_its_file(supervised: Supervised) -> None:
    supervised.log("one\ntwo\n")
    read = supervised.provider().logs(hours=1, max_bytes=1000)
    assert (read.text.split(), read.source) == (["one", "two"], str(supervised.folder / "web.log"))


def test_a_daemon_that_cannot_be_asked_says_what_to_do(supervised: Supervised, tmp_path: Path) -> None:
    text = supervised.config.read_text()
    for name, change, error, hint in (
        ("gone", ("s.sock", "other.sock"), UnreachableError, "start supervisord"),
        ("password", ("password = canary-password", "password = canary-wrong"), DeniedError, "password"),
        ("section", ("[supervisorctl]", "[elsewhere]"), UsageError, "runtime.config"),
    ):
        config = supervised.folder / f"{name}.conf"
        head, section = text.split("[rpcinterface", 1)
        config.write_text(head + "[rpcinterface" + section.replace(*change))
        with pytest.raises(error, match=hint) as caught:
            SupervisorProvider("web", timeout=2, config=str(config)).state()
        assert "canary-wrong" not in caught.value.message
    with pytest.raises(UsageError, match="no serverurl"):
        SupervisorProvider("web", timeout=2, config=str(tmp_path / "none")).state()
