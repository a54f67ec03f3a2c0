# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The source of a job: the backup's objects, read by the URLs that the controller sends."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Callable, Dict, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.control import UrlBook
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.options import RestoreOptions
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.progress import Progress
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source import (
    DumpSource,
    Part,
    Settings,
    Tools,
)

_RANGE = 4 << 20  # bytes of one request: several are in memory at once


def maker(
    options: RestoreOptions, backup: Optional[Mapping[str, Any]]
) -> Callable[[UrlBook, Progress], DumpSource]:
    """Return what makes the source once the job has its process; `backup` comes from the action plugin."""
    if not backup:
        raise UsageError("restore without a backup", next_step="use the module through its action plugin")
    parts = _parts(backup)

    def make(urls: UrlBook, progress: Progress) -> DumpSource:
        settings = Settings(range_size=_RANGE, stall_timeout=options.stall_timeout)
        return DumpSource(parts, urls.get, tools_of(options), settings=settings, on_bytes=progress.set_bytes)

    return make


def tools_of(options: RestoreOptions) -> Tools:
    """Return how the server's own client programs are called: inside its container where it lives in one."""
    prefix = [options.container_engine, "exec", "-i", options.container] if options.container else []
    return Tools(prefix=tuple(prefix), client_dir=options.client_dir)


def _parts(backup: Mapping[str, Any]) -> List[Part]:
    """Return the objects to read; a checksum that is known is one of a single object."""
    known: Dict[str, str] = backup.get("checksum") or {}
    sums = {known["algorithm"]: known["value"]} if known else {}
    return [
        Part(part["key"], part["size"], part["etag"], sums.get("sha256", ""), sums.get("md5", ""))
        for part in backup["parts"]
    ]
