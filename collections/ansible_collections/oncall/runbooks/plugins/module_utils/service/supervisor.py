# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service that is a program of supervisord."""

from __future__ import annotations

__metaclass__ = type

import configparser
import os
import signal
import socket
from http.client import HTTPConnection, HTTPException
from typing import Any, Dict, Optional, Tuple
from urllib.parse import quote, urlsplit
from xmlrpc.client import Fault, ProtocolError, ServerProxy, Transport

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UnreachableError,
    UsageError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.procfs import process_info
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.tail import tail_file
from ansible_collections.oncall.runbooks.plugins.module_utils.service.base import (
    LogText,
    Provider,
    ServiceError,
    ServiceState,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.service.environment import environment_of

# Numbers of supervisor's documented faults.
_BAD_NAME, _ALREADY_STARTED, _NOT_RUNNING = 10, 60, 70


class SupervisorProvider(Provider):
    """Asks the daemon itself, at the address that its configuration gives to supervisorctl.

    `config` is the path of that configuration. The daemon's answers have exit codes and log files in them,
    which the text of `supervisorctl status` has not.
    """

    kind = "supervisor"
    usual_downtime = 2.0

    def __init__(self, name: str, *, timeout: float, config: str) -> None:
        super().__init__(name, timeout=timeout)
        self.config = config

    def state(self) -> ServiceState:
        try:
            info = self._call("getProcessInfo", self.name)
        except Fault as fault:
            if fault.faultCode == _BAD_NAME:
                return ServiceState(self.kind, self.name, exists=False, running=False, word="does not exist")
            raise self._refused("ask for", fault) from None
        return self._parse(info)

    def _parse(self, info: Dict[str, Any]) -> ServiceState:
        word, pid = info["statename"].lower(), int(info["pid"])
        process = process_info(pid) if pid else None
        running = word in ("running", "starting")
        return ServiceState(
            self.kind,
            self.name,
            exists=True,
            running=running,
            word=word,
            frozen=bool(process and process.frozen),
            pid=pid,
            uptime=float(max(0, info["now"] - info["start"])) if running else None,
            restarting=word == "backoff",
            exit_code=None if running or info["exitstatus"] == -1 else int(info["exitstatus"]),
            note=_note(info, running),
        )

    def logs(self, *, hours: float, max_bytes: int) -> LogText:  # noqa: ARG002 - the shared signature
        info = self._asked("getProcessInfo", "read the log of")
        # With redirect_stderr the second is empty.
        paths = [path for path in (info["stdout_logfile"], info["stderr_logfile"]) if path]
        texts = [tail_file(path, max_bytes // len(paths)) for path in paths if os.path.exists(path)]
        return LogText("\n".join(texts), " and ".join(paths) or "no log file")

    def thaw(self, state: ServiceState) -> None:
        os.kill(state.pid, signal.SIGCONT)

    def stop(self, *, stop_timeout: float) -> None:
        self._asked("stopProcess", "stop", _NOT_RUNNING, timeout=stop_timeout + 60)

    def restart(self, *, stop_timeout: float) -> str:
        patience = stop_timeout + 60
        self._asked("stopProcess", "stop", _NOT_RUNNING, timeout=patience)
        self._asked("startProcess", "start", _ALREADY_STARTED, timeout=patience)
        return "supervisorctl -c %s restart %s" % (self.config, self.name)

    def recreate(self, *, stop_timeout: float) -> str:
        # What a program reads when it starts, it reads at every start.
        return self.restart(stop_timeout=stop_timeout)

    def read_environment(self) -> Dict[str, str]:
        return environment_of(self.state())

    def _asked(self, method: str, what: str, harmless: int = 0, timeout: Optional[float] = None) -> Any:
        try:
            return self._call(method, self.name, timeout=timeout)
        except Fault as fault:
            if fault.faultCode != harmless:
                raise self._refused(what, fault) from None
            return None

    def _call(self, method: str, *arguments: Any, timeout: Optional[float] = None) -> Any:
        address, user, password = _address(self.config)
        login = "%s:%s@" % (quote(user, safe=""), quote(password, safe="")) if user else ""
        host = "localhost" if address.startswith("unix:") else urlsplit(address).netloc
        transport = _Transport(address, timeout or self.timeout)
        server = ServerProxy("http://%s%s/RPC2" % (login, host), transport=transport)
        try:
            return getattr(server.supervisor, method)(*arguments)
        except ProtocolError as exc:
            raise DeniedError(
                "ask supervisord",
                on=address,
                got="%d %s" % (exc.errcode, exc.errmsg),
                next_step="correct username and password in the section supervisorctl of %s" % self.config,
            ) from None
        except (OSError, HTTPException) as exc:
            raise UnreachableError(
                "ask supervisord",
                on=address,
                got=str(exc) or type(exc).__name__,
                next_step="start supervisord",
            ) from None
        finally:
            transport.close()

    def _refused(self, what: str, fault: Fault) -> OncallError:
        return ServiceError(
            "%s program %s" % (what, self.name),
            got=fault.faultString,
            next_step="read its log: supervisorctl -c %s tail %s" % (self.config, self.name),
        )


def _note(info: Dict[str, Any], running: bool) -> str:
    """What the daemon says beside the exit code, which is -1 for every signal."""
    said = str(info.get("spawnerr") or "")
    if not running and info["exitstatus"] == -1:
        return "ended by a signal"
    return "" if running or said.startswith("Bad exit code") else said


class _Transport(Transport):
    """XML-RPC over a Unix socket or TCP, with a time limit."""

    def __init__(self, address: str, timeout: float) -> None:
        super().__init__()
        self._address, self._timeout = address, timeout

    def make_connection(self, host: Any) -> HTTPConnection:
        name, self._extra_headers, _certificates = self.get_host_info(host)
        if self._address.startswith("unix:"):
            return _UnixConnection(self._address[len("unix://") :], self._timeout)
        return HTTPConnection(name, timeout=self._timeout)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _address(config: str) -> Tuple[str, str, str]:
    """Return the daemon's address, user and password from its configuration."""
    # `;` begins a comment there also behind a value; `%(here)s` is the folder of the file.
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(" ;",), strict=False)
    try:
        with open(config, encoding="utf-8") as handle:
            parser.read_file(handle)
        section = parser["supervisorctl"]
        url = section["serverurl"]
    except PermissionError as exc:
        raise DeniedError(
            "read supervisord's configuration", got=str(exc), next_step="become root on this host"
        ) from None
    except (OSError, KeyError, configparser.Error) as exc:
        raise UsageError(
            "find supervisord",
            on=config,
            got="no serverurl in a section supervisorctl: %s" % exc,
            next_step="set runtime.config to supervisord's configuration file",
        ) from None
    here = os.path.dirname(os.path.abspath(config))
    return url.replace("%(here)s", here), section.get("username", ""), section.get("password", "")
