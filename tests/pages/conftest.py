"""The pages and the site that the tests look at, built once, and the readers who follow the pages of the site."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from shared.apps import ROOT
from tests.commands import run
from tests.gateway.runner import HAPROXY
from tests.markdown import blocks_of_html
from tests.pages.reader import Reader, followed


@pytest.fixture(scope="session", autouse=True)
def needs_haproxy() -> None:
    """Skip the tests of the pages where there is no haproxy."""
    if not HAPROXY:
        pytest.skip("The pages show a request through the gateway, which needs haproxy.")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the pages, in docs/, and the site built from them, in site/."""
    folder = tmp_path_factory.mktemp("build")
    run(f"make docs BUILD={folder}; make docs-site BUILD={folder}", ROOT)
    return folder


@pytest.fixture
def page(app: str, built: Path) -> str:
    """Give the page of an app, in Markdown."""
    return (built / "docs" / f"{app}.md").read_text()


@pytest.fixture
def html(app: str, built: Path) -> str:
    """Give the page of an app in the site."""
    return (built / "site" / app / "index.html").read_text()


@pytest.fixture(scope="session")
def read(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Reader]]:
    """Give a function that returns the reader of an app's page in the site; each page is followed once."""
    done: dict[str, Reader] = {}
    with ExitStack() as running:

        def read(app: str) -> Reader:
            if app not in done:
                html = (built / "site" / app / "index.html").read_text()
                folder = tmp_path_factory.mktemp(f"reader-{app}")
                done[app] = running.enter_context(followed(app, blocks_of_html(html), folder))
            return done[app]

        yield read
