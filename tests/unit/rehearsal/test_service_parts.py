"""What the services of the stand-in are made of: tokens, settings, signatures, a client for PostgreSQL."""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import runbook
from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.processes import free_port
from runbook.rehearsal.services import stripe_events, tokens
from runbook.rehearsal.services.__main__ import settings
from runbook.rehearsal.services.fetch import fetch
from runbook.rehearsal.services.postgres_client import Database, DatabaseError
from runbook.rehearsal.services.web import Answer, Refused, Request, Service, in_background, listen

SECRET = "canary-" + "s" * 40
LIBRARY = Path(runbook.__file__).parent.parent


def test_a_token_is_good_for_its_subject_until_it_expires() -> None:
    claims = tokens.verify(SECRET, tokens.sign(SECRET, "7", 60))
    assert claims["sub"] == "7"
    assert claims["exp"] - claims["iat"] == 60
    with pytest.raises(tokens.TokenError, match="expired"):
        tokens.verify(SECRET, tokens.sign(SECRET, "7", 0))


def _unsigned(token: str) -> str:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-2] + ("AA" if token[-2:] != "AA" else "BB"),
        _unsigned,
        lambda token: ".".join([token.split(".")[0], "eyJzdWIiOiAiOCJ9", token.split(".")[2]]),
        lambda _token: "rubbish",
        lambda _token: "",
    ],
    ids=["signature", "unsigned", "claims", "rubbish", "empty"],
)
def test_a_token_that_was_changed_is_refused(spoil: object) -> None:
    with pytest.raises(tokens.TokenError):
        tokens.verify(SECRET, spoil(tokens.sign(SECRET, "7", 60)))  # type: ignore[operator]


@pytest.mark.parametrize("length", [0, 31])
def test_a_short_secret_neither_signs_nor_verifies(length: int) -> None:
    with pytest.raises(tokens.SecretError, match="AUTH_JWT_SECRET is"):
        tokens.sign("s" * length, "7", 60)
    with pytest.raises(tokens.SecretError):
        tokens.verify("s" * length, tokens.sign(SECRET, "7", 60))


def test_a_password_is_known_by_its_hash_alone() -> None:
    kept = tokens.hash_password("canary-right")
    assert "canary" not in kept
    assert tokens.is_password("canary-right", kept)
    assert not tokens.is_password("canary-wrong", kept)
    assert not tokens.is_password("canary-right", "no hash at all")


def test_settings_are_read_as_compose_reads_them() -> None:
    text = "# a comment\nA=1\n\nB = two words \nC='quoted # no comment'\nD=\"x=y\"\nE=\nno setting\n"
    assert settings(text) == {"A": "1", "B": " two words", "C": "quoted # no comment", "D": "x=y", "E": ""}


def _event() -> bytes:
    return json.dumps({"id": "evt_1", "type": "ping", "data": {"object": {}}}).encode()


def test_an_event_that_stripe_signed_is_taken_within_the_tolerance() -> None:
    now = time.time()
    header = stripe_events.signature(_event(), SECRET, now - 299)
    assert stripe_events.verified(_event(), header, SECRET, now)["id"] == "evt_1"
    # While a secret is replaced Stripe signs with both.
    both = header.replace(",v1=", f",v1={'0' * 64},v1=")
    assert stripe_events.verified(_event(), both, SECRET, now)["id"] == "evt_1"


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        (stripe_events.signature(_event(), "whsec_other"), SECRET),
        (stripe_events.signature(_event() + b" ", SECRET), SECRET),
        (stripe_events.signature(_event(), SECRET, time.time() - 1e6), SECRET),
        (stripe_events.signature(_event(), SECRET, time.time() + 1e6), SECRET),
        (stripe_events.signature(_event(), "").replace("v1", "v0"), SECRET),
        (stripe_events.signature(_event(), ""), ""),
        ("t=soon,v1=", SECRET),
        ("", SECRET),
    ],
    ids=["other secret", "other body", "too old", "too new", "other scheme", "no secret", "garbage", "none"],
)
def test_an_event_that_stripe_did_not_sign_now_is_refused(header: str, secret: str) -> None:
    with pytest.raises(Refused) as refused:
        stripe_events.verified(_event(), header, secret)
    assert refused.value.status == 400
    assert SECRET not in str(refused.value)


@pytest.fixture
def client(postgres: PostgresServer, database: str) -> Database:
    login = f"{postgres.superuser}:{postgres.password}"
    return Database(f"postgresql://{login}@127.0.0.1:{postgres.port}/{database}", "roost-test")


def test_values_come_through_as_they_are(client: Database) -> None:
    awkward = "O'Brien \\ $1 🦉\n; DROP TABLE x"
    rows = client.query("SELECT $1::text, $2::int + 1, $3::text, current_setting('application_name')",
                        awkward, 41, None)  # fmt: skip
    assert rows == [(awkward, "42", None, "roost-test")]


def test_a_transaction_that_fails_leaves_nothing(client: Database) -> None:
    client.query("CREATE TABLE t (i int PRIMARY KEY)")

    def twice() -> None:
        with client.transaction() as session:
            session.query("INSERT INTO t VALUES (1)")
            session.query("INSERT INTO t VALUES (1)")

    with pytest.raises(DatabaseError, match="duplicate key") as failed:
        twice()
    assert failed.value.code == "23505"
    assert client.query("SELECT count(*) FROM t") == [("0",)]


def test_a_wrong_password_and_a_server_that_is_down_are_connection_errors(postgres: PostgresServer) -> None:
    wrong = Database(f"postgresql://postgres:canary-no@127.0.0.1:{postgres.port}/postgres", "x")
    with pytest.raises(DatabaseError, match="db connection error: password authentication failed") as refused:
        wrong.query("SELECT 1")
    assert refused.value.code == "28P01"
    gone = Database(f"postgresql://a:canary-no@127.0.0.1:{free_port()}/b", "x")
    for database in (gone, Database("", "x")):
        with pytest.raises(DatabaseError, match="db connection error") as failed:
            database.query("SELECT 1")
        assert "canary" not in str(failed.value)


class _Owl(Service):
    name = "owl"
    wrong = ""

    def check(self) -> None:
        if self.wrong:
            raise DatabaseError(self.wrong)


@pytest.fixture
def owl(tmp_path: Path) -> Iterator[SimpleNamespace]:
    port = free_port()
    service = _Owl(argparse.Namespace(name="", port=port, host="127.0.0.1", run_dir=tmp_path))
    service.routes.append(("POST", r"/echo/(?P<word>\w+)", lambda r: Answer(201, [r.params, r.json()])))
    server = listen("127.0.0.1", port, service.answer, service.log)
    in_background(server)
    yield SimpleNamespace(service=service, url=f"http://127.0.0.1:{port}", folder=tmp_path)
    server.shutdown()
    server.server_close()


def test_a_service_routes_and_refuses(owl: SimpleNamespace) -> None:
    got = fetch(f"{owl.url}/echo/hoot", {}, method="POST", body=b'{"a": 1}')
    assert (got.status, json.loads(got.body)) == (201, [{"word": "hoot"}, {"a": 1}])
    assert fetch(f"{owl.url}/echo/hoot", {}, method="POST", body=b"[]").status == 400
    assert fetch(f"{owl.url}/echo/hoot", {}).status == 404


def test_health_names_what_is_wrong(owl: SimpleNamespace) -> None:
    assert json.loads(fetch(f"{owl.url}/health", {}).body) == {"status": "ok", "service": "owl"}
    owl.service.wrong = "refused"
    got = fetch(f"{owl.url}/health", {})
    assert got.status == 503
    assert json.loads(got.body)["error"] == "db connection error: refused"


def test_a_fault_lasts_until_it_is_taken_back(
    owl: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = owl.folder / "owl.fault"
    fault.write_text(json.dumps({"status": 503, "error": "hoarse", "lines": 3, "say": "who"}))
    owl.service.take_fault()
    assert fetch(f"{owl.url}/health", {}).status == 503
    assert capsys.readouterr().err.count("ERROR owl: who (") == 3
    fault.write_text("{}")
    owl.service.take_fault()
    assert fetch(f"{owl.url}/health", {}).status == 200


def test_a_bearer_is_only_a_bearer() -> None:
    for header, token in (("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("", "")):
        assert Request("GET", "/", {"Authorization": header}).bearer == token


def test_the_services_need_nothing_but_the_standard_library() -> None:
    folder = LIBRARY / "runbook" / "rehearsal" / "services"
    names = [f"runbook.rehearsal.services.{path.stem}" for path in folder.glob("[a-z]*.py")]
    program = f"import {', '.join(names)}"
    environment = {"PYTHONPATH": str(LIBRARY), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-S", "-c", program], env=environment, check=True, timeout=30)
    assert len(names) >= 10
