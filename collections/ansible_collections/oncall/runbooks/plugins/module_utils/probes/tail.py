# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the end of a file that may be huge, without reading the rest of it."""

from __future__ import annotations

__metaclass__ = type

import os

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import DeniedError, OncallError


def tail_file(path: str, max_bytes: int) -> str:
    """Return at most the last `max_bytes` of `path` as text, starting at the beginning of a line."""
    try:
        with open(path, "rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size - max_bytes))
            if size > max_bytes:
                handle.readline()
            return handle.read(max_bytes).decode("utf-8", "replace")
    except PermissionError as exc:
        raise DeniedError(
            "read the log", on=path, got=str(exc), next_step="become root on this host"
        ) from None
    except OSError as exc:
        raise OncallError(
            "read the log", on=path, got=str(exc), next_step="correct the option log_path", kind="no_log_file"
        ) from None
