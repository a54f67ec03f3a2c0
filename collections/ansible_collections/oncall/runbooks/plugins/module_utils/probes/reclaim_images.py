# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Container images that may go: nothing uses them, no rollback needs them, they are old. Never a prune."""

from __future__ import annotations

__metaclass__ = type

import json
import os
import re
import time
from calendar import timegm
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Iterator, List, Mapping, Sequence, Set, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.command import run

_TIMEOUT = 30.0  # seconds; an engine whose disk is full is slow
_BATCH = 200
_UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_COMPOSE = ("com.docker.compose.project", "com.docker.compose.service")


@dataclass(frozen=True)
class Image:
    """One image: `unique` is what only it takes, in bytes; `since` when it came here (Unix time)."""

    id: str
    tags: Tuple[str, ...]
    digests: Tuple[str, ...]
    families: FrozenSet[str]
    parent: str
    since: float
    unique: int

    @property
    def name(self) -> str:
        """Its tags, or the beginning of its id."""
        return ", ".join(self.tags) or self.id.rpartition(":")[2][:12]


class Engine:
    """The engine's own program; asks and removes single images and the build cache, nothing else."""

    def __init__(self, program: str) -> None:
        self.program = program

    def root(self) -> str:
        """Return the folder of the engine's data."""
        return self._ask("info", "--format", "{{.DockerRootDir}}").strip()

    def used(self) -> Set[str]:
        """Return the ids of the images that any container has, running or stopped."""
        containers = self._ask("ps", "--all", "--no-trunc", "--quiet").split()
        return {line for part in _parts(containers) for line in self._inspect_images_of(part)}

    def _inspect_images_of(self, containers: Sequence[str]) -> List[str]:
        return self._ask("inspect", "--type", "container", "--format", "{{.Image}}", *containers).split()

    def images(self) -> List[Image]:
        """Return every image that has a name or that nothing else is built on."""
        ids = sorted(set(self._ask("image", "ls", "--no-trunc", "--quiet").split()))
        told = json.loads(self._ask("system", "df", "--verbose", "--format", "{{json .}}"))
        unique = {str(one["ID"]): _bytes(str(one["UniqueSize"])) for one in told.get("Images") or []}
        found = [one for part in _parts(ids) for one in json.loads(self._ask("image", "inspect", *part))]
        return [_parsed(one, unique) for one in found]

    def cache(self) -> int:
        """Return the bytes that the build cache could give back."""
        for line in self._ask("system", "df", "--format", "{{json .}}").splitlines():
            told = json.loads(line)
            if told["Type"] == "Build Cache":
                return _bytes(str(told["Reclaimable"]).partition(" ")[0])
        return 0

    def remove(self, image: str, tags: Sequence[str]) -> None:
        """Remove one image; raises OncallError when a container has come to use it meanwhile."""
        # The engine refuses that itself, but only at the last of several names.
        if self._ask("ps", "--all", "--quiet", "--filter", "ancestor=" + image).strip():
            got, next_step = "a container has come to use it meanwhile", "nothing; it stays"
            raise OncallError("remove the image", on=", ".join(tags) or image, got=got, next_step=next_step)
        for name in tags or [image]:
            self._ask("image", "rm", name)

    def clear_cache(self, hours: float) -> None:
        """Remove what the build cache has not used for so long."""
        self._ask("builder", "prune", "--force", "--filter", "until=%dm" % round(hours * 60))

    def _ask(self, *arguments: str) -> str:
        done = run([self.program, *arguments], timeout=_TIMEOUT, max_output=64 * 1024 * 1024)
        if done.rc != 0:
            raise OncallError(
                "ask the container engine",
                on="%s %s" % (self.program, " ".join(arguments[:3])),
                got=(done.err or done.out).strip()[-400:] or "exit code %d" % done.rc,
                next_step="look at the engine; without it take images out of host_free_candidates",
                kind="engine",
            )
        return done.out


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), _BATCH):
        yield names[first : first + _BATCH]


def removable(engine: Engine, rules: Mapping[str, Any], older_than_hours: float) -> List[Image]:
    """Return the images that may go by `rules`, the oldest first.

    Stays: what a container uses (also a stopped one), what is young, what `keep` names, the newest
    `keep_releases` of each repository, and whatever those that stay are built on.
    """
    images = engine.images()
    stays = engine.used() | _named(images, rules["keep"]) | _releases(images, int(rules["keep_releases"]))
    limit = time.time() - older_than_hours * 3600
    stays |= {one.id for one in images if one.since > limit}
    by_id = {one.id: one for one in images}
    for identifier in list(stays):
        stays |= _ancestors(by_id, identifier)
    return sorted((one for one in images if one.id not in stays), key=lambda one: (one.since, one.id))


def _ancestors(by_id: Mapping[str, Image], identifier: str) -> Set[str]:
    found: Set[str] = set()
    parent = by_id[identifier].parent if identifier in by_id else ""
    while parent and parent not in found:
        found.add(parent)
        parent = by_id[parent].parent if parent in by_id else ""
    return found


def _named(images: Sequence[Image], patterns: Sequence[str]) -> Set[str]:
    try:
        compiled = [re.compile(pattern) for pattern in patterns]
    except re.error as exc:
        raise UsageError(
            "keep images", on="images.keep", got=str(exc), next_step="write a regular expression"
        ) from None
    names = {one.id: (*one.tags, *one.digests, one.id) for one in images}
    return {i for i, told in names.items() if any(c.search(name) for c in compiled for name in told)}


def _releases(images: Sequence[Image], count: int) -> Set[str]:
    """Return the newest `count` images of each repository: what a rollback goes back to."""
    families: Dict[str, List[Image]] = defaultdict(list)
    for one in images:
        # What lost its name may be the release before, of a tag that moved on: it is one family, too.
        for family in one.families or {""}:
            families[family].append(one)
    newest = (sorted(f, key=lambda one: one.since, reverse=True)[:count] for f in families.values())
    return {one.id for some in newest for one in some}


def _parsed(told: Mapping[str, Any], unique: Mapping[str, int]) -> Image:
    tags = tuple(str(t) for t in told.get("RepoTags") or [] if not str(t).startswith("<none>"))
    digests = tuple(str(d) for d in told.get("RepoDigests") or [] if not str(d).startswith("<none>"))
    families = {_repository(tag) for tag in tags} | {digest.partition("@")[0] for digest in digests}
    labels = (told.get("Config") or {}).get("Labels") or {}
    if all(label in labels for label in _COMPOSE):
        families.add("compose:" + "/".join(labels[label] for label in _COMPOSE))
    # An image that was made long ago may have come here today.
    stamps = [told.get("Created"), (told.get("Metadata") or {}).get("LastTagTime")]
    identifier = str(told["Id"])
    return Image(
        identifier,
        tags,
        digests,
        frozenset(families),
        str(told.get("Parent") or ""),
        max(_seconds(str(stamp or "")) for stamp in stamps),
        unique.get(identifier, 0),
    )


def _repository(tag: str) -> str:
    # A port of the registry has a colon, too.
    head, _colon, last = tag.rpartition(":")
    return head if head and "/" not in last else tag


def _seconds(stamp: str) -> float:
    fraction = re.match(r"\.\d+", stamp[19:])
    try:
        whole = timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return 0.0
    return whole + (float(fraction.group()) if fraction else 0.0)


def _bytes(text: str) -> int:
    match = re.match(r"([0-9.]+)\s*([A-Za-z]+)", text)
    return int(float(match.group(1)) * _UNITS.get(match.group(2), 1)) if match else 0


def same_disk(engine: Engine, device: int) -> bool:
    """Whether the engine's data is on the file system (by its device number) that needs the space."""
    try:
        return os.stat(engine.root()).st_dev == device
    except OSError:
        return False
