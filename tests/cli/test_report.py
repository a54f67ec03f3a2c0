"""The report in a real browser: it shows the timeline, loads nothing and runs nothing it was given."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from cli_under_test import Cli, tiny_project

from runbook import report_write

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


def loud(applied: Cli) -> dict[str, Any]:
    """The result of the applied run, as if it had broken the glass for a change that nothing takes back."""
    result: dict[str, Any] = json.loads((applied.runs[-1] / "result.json").read_text())
    result["gate"]["break_glass"] = "nobody <answers> the phone"
    changing = next(step for step in result["steps"] if step["changed"])
    changing["effect"] = "irreversible"
    return result


def test_what_overrode_a_rule_or_cannot_be_undone_stands_at_the_top(applied: Cli) -> None:
    result = loud(applied)
    page, text = (report_write.render(kind, result, applied.state) for kind in (".html", ".md"))
    assert re.findall(r'<p class="alarm" role="alert"><b>([\w-]+)</b>', page) == [
        "break-glass",
        "irreversible",
    ]
    assert page.index("nobody &lt;answers&gt; the phone") < page.index("Key figures")
    assert page.count("irreversible") >= 3
    assert text.index("> **BREAK-GLASS**") < text.index("> **IRREVERSIBLE**") < text.index("| time |")
    quiet = json.loads((applied.runs[-1] / "result.json").read_text())
    assert 'class="alarm"' not in report_write.render(".html", quiet, applied.state)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_narrow_screen_shows_whole_lines_without_scrolling_to_the_side(
    applied: Cli, tmp_path: Path
) -> None:
    page = tmp_path / "narrow.html"
    result = loud(applied)
    result["findings"][0] |= {
        "check": "postgres_replication",
        "host": "roost-production-1",
        "summary": "x " * 99,
    }
    # The page says in its title how wide it and the narrowest sentence in its tables became.
    script = (
        "const cells = [...document.querySelectorAll('td:last-child')].map((cell) => cell.clientWidth);"
        "document.title = document.documentElement.scrollWidth + ' ' + Math.min(...cells);"
    )
    text = report_write.render(".html", result, applied.state)
    text = re.sub("<meta http-equiv=[^>]+>", "", text)
    page.write_text(text.replace("</body>", f"<script>{script}</script></body>"))
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=500,900",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    told = re.search(r"<title>(\d+) (\d+)</title>", done.stdout)
    assert told, done.stdout[:300]
    assert int(told[1]) <= 500
    assert int(told[2]) > 300


def test_the_report_of_a_rehearsal_draws_those_before_it(applied: Cli, tmp_path: Path) -> None:
    score: dict[str, Any] = {
        "system": "tiny",
        "runbook": "file-failure",
        "fault": "bad-word",
        "mitigation": "rewrite",
        "passed": True,
        "stages": [{"name": "verify", "seconds": 1.0, "detail": "it says ok", "problem": ""}],
        "postgres": "",
        "isolation": "none",
        "recovery_s": 14.0,
        "target_s": 20.0,
        "loss_rows": 0,
    }
    for hour, passed in ((1, True), (2, False), (3, True)):
        name = f"20261121t0{hour}0000z-00000{hour}"
        folder = tmp_path / "rehearsals" / name
        folder.mkdir(parents=True)
        found = score | {"rehearsal": name, "passed": passed}
        (folder / "rehearsal.json").write_text(json.dumps(found))
    result = json.loads((applied.runs[-1] / "result.json").read_text())
    page, text = (report_write.render(kind, result, tmp_path, score) for kind in (".html", ".md"))
    drawn = page[page.index('<svg id="history"') :]
    assert [drawn.count(f'class="dot {kind}"') for kind in ("d-ok", "d-bad")] == [2, 1]
    assert drawn.count("<polyline") == drawn.count('class="target"') == 1
    assert "2 of 3 rehearsals of bad-word passed" in page
    assert "2 of 3 rehearsals of bad-word passed" in text.replace("\\", "")
    assert "history" not in report_write.render(".html", result, tmp_path)
