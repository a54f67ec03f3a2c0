"""Which backup is chosen, and why each other is not: the judgement alone, no server."""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_manifest import (
    ManifestError,
    from_metadata,
    read_manifest,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_names import (
    Rules,
    StoredObject,
    UnfinishedUpload,
    parse_time,
    size_text,
    span_text,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_peek import HEAD, TAIL, problem
from ansible_collections.oncall.runbooks.plugins.module_utils.backup_selection import (
    Selection,
    reject,
    select,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from backup_samples import EMPTY_GZIP, END, FORMAT, PATTERN, gzip_dump, sql_dump

from runbook.rehearsal.postgres_server import PostgresServer

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
MB = 1_000_000


def at(day: int, hour: int = 3, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def key(when: datetime, suffix: str = "") -> str:
    return f"postgres/roost_prod-{when.strftime(FORMAT)}.sql.gz{suffix}"


def stored(when: datetime, size: int = 50 * MB, uploaded: datetime | None = None) -> StoredObject:
    return StoredObject(key(when), size, uploaded or when + timedelta(minutes=5), "etag")


def rules(**changes: Any) -> Rules:
    options = {"pattern": PATTERN, "timestamp_format": FORMAT, "prefix": "postgres/", **changes}
    return Rules.from_options(options)


def judge(*objects: StoredObject, **changes: Any) -> Selection:
    return select(objects, [], rules(**changes), NOW)


def verdicts(selection: Selection) -> dict[str, str]:
    return {r.key: r.kind for r in selection.rejected}


GOOD = stored(at(20))


@pytest.mark.parametrize(
    ("decoy", "kind", "words"),
    [
        (stored(at(21), size=0), "empty", "0 bytes"),
        (stored(at(21), size=20), "trend", "20 B, less than half of the 50.0 MB"),
        (stored(at(21), size=24 * MB), "trend", "24.0 MB"),
        (StoredObject("postgres/LATEST", 42, NOW), "pattern", "not a backup of this system"),
        (StoredObject(key(at(21), ".tmp"), 50 * MB, NOW), "pattern", "does not match"),
        (StoredObject("postgres/rolerabbit-20261121T030000Z.sql.gz", 50 * MB, NOW), "pattern", "this system"),
        (StoredObject("postgres/old/" + key(at(21))[9:], 50 * MB, NOW), "pattern", "does not match"),
        (
            StoredObject("postgres/roost_prod-20261399T030000Z.sql.gz", MB, NOW),
            "timestamp",
            "20261399T030000Z",
        ),
        (stored(at(21, 7), uploaded=at(18)), "misnamed", "its name cannot be true"),
        (stored(datetime(2027, 3, 1, tzinfo=UTC), uploaded=at(21)), "misnamed", "2027-03-01"),
        (StoredObject("postgres/", 0, NOW), "pattern", "does not match"),
    ],
)
def test_a_decoy_newer_than_the_good_one_is_turned_down(decoy: StoredObject, kind: str, words: str) -> None:
    selection = judge(GOOD, decoy)
    assert selection.chosen is not None
    assert selection.chosen.key == GOOD.key
    assert verdicts(selection) == {decoy.key: kind}
    assert words in selection.rejected[0].reason


def test_the_time_in_the_name_counts_and_not_that_of_the_upload() -> None:
    old = stored(at(1), uploaded=NOW - timedelta(minutes=1))
    selection = judge(old, GOOD)
    assert selection.chosen is not None
    assert selection.chosen.key == GOOD.key
    assert "copied there later" in selection.good[0].notes[0]
    assert selection.rejected == ()


def test_never_a_text_sort() -> None:
    changes = {"pattern": r"(?P<timestamp>\d+-\d+-\d{4})\.dump", "timestamp_format": "%d-%m-%Y"}
    january = datetime(2026, 1, 21, 3, 5, tzinfo=UTC)
    uploads = {"09-11-2026": at(9), "20-11-2026": at(20), "21-01-2026": january}
    objects = [StoredObject(f"postgres/{day}.dump", MB, when) for day, when in uploads.items()]
    chosen = judge(*objects, **changes).chosen
    assert chosen is not None
    assert chosen.key == "postgres/20-11-2026.dump"


@pytest.mark.parametrize(
    ("before", "day"),
    [
        ("2026-11-20T03:00:00Z", 20),
        ("2026-11-20T02:59:59Z", 19),
        ("2026-11-20T04:30:00+02:00", 19),
        ("2026-11-20T02:30:00", 19),
        ("2026-11-25T00:00:00Z", 21),
        ("2026-11-01T00:00:00Z", None),
    ],
)
def test_before_takes_the_newest_at_or_before_that_time(before: str, day: int | None) -> None:
    selection = judge(stored(at(19)), stored(at(21)), stored(at(20)), before=before)
    assert (selection.chosen.key if selection.chosen else None) == (key(at(day)) if day else None)
    assert set(verdicts(selection).values()) <= {"before"}


def test_a_name_with_a_day_only_may_hold_all_of_that_day() -> None:
    changes = {"pattern": r"(?P<timestamp>[\d-]+)\.dump", "timestamp_format": "%Y-%m-%d"}
    night = StoredObject("postgres/2026-11-20.dump", MB, at(20, 3))
    copied = StoredObject("postgres/2026-11-19.dump", MB, at(21, 5))
    selection = judge(night, copied, before="2026-11-20T01:00:00Z", **changes)
    assert selection.chosen is not None
    assert selection.chosen.key == copied.key
    assert selection.chosen.latest == at(20, 0)
    assert "2026-11-20T03:00:00Z, 2.0 h after" in selection.rejected[0].reason


def test_a_name_in_local_time_is_not_lost_but_the_upload_counts() -> None:
    local = stored(at(21, 5), uploaded=at(21, 3, 5))
    chosen = judge(GOOD, local).chosen
    assert chosen is not None
    assert (chosen.key, chosen.timestamp) == (local.key, at(21, 3, 5))
    assert "local time" in chosen.notes[0]


def test_an_offset_in_the_name_is_read() -> None:
    changes = {"pattern": r"(?P<timestamp>.+)\.dump", "timestamp_format": "%Y%m%dT%H%M%S%z"}
    chosen = judge(StoredObject("postgres/20261121T050000+0200.dump", MB, at(21, 3, 5)), **changes).chosen
    assert chosen is not None
    assert chosen.timestamp == at(21, 3)


def test_two_of_the_same_second_are_told_apart_the_same_way_in_any_order() -> None:
    changes = {"pattern": r"roost_prod-(?P<timestamp>\w+)\.sql(\.gz|\.zst)"}
    twins = [
        StoredObject(f"postgres/roost_prod-20261121T030000Z.sql.{s}", MB, at(21, 4)) for s in ("gz", "zst")
    ]
    first, second = judge(*twins, **changes), judge(*reversed(twins), **changes)
    assert first.chosen == second.chosen is not None


def test_an_object_from_the_future_is_a_clock_that_is_off() -> None:
    selection = judge(stored(NOW + timedelta(minutes=20)))
    assert "clock is behind" in selection.warnings[0]


def test_the_trend_forgives_growth_and_slow_shrinking() -> None:
    sizes = [10, 30, 90, 60, 40, 35]
    selection = judge(*[stored(at(10 + n), size * MB) for n, size in enumerate(sizes)])
    assert verdicts(selection) == {}


def test_the_trend_compares_only_what_is_alike_and_ignores_what_was_bad() -> None:
    changes = {"pattern": r"roost_prod-(?P<timestamp>\w+)\.(sql|sql\.gz)"}
    plain = StoredObject("postgres/roost_prod-20261119T030000Z.sql", 400 * MB, at(19, 4))
    selection = judge(
        plain, stored(at(20), 50 * MB), stored(at(20, 9), 20), stored(at(21), 49 * MB), **changes
    )
    assert verdicts(selection) == {key(at(20, 9)): "trend"}
    assert selection.chosen is not None
    assert selection.chosen.key == key(at(21))


def test_a_minimum_size_is_stated_with_numbers() -> None:
    selection = judge(stored(at(20), 999), min_size=1000)
    assert verdicts(selection) == {GOOD.key: "min_size"}
    assert "999 B, less than the minimum of 1.0 kB" in selection.rejected[0].reason


def test_an_unfinished_upload_is_listed() -> None:
    selection = select([GOOD], [UnfinishedUpload(key(at(21)), at(21))], rules(), NOW)
    assert verdicts(selection) == {key(at(21)): "unfinished"}
    assert "2026-11-21T03:00:00Z, was never completed" in selection.rejected[0].reason


def test_checksum_files_are_neither_backups_nor_strangers() -> None:
    beside = [StoredObject(key(at(20), s), 64, at(20)) for s in (".sha256", ".md5")]
    beside += [StoredObject("postgres/" + n, 64, at(20)) for n in ("SHA256SUMS", "manifest.json")]
    assert judge(GOOD, *beside).rejected == ()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (stored(at(20), 20), "less than half"),
        (StoredObject("postgres/by-hand.sql.gz", MB, at(20)), "does not match"),
        (stored(at(20), uploaded=at(1)), "cannot be true"),
    ],
)
def test_an_explicit_key_wins_with_a_warning(wanted: StoredObject, words: str) -> None:
    selection = judge(stored(at(18)), stored(at(21)), wanted, key=wanted.key)
    assert selection.chosen is not None
    assert selection.chosen.key == wanted.key
    assert words in selection.chosen.warnings[0]


def test_an_explicit_key_newer_than_before_is_warned_about() -> None:
    chosen = judge(GOOD, key=GOOD.key, before="2026-11-19T00:00:00Z").chosen
    assert chosen is not None
    assert "27.0 h after the time asked for" in chosen.warnings[0]


@pytest.mark.parametrize("wanted", [stored(at(21), 0), StoredObject("postgres/gone", 1, NOW)])
def test_an_explicit_key_that_is_empty_or_gone_is_not_replaced_by_another(wanted: StoredObject) -> None:
    objects = [GOOD, wanted] if wanted.size == 0 else [GOOD]
    assert judge(*objects, key=wanted.key).chosen is None


def test_a_closer_look_moves_the_choice_to_the_next_older_one() -> None:
    selection = judge(stored(at(19)), GOOD, stored(at(21)))
    assert selection.chosen is not None
    after = reject(selection, selection.chosen, "content", "it is cut")
    assert after.chosen is not None
    assert after.chosen.key == GOOD.key
    assert verdicts(after) == {key(at(21)): "content"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pattern": "("}, "regular expression"),
        ({"pattern": r"roost-\d+"}, "no group named timestamp"),
        ({"timestamp_format": "%Q"}, "strptime"),
        ({"before": "last night"}, "ISO 8601"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused(changes: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        rules(**changes)


def test_texts_for_humans() -> None:
    assert [size_text(n) for n in (20, 1400, 213_112_004, 5e12)] == ["20 B", "1.4 kB", "213.1 MB", "5.0 TB"]
    spans = (timedelta(seconds=40), timedelta(minutes=12), timedelta(hours=25), timedelta(days=30))
    assert [span_text(s) for s in spans] == ["40 s", "12 min", "25.0 h", "30 d"]
    assert parse_time("2026-11-21T03:00:00z", option="before") == at(21)


# What a look at the first and the last bytes betrays.


def look(content: bytes) -> str:
    return problem(content[:HEAD], content[-TAIL:], len(content))


BIG = sql_dump(rows=20_000)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (sql_dump(), ""),
        (gzip_dump(), ""),
        (BIG, ""),
        (gzip.compress(BIG), ""),
        (b"\x28\xb5\x2f\xfd and so on", ""),
        (b"PGDMP\x01\x0e" + b"x" * 2000 + b"\0" * 5, ""),
        (EMPTY_GZIP, "gzip file of nothing (20 B)"),
        (EMPTY_GZIP[:12], "cut to 12 B"),
        (gzip_dump()[:-9], "its end is missing"),
        (gzip_dump()[:-8] + b"\0\0\0\0" + gzip_dump()[-4:], "damaged gzip file"),
        (gzip.compress(sql_dump()[: -len(END)]), "the dump was cut"),
        (gzip.compress(b"pg_dump: error: connection failed\n"), "does not begin like a dump"),
        (gzip.compress(b"x" + BIG), ""),
        (gzip.compress(BIG)[:-100_000] + b"\xff" * 8, "cut or damaged"),
        (sql_dump()[:-200], "without the line"),
        (BIG[: len(BIG) // 2], "without the line"),
        (b"<html>Not found</html>", "does not begin like a dump"),
        (b"PGDMP\x01\x0e" + b"x" * 2000, "ends in the middle"),
    ],
    ids=lambda value: (value or "fine") if isinstance(value, str) else "content",
)
def test_a_look_at_head_and_tail(content: bytes, words: str) -> None:
    assert (words in look(content)) if words else look(content) == ""


@pytest.mark.parametrize(
    ("option", "packed", "cut"),
    [
        ("--format=plain", False, "without the line"),
        ("--format=plain", True, "cut"),
        ("--format=custom", False, "ends in the middle"),
        ("--format=tar", False, "without its end"),
    ],
)
def test_real_dumps_look_good_and_cut_ones_do_not(
    postgres: PostgresServer, database: str, tmp_path: Path, *, option: str, packed: bool, cut: str
) -> None:
    postgres.execute(
        "CREATE TABLE t AS SELECT n, md5(n::text) AS v FROM generate_series(1, 30000) n", database=database
    )
    target = tmp_path / "dump"
    postgres.run("pg_dump", option, "--file", str(target), database=database)
    content = gzip.compress(target.read_bytes()) if packed else target.read_bytes()
    assert look(content) == ""
    # The end of a cut gzip file is any number: one in a few hundred is plausible by chance.
    found = [cut in look(content[: len(content) * tenth // 20]) for tenth in range(8, 18)]
    assert sum(found) >= (8 if packed else 10)


# Checksums beside a backup.

DIGEST = hashlib.sha256(b"content").hexdigest()
KEY = "postgres/roost.sql.gz"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (KEY + ".sha256", DIGEST),
        (KEY + ".sha256", f"{DIGEST}  roost.sql.gz\n"),
        (KEY + ".sha256", f"{DIGEST.upper()} *./roost.sql.gz\n"),
        (KEY + ".sha256sum", f"{DIGEST}  /var/backups/roost.sql.gz\n"),
        (KEY + ".sha256", f"SHA256 (roost.sql.gz) = {DIGEST}"),
        ("postgres/SHA256SUMS", f"# made by cron\n{'0' * 64}  other.sql.gz\n{DIGEST}  roost.sql.gz\n"),
        ("postgres/manifest.json", f'{{"files": {{"roost.sql.gz": {{"sha256": "{DIGEST}"}}}}}}'),
        ("postgres/manifest.json", f'{{"files": [{{"key": "{KEY}", "sha256": "{DIGEST}", "size": 7}}]}}'),
        ("postgres/manifest.json", f'{{"name": "roost.sql.gz", "sha256": "{DIGEST}"}}'),
    ],
)
def test_a_checksum_is_read(source: str, text: str) -> None:
    checksum = read_manifest(text.encode(), source, "sha256", KEY)
    assert checksum is not None
    assert (checksum.algorithm, checksum.value, checksum.source) == ("sha256", DIGEST, source)


@pytest.mark.parametrize(
    ("source", "content"),
    [
        (KEY + ".sha256", b""),
        (KEY + ".sha256", DIGEST[:-1].encode()),
        (KEY + ".sha256", f"{DIGEST}  other.sql.gz".encode()),
        (KEY + ".sha256", f"{DIGEST} roost.sql.gz trailing".encode()),
        (KEY + ".sha256", f"{DIGEST}\n{DIGEST}".encode()),
        (KEY + ".sha256", b"\xff\xfe"),
        ("postgres/SHA256SUMS", b"what is this"),
        ("postgres/SHA256SUMS", f"{DIGEST}  roost.sql.gz\n{'0' * 64}  roost.sql.gz".encode()),
        ("postgres/manifest.json", b"{"),
        ("postgres/manifest.json", b'{"files": {"roost.sql.gz": {"sha256": "no"}}}'),
        ("postgres/manifest.json", f'{{"name": "roost.sql.gz", "sha256": "{DIGEST}", "size": "7"}}'.encode()),
    ],
)
def test_a_checksum_that_needs_guessing_is_refused(source: str, content: bytes) -> None:
    with pytest.raises(ManifestError, match="postgres/"):
        read_manifest(content, source, "sha256", KEY)


def test_a_list_that_does_not_name_the_backup_says_nothing() -> None:
    assert read_manifest(f"{DIGEST}  other.gz".encode(), "postgres/SHA256SUMS", "sha256", KEY) is None
    assert read_manifest(b'{"files": {}}', "postgres/manifest.json", "sha256", KEY) is None


def test_the_store_may_know_the_checksum() -> None:
    made = from_metadata({}, {"sha256": "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M="}, KEY)
    assert made is not None
    assert made.value == DIGEST
    assert from_metadata({"sha256": "not hex"}, {"crc32": "AAAAAA=="}, KEY) is None
