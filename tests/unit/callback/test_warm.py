"""The callback `warm`: what it loads is there in forks, and nothing depends on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SETUP = f"""
import gc, importlib.util
from ansible.plugins import loader
spec = importlib.util.spec_from_file_location("warm", {str(ROOT / "plugins" / "callback" / "warm.py")!r})
warm = importlib.util.module_from_spec(spec)
spec.loader.exec_module(warm)
"""


def run(body: str) -> list[str]:
    """In a process of its own: it changes what is loaded, for good."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP + body], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_after_the_callback_a_fork_has_nothing_left_to_load() -> None:
    body = """
print(len(loader.filter_loader._cached_non_collection_wrappers))
warm.CallbackModule().v2_playbook_on_start(None)
print(len(loader.filter_loader._cached_non_collection_wrappers))
print(len(loader.test_loader._cached_non_collection_wrappers), gc.get_freeze_count())
"""
    before, filters, tests, frozen = map(int, run(body))
    assert before == 0
    assert filters > 50
    assert tests > 20
    assert frozen > 1000


@pytest.mark.parametrize("missing", ["loader.connection_loader", "template.Templar"])
def test_what_cannot_be_loaded_stops_no_run(missing: str) -> None:
    body = f"""
def broken(*_args, **_options):
    raise RuntimeError("broken")
owner = warm.{missing.rpartition(".")[0]}
setattr(owner, {missing.rpartition(".")[2]!r}, broken)
warm.CallbackModule().v2_playbook_on_start(None)
print("went-on")
"""
    assert run(body) == ["went-on"]
