# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection's modules as Ansible packs them for a target, kept from one run to the next.

Ansible packs each module that a run uses, with everything that it imports, anew in each run: 0.15 to 0.3 s of
CPU a module. The packed module is the same as long as its sources are, and holds no argument of a task. So
what a run has packed is kept under a name that is made of the content of every source, and lent to the next.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook_engine.cache import cache_folder

IN_A_RUN = "ansiballz_cache"
"""The folder of Ansible's temporary files in which a run looks for a module before it packs it."""

# Only the collection's own: what another module is made of is not known here.
_NAME = re.compile(r"ansible_collections\.oncall\.runbooks\.plugins\.modules\.\w+-ZIP_DEFLATED(-none)?")
_SETS = 4  # states of the sources that are kept: as many branches somebody may go back and forth between


@dataclass(frozen=True)
class Sources:
    """What packed modules are made of.

    plugins: folder of the collection's plugins. ansible: folders of Ansible's own `module_utils`, the first
    that has a file wins. version: Ansible's.
    """

    plugins: Path
    ansible: Sequence[Path]
    version: str

    def key(self, since_ns: int = 0) -> str:
        """Return a digest of all of it, or "" if a file of the collection was touched after `since_ns`.

        since_ns: nanoseconds since 1970, 0 for any time.
        """
        state = hashlib.sha256(f"{self.version} {sys.version}".encode())
        for path in self._own():
            if since_ns and path.stat().st_ctime_ns >= since_ns:
                return ""
            content = path.read_bytes()
            state.update(f"{path.relative_to(self.plugins.parent)} {len(content)}\n".encode() + content)
        for folder in self.ansible:
            for path in sorted(folder.rglob("*.py")):
                seen = path.stat()
                state.update(f"{path} {seen.st_size} {seen.st_mtime_ns}\n".encode())
        return state.hexdigest()

    def _own(self) -> Iterator[Path]:
        for name in ("modules", "module_utils"):
            yield from sorted((self.plugins / name).rglob("*.py"))
        yield from sorted((self.plugins.parent / "meta").glob("*.yml"))


class Builds:
    """The packed modules of one run: lent when it begins, kept when it ends.

    run: Ansible's temporary files of this run.
    """

    def __init__(self, sources: Sources, run: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._began = time.time_ns()
        self._sources, self._run = sources, run / IN_A_RUN
        self._key = sources.key()
        self._home = cache_folder(environ) / "modules"

    @property
    def _kept(self) -> Path:
        return self._home / self._key

    def lend(self) -> int:
        """Give the run what earlier runs have packed; return how many modules that is."""
        if not _is_private(self._home):
            return 0
        self._run.mkdir(parents=True, exist_ok=True)
        lent = 0
        for path in self._kept.glob("*/*"):
            # Half a file, after a crash, would stop the step that needs it.
            if _NAME.fullmatch(path.name) and _digest(path.read_bytes()) == path.parent.name:
                (self._run / path.name).symlink_to(path)
                lent += 1
        return lent

    def keep(self) -> int:
        """Keep what this run has packed, unless a source was edited meanwhile; return how many modules."""
        made = [path for path in self._run.glob("*") if _NAME.fullmatch(path.name) and not path.is_symlink()]
        if not made or self._sources.key(self._began) != self._key:
            return 0
        self._home.parent.mkdir(parents=True, exist_ok=True)
        self._home.mkdir(mode=0o700, exist_ok=True)
        if not _is_private(self._home):
            return 0
        self._kept.mkdir(mode=0o700, exist_ok=True)
        for path in made:
            self._put(path.name, path.read_bytes())
        self._forget()
        return len(made)

    def _put(self, name: str, content: bytes) -> None:
        folder = self._kept / _digest(content)
        folder.mkdir(mode=0o700, exist_ok=True)
        new = folder / f".{os.getpid()}"
        new.write_bytes(content)
        new.replace(folder / name)

    def _forget(self) -> None:
        """Remove the sets that were made longest ago."""
        sets = sorted(self._home.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in sets[_SETS:]:
            shutil.rmtree(folder, ignore_errors=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _is_private(folder: Path) -> bool:
    """Whether nobody else can put a file into it: what is in there runs as us, here and on the targets."""
    try:
        seen = folder.lstat()
    except FileNotFoundError:
        return False
    return seen.st_uid == os.geteuid() and not seen.st_mode & 0o077 and not folder.is_symlink()
