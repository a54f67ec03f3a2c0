"""Emergency writes against the real API of the stand-in, with a real database behind it."""

from __future__ import annotations

import argparse
import base64
import json
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.action import break_glass_health, break_glass_write
from ansible_collections.oncall.runbooks.plugins.module_utils.access import writes
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UnreachableError

from runbook.rehearsal.parts.cleaning_services import MIGRATIONS
from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.services import web
from runbook.rehearsal.services.cleaning_api import CleaningApi
from runbook.rehearsal.services.fetch import fetch
from runbook.rehearsal.services.postgres_client import Database

_USER, _PASSWORD = "owner", "canary-admin-password"
_ROWS = """
TRUNCATE public.admin_audit, public.break_glass_tokens, public.customers RESTART IDENTITY CASCADE;
INSERT INTO public.customers (email, name) VALUES ('a@example.org', 'A');
INSERT INTO public.bookings (customer_id, starts_at, hours, address)
SELECT 1, now(), 2, 'x' FROM generate_series(1, 3)"""
_BOOKING = "/v1/admin/bookings/{id}"
_CALLS = [
    {
        "name": "cancel",
        "path": f"{_BOOKING}/cancel",
        "look": _BOOKING,
        "wanted": {"status": "cancelled"},
        "undo": {"path": f"{_BOOKING}/reopen"},
    },
    {"name": "finish", "path": f"{_BOOKING}/finish", "look": _BOOKING, "wanted": {"status": "done"}},
]
_PATHS = {name: f"/v1/admin/break-glass/{name}" for name in ("start", "check", "revoke")}
_PATHS["status"] = "/v1/admin/break-glass"
_WHY = {"reason": 'a "flood"', "incident": "INC-7", "approver": "the lead"}


class Api:
    """The API, what it was asked, and what its database says."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server, self.database = server, database
        login = f"{server.superuser}:{server.password}"
        self.service = CleaningApi(argparse.Namespace(name="", run_dir=None, env_file=None))
        self.service.env = {
            "ADMIN_READ_ONLY": "true",
            "ADMIN_BASIC_USERNAME": _USER,
            "ADMIN_BASIC_PASSWORD": _PASSWORD,
        }
        url = f"postgresql://{login}@127.0.0.1:{server.port}/{database}"
        self.service._database = Database(url, "cleaning-api")
        self.logged: list[str] = []
        self.service.log = lambda _level, text: self.logged.append(text)  # type: ignore[method-assign]
        self.asked: list[tuple[str, str]] = []
        self.listening = web.listen("127.0.0.1", 0, self.answer, lambda *_: None)
        web.in_background(self.listening)
        self.url = f"http://127.0.0.1:{self.listening.socket.getsockname()[1]}"

    def answer(self, request: web.Request) -> web.Answer:
        self.asked.append((request.method, request.path))
        return self.service.answer(request)

    def sql(self, statement: str) -> Any:
        return self.server.execute(statement, database=self.database)

    def act(self, plugin: Any, *, check: bool = False, **changes: Any) -> dict[str, Any]:
        options = {
            "url": self.url,
            "user": _USER,
            "password": _PASSWORD,
            "paths": _PATHS,
            "calls": _CALLS,
            "timeout": 2,
            **changes,
        }
        task = SimpleNamespace(args=options, async_val=0, check_mode=check, action="break_glass")
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nonexistent"))
        action = plugin.ActionModule(task, connection, None, None, None, None)
        result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "api1"})
        assert not [mark for mark in ("canary-bg-", _PASSWORD) if mark in json.dumps(result, default=str)]
        return result

    def write(self, **changes: Any) -> dict[str, Any]:
        return self.act(break_glass_write, **{"call": "cancel", "objects": ["1", "2"], **_WHY, **changes})

    def findings(self, **changes: Any) -> dict[str, tuple[str, str]]:
        found = self.act(break_glass_health, **changes)["findings"]
        return {one["check"]: (one["status"], one["summary"]) for one in found}

    def statuses(self) -> list[str]:
        return [row[0] for row in self.sql("SELECT status FROM public.bookings ORDER BY id")]

    def good(self) -> int:
        rows = self.sql(
            "SELECT count(*) FROM break_glass_tokens WHERE revoked_at IS NULL AND expires_at > now()"
        )
        return int(rows[0][0])

    def start(self, reason: str) -> str:
        """Ask for a token as somebody else does."""
        login = base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
        body = json.dumps({"reason": reason, "ttl_minutes": 5}).encode()
        got = fetch(self.url + _PATHS["start"], {"Authorization": f"Basic {login}"}, method="POST", body=body)
        return str(json.loads(got.body)["token"])


@pytest.fixture(scope="session")
def platform(postgres: PostgresServer) -> Iterator[str]:
    """A database with bookings and tokens, made once for each server."""
    name = f"access_{uuid.uuid4().hex[:8]}"
    postgres.execute(f"CREATE DATABASE {name}")
    for migration in ("0001_customers_and_bookings", "0003_break_glass"):
        postgres.execute((MIGRATIONS / f"{migration}.sql").read_text(), database=name)
    yield name
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def api(postgres: PostgresServer, platform: str) -> Iterator[Api]:
    """The API with three bookings, and nobody who ever had access."""
    postgres.execute(_ROWS, database=platform)
    made = Api(postgres, platform)
    yield made
    made.listening.shutdown()
    made.listening.server_close()


def test_a_write_is_predicted_made_noted_and_its_token_void_at_once(api: Api) -> None:
    planned = api.write(check=True)
    assert (planned["changed"], planned["access"], api.good()) == (True, {}, 0)
    assert api.statuses() == ["booked", "booked", "booked"]
    done = api.write()
    assert done["diff"] == planned["diff"]
    assert api.statuses() == ["cancelled", "cancelled", "booked"]
    assert (done["access"]["revoked"], done["access"]["refused"], api.good()) == (True, True, 0)
    assert done["access"]["reason"].startswith(
        'a "flood"; incident INC-7, approved by the lead, asked for by '
    )
    (kept,) = done["evidence"]
    assert json.loads(kept["content"]) == {**done["access"], "call": "cancel"}
    assert kept["summary"].endswith("Z, revoked before that")
    noted = [row[0] for row in api.sql("SELECT action FROM public.admin_audit ORDER BY id")]
    assert noted == ["break_glass.start", "booking.cancel", "booking.cancel", "break_glass.revoke"]
    # One token for all of it, and a minute of fifteen is enough.
    assert api.sql("SELECT count(DISTINCT token) FROM public.admin_audit") == [(1,)]
    assert not [line for line in api.logged if "canary-bg-" in line]


def test_what_is_so_already_needs_no_token(api: Api) -> None:
    api.write()
    api.asked.clear()
    again = api.write()
    assert (again["changed"], "undo" in again) == (False, False)
    assert ("POST", _PATHS["start"]) not in api.asked


def test_an_undo_writes_back_what_is_still_so(api: Api) -> None:
    undo = api.write()["undo"]["args"]
    api.sql("UPDATE public.bookings SET status = 'booked' WHERE id = 2")
    told = {name: undo[name] for name in ("reason", "incident", "approver", "call", "ledger")}
    planned = api.act(break_glass_write, check=True, state="undone", **told)
    back = api.act(break_glass_write, state="undone", **told)
    assert (planned["diff"], back["written"]) == (back["diff"], ["1"])
    assert (api.statuses(), api.good()) == (["booked", "booked", "booked"], 0)
    api.write()
    api.sql("UPDATE public.bookings SET status = 'done' WHERE id = 1")
    other = api.act(break_glass_write, state="undone", **told)
    assert (other["error"]["kind"], other["left_unchanged"]) == ("changed_since", True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"call": "delete-customer"}, "not among the calls that are allowed: cancel, finish"),
        ({"objects": ["1/../../customers/1"]}, "is no id"),
        ({"objects": []}, "0 objects are given"),
        ({"objects": [str(n) for n in range(11)]}, "10 is the limit"),
        ({"reason": " "}, "reason is empty"),
        ({"approver": ""}, "approver is empty"),
        ({"ttl_minutes": 61}, "1 to 60 minutes"),
        ({"ttl_minutes": 0}, "1 to 60 minutes"),
        ({"password": ""}, "is not set"),
    ],
)
def test_what_is_not_allowed_asks_for_nothing(api: Api, changes: dict[str, Any], says: str) -> None:
    refused = api.write(**changes)
    assert refused["failed"]
    assert says in refused["msg"]
    assert (refused["left_unchanged"], api.asked) == (True, [])


@pytest.mark.parametrize("check", [True, False])
def test_a_wrong_password_is_an_error_and_nothing_is_another(api: Api, check: bool) -> None:
    refused = api.write(check=check, password="canary-wrong-password")
    assert (refused["error"]["kind"], refused["left_unchanged"]) == ("denied", True)
    assert "401" in refused["msg"]
    assert "canary-wrong" not in json.dumps(refused, default=str)
    assert api.asked == [("GET", _PATHS["status"])]
    assert api.findings(password="canary-wrong-password")["admin_login"][0] == "fail"


def test_where_administrators_may_write_no_token_is_asked_for(api: Api) -> None:
    api.service.env["ADMIN_READ_ONLY"] = "false"
    assert api.write(check=True)["error"]["kind"] == "not_read_only"
    assert api.findings()["admin_mode"][0] == "ok"


def test_a_write_that_fails_leaves_no_token(api: Api) -> None:
    api.service.fault = {"bookings": "deadlock detected"}
    failed = api.write()
    assert (failed["left_unchanged"], "undo" in failed, api.good()) == (True, False, 0)
    assert "revoked before that" in failed["evidence"][0]["summary"]
    api.service.fault = {}
    # The second of two is refused: what the first changed can be taken back.
    api.sql("UPDATE public.bookings SET status = 'done' WHERE id = 2")
    half = api.write()
    assert "409" in half["msg"]
    assert (half["left_unchanged"], [e["object"] for e in half["undo"]["args"]["ledger"]]) == (False, ["1"])
    assert api.good() == 0


def test_somebody_who_interrupts_leaves_no_token(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writes.Administration, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        api.write()
    assert api.good() == 0


def test_a_token_that_cannot_be_revoked_is_told_with_its_end(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise UnreachableError("revoke", got="no answer")

    monkeypatch.setattr(writes.Administration, "revoke", broken)
    failed = api.write()
    assert failed["error"]["kind"] == "still_open"
    assert "could not be revoked (no answer), it is good until 2" in failed["msg"]
    assert (failed["left_unchanged"], failed["undo"]["reversible"]) == (False, True)


def test_what_a_run_left_behind_is_revoked_by_the_next_and_of_others_only_when_asked(api: Api) -> None:
    api.start("mine [oncall 20261121t064300z-7f3a9c]")
    api.start("somebody else's")
    status, told = api.findings()["break_glass_open"]
    assert (status, "somebody else's" in told) == ("fail", True)
    api.write(objects=["3"])
    assert api.good() == 1
    planned = api.act(break_glass_write, check=True, state="revoked")
    assert (planned["changed"], api.good()) == (True, 1)
    ended = api.act(break_glass_write, state="revoked")
    assert ([one["reason"] for one in ended["revoked"]], ended["diff"]) == (
        ["somebody else's"],
        planned["diff"],
    )
    assert (api.good(), api.findings()["break_glass_open"][0]) == (0, "ok")
    assert not api.act(break_glass_write, state="revoked")["changed"]


def test_a_platform_without_the_other_calls_says_what_is_not_known(api: Api) -> None:
    paths = {"start": _PATHS["start"]}
    done = api.write(paths=paths, objects=["1"])
    assert (done["access"]["revoked"], api.statuses()[0], api.good()) == (False, "cancelled", 1)
    assert {status for status, _ in api.findings(paths=paths).values()} == {"unknown"}
    assert "wait until they expire" in api.act(break_glass_write, state="revoked", paths=paths)["msg"]


def test_what_was_written_is_looked_at(api: Api) -> None:
    asked = {"checks": ["break_glass_written"], "call": "cancel", "objects": ["1"]}
    assert api.findings(**asked)["break_glass_written"][0] == "fail"
    api.write(objects=["1"])
    assert set(api.findings(**asked)) == {"break_glass_written"}
    assert api.findings(**asked)["break_glass_written"][0] == "ok"
