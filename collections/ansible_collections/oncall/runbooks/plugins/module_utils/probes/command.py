# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run a program of the host with a time limit and bounded output; usable from several threads at once."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import Callable, Mapping, Optional, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, UnreachableError

MAX_OUTPUT = 1024 * 1024


@dataclass(frozen=True)
class Completed:
    """How a program ended: exit code, and the last `max_output` bytes of each stream as text."""

    rc: int
    out: str
    err: str


class TooLateError(UnreachableError):
    """The program did not end in time, and was ended; `said` is what it had told by then."""

    kind = "timeout"
    said = ""


class CommandMissingError(OncallError):
    """The program is not installed, or not on PATH."""

    kind = "command_missing"


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    max_output: int = MAX_OUTPUT,
    merge: bool = False,
    prepare: Optional[Callable[[], None]] = None,
    environment: Optional[Mapping[str, str]] = None,
    folder: Optional[str] = None,
) -> Completed:
    """Run `argv` without a shell for at most `timeout` seconds.

    Only the end of the output is kept, so a program that never stops talking cannot fill the memory.
    `merge` puts stderr into `out`, in the order written. `prepare` runs in the child before the program.
    `environment` replaces this process's own; `folder` is where it is started.
    Raises CommandMissingError, or TooLateError when the time is over (its whole process group is ended).
    """
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
            env=dict(os.environ if environment is None else environment, LC_ALL="C"),
            start_new_session=True,
            cwd=folder,
            preexec_fn=prepare,  # noqa: PLW1509 - changes the child's user, and is given by no threaded caller
        )
    except FileNotFoundError:
        raise CommandMissingError(
            "run %s" % argv[0],
            got="the program is not installed or not on PATH",
            next_step="install it on this host, or correct the option that names the kind of runtime",
        ) from None
    readers = [_Tail(stream, max_output) for stream in (child.stdout, child.stderr) if stream is not None]
    try:
        child.wait(timeout)
    except subprocess.TimeoutExpired:
        _end(child)
        late = TooLateError(
            "run %s" % " ".join(argv[:4]),
            got="no answer within %g s" % timeout,
            next_step="run it by hand on the host and see what it waits for",
        )
        late.said = "".join(reader.text() for reader in readers)
        raise late from None
    texts = [reader.text() for reader in readers]
    return Completed(child.returncode, texts[0], "" if merge else texts[1])


def _end(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


class _Tail:
    """Reads a stream to its end in a thread and keeps only its last bytes."""

    def __init__(self, stream: object, limit: int) -> None:
        self._stream, self._limit, self._kept = stream, limit, b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            chunk = self._stream.read1(65536)  # type: ignore[attr-defined]
            if not chunk:
                break
            self._kept = (self._kept + chunk)[-self._limit :]
        self._stream.close()  # type: ignore[attr-defined]

    def text(self) -> str:
        # A grandchild may keep the pipe open after the program ended: its words are not waited for.
        self._thread.join(2)
        return self._kept.decode("utf-8", "replace")
