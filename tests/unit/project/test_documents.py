"""What README and docs promise is there: links lead somewhere, suites load, commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cli.app import app
from harness.suite import load

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_and_pictures_exist(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    broken = [target for target in targets if "://" not in target and not (document.parent / target).exists()]
    assert broken == []


def _anchors(document: Path) -> set[str]:
    """What its headings are called in links, as GitHub makes it."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_headings_that_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", document.read_text(encoding="utf-8"))
    pages = [(document.parent / page if page else document, anchor) for page, anchor in links]
    broken = [f"{page.name}#{anchor}" for page, anchor in pages if anchor not in _anchors(page)]
    assert broken == []


@pytest.mark.slow  # reads the installed TRL's fields
def test_the_readmes_suite_loads(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    file = tmp_path / "readme.yaml"
    file.write_text(found[1], encoding="utf-8")
    suite = load(file)
    assert [axis.name for axis in suite.matrix] == ["recipe", "lora"]


def test_the_commands_that_documents_name_exist() -> None:
    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    text = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    named = set(re.findall(r"`harness ([a-z]+)\b", text)) | set(
        re.findall(r"^    harness ([a-z]+)\b", text, re.MULTILINE)
    )
    assert named
    assert named - known == set()
