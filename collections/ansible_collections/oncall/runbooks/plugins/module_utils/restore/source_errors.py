# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be wrong with a dump or with the way it comes in."""

from __future__ import annotations

__metaclass__ = type

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError

OTHER_BACKUP = "choose an older backup with the option `key` or `before`"


class DumpError(OncallError):
    """The dump cannot be read."""

    kind = "dump"


class TruncatedError(DumpError):
    """The dump ends before its end, or a checksum is wrong: it must not be taken for whole."""

    kind = "dump_truncated"


class RefusedError(DumpError):
    """The dump holds something that this restore does not do, e.g. statements on another database."""

    kind = "dump_refused"


class FetchError(OncallError):
    """The object store did not deliver."""

    kind = "fetch"


class ReplacedError(FetchError):
    """The object is not the one that was chosen any more."""

    kind = "object_replaced"


class ExpiredError(FetchError):
    """The presigned URL is over and no new one came."""

    kind = "url_expired"


class CancelledError(FetchError):
    """The reader was told to stop."""

    kind = "cancelled"


class ToolError(DumpError):
    """A program that is needed to read the dump is missing, too old or failed."""

    kind = "tool"
