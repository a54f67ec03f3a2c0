"""A backup store that has not what it should, or does not give it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from runbook.rehearsal import store
from runbook.rehearsal.processes import free_port
from runbook.rehearsal.stack import Stack


def lose_nights(stack: Stack) -> None:
    """Leave no backup of the last three nights."""
    facts = stack.facts
    good = datetime.fromisoformat(facts["backups"]["good_time"])
    gone = [stack.shape.key_of(good - timedelta(days=ago)) for ago in range(3)] + list(
        facts["backups"]["decoys"]
    )
    _delete(stack, [*gone, facts["backups"]["good"] + ".sha256"])


def empty_bucket(stack: Stack) -> None:
    """Leave nothing in the bucket."""
    listed = stack.store().client().list_objects_v2(Bucket=stack.shape.bucket)
    _delete(stack, [item["Key"] for item in listed.get("Contents", [])])


def _delete(stack: Stack, keys: list[str]) -> None:
    wanted = {"Objects": [{"Key": key} for key in keys]}
    stack.store().client().delete_objects(Bucket=stack.shape.bucket, Delete=wanted)


def rules(**changes: Any) -> Callable[[Stack], None]:
    """Return what gives the store its own rules with `changes`; without any, it takes them back."""

    def change(stack: Stack) -> None:
        facts = stack.facts["s3"]
        store.write_rules(Path(facts["rules"]), {"access_keys": [facts["access_key"]], **changes})

    return change


def forget_key(stack: Stack) -> None:
    """Let the store forget the inventory's key, as after a rotation that nobody told us of."""
    rules(access_keys=[f"CANARYROTATED{free_port()}"])(stack)
