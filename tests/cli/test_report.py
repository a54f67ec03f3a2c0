"""The report in a real browser: it shows the timeline, loads nothing and runs nothing it was given."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from cli_under_test import Cli, tiny_project

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<script>document.title='owned'</script><img src=http://127.0.0.1:9/x>"


class _Elements(HTMLParser):
    """Which elements and which addresses a page has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "action", "data")]


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A project with an applied run whose finding carries markup; its report is `report.html`."""
    cli = tiny_project(tmp_path_factory.mktemp("applied"))
    cli.file.write_text(EVIL)
    asked = ("run", "tiny", "file-failure", "--mitigation", "rewrite", "--apply", "--confirm", "tiny")
    done = cli(*asked, "--report", str(cli.root / "report.html"))
    assert done.returncode == 0, done.stdout + done.stderr
    return cli


@pytest.fixture
def report(applied: Cli) -> Path:
    """The report of that run."""
    return applied.root / "report.html"


def test_html_is_whole_and_harmless_and_markdown_says_the_same(
    applied: Cli, report: Path, tmp_path: Path
) -> None:
    page = report.read_text()
    found = _Elements(page)
    assert found.addresses == []
    assert not {"script", "img", "link", "iframe", "object"} & set(found.tags)
    assert not re.search(r"url\(|@import", page)
    assert report.stat().st_mode & 0o777 == 0o600
    markdown = tmp_path / "report.md"
    done = applied("report", "last", str(markdown))
    assert done.stdout == f"{markdown}\n"
    text = markdown.read_text()
    for word in (
        "VERIFIED",
        "Write the file again",
        "file\\_content",
        "as predicted",
        "--mitigation rewrite --apply",
    ):
        assert word in text
    assert "\\<script" in text
    assert "## Undo" not in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_shows_the_timeline_and_fetches_nothing(report: Path, tmp_path: Path) -> None:
    log = tmp_path / "net.json"
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}", "--virtual-time-budget=2000",
            "--dump-dom", report.as_uri(),
        ],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "<title>tiny · file-failure · apply rewrite · verified</title>" in done.stdout
    timeline = done.stdout[done.stdout.index('<svg id="timeline"') : done.stdout.index("</svg>")]
    bars = re.findall(r'<rect class="bar p-(\w+) b-(\w+)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', timeline)
    assert {"diagnose", "mitigate", "verify"} <= {phase for phase, *_ in bars}
    starts = [float(x) for _, _, x, _ in bars]
    assert starts == sorted(starts)
    assert all(float(width) >= 3 for *_, width in bars)
    requested = re.findall(r'"url":"((?:https?|ftp|file)[^"]*)"', log.read_text())
    assert [url for url in requested if "127.0.0.1" in url] == []
