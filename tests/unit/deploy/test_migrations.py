"""Behind, ahead, diverged: what a commit knows, held against what the database has."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy import migrations
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.git import Git
from ansible_collections.oncall.runbooks.plugins.module_utils.deploy.schema import Schema
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from deploy_world import MIGRATIONS, World


def linear(*versions: str) -> migrations.Code:
    """Migrations in a row."""
    return migrations.Code("sha", tuple(migrations.Migration(v, f"migrations/{v}.sql") for v in versions))


def graph(**parents: str) -> migrations.Code:
    """Migrations that name what they follow."""
    made = [migrations.Migration(v, f"versions/{v}.py", tuple(p.split())) for v, p in parents.items()]
    return migrations.Code("sha", tuple(made), graph=True)


@pytest.mark.parametrize(
    ("code", "applied", "word", "says"),
    [
        (linear("0001", "0002"), "1 2", "current", "exactly"),
        (linear("0001", "0002", "0003"), "1", "behind", "0002, 0003"),
        (linear("0001"), "1 2 10", "ahead", "2, 10"),
        (linear("0001", "0002"), "1 3", "diverged", "has 3"),
        (linear("0001", "0002", "0003"), "1 3", "diverged", "another order"),
        (linear(), "", "current", "exactly"),
        (linear("0001", "0002"), "", "behind", "0001, 0002"),
        (graph(a="", b="a", c="b"), "a b", "behind", "c"),
        (graph(a="", b="a", c="a"), "a b c", "diverged", "2 heads"),
        (graph(a="", b="a", c="a", m="b c"), "a b c", "behind", "m"),
        (graph(a="", b="a", c="b"), "a c", "diverged", "another order"),
        (graph(a="", b="a"), "a b x", "ahead", "x"),
    ],
)
def test_what_the_difference_is_called(code: migrations.Code, applied: str, word: str, says: str) -> None:
    state = migrations.judge(code, frozenset(applied.split()))
    assert (state.word, says in state.reason) == (word, True), state.reason


def test_two_migrations_with_one_number_have_diverged(world: World) -> None:
    world.commit("Merge", {"migrations/0001_a.sql": "", "migrations/1_b.sql": ""})
    code = migrations.code_at(Git(str(world.app)), "HEAD", MIGRATIONS)
    assert migrations.judge(code, frozenset({"1"})).word == "diverged"


def test_only_what_the_pattern_names_is_a_migration(world: World) -> None:
    files = {"0001_a.sql": "", "0001_a.down.sql": "", "0010_c.sql": "", "9_b.sql": "", "README.md": ""}
    world.commit("Migrations", {f"migrations/{name}": text for name, text in files.items()})
    code = migrations.code_at(Git(str(world.app)), "HEAD", MIGRATIONS)
    assert [m.version for m in code.known] == ["0001", "9", "0010"]


def test_migrations_that_name_themselves_are_read_from_their_text(world: World) -> None:
    text = "revision = '{}'\ndown_revision = {}\n"
    files = {
        "versions/x.py": text.format("aaa", "None"),
        "versions/y.py": text.format("bbb", "'aaa'"),
        "versions/z.py": text.format("ccc", "'bbb'"),
    }
    world.commit("Migrations", files)
    options = {
        **MIGRATIONS,
        "path": "versions",
        "pattern": r".*\.py",
        "revision": r"^revision = '(\w+)'",
        "parent": r"^down_revision = '(\w+)'",
        "applied": "heads",
    }
    schema = Schema.of(Git(str(world.app)), options, migrations.Applied(("bbb",)))
    assert schema.applied == {"aaa", "bbb"}
    assert migrations.judge(schema.code("HEAD"), schema.applied).pending[0].version == "ccc"


@pytest.mark.parametrize("pattern", ["(", r"\d+\.sql"])
def test_a_pattern_that_is_none_is_told(world: World, pattern: str) -> None:
    with pytest.raises(UsageError, match=r"migrations\.pattern"):
        migrations.code_at(Git(str(world.app)), "HEAD", {**MIGRATIONS, "pattern": pattern})


def test_older_code_may_run_only_with_what_is_marked_as_harmless(world: World) -> None:
    old = world.commit("One", {"migrations/0001_a.sql": ""})
    world.commit("Two", {"migrations/0002_b.sql": "-- older code runs with this\nALTER TABLE t ADD c int;\n"})
    world.commit("Three", {"migrations/0003_c.sql": "ALTER TABLE t DROP c;\n"})
    git = Git(str(world.app))
    assert Schema(git, MIGRATIONS, frozenset("12")).verdict(old).allowed
    verdict = Schema(git, MIGRATIONS, frozenset("123")).verdict(old)
    assert verdict.blocking == ("migrations/0003_c.sql",)
    assert verdict.harmless == ("migrations/0002_b.sql",)
    unmarked = Schema(git, {**MIGRATIONS, "compatible": ""}, frozenset("12")).verdict(old)
    assert not unmarked.allowed


def test_a_migration_whose_file_is_nowhere_blocks_too(world: World) -> None:
    verdict = Schema(Git(str(world.app)), MIGRATIONS, frozenset({"77"})).verdict("HEAD")
    assert "77 (its file is in no branch" in verdict.blocking[0]


def read(world: World, **options: Any) -> migrations.Applied:
    """Ask the database."""
    given = {**MIGRATIONS, **options}
    login = migrations.pg.Login.from_params(world.login)
    return migrations.read_applied(login, world.login["database"], given, 5.0)


def test_a_database_without_the_table_may_be_another_one(with_database: World) -> None:
    with pytest.raises(OncallError) as caught:
        read(with_database, table="public.alembic_version")
    assert caught.value.kind == "no_migrations_table"
    assert "DATABASE_URL" in caught.value.message


def test_a_column_that_is_not_there_is_told(with_database: World) -> None:
    with pytest.raises(OncallError, match=r"migrations\.column"):
        read(with_database, column="number")
