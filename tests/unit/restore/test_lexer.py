"""Statements are cut where psql cuts them, whatever the sizes of the pieces."""

from __future__ import annotations

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.lexer import (
    CutError,
    Feed,
    StatementScanner,
)

WHOLE = [
    b"SELECT 1;",
    b"SELECT 'a;b';",
    b"SELECT 'it''s;';",
    rb"SELECT E'it\';s', 'back\';",
    rb"SELECT E'a''b\';' , 1;",
    b"SELECT E'a'\n  'b\\';c', 2;",
    rb"SELECT e'\\';",
    rb"SELECT name'\';",
    b'SELECT "a;b""c;" ;',
    b"SELECT $$;$$, $a$ ; $b$ ; $$ $a$;",
    b"SELECT a$b, c$;",
    b"SELECT 1 -- comment;\n, 2;",
    b"SELECT /* ; /* ; */ ; */ 1;",
    b"SELECT 4 - 2 / 1 -1;",
    b"CREATE RULE r AS ON INSERT TO v DO INSTEAD (SELECT 1; SELECT 2);",
    b"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;",
    b"create or  replace\nprocedure f() begin atomic end;",
    b"CREATE FUNCTION f(begin int) RETURNS int LANGUAGE sql AS 'SELECT 1; BEGIN';",
    b"CREATE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT begin, weekend, x.end_ FROM t; END;",
    b"CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN CASE WHEN true THEN 1 ELSE 2 END;",
    b"CREATE TABLE \xe4\xb8\xad (x text DEFAULT '\xe4;');",
]


def end(blocks: list[bytes], *, standard: bool = True) -> int:
    return StatementScanner(Feed(blocks), standard_strings=standard).end()


@pytest.mark.parametrize("text", WHOLE)
@pytest.mark.parametrize("behind", [b"", b"\nSELECT 'x';\n"])
def test_finds_the_end_of_a_statement(text: bytes, behind: bytes) -> None:
    whole = text + behind
    assert end([whole]) == len(text)
    assert end([whole[i : i + 1] for i in range(len(whole))]) == len(text)


@pytest.mark.parametrize("text", WHOLE)
def test_a_statement_cut_anywhere_has_no_end(text: bytes) -> None:
    for size in range(1, len(text)):
        with pytest.raises(CutError):
            end([text[:size]])


def test_old_strings_escape_with_backslashes() -> None:
    text = rb"SELECT 'a\';b';"
    assert end([text], standard=False) == len(text)
    assert end([text + b"'"]) == 12


def test_says_inside_what_it_ends() -> None:
    for text, inside in (
        (b"SELECT 'a", "a string"),
        (b"SELECT $x$ a", "dollar"),
        (b"SELECT /* a", "comment"),
    ):
        with pytest.raises(CutError, match=inside):
            end([text])
