"""Start one service: settings from its file into the environment, then the service in the same process id."""

from __future__ import annotations

import os
import sys

NAMES = ("relay", "owl_api", "auth", "tunnel", "cdn", "cleaning_api", "cleaning_worker", "proxy")
_FILE = "--env-file"


def settings(text: str) -> dict[str, str]:
    """Read settings as compose does: `KEY=value` lines, `#` comments, quotes around a value."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not equals or key.startswith("#"):
            continue
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[key.strip()] = value
    return found


def _start_again(path: str, arguments: list[str]) -> None:
    """Become this very program without the file, and with what is in it as the environment.

    Only what a process was started with shows in /proc/PID/environ, where a diagnosis looks.
    """
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib would cost half of this program's time
        read = settings(file.read())
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
    flags = ["-S"] if sys.flags.no_site else []
    command = [sys.executable, *flags, "-m", "runbook.rehearsal.services", *arguments]
    os.execve(sys.executable, command, {**kept, **read})  # noqa: S606


def main(arguments: list[str]) -> None:
    """Become the service."""
    if _FILE in arguments:
        at = arguments.index(_FILE)
        _start_again(arguments[at + 1], arguments[:at] + arguments[at + 2 :])
    # Imported here, because the program above ends before it needs any of it.
    import argparse  # noqa: PLC0415
    import importlib  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m runbook.rehearsal.services")
    parser.add_argument("service", choices=NAMES)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(_FILE, help="settings; without it: those of the environment")
    parser.add_argument("--name", default="", help="what it calls itself, when that is not SERVICE")
    parser.add_argument("--run-dir", type=Path, help="folder for its process id and its faults")
    parser.add_argument("--public-port", type=int, default=0, help="of the tunnel: where the public comes in")
    options = parser.parse_args(arguments)
    importlib.import_module(f"runbook.rehearsal.services.{options.service}").run(options)


if __name__ == "__main__":
    main(sys.argv[1:])
