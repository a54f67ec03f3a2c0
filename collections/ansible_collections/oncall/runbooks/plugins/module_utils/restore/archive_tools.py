# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The server's own pg_restore: it alone writes the SQL of an archive, so that versions match."""

from __future__ import annotations

__metaclass__ = type

import os
import subprocess
from dataclasses import dataclass
from typing import Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import ToolError


@dataclass(frozen=True)
class Tools:
    """How to call the client programs: `prefix` (e.g. `docker exec -i NAME`) and the folder they are in."""

    prefix: Tuple[str, ...] = ()
    client_dir: str = ""
    timeout: float = 120.0

    def schema(self, head: bytes, on: str = "") -> bytes:
        """Return the SQL of everything but the rows, of an archive's head given to pg_restore's stdin."""
        program = os.path.join(self.client_dir, "pg_restore") if self.client_dir else "pg_restore"
        command = [*self.prefix, program, "--file=-", "--no-password"]
        environment = {**os.environ, "LC_ALL": "C", "PGSYSCONFDIR": "/nonexistent"}
        try:
            done = subprocess.run(
                command,
                input=head,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=self.timeout,
                check=False,
                env=environment,
            )
        except OSError as error:
            raise ToolError(
                "read the archive's statements with pg_restore",
                on=on,
                got="%s: %s" % (command[0], error.strerror),
                next_step="set client_dir to the folder of the server's programs, or install the package "
                "postgresql-client",
                kind="pg_restore_missing",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise self._failed(on, "no answer within %g s" % self.timeout) from error
        if done.returncode != 0:
            raise self._failed(on, done.stderr.decode("utf-8", "replace").strip()[-600:])
        return done.stdout

    def _failed(self, on: str, got: str) -> ToolError:
        next_step = "see what pg_restore says"
        if "unsupported version" in got:
            next_step = "the dump is newer than this pg_restore: restore on a server of its version or newer"
        return ToolError("read the archive's statements with pg_restore", on=on, got=got, next_step=next_step)
