"""On a real engine: what a container or a rollback needs stays, whatever its age; the rest goes."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import reclaim as reclaim_module
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.reclaim import measure, reclaim
from container_engine import Engine, NoEngineError

pytestmark = pytest.mark.containers
MIB = 1024 * 1024
EVERYTHING = 10**12


@pytest.fixture
def engine(server_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine of this test alone: it looks at every image."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    started = Engine(server_folder / f"engine-{os.urandom(3).hex()}")
    try:
        started.start_own()
    except NoEngineError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("DOCKER_HOST", started.environment["DOCKER_HOST"])
    yield started
    started.stop()


@pytest.fixture
def image(engine: Engine, tmp_path: Path) -> Callable[..., str]:
    """Make an image with a megabyte of its own, and return its id."""

    def make(*names: str, labels: dict[str, str] | None = None) -> str:
        blob = tmp_path / "blob"
        blob.write_bytes(os.urandom(MIB))
        archive = tmp_path / "image.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(blob, "blob")
        changes = [f"--change=LABEL {key}={value}" for key, value in (labels or {}).items()]
        identifier = engine.run("import", *changes, str(archive)).decode().strip()
        for name in names:
            engine.run("tag", identifier, name)
        return identifier

    return make


def options(engine: Engine, **changed: Any) -> dict[str, Any]:
    rules = {"engine": "docker", "keep_releases": 2, "keep": [], **changed.pop("images", {})}
    hours = changed.pop("hours", 0.0)
    candidate = {"paths": [], "images": rules, "older_than_hours": hours, "action": "remove"}
    return {
        "path": str(engine.folder / "data"),
        "goal_percent": 20.0,
        "candidates": [candidate],
        "protected": [],
        **changed,
    }


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Pretend that so many bytes are missing before, and after."""

    def pretend(before: int, after: int = 0) -> None:
        answers = [before]
        monkeypatch.setattr(
            reclaim_module, "missing_bytes", lambda path, goal: answers.pop() if answers else after
        )

    return pretend


def left(engine: Engine) -> set[str]:
    return set(engine.run("image", "ls", "--all", "--no-trunc", "--quiet").decode().split())


def test_only_what_nobody_needs_goes(engine: Engine, image: Any, missing: Any) -> None:
    releases = [image(f"registry.invalid:5000/roost/api:{n}") for n in range(4)]
    in_use = [image(f"roost/relay:{n}") for n in range(3)]
    engine.run("create", "--name", "crashed", in_use[0], "/blob")
    engine.run("create", "--name", "newest", in_use[2], "/blob")
    labels = {"com.docker.compose.project": "roost", "com.docker.compose.service": "auth"}
    built = [image(labels=labels) for _ in range(3)]
    kept = image("tools/psql:old")
    image("tools/psql:new")
    image("tools/psql:newer")
    volume = engine.run("volume", "create", "data").decode().strip()
    missing(EVERYTHING)
    params = options(engine, images={"keep": ["^tools/psql:old$"]})
    planned = reclaim(params, check_mode=True)
    assert {one["id"] for one in planned["items"]} == {*releases[:2], built[0]}
    assert all(MIB <= one["bytes"] <= MIB + MIB // 8 for one in planned["items"])
    assert "cannot be pulled again" in planned["prediction"]["data_loss"]
    before = left(engine)
    missing(EVERYTHING)
    done = reclaim(params, check_mode=False)
    assert (done["items"], done["diff"]) == (planned["items"], planned["diff"])
    assert before - left(engine) == {*releases[:2], built[0]}
    assert {in_use[0], kept} <= left(engine)
    assert set(engine.run("ps", "--all", "--format", "{{.Names}}").decode().split()) == {"crashed", "newest"}
    assert engine.run("volume", "ls", "--quiet").decode().strip() == volume


def test_it_stops_when_it_is_enough_and_leaves_the_young(engine: Engine, image: Any, missing: Any) -> None:
    ids = [image(f"roost/api:{n}") for n in range(4)]
    missing(MIB // 2)
    done = reclaim(options(engine, images={"keep_releases": 1}), check_mode=False)
    assert [one["id"] for one in done["items"]] == [ids[0]]
    missing(EVERYTHING)
    assert reclaim(options(engine, images={"keep_releases": 0}, hours=1.0), check_mode=True)["items"] == []
    missing(EVERYTHING)
    found = measure(options(engine, images={"keep_releases": 1}))
    assert (found["status"], found["observed"]["items"]) == ("fail", 2)
    missing(0)
    assert measure(options(engine))["status"] == "ok"


def test_what_another_image_is_built_on_stays(
    engine: Engine, image: Any, missing: Any, tmp_path: Path
) -> None:
    base = image("base:1")
    context = tmp_path / "context"
    context.mkdir()
    (context / "x").write_bytes(os.urandom(MIB))
    (context / "Dockerfile").write_text("FROM base:1\nCOPY x /x\n")
    environment = {**engine.environment, "DOCKER_BUILDKIT": "0"}
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", "app:1", str(context)],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    missing(EVERYTHING)
    params = options(engine, images={"keep": ["^app:1$"], "keep_releases": 0})
    assert base not in {one["id"] for one in reclaim(params, check_mode=True)["items"]}


def test_an_image_that_a_container_took_meanwhile_stays(
    engine: Engine, image: Any, missing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [image(f"roost/api:{n}", f"roost/api:also-{n}") for n in range(2)]
    original = reclaim_module.Engine.remove

    def late(self: Any, identifier: str, tags: Any) -> None:
        if identifier == ids[0]:
            engine.run("create", "--name", "late", identifier, "/blob")
        original(self, identifier, tags)

    monkeypatch.setattr(reclaim_module.Engine, "remove", late)
    missing(EVERYTHING)
    done = reclaim(options(engine, images={"keep_releases": 0}), check_mode=False)
    assert "a container has come to use it" in done["warnings"][0]
    assert b"also-0" in engine.run("image", "ls")
    assert ids[0] in left(engine)
    assert ids[1] not in left(engine)


def test_the_build_cache_goes_only_when_asked(engine: Engine, missing: Any) -> None:
    candidate = {"paths": [], "build_cache": {"engine": "docker"}, "older_than_hours": 0.0}
    missing(EVERYTHING)
    assert reclaim(options(engine, candidates=[candidate]), check_mode=False)["items"] == []


def test_an_engine_that_is_gone_keeps_no_file_from_being_freed(
    engine: Engine, missing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/engine.sock")
    old = engine.folder / "data" / "old.sql"
    old.write_bytes(b"x" * 8192)
    images = options(engine)["candidates"]
    files = {"paths": [str(old)], "older_than_hours": 0.0, "action": "remove"}
    params = options(engine, candidates=[*images, files])
    missing(EVERYTHING)
    found = measure(params)
    assert (found["status"], found["observed"]["items"]) == ("unknown", 1)
    assert "look at the engine" in found["summary"]
    missing(EVERYTHING, after=1)
    with pytest.raises(OncallError, match=r"still missing.*look at the engine"):
        reclaim(params, check_mode=False)
    assert not old.exists()
