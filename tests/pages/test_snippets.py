"""snippets.json, which `make docs` writes beside the pages."""

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import new
from shared.apps import APPS, ROOT
from shared.docs import render
from tests.commands import run
from tests.contract import VERSION

pytestmark = pytest.mark.copies
SCHEMA = ROOT / "shared" / "docs" / "snippets.schema.json"
SNIPPET = "apps falcon files app.py"
COMMIT = "git add . && git -c user.name=a -c user.email=a@a.test commit --quiet --message a"


def test_snippets(app: str, built: Path) -> None:
    """Each snippet is the code at its path and line, with the hash of that code; each piece is a whole definition."""
    snippets: dict[str, dict[str, Any]] = json.loads((built / "docs" / "snippets.json").read_text())["apps"][app]
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


def check(*options: object) -> None:
    """Run check-jsonschema; AssertionError if something is invalid."""
    run(shlex.join([sys.executable, "-m", "check_jsonschema", *map(str, options)]), ROOT)


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Return the parts of a schema that describe an object with certain keys."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield schema
        for part in schema.values():
            yield from objects(part)


def test_schema() -> None:
    """The schema is valid, and describes each key; each is needed, and there is no other."""
    check("--check-metaschema", SCHEMA)
    found = list(objects(json.loads(SCHEMA.read_text())))
    assert len(found) == 3
    for part in found:
        assert part["required"] == list(part["properties"])
        assert part["additionalProperties"] is False
        assert all("description" in key for key in part["properties"].values())


def test_schema_fits(built: Path) -> None:
    """The file has the form that the schema describes, and says which version and commit it is from."""
    file = built / "docs" / "snippets.json"
    check("--schemafile", SCHEMA, file)
    snippets = json.loads(file.read_text())
    assert (snippets["version"], snippets["commit"]) == (VERSION, render.commit())
    assert list(snippets["apps"]) == list(APPS)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("commit", None),
        ("commit", '"main"'),
        ("version", '"new"'),
        ("more", "1"),
        ("apps falcon start", None),
        ("apps falcon packages falcon", '"*"'),
        (f"{SNIPPET} code", None),
        (f"{SNIPPET} path", '"app.py"'),
        (f"{SNIPPET} line", "0"),
        (f"{SNIPPET} language", '"ruby"'),
        (f"{SNIPPET} sha256", '"e3b0c442"'),
    ],
)
def test_schema_does_not_fit(place: str, value: str | None, built: Path, tmp_path: Path) -> None:
    """A file in which a key is missing (None) or has another value (JSON) is invalid, and the message names the key."""
    snippets = json.loads((built / "docs" / "snippets.json").read_text())
    *names, key = place.split()
    part = snippets
    for name in names:
        part = part[name]
    if value is None:
        del part[key]
    else:
        part[key] = json.loads(value)
    (tmp_path / "snippets.json").write_text(json.dumps(snippets))
    with pytest.raises(AssertionError, match=key):
        check("--schemafile", SCHEMA, tmp_path / "snippets.json")


def test_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is that of the repository itself, not of one around it; a change to a tracked file shows."""
    monkeypatch.setattr(render, "ROOT", tmp_path)
    assert render.commit() is None
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    run(f"git init --quiet\n{COMMIT}\ngit tag v1", tmp_path)
    assert render.commit() == run("git rev-parse HEAD", tmp_path).strip()
    (tmp_path / "new").touch()
    assert render.commit() == run("git rev-parse HEAD", tmp_path).strip()
    (tmp_path / "a" / "file").write_text("changed")
    assert render.commit() == run("git rev-parse HEAD", tmp_path).strip() + "-dirty"
    monkeypatch.setattr(render, "ROOT", tmp_path / "a")
    assert render.commit() is None
