"""Vendors that are down, slow, busy, or answer something else than they should."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms.together import Action


def misbehave(vendor: str, *rules: dict[str, Any]) -> Action:
    """Return what gives a vendor's stand-in these faults (see `vendors.base.Fault`); none: all is well."""

    def action(stack: Stack) -> None:
        target = Path(stack.facts["vendors"][vendor]["folder"]) / "faults.json"
        part = target.with_name(f"faults.{secrets.token_hex(4)}")
        part.write_text(json.dumps({"rules": list(rules)}))
        # Read at each request, so it has to be there whole.
        part.replace(target)

    return action


def behave(vendor: str) -> Action:
    """Return what ends the faults of a vendor."""
    return misbehave(vendor)
