"""The pages of `make docs` are MDX too, which other documentation sites read, with Node.js."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import run

pytestmark = [
    pytest.mark.copies,
    pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="MDX needs node and npm"),
]
PACKAGES = "@mdx-js/mdx@3.1.1 remark-frontmatter@5.0.0"
COMPILE = """
import { readFileSync } from "node:fs";
import { compile } from "@mdx-js/mdx";
import frontmatter from "remark-frontmatter";

const plain = () => function check(node) {  // no code in the prose, not even code that compiles
  if (node.type.startsWith("mdx")) throw new Error(`${node.type}: ${node.name ?? node.value}`);
  node.children?.forEach(check);
};
await compile(readFileSync(process.argv[2]), { remarkPlugins: [frontmatter, plain] });
"""

Compile = Callable[[Path], object]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Give a function that compiles a file as MDX; AssertionError if it is none."""
    folder = tmp_path_factory.mktemp("mdx")
    run(f"npm install --no-save --no-package-lock --no-audit --no-fund --prefix . {PACKAGES}", folder)
    (folder / "compile.mjs").write_text(COMPILE)
    return lambda path: run(f"node compile.mjs '{path}'", folder)


def test_page(app: str, built: Path, compiled: Compile) -> None:
    """Every page compiles."""
    compiled(built / "docs" / f"{app}.md")


@pytest.mark.parametrize("page", ["index", "check"])
def test_other_page(page: str, built: Path, compiled: Compile) -> None:
    """The index and the page about the check compile."""
    compiled(built / "docs" / f"{page}.md")


@pytest.mark.parametrize(
    ("prose", "message"),
    [
        ("if it takes <5 s", "Unexpected character `5`"),
        ("/things/<number>", "Expected a closing tag for `<number>`"),
        ("<!-- a comment -->", "Unexpected character `!`"),
        ("see <https://a.test>", "Unexpected character `/`"),
        ('{"status": "ok"}', "Could not parse expression"),
        ("/things/{number}", "mdxTextExpression: number"),
        ("press <kbd>C</kbd>", "mdxJsxTextElement: kbd"),
    ],
)
def test_page_that_is_not_mdx(prose: str, message: str, built: Path, compiled: Compile, tmp_path: Path) -> None:
    """A page with such prose does not compile."""
    page = tmp_path / "page.md"
    page.write_text((built / "docs" / "index.md").read_text() + f"\n{prose}\n")
    with pytest.raises(AssertionError, match=message):
        compiled(page)
