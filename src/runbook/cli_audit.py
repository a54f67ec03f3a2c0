# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands about records: `audit verify`, `audit export` and `approve`. The rules are the engine's."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import sys
import tarfile
from pathlib import Path

from runbook_engine import approval, origin, record, state

from runbook.cli_read import recorded
from runbook.output import make_console
from runbook.output_result import print_plan


def audit(args: argparse.Namespace) -> int:
    """`runbook audit verify|export RUN`: exit 9 with the first bad event when the record was touched."""
    folder, result = recorded(args)
    head = record.verify(folder)
    told = {"run": folder.run, "events": head.events, "head": head.hash, "exit": result["exit"]["name"]}
    if args.action == "export":
        path = Path(args.file or f"{folder.run}.tar.gz").absolute()
        state.write_whole(path, _packed(folder))
        told["file"] = str(path)
    if args.json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return 0
    sys.stdout.write(
        f"Run {folder.run}: {head.events} events, none edited, moved or missing.\nHead {head.hash}\n"
    )
    if "file" in told:
        sys.stdout.write(f"{told['file']}\n")
    return 0


def _packed(folder: state.RunFolder) -> bytes:
    """The record as an archive that is the same whenever it is made: no times, no owners."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for path in sorted([folder.events, folder.result, *folder.evidence.rglob("*")]):
            if path.is_file() and not path.is_symlink():
                member = tarfile.TarInfo(f"{folder.run}/{path.relative_to(folder.path)}")
                member.size, member.mode = path.stat().st_size, 0o600
                with path.open("rb") as file:
                    archive.addfile(member, file)
    return packed.getvalue()


def approve(args: argparse.Namespace) -> int:
    """`runbook approve RUN`: another operator says yes to the plan that RUN made."""
    folder, result = recorded(args)
    given = approval.approve(state.state_dir(args.state), folder.run, origin.operator())
    if args.json:
        sys.stdout.write(json.dumps(given, indent=2) + "\n")
        return 0
    console = make_console()
    print_plan(console, result)
    console.print(
        f"\nApproved by {given['approved_by']} until {given['expires_at'][:19]}Z, "
        f"for {given['planned_by']} to apply exactly this plan."
    )
    return 0
