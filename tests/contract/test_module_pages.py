"""The pages in docs/modules say what the modules say."""

from __future__ import annotations

from tests.contract.module_pages import MODULES, PAGES, pages


def test_every_module_has_its_page_up_to_date() -> None:
    made = pages()
    assert {path.name for path in made} == {f"{m.stem}.md" for m in MODULES.glob("*.py")} | {"README.md"}
    stale = [path.name for path, text in made.items() if not path.exists() or path.read_text() != text]
    assert not stale, f"run `make docs`: {stale}"
    assert {p.name for p in PAGES.iterdir()} == {path.name for path in made}
