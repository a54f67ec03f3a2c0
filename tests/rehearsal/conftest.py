"""One stack for the tests that only read or heal what they break; a fresh one for the others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runbook.rehearsal import stack
from runbook.rehearsal.postgres_server import PostgresBinaries


@pytest.fixture(scope="session")
def standing(postgres_binaries: PostgresBinaries) -> Iterator[stack.Stack]:
    """A stack that is up, on every PostgreSQL of this machine in turn; leave it as it was."""
    with stack.running(stack.Options(postgres_binaries.label, scale=0.2)) as made:
        yield made


@pytest.fixture
def fresh() -> Iterator[stack.Stack]:
    """A stack of one test's own, to be broken for good."""
    with stack.running(stack.Options(scale=0.2)) as made:
        yield made
