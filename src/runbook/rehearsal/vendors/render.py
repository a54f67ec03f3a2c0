"""Render: settings of a service, and deploys, without which it goes on with the settings that it has."""

from __future__ import annotations

from typing import Any, ClassVar

from runbook.rehearsal.vendors.base import Answer, Refusal, Request, Route, Vendor, serve

SERVICE = "srv-c0ffee0000000000beef"
TOKEN = "rnd_canary-render-0123456789"  # noqa: S105 - a canary
_ON_THE_WAY = ("created", "update_in_progress", "live")
_MODES = ("deploy_only", "build_and_deploy")


class Render(Vendor):
    """One account with one service; `runs_with` is what it was started with, which no API tells.

    With `breaks` a deploy fails; with `busy` it has to wait, and its id is not told.
    """

    def initial(self) -> dict[str, Any]:
        """A service without settings."""
        return {
            "token": TOKEN,
            "settings": {},
            "runs_with": {},
            "suspended": "not_suspended",
            "deploys": [],
            "breaks": False,
            "busy": False,
        }

    def authorize(self, request: Request) -> None:
        """Want the account's key."""
        if request.headers.get("authorization") != f"Bearer {self.state['token']}":
            raise Refusal(401, self._error("unauthorized"))

    def unknown_route(self, request: Request) -> Answer:  # noqa: ARG002 - the shared signature
        """Answer as for anything that is not there."""
        return Answer(404, self._error("not found"))

    def failure(self, status: int) -> Any:
        """Return Render's own shape of an error."""
        return self._error(f"injected by the rehearsal: {status}")

    @staticmethod
    def _error(message: str) -> dict[str, str]:
        return {"id": "", "message": message}

    def _of(self, request: Request) -> str:
        if request.params["service"] != SERVICE:
            raise Refusal(404, self._error("not found: service"))
        return request.params.get("key", "")

    def _service(self, request: Request) -> Answer:
        self._of(request)
        return Answer(200, {"id": SERVICE, "name": "api", "suspended": self.state["suspended"]})

    def _setting(self, request: Request) -> Answer:
        key = self._of(request)
        if key not in self.state["settings"]:
            raise Refusal(404, self._error("not found: env var"))
        return Answer(200, {"key": key, "value": self.state["settings"][key]})

    def _set(self, request: Request) -> Answer:
        key, body = self._of(request), request.json()
        if set(body) not in ({"value"}, {"generateValue"}) or not isinstance(body.get("value", ""), str):
            raise Refusal(400, self._error("invalid JSON: value has to be a text"))
        self.state["settings"][key] = body["value"]
        return Answer(200, {"key": key, "value": body["value"]})

    def _deploy(self, request: Request) -> Answer:
        self._of(request)
        body = request.json()
        unknown = set(body) - {"clearCache", "commitId", "imageUrl", "deployMode", "artifactId"}
        if unknown or body.get("deployMode", _MODES[0]) not in _MODES:
            raise Refusal(400, self._error(f"invalid JSON: {', '.join(sorted(unknown)) or 'deployMode'}"))
        if self.state["suspended"] == "suspended":
            raise Refusal(409, self._error("service is suspended"))
        found = {"id": f"dep-{len(self.state['deploys']):020}", "status": _ON_THE_WAY[0]}
        self.state["deploys"].append(found)
        return Answer(202) if self.state["busy"] else Answer(201, found)

    def _deploys(self, request: Request) -> Answer:
        self._of(request)
        newest = self.state["deploys"][::-1][: int(request.query.get("limit", 20))]
        return Answer(200, [{"deploy": found, "cursor": found["id"]} for found in newest])

    def _look(self, request: Request) -> Answer:
        self._of(request)
        found = next((one for one in self.state["deploys"] if one["id"] == request.params["deploy"]), None)
        if found is None:
            raise Refusal(404, self._error("not found: deploy"))
        if found["status"] in _ON_THE_WAY[:-1]:
            self._go_on(found)
        return Answer(200, found)

    def _go_on(self, deploy: dict[str, Any]) -> None:
        """Each look finds it one step further; settings are read when it goes live."""
        following = _ON_THE_WAY[_ON_THE_WAY.index(deploy["status"]) + 1]
        deploy["status"] = "update_failed" if self.state["breaks"] and following == "live" else following
        if deploy["status"] == "live":
            self.state["runs_with"] = dict(self.state["settings"])

    routes: ClassVar[list[Route]] = [
        ("GET", r"/v1/services/(?P<service>[^/]+)", _service),
        ("GET", r"/v1/services/(?P<service>[^/]+)/env-vars/(?P<key>[^/]+)", _setting),
        ("PUT", r"/v1/services/(?P<service>[^/]+)/env-vars/(?P<key>[^/]+)", _set),
        ("POST", r"/v1/services/(?P<service>[^/]+)/deploys", _deploy),
        ("GET", r"/v1/services/(?P<service>[^/]+)/deploys", _deploys),
        ("GET", r"/v1/services/(?P<service>[^/]+)/deploys/(?P<deploy>[^/]+)", _look),
    ]


if __name__ == "__main__":
    serve(Render)
