"""A stand-in of Hetzner Cloud's volumes: resizing is an action that takes its time, and never makes smaller.

A volume may have a `backing` (see `back_with`): then the block device of this machine grows with
it, as the real one does while it is mounted.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from runbook.rehearsal.vendors.base import Answer, Refusal, Request, Route, Vendor, serve

GB = 1024**3
LARGEST = 10240  # GB
_PAGE = 25


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": None}}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Hetzner(Vendor):
    """One project with one volume of 10 GB that is attached to a server.

    `state["seconds"]` is how long an action runs; `state["fails"]` lets the next action end in an error;
    `state["readonly"]` makes the token one that may only read.
    """

    def initial(self) -> dict[str, Any]:
        """Return the project."""
        volume = {
            "id": 4711,
            "name": "roost-data",
            "size": 10,
            "server": 42,
            "status": "available",
            "linux_device": "/dev/disk/by-id/scsi-0HC_Volume_4711",
            "format": "ext4",
            "created": _now(),
            "labels": {},
            "protection": {"delete": True},
            "location": {
                "id": 1,
                "name": "fsn1",
                "description": "Falkenstein DC Park 1",
                "country": "DE",
                "city": "Falkenstein",
                "latitude": 50.47612,
                "longitude": 12.370071,
                "network_zone": "eu-central",
            },
        }
        return {
            "token": "canary-" + secrets.token_hex(16),
            "volumes": [volume],
            "actions": [],
            "backing": {},
            "seconds": 0.2,
            "fails": False,
            "readonly": False,
        }

    def authorize(self, request: Request) -> None:
        """Refuse what carries no token, another one, or one that may only read."""
        if request.headers.get("authorization") != f"Bearer {self.state['token']}":
            raise Refusal(401, _error("unauthorized", "unable to authenticate"))
        if self.state["readonly"] and request.method != "GET":
            raise Refusal(403, _error("token_readonly", "token is only allowed to perform GET requests"))
        self._progress()

    def unknown_route(self, request: Request) -> Answer:
        """Answer as the vendor does."""
        return Answer(404, _error("not_found", f"no route {request.method} {request.path}"))

    def failure(self, status: int) -> Any:
        """Return the vendor's body of an error."""
        codes = {423: "locked", 409: "conflict", 429: "rate_limit_exceeded", 503: "unavailable"}
        return _error(codes.get(status, "service_error"), "injected by the rehearsal")

    def _progress(self) -> None:
        """Let running actions go on, and carry out those whose time has come."""
        for action in self.state["actions"]:
            if action["status"] != "running":
                continue
            part = (time.time() - action["_started"]) / max(self.state["seconds"], 0.001)
            action["progress"] = min(100, int(part * 100))
            if part >= 1:
                self._finish(action)

    def _finish(self, action: dict[str, Any]) -> None:
        action["finished"] = _now()
        if self.state["fails"]:
            self.state["fails"] = False
            action.update(status="error", error={"code": "action_failed", "message": "Action failed"})
            return
        volume = self._volume(action["resources"][0]["id"])
        volume["size"] = action["_size"]
        action.update(status="success", progress=100)
        backing = self.state["backing"].get(str(volume["id"]))
        if backing:
            # The size that clients see is in GB; what lies behind it here is smaller by this factor.
            os.truncate(backing["file"], volume["size"] * backing["bytes_per_gb"])
            subprocess.run(["losetup", "--set-capacity", backing["loop"]], check=True)

    def _volume(self, identifier: int) -> dict[str, Any]:
        for volume in self.state["volumes"]:
            if volume["id"] == identifier:
                found: dict[str, Any] = volume
                return found
        raise Refusal(404, _error("not_found", f"volume with ID '{identifier}' not found"))

    def _list(self, request: Request) -> Answer:
        name, page = request.query.get("name"), int(request.query.get("page", 1))
        found = [v for v in self.state["volumes"] if name in (None, v["name"])]
        last = max(1, -(-len(found) // _PAGE))
        pagination = {
            "page": page,
            "per_page": _PAGE,
            "previous_page": page - 1 if page > 1 else None,
            "next_page": page + 1 if page < last else None,
            "last_page": last,
            "total_entries": len(found),
        }
        shown = found[(page - 1) * _PAGE : page * _PAGE]
        return Answer(200, {"volumes": shown, "meta": {"pagination": pagination}})

    def _get(self, request: Request) -> Answer:
        return Answer(200, {"volume": self._volume(int(request.params["id"]))})

    def _resize(self, request: Request) -> Answer:
        volume = self._volume(int(request.params["id"]))
        given = request.json()
        size = self._wanted(given, volume)
        if any(a["status"] == "running" for a in self.state["actions"]):
            raise Refusal(423, _error("locked", "volume is locked by another action"))
        action = {
            "id": 1000 + len(self.state["actions"]),
            "command": "resize_volume",
            "status": "running",
            "progress": 0,
            "started": _now(),
            "finished": None,
            "error": None,
            "resources": [{"id": volume["id"], "type": "volume"}],
            "_started": time.time(),
            "_size": size,
        }
        self.state["actions"].append(action)
        return Answer(201, {"action": _shown(action)})

    @staticmethod
    def _wanted(given: Any, volume: Mapping[str, Any]) -> int:
        if not isinstance(given, Mapping) or set(given) != {"size"} or not isinstance(given["size"], int):
            raise Refusal(422, _error("invalid_input", "invalid input in field 'size'"))
        size = int(given["size"])
        if size <= volume["size"] or size > LARGEST:
            raise Refusal(422, _error("invalid_input", "size must be greater than the current size"))
        return size

    def _action(self, request: Request) -> Answer:
        for action in self.state["actions"]:
            if action["id"] == int(request.params["id"]):
                return Answer(200, {"action": _shown(action)})
        raise Refusal(404, _error("not_found", "action not found"))

    routes: ClassVar[list[Route]] = [
        ("GET", "/v1/volumes", _list),
        ("GET", r"/v1/volumes/(?P<id>\d+)", _get),
        ("POST", r"/v1/volumes/(?P<id>\d+)/actions/resize", _resize),
        ("GET", r"/v1/actions/(?P<id>\d+)", _action),
    ]


def _shown(action: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in action.items() if not key.startswith("_")}


def back_with(vendor: Hetzner, file: Path, loop: str, bytes_per_gb: int) -> None:
    """Put a loop device behind the volume, so that it grows with it."""
    backing = {"file": str(file), "loop": loop, "bytes_per_gb": bytes_per_gb}
    vendor.state["backing"][str(vendor.state["volumes"][0]["id"])] = backing
    vendor.save()


if __name__ == "__main__":
    serve(Hetzner)
