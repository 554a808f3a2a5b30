"""snippets.json, which `make docs` writes beside the pages."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from shared import new
from shared.apps import APPS, ROOT

pytestmark = pytest.mark.copies


def test_snippets(app: str, built: Path) -> None:
    """Each snippet is the code at its path and line, with the hash of that code; each piece is a whole definition."""
    snippets: dict[str, dict[str, Any]] = json.loads((built / "docs" / "snippets.json").read_text())[app]
    assert set(snippets["files"]) == {path.name for path in new.files(APPS[app])}
    code = (APPS[app].folder / "app.py").read_text()
    defined = re.findall(r"(?m)^ *(?:async def|def|class) (\w+)", code)
    assert sorted(name.rpartition(".")[2] for name in snippets["pieces"]) == sorted(defined)
    for name, snippet in {**snippets["files"], **snippets["pieces"]}.items():
        text = (ROOT / snippet["path"]).read_text()
        lines = snippet["code"].splitlines()
        there = text.splitlines()[snippet["line"] - 1 :][: len(lines)]
        indent = len(there[0]) - len(there[0].lstrip())
        assert [line[indent:] for line in there] == lines
        assert snippet["sha256"] == hashlib.sha256(snippet["code"].encode()).hexdigest()
        if name in snippets["files"]:
            assert snippet["code"] == text
        else:
            compile(snippet["code"], name, "exec")
            numbered = ["", *text.splitlines()]
            before, after = numbered[snippet["line"] - 1], numbered[snippet["line"] + len(lines) :]
            following = next((line for line in after if line), "")
            assert not before.lstrip().startswith("@")
            assert len(following) - len(following.lstrip()) <= indent
    assert snippets["files"]["app.py"]["language"] == "python"
