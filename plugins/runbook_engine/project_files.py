# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of a project by names that mean the same in every checkout, and their hashes."""

from __future__ import annotations

import configparser
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

GONE = "-"
"""The hash of what is not there."""

_LINKED = ("plugins", "collections", "playbooks/roles", "playbooks/callback_plugins", "playbooks", "")
_IGNORED = re.compile(r"^\.|^__pycache__$|\.py[co]$|~$|\.md$|\.example\.")
_VAULT = b"$ANSIBLE_VAULT;"


class Project:
    """The files below `root`, the folder of ansible.cfg. Hashes are kept: make a new one to look again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._hashes: dict[str, str] = {}

    def relative(self, paths: Iterable[Path]) -> Iterator[str]:
        """Yield the names of those of `paths` that belong to the project, whatever links lead there."""
        for path in paths:
            # Resolving a thousand modules of Python takes longer than the rest of this together.
            if not str(path).startswith(self._starts):
                continue
            real = path.resolve()
            for place, base in self._places:
                if real.is_relative_to(base):
                    yield (place / real.relative_to(base)).as_posix()
                    break

    def listed(self, folder: Path) -> Iterator[str]:
        """Yield the names of a folder and of all that counts in it; nothing where there is no folder.

        Encrypted files do not count: they hold secrets, which no rehearsal uses and no two machines share.
        """
        if folder.is_dir():
            yield from (f"{name}/" for name in self.relative([folder]))
            yield from self.relative(folder / name for name in self._names(folder))

    def is_shipped(self, inventory: Path) -> bool:
        """Whether an inventory is a system's own, not the overlay of its stand-in nor somebody's else."""
        names = list(self.relative([inventory])) if inventory.is_dir() else []
        return bool(names) and Path(names[0]).parts[:-1] == ("inventories",)

    def hash(self, name: str) -> str:
        """Return the SHA-256 of a file, or of the names in a folder (`…/`); GONE when it is not there."""
        if name not in self._hashes:
            self._hashes[name] = self._hashed(name)
        return self._hashes[name]

    def _hashed(self, name: str) -> str:
        path = self.root / name
        if name.endswith("/"):
            return _sha("\n".join(self._names(path)).encode()) if path.is_dir() else GONE
        try:
            return _sha(path.read_bytes())
        except OSError:
            return GONE

    def _names(self, folder: Path) -> list[str]:
        found: list[str] = []
        for here, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if not _IGNORED.search(name)]
            for name in files:
                path = Path(here) / name
                if not self._is_ignored(name) and not is_encrypted(path):
                    found.append(path.relative_to(folder).as_posix())
        return sorted(found)

    def _is_ignored(self, name: str) -> bool:
        return bool(_IGNORED.search(name)) or any(p.search(name) for p in self._not_inventory)

    @cached_property
    def _not_inventory(self) -> list[re.Pattern[str]]:
        """What ansible.cfg says is no inventory although it lies beside one."""
        config = configparser.ConfigParser(interpolation=None)
        config.read(self.root / "ansible.cfg", "utf-8")
        listed = config.get("inventory", "ignore_patterns", fallback="")
        return [re.compile(pattern.strip()) for pattern in listed.split(",") if pattern.strip()]

    @cached_property
    def _starts(self) -> tuple[str, ...]:
        return (str(self.root), *(str(base) for _place, base in self._places))

    @cached_property
    def _places(self) -> list[tuple[Path, Path]]:
        """Parts of the project and where they really are: a part may be a link to another checkout."""
        return [(Path(name), (self.root / name).resolve()) for name in _LINKED if (self.root / name).exists()]


def is_encrypted(path: Path) -> bool:
    """Whether a file is encrypted by ansible-vault as a whole."""
    try:
        with path.open("rb") as file:
            return file.read(len(_VAULT)) == _VAULT
    except OSError:
        return False


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
