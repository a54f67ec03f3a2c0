# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A container that docker compose made from a file: it can be made again with changed settings."""

from __future__ import annotations

__metaclass__ = type

import os
from typing import List

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.service.docker import DockerProvider


class ComposeProvider(DockerProvider):
    """Looks and restarts by the container's exact name; creates through the project's compose file.

    `service` is the name in `file`; `file` and `env_file` lie in `project_dir` unless they are absolute.
    """

    kind = "compose"

    def __init__(
        self,
        name: str,
        *,
        timeout: float,
        service: str,
        project_dir: str,
        file: str,
        env_file: str = "",
        engine: str = "docker",
    ) -> None:
        super().__init__(name, timeout=timeout, engine=engine)
        self.service, self.project_dir = service, project_dir
        self.file = os.path.join(project_dir, file)
        self.env_file = os.path.join(project_dir, env_file) if env_file else ""

    @property
    def can_create(self) -> bool:
        return True

    def restart(self, *, stop_timeout: float) -> str:
        if self.state().exists:
            return super().restart(stop_timeout=stop_timeout)
        # Somebody removed it: `compose restart` would not bring it back.
        return self._up([], stop_timeout)

    def recreate(self, *, stop_timeout: float) -> str:
        return self._up(["--force-recreate"], stop_timeout)

    def _up(self, options: List[str], stop_timeout: float) -> str:
        self.check_files()
        # A file with a mistake in it has to be found before the container that still serves is gone.
        self._must([*self._compose(), "config", "--quiet"], "read the compose file %s" % self.file)
        command = [*self._compose(), "up", "--detach", "--no-deps", "--timeout", "%d" % stop_timeout]
        command += [*options, self.service]
        self._must(command, "create container %s again" % self.name, timeout=stop_timeout + 120)
        return "%s %s" % (self.engine, " ".join(command))

    def _compose(self) -> List[str]:
        files = ["--file", self.file, *(["--env-file", self.env_file] if self.env_file else [])]
        return ["compose", "--project-directory", self.project_dir, *files]

    def check_files(self) -> None:
        """Raise UsageError when the compose file or its env file cannot be read."""
        for option, path in (("file", self.file), ("env_file", self.env_file)):
            if path and not os.access(path, os.R_OK):
                raise UsageError(
                    "read the project of container %s" % self.name,
                    on=path,
                    got="it may not be read" if os.path.exists(path) else "there is no such file",
                    next_step="correct runtime.project_dir and runtime.%s, or become root on this host"
                    % option,
                )
