"""The site that Sphinx makes of the pages in build/docs: `make docs-serve`."""

import json
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
copybutton_selector = ":is(.highlight-python, .highlight-sh) pre"  # a diff or an answer is not to be pasted
html_theme_options: dict[str, list[str]] = {"top_of_page_buttons": []}
html_static_path = ["static"]
html_css_files = ["site.css"]


def with_tabs(app: Sphinx, name: str, source: list[str]) -> None:
    """Add to the index what only a site has: the list of pages beside each, and the five app.py in tabs."""
    if name != "index":
        return
    apps = json.loads((Path(app.srcdir) / "snippets.json").read_text())
    tabs = "".join(
        f":::{{tab-item}} {told['title']}\n```python\n{told['files']['app.py']['code']}```\n"
        f"[How it runs, and what it answers]({each}.md)\n:::\n"
        for each, told in apps.items()
    )
    pages = "\n".join(f"{told['title']} <{each}>" for each, told in apps.items())
    source[0] += f"\n## Side by side\n\n::::{{tab-set}}\n{tabs}::::\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def with_description(app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Give the page the description and the address that its front matter says."""
    if meta := context.get("meta"):
        context["metatags"] += f'<meta name="description" content="{escape(meta["description"])}">'
        context["pageurl"] = meta["canonicalUrl"]


def setup(app: Sphinx) -> None:
    """Hook both in (Sphinx, "Event callbacks API")."""
    app.connect("source-read", with_tabs)
    app.connect("html-page-context", with_description)
