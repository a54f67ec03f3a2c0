"""Every compression: whole, or an error; found by content, bounded in memory."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import sys
from typing import Any

import pytest
import zstandard
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import decompress as subject
from ansible_collections.oncall.runbooks.plugins.module_utils.restore import decompress_zstd as zstd
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    DumpError,
    RefusedError,
    ToolError,
    TruncatedError,
)

CONTENT = b"".join(b"%d\tsome row of text\n" % n for n in range(3000))
COMPRESS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def run(data: bytes, size: int = 1 << 18) -> bytes:
    blocks = [data[i : i + size] for i in range(0, len(data), size)]
    return b"".join(subject.decompress(blocks, subject.detect(data), "backup.sql"))


@pytest.fixture(params=["zlib", "isal"], autouse=True)
def inflating(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpack gzip with what every Python has, and with what is used instead where it is installed."""
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setattr(subject, "_isal", None)


@pytest.fixture(params=["module", "program"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "program":
        if shutil.which("zstd") is None:
            pytest.skip("the program zstd is not installed")
        monkeypatch.setattr(zstd, "_zstandard", None)
        monkeypatch.setattr(zstd, "_stdlib", None)
    return str(request.param)


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("size", [1, 1000, 1 << 18])
def test_gives_the_content_of_one_and_several_members(name: str, size: int) -> None:
    data = COMPRESS[name](CONTENT)
    assert subject.detect(data) == name
    assert run(data, size) == CONTENT
    assert run(data + COMPRESS[name](b"more\n"), size) == CONTENT + b"more\n"


@pytest.mark.parametrize("name", COMPRESS)
def test_a_stream_cut_anywhere_is_an_error(name: str) -> None:
    data = COMPRESS[name](CONTENT[:2000])
    for size in range(8, len(data)):
        with pytest.raises(TruncatedError):
            run(data[:size])


@pytest.mark.parametrize("name", COMPRESS)
def test_a_changed_byte_is_an_error(name: str) -> None:
    data = COMPRESS[name](CONTENT)
    middle = len(data) // 2
    with pytest.raises(TruncatedError):
        run(data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :])


def test_gzip_checks_checksum_and_length() -> None:
    data = gzip.compress(CONTENT)
    for at in (-8, -1):
        broken = bytearray(data)
        broken[at] ^= 1
        with pytest.raises(TruncatedError, match=r"(?i)incorrect"):
            run(bytes(broken))


@pytest.mark.parametrize("name", COMPRESS)
def test_what_comes_behind_is_named(name: str) -> None:
    data = COMPRESS[name](CONTENT)
    with pytest.raises(DumpError, match="GARBAGE"):
        run(data + b"GARBAGE")
    assert run(data + bytes(700)) == CONTENT, "zeros are padding"


def test_zstd_by_module_and_by_program(how: str) -> None:
    data = COMPRESS["zstd"](CONTENT)
    assert run(data * 2, 100) == CONTENT * 2
    with pytest.raises(TruncatedError):
        run(data[:-3])
    with pytest.raises(TruncatedError):
        run(data[:200] + b"\xff" + data[201:])


def test_an_error_of_the_reader_comes_through_the_program(how: str) -> None:
    def failing() -> Any:
        yield COMPRESS["zstd"](CONTENT)[:100]
        raise OSError("cut")

    with pytest.raises((OSError, TruncatedError), match="cut"):
        list(subject.decompress(failing(), "zstd"))


def test_names_what_is_missing_for_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zstd, "_zstandard", None)
    monkeypatch.setattr(zstd, "_stdlib", None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolError, match="python3-zstandard"):
        subject.require("zstd")


@pytest.mark.parametrize(
    ("magic", "name"), [(b"\x04\x22\x4d\x18", "lz4"), (b"PK\x03\x04", "zip"), (b"age-encryption", "age")]
)
def test_refuses_others_by_name(magic: bytes, name: str) -> None:
    with pytest.raises(RefusedError, match=name):
        run(magic + bytes(100))


def test_says_when_the_name_disagrees() -> None:
    assert "named like gzip but its content is none" in subject.name_disagrees("a.sql.gz", "none")
    assert subject.name_disagrees("a.sql.gz", "gzip") == ""


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_pieces_are_bounded_for_any_ratio(name: str) -> None:
    data = COMPRESS[name](bytes(20 << 20))
    largest = max(len(piece) for piece in subject.decompress([data], name))
    assert largest <= subject.PIECE
    assert sys.getsizeof(b"") < subject.PIECE
