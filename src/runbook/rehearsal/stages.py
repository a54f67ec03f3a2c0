"""The stages of a rehearsal: each is one line of its score, and the first that fails ends it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from runbook_engine.errors import EngineError

from runbook.rehearsal.processes import StandInError
from runbook.rehearsal.score import Stage


class StageFailedError(Exception):
    """A stage did not show what it had to."""


class Stages:
    """Collects stages in `into` and tells `say` of each as it ends."""

    def __init__(self, into: list[Stage], say: Callable[[Stage], None]) -> None:
        self._into, self._say = into, say

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Callable[[str], None]]:
        """One stage; what is told to the function that it gives is its detail."""
        began = time.monotonic()
        details: list[str] = []
        problem = ""
        try:
            yield details.append
        except (StageFailedError, StandInError, EngineError) as error:
            problem = str(error) or type(error).__name__
            raise StageFailedError(problem) from error
        except BaseException as error:
            problem = f"{type(error).__name__}: {error}"
            raise
        finally:
            spent = round(time.monotonic() - began, 3)
            stage = Stage(name, spent, " ".join(details), problem)
            self._into.append(stage)
            self._say(stage)


def must(condition: bool, problem: str) -> None:
    """Fail the stage with `problem` unless the condition holds."""
    if not condition:
        raise StageFailedError(problem)
