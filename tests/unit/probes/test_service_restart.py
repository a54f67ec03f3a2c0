"""A real server is restarted from each state it can be in."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.modules.service_restart import run

from runbook.rehearsal.postgres_server import PostgresServer

Options = Callable[..., dict[str, Any]]


_TIMES = {"stop_timeout": 10.0, "timeout": 15.0}


def parameters(options: Options, server: PostgresServer, **changed: Any) -> dict[str, Any]:
    """Return the module's parameters for a server of its own."""
    return options(server, **{"evidence_dir": None, "health": None, "redis": False, **_TIMES, **changed})


def test_check_mode_predicts_and_leaves_the_process(own_server: PostgresServer, options: Options) -> None:
    before = own_server.pid
    planned = run(parameters(options, own_server), check_mode=True)
    assert own_server.pid == before
    assert planned["prediction"]["duration_s"] > 0
    done = run(parameters(options, own_server), check_mode=False)
    assert planned["diff"]["after"] == done["diff"]["after"]


@pytest.mark.parametrize("state", ["running", "frozen", "killed"])
def test_it_answers_again_as_another_process(
    own_server: PostgresServer, options: Options, state: str
) -> None:
    before, limit = own_server.pid, own_server.execute("SHOW max_connections")
    if state == "frozen":
        os.kill(before, signal.SIGSTOP)
    if state == "killed":
        own_server.stop("immediate")
    done = run(parameters(options, own_server), check_mode=False)
    assert own_server.answers()
    assert own_server.pid != before
    assert own_server.execute("SHOW max_connections") == limit
    assert done["evidence"][0]["content"]
    assert done["state"]["well"]


def test_the_server_outlives_the_run_and_inherits_nothing_of_it(
    own_server: PostgresServer, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_MARK", "of-this-run")
    monkeypatch.setenv("PGPASSWORD", "canary-of-the-environment")
    run(parameters(options, own_server), check_mode=False)
    inherited = Path(f"/proc/{own_server.pid}/environ").read_bytes()
    assert b"PATH=" in inherited
    assert b"of-this-run" not in inherited
    assert b"canary" not in inherited


def test_the_log_is_kept_in_a_private_file(
    own_server: PostgresServer, options: Options, tmp_path: Path
) -> None:
    done = run(parameters(options, own_server, evidence_dir=str(tmp_path / "evidence")), check_mode=False)
    kept = Path(done["evidence"][0]["path"])
    assert "ready to accept connections" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_server_that_does_not_come_back_is_an_error_with_its_reason(
    own_server: PostgresServer, options: Options
) -> None:
    (own_server.data / "postgresql.conf").open("a").write("\nnonsense = 1\n")
    with pytest.raises(OncallError) as caught:
        run(parameters(options, own_server), check_mode=False)
    assert str(own_server.log) in caught.value.message
    assert 'unrecognized configuration parameter "nonsense"' in caught.value.message


def test_a_server_tells_what_it_was_started_with_and_no_value(
    own_server: PostgresServer, options: Options
) -> None:
    from ansible_collections.oncall.runbooks.plugins.module_utils.service.choose import choose_provider

    provider = choose_provider(options(own_server)["runtime"], timeout=5, log_path=str(own_server.log))
    path = provider.environment(["PATH"])["PATH"]
    assert (path.present, path.length > 0) == (True, True)
    assert set(path.as_dict()) == {"present", "length"}
    assert not provider.environment(["AUTH_JWT_SECRET"])["AUTH_JWT_SECRET"].present
