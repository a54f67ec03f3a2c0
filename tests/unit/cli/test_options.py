"""What a command line can mean, without running it."""

from __future__ import annotations

import pytest
from runbook_engine.errors import UsageError

from runbook.cli_rehearse import size
from runbook.options import parameters, parse_args


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n=4", 4), ("n=-1", -1), ("n=007", "007"), ("n=true", True), ("n=True", "True"), ("n=", ""),
        ("n=a=b", "a=b"),
        ("n=2026-11-20T03:00:00Z", "2026-11-20T03:00:00Z"), ("n=null", "null"), ("n={{ x }}", "{{ x }}"),
    ],
)  # fmt: skip
def test_parameters_keep_texts_as_they_are(text: str, value: object) -> None:
    assert parameters([text]) == {"n": value}


@pytest.mark.parametrize("given", [["x"], ["=1"], ["a b=1"], ["a-b=1"], ["a=1", "a=2"]])
def test_parameters_that_cannot_be_meant_are_refused(given: list[str]) -> None:
    with pytest.raises(UsageError):
        parameters(given)


@pytest.mark.parametrize(
    "argv", [[], ["run"], ["run", "a"], ["run", "a", "b", "c"], ["show"], ["--frobnicate"]]
)
def test_incomplete_command_lines_are_usage_errors(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_args(argv)


def test_an_undo_may_be_of_one_step_and_a_resume_is_of_a_run() -> None:
    assert parse_args(["undo", "last", "--step", "7@front", "--apply"]).step == "7@front"
    assert parse_args(["undo", "last"]).step is None
    with pytest.raises(UsageError, match="--step"):
        parse_args(["resume", "last", "--step", "7"])


@pytest.mark.parametrize(("text", "number"), [("50MB", 50e6), ("1.5 GB", 1.5e9), ("800kb", 8e5)])
def test_sizes(text: str, number: float) -> None:
    assert size(text) == number


@pytest.mark.parametrize("text", ["", "50", "0MB", "-1MB", "1TB", "x"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError):
        size(text)
