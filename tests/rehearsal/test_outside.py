"""The judge of a rehearsal judges rightly: a true restore passes, whatever is a little wrong does not."""

from __future__ import annotations

import gzip
import subprocess

import pytest

from runbook.rehearsal import cases, outside, stack
from runbook.rehearsal.postgres_server import PostgresBinaries
from runbook.rehearsal.shapes import ROOST
from runbook.rehearsal.stack import running

_CARRY_OVER = (
    "ALTER DATABASE {db} CONNECTION LIMIT 60",
    "ALTER DATABASE {db} SET statement_timeout = '30s'",
    'ALTER DATABASE {db} SET search_path = "$user", public, billing',
    "ALTER ROLE roost_readonly IN DATABASE {db} SET default_transaction_read_only = on",
    "REVOKE ALL ON DATABASE {db} FROM PUBLIC",
    "GRANT CONNECT, TEMPORARY ON DATABASE {db} TO roost_app",
    "GRANT CONNECT ON DATABASE {db} TO roost_readonly",
    "COMMENT ON DATABASE {db} IS 'Roost: subscribers and owls'",
)


def _restore_by_hand(made: stack.Stack) -> None:
    server = made.server()
    key = made.facts["backups"]["good"]
    dump = made.store().client().get_object(Bucket=ROOST.bucket, Key=key)["Body"].read()
    server.execute("CREATE DATABASE beside OWNER roost TEMPLATE template0")
    command = [server.binaries.tool("psql"), "-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1"]
    subprocess.run(command, input=gzip.decompress(dump), env=server.environment("beside"), check=True)
    for statement in _CARRY_OVER:
        server.execute(statement.format(db="beside"))
    _swap(made, "roost_prod", "roost_prod_before_x", "beside")


def _swap(made: stack.Stack, live: str, aside: str, coming: str) -> None:
    server = made.server()
    server.execute(f"ALTER DATABASE {live} RENAME TO {aside}")
    server.execute(f"ALTER DATABASE {coming} RENAME TO {live}")


def test_a_true_restore_passes_and_its_undo_is_the_state_before(postgres_binaries: PostgresBinaries) -> None:
    with running(stack.Options(postgres_binaries.label, scale=0.2)) as made:
        assert outside.newer_rows(outside.digest_of(made), outside.truth(made)) == 40 + 25 + 180 + 600
        cases.find_fault("corrupt-tables", "roost").run("fault", made)
        before = outside.picture(made)
        assert any("still gets" in problem for problem in outside.restored_problems(made, before))
        _restore_by_hand(made)
        assert outside.restored_problems(made, before) == []
        _swap(made, "roost_prod", "roost_prod_after_x", "roost_prod_before_x")
        after = outside.picture(made)
        assert outside.picture_differences(before, after, databases=False) == []
        assert outside.picture_differences(before, after)[0].startswith("the databases are")


_SABOTAGE = {
    "a row changed": "UPDATE public.audit_log SET action = 'x' WHERE id = 7",
    "a row missing": "DELETE FROM public.api_tokens WHERE id = 11",
    "an index missing": 'DROP INDEX public."api tokens, live"',
    "a constraint missing": "ALTER TABLE public.owl_sessions DROP CONSTRAINT owl_sessions_nest_fkey",
    "a right missing": "REVOKE INSERT ON public.api_tokens FROM roost_app",
    "a trigger off": "ALTER TABLE public.subscribers DISABLE TRIGGER subscribers_touch",
    "a sequence behind": "SELECT setval('billing.invoice_number', 5)",
    "a setting missing": "ALTER DATABASE roost_prod RESET statement_timeout",
    "another limit": "ALTER DATABASE roost_prod CONNECTION LIMIT -1",
    "the view stale": "REFRESH MATERIALIZED VIEW billing.monthly_revenue",
}


def test_every_little_wrong_is_seen(fresh: stack.Stack) -> None:
    for what, sql in _SABOTAGE.items():
        before = outside.picture(fresh)
        fresh.server().execute(sql, database=ROOST.database)
        problems = outside.picture_differences(before, outside.picture(fresh))
        assert problems, f"{what} was not seen"


def test_the_live_database_as_it_was_is_no_restore(standing: stack.Stack) -> None:
    problems = outside.restored_problems(standing, outside.picture(standing))
    assert "the live database was not replaced" in problems


def test_an_undone_environment_stays_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.delenv("REHEARSAL_STACK", raising=False)
    with outside.environment(REHEARSAL_STACK="here"):
        assert os.environ["REHEARSAL_STACK"] == "here"
    assert "REHEARSAL_STACK" not in os.environ
