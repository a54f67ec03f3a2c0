"""Whatever is wrong is said before anything is changed: no token, no ledger, no schema."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from owl_tokens import ACTIVE, API, REFRESH, Owl

DIRECTORY = {"table": "subscribers", "key": "id", "email": "email"}
BY_SUBSCRIBER = {"scope": "subscriber", "subscribers": DIRECTORY}


def untouched(owl: Owl) -> bool:
    """Whether nothing was changed: no token, and no ledger was begun."""
    return owl.sql(ACTIVE) == [(240,)] and owl.sql("SELECT to_regnamespace('oncall')") == [(None,)]


def refused(owl: Owl, **options: Any) -> OncallError:
    """Return the error, which check mode has to give as well."""
    with pytest.raises(OncallError) as planned:
        owl.revoke(check_mode=True, **options)
    with pytest.raises(OncallError) as done:
        owl.revoke(**options)
    assert planned.value.kind == done.value.kind
    assert done.value.next_step
    assert done.value.changed is False
    assert "canary-weak" not in str(done.value)
    assert untouched(owl)
    return done.value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({**BY_SUBSCRIBER, "subscriber": "999"}, r"no subscriber with id 999.*correct subscriber"),
        ({**BY_SUBSCRIBER, "subscriber": "no@example.org"}, r"no subscriber with the e-mail address no@"),
        (
            {**BY_SUBSCRIBER, "subscriber": "twin@example.org"},
            r"names 2 subscribers: id 31 \(Twin@example.org\); id 32 \(twin@example.org\).*set subscriber",
        ),
        ({**BY_SUBSCRIBER, "subscriber": "owl"}, r"'owl'.*column id of public.subscribers is of type bigint"),
        ({**BY_SUBSCRIBER, "subscriber": "9" * 30}, r"is of type bigint"),
        ({**BY_SUBSCRIBER, "subscriber": "'; DROP TABLE api_tokens; --@x"}, r"no subscriber with the e-mail"),
        ({**BY_SUBSCRIBER, "subscriber": "%s{}\\'@x"}, r"no subscriber with the e-mail"),
        ({"scope": "subscriber", "subscriber": "a@b"}, r"no e-mail column of subscribers is declared"),
        ({"scope": "subscriber", "subscriber": "999"}, r"no table has such a subscriber"),
        ({"scope": "subscriber"}, r"scope is subscriber, but subscriber is not given"),
        ({"subscriber": "2"}, r"subscriber is given, but scope is all"),
        ({"scope": "session_ids", "session_ids": ["not-a-uuid"]}, r"session_id of .* is of type uuid"),
        (
            {"scope": "session_ids", "session_ids": ["00000000-0000-0000-0000-000000000000"]},
            r"no table has such a session",
        ),
        ({"scope": "issued_before", "issued_before": "yesterday"}, r"not a time in ISO 8601"),
        (
            {"scope": "issued_before", "issued_before": "2999-01-01"},
            r"in the future: the database's clock says",
        ),
        ({"exclude": {"subscribers": ["2"]}}, r"exclude has no reason"),
        ({"exclude": {"subscribers": ["999"], "reason": "x"}}, r"exclude.subscribers 999"),
        ({"run": "x/../y"}, r"other characters"),
        ({"tables": []}, r"no table is declared"),
        ({"tables": [API, API]}, r"declared twice"),
        ({"tables": [dict(API, key=[])]}, r"no key column"),
        ({"tables": [dict(API, table="public.gone")]}, r"there is no such table.*declare the table optional"),
        ({"tables": [dict(API, reason="why")]}, r"has no column why \(it has id, subscriber_id"),
        ({"tables": [dict(API, revoked_at="revoked_reason")]}, r"of type text, not a timestamp"),
        ({"tables": [dict(API, revoked_at="created_at")]}, r"never NULL, so no token would be active"),
        ({"tables": [dict(API, key=["subscriber_id"])]}, r"does not name one row.*unique are: id"),
        (
            {"tables": [REFRESH], "scope": "issued_before", "issued_before": "2026-01-01"},
            r"says no created_at",
        ),
        ({"batch": 0}, r"option batch.*below 1"),
        ({"ledger": {"kind": "file", "path": "/nowhere/at/all"}}, r"the folder is not there"),
        ({"ledger": {"kind": "file", "path": ""}}, r"ledger.path is not given"),
    ],
)
def test_a_wrong_option_names_itself(still_owl: Owl, options: dict[str, Any], message: str) -> None:
    error = refused(still_owl, **options)
    assert re.search(message, str(error), re.DOTALL), str(error)


def test_an_apostrophe_in_an_address_is_only_an_apostrophe(still_owl: Owl) -> None:
    done = still_owl.revoke(check_mode=True, **BY_SUBSCRIBER, subscriber="o'brien@example.org")
    assert done["scope"]["subscriber"] == "33"
    assert done["tables"][0]["in_scope_before"] == 0


def test_an_optional_table_is_left_out_and_said(still_owl: Owl) -> None:
    gone = dict(API, table="public.gone", optional=True)
    other = dict(API, revoked_at="revoked_reason", optional=True)
    done = still_owl.revoke(check_mode=True, tables=[gone, REFRESH])
    assert done["left_out"] == {"public.gone": "there is no such table"}
    assert "public.gone: not looked at, there is no such table" in done["findings"][1]["summary"]
    assert "no table is left" in str(refused(still_owl, tables=[gone, other]))


def test_a_reason_that_would_be_cut(owl: Owl) -> None:
    owl.sql("ALTER TABLE api_tokens ALTER revoked_reason TYPE varchar(12)")
    assert "give a shorter reason" in str(refused(owl, reason="thirteen chars"))


def test_issuers_whose_clock_runs_ahead(owl: Owl) -> None:
    owl.sql("UPDATE api_tokens SET created_at = now() + interval '1 hour' WHERE id = 1")
    error = refused(owl, scope="issued_before", issued_before="2026-01-02")
    assert "1 active tokens were issued in the future" in str(error)
    assert "use scope: all" in error.next_step


@pytest.mark.parametrize(
    ("grants", "message"),
    [
        ("", r"GRANT SELECT ON \"public\"\.\"api_tokens\" TO \"weak_"),
        ("GRANT SELECT ON api_tokens TO ROLE", r"GRANT UPDATE \(\"revoked_at\", \"revoked_reason\"\) ON "),
        (
            "GRANT SELECT, UPDATE ON api_tokens TO ROLE",
            r"GRANT CREATE ON DATABASE .* set the ledger to a file",
        ),
        (
            "GRANT SELECT, UPDATE ON api_tokens TO ROLE; ALTER TABLE api_tokens ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY part ON api_tokens USING (id > 100)",
            r"row security hides some",
        ),
    ],
)
def test_a_role_with_too_few_rights_says_what_to_grant(owl: Owl, grants: str, message: str) -> None:
    error = refused(owl, **owl.role(grants or "SELECT 1"))
    assert error.kind == "denied"
    assert re.search(message, str(error), re.DOTALL), str(error)


def test_a_replica_or_a_read_only_database(owl: Owl) -> None:
    owl.sql(f'ALTER DATABASE "{owl.database}" SET default_transaction_read_only = on')
    with pytest.raises(OncallError, match="it is read-only") as caught:
        owl.revoke()
    assert caught.value.changed is False
    assert untouched(owl)


def test_check_mode_cannot_write_even_if_it_tried(still_owl: Owl, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.oncall.runbooks.plugins.module_utils.tokens import plan

    monkeypatch.setattr(plan, "_tables", lambda reader, *_: owl_update(reader))
    with pytest.raises(OncallError, match="read-only transaction"):
        still_owl.revoke(check_mode=True)
    assert untouched(still_owl)


def owl_update(session: Any) -> None:
    """Write in the session that is meant for looking."""
    session.cursor().execute("UPDATE api_tokens SET revoked_at = now()")


def test_an_unknown_run_cannot_be_undone(still_owl: Owl) -> None:
    with pytest.raises(OncallError, match="has no such run"):
        still_owl.undo("run-9")
    with pytest.raises(OncallError, match="run is not given"):
        still_owl.undo("")
