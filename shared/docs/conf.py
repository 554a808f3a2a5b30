"""Configure Sphinx, which builds a site from the pages in build/docs: `make docs-site`."""

import json
import re
from html import escape
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

project = "origin-guard"
extensions = ["myst_parser", "sphinx_copybutton", "sphinx_design"]
myst_enable_extensions = ["colon_fence"]
html_theme = "furo"
html_title = "origin-guard"
html_show_copyright = html_show_sphinx = html_copy_source = html_use_index = False
pygments_dark_style = "github-dark"
copybutton_selector = ":is(.highlight-python, .highlight-sh) pre"  # nobody pastes a diff or a response
html_theme_options: dict[str, list[str]] = {"top_of_page_buttons": []}
html_static_path = ["static"]
html_css_files = ["site.css"]


def with_tabs(app: Sphinx, name: str, source: list[str]) -> None:
    """Add to the index what only a site shows: the list of pages, for the sidebar, and every app.py in tabs."""
    if name != "index":
        return
    apps = json.loads((Path(app.srcdir) / "snippets.json").read_text())["apps"]
    tabs = "".join(
        f':::{{tab-item}} {snippets["title"]}\n```python title="app.py"\n{snippets["files"]["app.py"]["code"]}```\n'
        f"[Run it and try it]({app_name}.md)\n:::\n"
        for app_name, snippets in apps.items()
    )
    pages = "\n".join(f"{snippets['title']} <{app_name}>" for app_name, snippets in apps.items())
    if (Path(app.srcdir) / "check.md").exists():
        pages += "\nAny language <check>"
    source[0] += f"\n## Side by side\n\n::::{{tab-set}}\n{tabs}::::\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def with_captions(app: Sphinx, name: str, source: list[str]) -> None:
    """Make the titles of code blocks captions: MyST takes none from a fence."""
    source[0] = re.sub(r'(?m)^```(\w+) title="(.+)"$', r"```{code-block} \1\n:caption: \2\n", source[0])


def with_description(app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Add the description and the address in a page's front matter to its HTML."""
    if meta := context.get("meta"):
        context["metatags"] += f'<meta name="description" content="{escape(meta["description"])}">'
        context["pageurl"] = meta["canonicalUrl"]


def setup(app: Sphinx) -> None:
    """Register the three (Sphinx, "Event callbacks API")."""
    app.connect("source-read", with_tabs)
    app.connect("source-read", with_captions)
    app.connect("html-page-context", with_description)
