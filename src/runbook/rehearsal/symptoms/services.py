"""Services that are gone, frozen, out of order, or run with other settings than their file says."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable
from typing import Any

from runbook.rehearsal.parts import services
from runbook.rehearsal.processes import alive, wait_until
from runbook.rehearsal.stack import Stack

Action = Callable[[Stack], None]


def kill(name: str) -> Action:
    """Return what ends a service as a crash does."""

    def action(stack: Stack) -> None:
        pid = services.pid_of(stack.facts, name)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), timeout=5, what=f"the end of {name}")

    return action


def send(name: str, signum: signal.Signals) -> Action:
    """Return what sends a signal to a service: SIGSTOP freezes it, SIGCONT continues it."""
    return lambda stack: os.kill(services.pid_of(stack.facts, name), signum)


def tell(name: str, **fault: Any) -> Action:
    """Return what gives a service a fault (see `services.web.Service.take_fault`); nothing ends it."""

    def action(stack: Stack) -> None:
        services.tell(stack.facts, name, fault)
        # The service reads it when it has a moment; nothing outside says that it has.
        time.sleep(0.1)

    return action


def start(*names: str) -> Action:
    """Return what starts services again, those that run too, with the settings that are in the file now."""

    def action(stack: Stack) -> None:
        for name in names:
            services.restart(stack.facts, name)

    return action


def change_settings(*recreated: str, **values: str | None) -> Action:
    """Return what sets (None: removes) settings in the file and starts these services with it."""

    def action(stack: Stack) -> None:
        services.write_settings(stack.facts, values)
        for name in recreated:
            services.restart(stack.facts, name)

    return action


def run_with(name: str, **values: str | None) -> Action:
    """Return what makes a service run with other settings (None: without) than the file has."""

    def action(stack: Stack) -> None:
        kept = services.read_settings(stack.facts)
        change_settings(name, **values)(stack)
        services.write_settings(stack.facts, {setting: kept.get(setting) for setting in values})

    return action


def another_secret(name: str) -> Action:
    """Return what makes a service check tokens with a secret that is not the one they are signed with."""
    return run_with(name, AUTH_JWT_SECRET="canary-" + secrets.token_hex(32))
