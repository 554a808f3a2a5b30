"""The pages of `make docs` and their site; code and commands are copied from the site's HTML, as readers do."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from ruamel.yaml import YAML

from shared.apps import APPS
from shared.docs.render import SERVICES, SITE
from tests.languages import missing
from tests.markdown import Block, blocks, blocks_of_html
from tests.pages.reader import Reader
from tests.pages.routes import try_changes

pytestmark = pytest.mark.copies
FRONT_MATTER = ["title", "description", "framework", "language", "authStrategy", "pageType", "canonicalUrl"]
CODE = {
    "WSGI": ("app.py", "shared_secret.py", "gunicorn.conf.py", "worker.py"),
    "ASGI": ("app.py", "shared_secret.py"),
}


def test_code(app: str, read: Callable[[str], Reader]) -> None:
    """The code and commands of a page, followed in an empty folder, make a service that meets the contract."""
    read(app).run_contract()


def test_changes(app: str, html: str, read: Callable[[str], Reader], tmp_path: Path) -> None:
    """The changes that a page shows work."""
    reader = read(app)
    folder = tmp_path / "home"
    shutil.copytree(reader.home, folder, symlinks=True)
    try_changes(APPS[app], blocks_of_html(html), folder, replace(reader, folder=tmp_path).serve_with)


def test_answers(app: str, html: str, read: Callable[[str], Reader]) -> None:
    """Each curl line gets the answer that is printed below it."""
    printed = [block.code for block in blocks_of_html(html) if block.language == "http"]
    assert len(printed) >= 8
    assert [steady(answer) for answer in read(app).answers] == [steady(answer) for answer in printed]


def steady(answer: str) -> str:
    """Return an answer without the values that differ each time."""
    return re.sub(r"(?im)^(date|x-request-id): .+$", r"\1:", answer).strip()


def test_site_has_the_blocks_of_the_markdown(app: str, page: str, html: str) -> None:
    """The site and the Markdown have the same code blocks, with the same titles, under the same headings."""

    def stripped(found: list[Block]) -> list[Block]:
        return [block._replace(code=block.code.strip("\n")) for block in found]

    assert stripped(blocks_of_html(html)) == stripped(blocks(page))


def test_front_matter(app: str, page: str) -> None:
    """A page begins with the fields that a documentation site needs, in YAML, and in the form that such sites have."""
    _, head, text = page.split("---\n", 2)
    fields = YAML(typ="safe").load(head)
    assert list(fields) == FRONT_MATTER
    assert fields["canonicalUrl"] == f"{SITE}/{app}/"
    assert text.startswith(f"\n# {fields['title']}\n")
    for line in (
        f'framework: "{APPS[app].title}"',
        'language: "python"',
        'authStrategy: "shared secret header"',
        "pageType: use-case",
    ):
        assert line in head.splitlines()


def test_code_comes_first(app: str, page: str) -> None:
    """After its title and a few sentences, a page shows the files, each under its name."""
    found, code = blocks(page), list(CODE[APPS[app].interface])
    assert [block.title for block in found[: len(code)]] == code
    assert {block.heading for block in found[: len(code)]} == {found[0].heading}
    before = page.partition("```")[0].partition("\n# ")[2]
    assert "\n#" not in before
    assert len(before) < 400


def test_page_is_complete(app: str, page: str) -> None:
    """A page has the app's code, a request with an API key, rotation, the status codes, links, and no real key."""
    found = blocks(page)
    shown = {block.title: block.code for block in found if block.language == "python"}
    assert shown == {name: (APPS[app].folder / name).read_text() for name in CODE[APPS[app].interface]}
    assert "Authorization: Bearer YOUR_API_KEY" in page
    assert "ogk_" not in page
    assert "## Rotate the secret" in page
    for status in (200, 401, 500):
        assert f"| {status} |" in page
    assert set(re.findall(r"\]\((\w+)\.md\)", page)) == {*APPS} - {app}


def test_index(built: Path) -> None:
    """The index links to every page; in the site it shows the five app.py in tabs."""
    assert set(re.findall(r"\]\((\w+)\.md\)", (built / "docs" / "index.md").read_text())) == {*APPS, "check"}
    soup = BeautifulSoup((built / "site" / "index.html").read_text(), "html.parser")
    tabs = [tab.get_text().strip() for tab in soup.select(".sd-tab-label")]
    shown = [code.get_text() for code in soup.select(".sd-tab-content pre")]
    assert [tab.lower() for tab in tabs] == list(APPS)
    assert shown == [(app.folder / "app.py").read_text() for app in APPS.values()]


def test_check(built: Path) -> None:
    """The page about the check has the services of all languages, and says which of them were started."""
    page, html = (built / "docs" / "check.md").read_text(), (built / "site" / "check" / "index.html").read_text()
    fields = YAML(typ="safe").load(page.split("---\n", 2)[1])
    assert list(fields) == [field for field in FRONT_MATTER if field != "framework"]
    assert (fields["pageType"], fields["canonicalUrl"]) == ("use-case", f"{SITE}/check/")
    for found in (blocks(page), blocks_of_html(html)):
        shown = {block.title: block.code for block in found if block.title}
        assert shown == {service.file: service.code for service in SERVICES.values()}
    assert page.count("started when this page was made") == sum(not missing(service) for service in SERVICES.values())
    assert set(re.findall(r"\]\((\w+)\.md\)", page)) == {*APPS}


def test_site(app: str, html: str, built: Path) -> None:
    """A page of the site has its description, its address and copy buttons, and loads nothing from another site."""
    soup = BeautifulSoup(html, "html.parser")
    assert soup.select_one("meta[name=description]")
    assert soup.select_one(f"link[rel=canonical][href='{SITE}/{app}/']")
    scripts = [str(script["src"]) for script in soup.select("script[src]")]
    assert any("copybutton" in script for script in scripts)
    for address in [*scripts, *(str(link["href"]) for link in soup.select("link[rel=stylesheet]"))]:
        assert (built / "site" / app / address.partition("?")[0]).resolve().is_file(), address
