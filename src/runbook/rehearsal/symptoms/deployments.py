"""Deployments that are bad, half-done, or newer or older than the schema of the database."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from runbook.rehearsal.parts import deployments
from runbook.rehearsal.processes import StandInError, accepts_connections, wait_until
from runbook.rehearsal.stack import Stack

Action = Callable[[Stack], None]
ROOMS = "0004_rooms"
_ROOMS_SQL = """\
CREATE TABLE public.rooms (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
ALTER TABLE public.bookings ADD COLUMN room_id bigint REFERENCES public.rooms;
"""
_DROPPING_SQL = "ALTER TABLE public.bookings DROP COLUMN address;\n"
_WITH_ROOMS = "SELECT id, starts_at, room_id FROM public.bookings ORDER BY starts_at DESC LIMIT 5"
_ONCE = 'test ! -e ../once || { echo "no space left on device" >&2; exit 7; }; touch ../once'
_BROKEN = "SELECT id, starts_at FROM public.bokings ORDER BY starts_at DESC LIMIT 5"


def checkout(stack: Stack) -> Path:
    """Return the checkout that the platform is deployed from."""
    return Path(stack.facts["deployments"]["path"])


def _by_hand(stack: Stack, script: str) -> None:
    """Run one of the project's scripts, as a person at the host does; raises StandInError."""
    done = subprocess.run(
        [f"./ops/{script}"],
        cwd=checkout(stack),
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )
    if done.returncode != 0:
        raise StandInError(f"{script}: exit {done.returncode}: {(done.stdout + done.stderr).strip()[-300:]}")


def deploy(stack: Stack) -> None:
    """Deploy what is checked out, by the project's script."""
    _by_hand(stack, "deploy.sh")
    port = stack.facts["services"]["api"]["port"]
    wait_until(lambda: accepts_connections(port), timeout=10, what="the API")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("DEPLOY_SHA", "ONCALL_STEP")}


def query(sql: str) -> str:
    """Return the text of the API's file with this query for the next bookings."""
    return json.dumps({"next_bookings": sql}) + "\n"


def release(stack: Stack, subject: str, sql: str = "", *, migration: str = "", name: str = ROOMS) -> None:
    """Commit another query and perhaps a migration, and deploy that without applying it."""
    folder = checkout(stack)
    if sql:
        (folder / "api.json").write_text(query(sql))
    if migration:
        (folder / "migrations" / f"{name}.sql").write_text(migration)
    (folder / "CHANGES").write_text(subject + "\n")
    deployments.commit(folder, subject)
    deploy(stack)


def bad(stack: Stack) -> None:
    """Deploy a commit with a slip in a query: bookings cannot be looked at."""
    release(stack, "Sort bookings", _BROKEN)


def bad_with_hot_fixes(stack: Stack) -> None:
    """The same, and somebody has tried things out on the host."""
    bad(stack)
    folder = checkout(stack)
    (folder / "CHANGES").write_text("a hot fix that is in no commit\n")
    (folder / "notes.txt").write_text("what was tried\n")


def bad_and_detached(stack: Stack) -> None:
    """The same, on a checkout that is on no branch."""
    bad(stack)
    deployments.git(checkout(stack), "checkout", "--quiet", "--detach")


def half_deployed(stack: Stack) -> None:
    """A bad commit is live; the one that mends it was pulled, and nobody ran the script."""
    good = (checkout(stack) / "api.json").read_text()
    bad(stack)
    (checkout(stack) / "api.json").write_text(good)
    deployments.commit(checkout(stack), "Mend bookings")


def bad_with_migration(stack: Stack) -> None:
    """A bad commit came with a migration that was applied: the code before it does not know this schema."""
    release(stack, "Rooms", _BROKEN, migration=_ROOMS_SQL)
    migrate(stack)


def migrate(stack: Stack) -> None:
    """Apply the migrations, by the project's own tool."""
    _by_hand(stack, "migrate.sh")


def good_script(stack: Stack, line: str) -> None:
    """Deploy a good commit whose script has one more line at its end, note it as good, then a bad one."""
    folder = checkout(stack)
    script = folder / "ops" / "deploy.sh"
    as_it_was = script.read_text()
    script.write_text(as_it_was + line + "\n")
    deployments.commit(folder, "Another script")
    deploy(stack)
    _note(stack)
    script.write_text(as_it_was)
    bad(stack)


def _note(stack: Stack) -> None:
    ledger = Path(stack.facts["deployments"]["ledger"])
    entry = json.loads(ledger.read_text().splitlines()[-1]) | {"sha": deployments.head(checkout(stack))}
    with ledger.open("a") as handle:
        handle.write(json.dumps(entry) + "\n")


def pulls(stack: Stack) -> None:
    """The script of the good commit takes whatever is newest, so it would deploy the bad one again."""
    good_script(stack, "git -c advice.detachedHead=false checkout --quiet main")


def fails(stack: Stack) -> None:
    """The script of the good commit fails at its end, wherever it is not run by hand for the first time."""
    good_script(stack, _ONCE)


def behind(stack: Stack) -> None:
    """Deploy code that needs a migration, which nobody applied."""
    release(stack, "Rooms", _WITH_ROOMS, migration=_ROOMS_SQL)


def behind_losing(stack: Stack) -> None:
    """The same with a migration that drops a column."""
    release(stack, "No address", migration=_DROPPING_SQL, name="0004_no_address")


def ahead(stack: Stack) -> None:
    """Somebody went back by hand to code from before the newest migration, and deployed that."""
    deployments.git(checkout(stack), "checkout", "--quiet", "--detach", "main~2")
    deploy(stack)


def diverged(stack: Stack) -> None:
    """The database has a migration of a branch that was never merged, and lacks one of the code."""
    behind(stack)
    _applied(stack, "0004_gift_cards")


def _applied(stack: Stack, version: str) -> None:
    facts = stack.facts["postgres"]
    stack.server().execute(
        "INSERT INTO public.schema_migrations (version) VALUES (%s)", (version,), database=facts["database"]
    )
