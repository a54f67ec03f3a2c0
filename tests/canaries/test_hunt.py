"""The search finds what it has to find: without that, no hit would mean nothing."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import pytest

from tests.canaries.hunt import Hunt, canary, watched

NASTY = canary('/ü"&= %\\')


@pytest.mark.parametrize("before", ["", "x", "xy", "user:"])
@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text,
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
        urllib.parse.quote,
        lambda text: urllib.parse.quote(text, safe=""),
        urllib.parse.quote_plus,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps({"log": json.dumps({"msg": text})}),
        lambda text: text.encode().hex(),
    ],
)
def test_every_form_is_found_wherever_it_begins(encode: object, before: str) -> None:
    hunt = Hunt({"nasty": NASTY})
    hunt.look("here", f"so {encode(before + NASTY + ' after')} end".encode())  # type: ignore[operator]
    assert hunt.hits
    clean = Hunt({"nasty": canary('/ü"&= %\\')})
    clean.look("here", f"so {encode(before + NASTY + ' after')} end".encode())  # type: ignore[operator]
    assert not clean.hits


def test_names_contents_and_compressed_files_are_looked_into(tmp_path: Path) -> None:
    named, stored, packed = canary(), canary(), canary()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / named).write_text(stored)
    (tmp_path / "evidence.gz").write_bytes(gzip.compress(packed.encode()))
    hunt = Hunt({"named": named, "stored": stored, "packed": packed, "absent": canary()})
    hunt.look_below(tmp_path)
    assert {hit.rsplit(": ")[-1].split()[0] for hit in hunt.hits} == {"named", "stored", "packed"}


def test_processes_are_looked_into_while_they_live() -> None:
    argv, environ, allowed = canary(), canary(), canary()
    hunt = Hunt({"argv": argv, "environ": environ, "allowed": allowed})
    with watched(hunt, environ=["allowed"]) as seen:
        subprocess.run(
            [sys.executable, "-c", "import time; time.sleep(0.3)", argv],
            env={**os.environ, "A": environ, "B": allowed}, check=True,
        )  # fmt: skip
        time.sleep(0.05)
    assert seen
    assert {hit.rsplit(": ")[-1].split()[0] for hit in hunt.hits} == {"argv", "environ"}
