# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The terminal that ansible-runner starts Ansible in, without a wait that only costs the operator time."""

from __future__ import annotations


def close_promptly() -> None:
    """Let pexpect, in this process, close the terminal of a child that has ended without waiting for its end.

    It always sleeps a tenth of a second first, which is every twentieth part of a short run.
    """
    import pexpect  # type: ignore[import-untyped]  # noqa: PLC0415 - not needed to list and show

    if issubclass(pexpect.spawn, _Prompt):
        return
    # ansible-runner takes the class from here and offers no other way to choose one.
    pexpect.spawn = type("spawn", (_Prompt, pexpect.spawn), {})


class _Prompt:
    """Mixed into pexpect's spawn."""

    def close(self, force: bool = True) -> None:
        """Close the terminal; end the child if it is still alive."""
        if not self.isalive():  # type: ignore[attr-defined]
            self.ptyproc.delayafterclose = 0  # type: ignore[attr-defined]
        super().close(force)  # type: ignore[misc]
