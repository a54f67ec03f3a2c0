"""Statements after the data: what may overlap, what must wait, and that nothing is lost on an error."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import events as ev
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import schedule
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.schedule import (
    BARRIER,
    Claims,
    Scheduler,
    Task,
    claims,
)


def post(text: str, kind: str, *names: str, creates: str = "") -> ev.Sql:
    return ev.Sql(ev.POST_DATA, text, kind, names, creates)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            post("CREATE INDEX i ON s.t (a);", "INDEX", "s.t", creates="s.i"),
            Claims(exclusive=frozenset({"s.i"}), shared=frozenset({"s.t"})),
        ),
        (
            post(
                "ALTER TABLE ONLY s.t ADD CONSTRAINT k PRIMARY KEY (a);", "CONSTRAINT", "s.t", creates="s.k"
            ),
            Claims(exclusive=frozenset({"s.t", "s.k"})),
        ),
        (
            post("ALTER TABLE ONLY s.a ADD CONSTRAINT f FOREIGN KEY …", "FK CONSTRAINT", "s.a", "s.b"),
            Claims(exclusive=frozenset({"s.a", "s.b"})),
        ),
        # Without ONLY it reaches partitions that are not named: alone.
        (post("ALTER TABLE s.a ADD CONSTRAINT f FOREIGN KEY …", "FK CONSTRAINT", "s.a", "s.b"), BARRIER),
        (post("COMMENT ON INDEX s.i IS 'x';", "COMMENT"), Claims(exclusive=frozenset({"s.i"}))),
        (post("ALTER INDEX s.p ATTACH PARTITION s.c;", "INDEX ATTACH", "s.p", "s.c"), BARRIER),
        (post("REFRESH MATERIALIZED VIEW s.m;", "MATERIALIZED VIEW DATA", "s.m"), BARRIER),
        (post("CREATE EVENT TRIGGER e ON ddl_command_end …", "OTHER"), BARRIER),
    ],
)
def test_claims(sql: ev.Sql, expected: Claims) -> None:
    assert claims(sql) == expected


@pytest.mark.parametrize(
    ("held", "wanted", "free"),
    [
        ("shared", "shared", True),  # two indexes of one table
        ("referred", "referred", True),  # two foreign keys to one table
        ("read", "tended", True),
        ("tended", "tended", False),
        ("shared", "tended", False),  # the server would let a validation wait for an index build
        ("referred", "shared", False),
        ("read", "exclusive", False),
    ],
)
def test_ways_to_claim_a_table(held: str, wanted: str, free: bool) -> None:
    one, other = (replace(Claims(), **{way: frozenset({"t"})}) for way in (held, wanted))
    assert schedule._Held([one]).free_for(other) is free
    assert schedule._Held([other]).free_for(one) is free
    assert schedule._Held([one]).free_for(Claims(exclusive=frozenset({"u"})))


class Recorder:
    """Runs tasks that note when they overlap."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: dict[int, Claims] = {}
        self.order: list[int] = []
        self.overlaps: set[tuple[int, int]] = set()

    def task(self, number: int, held: Claims) -> Task:
        def run(_session: Any) -> None:
            with self.lock:
                self.overlaps |= {(other, number) for other in self.running}
                self.running[number] = held
                self.order.append(number)
            time.sleep(0.001)
            with self.lock:
                del self.running[number]

        return Task(run, held, random.randrange(100), str(number))


def conflict(one: Claims, two: Claims) -> bool:
    return (
        one.barrier
        or two.barrier
        or bool(one.exclusive & (two.exclusive | two.shared) or one.shared & two.exclusive)
    )


@pytest.mark.parametrize("seed", range(8))
def test_conflicting_tasks_keep_the_order_of_the_dump_and_never_overlap(seed: int) -> None:
    choice = random.Random(seed)
    names = "abcd"
    held = []
    for _ in range(120):
        kind = choice.random()
        if kind < 0.1:
            held.append(BARRIER)
        elif kind < 0.5:
            held.append(Claims(exclusive=frozenset(choice.sample(names, choice.randint(1, 2)))))
        else:
            held.append(Claims(shared=frozenset(choice.sample(names, 1))))
    recorder = Recorder()
    scheduler = Scheduler(4, object, lambda session: None)
    scheduler.run([recorder.task(number, claim) for number, claim in enumerate(held)])
    assert sorted(recorder.order) == list(range(120))
    at = {number: position for position, number in enumerate(recorder.order)}
    for late in range(120):
        for early in range(late):
            if conflict(held[early], held[late]):
                assert at[early] < at[late]
    assert not [pair for pair in recorder.overlaps if conflict(held[pair[0]], held[pair[1]])]
    assert recorder.overlaps  # something did run side by side


def test_the_first_error_stops_the_rest_and_is_the_one_that_is_told() -> None:
    ran: list[int] = []

    def fail(_session: Any) -> None:
        raise ValueError("first")

    def note(_session: Any) -> None:
        ran.append(1)

    closed: list[object] = []
    tasks = [Task(fail, BARRIER), *[Task(note, Claims()) for _ in range(5)]]
    with pytest.raises(ValueError, match="first"):
        Scheduler(3, object, closed.append).run(tasks)
    assert ran == []
    assert 1 <= len(closed) <= 3


def test_a_session_that_cannot_be_opened_is_an_error_not_a_hang() -> None:
    def refuse() -> object:
        raise OSError("no more connections")

    with pytest.raises(OSError, match="no more connections"):
        Scheduler(2, refuse, lambda session: None).run([Task(lambda session: None, Claims())])


def test_the_costliest_of_what_may_start_starts_first() -> None:
    recorder = Recorder()
    tasks = [recorder.task(number, Claims()) for number in range(5)]
    for number, task in enumerate(tasks):
        task.cost = number
    Scheduler(1, object, lambda session: None).run(tasks)
    assert recorder.order == [4, 3, 2, 1, 0]


def test_ten_thousand_indexes_are_scheduled_quickly() -> None:
    tasks = [
        Task(lambda session: None, Claims(frozenset({f"i{n}"}), frozenset({f"t{n % 300}"})))
        for n in range(10_000)
    ]
    began = time.process_time()
    Scheduler(4, object, lambda session: None).run(tasks)
    assert time.process_time() - began < 10
