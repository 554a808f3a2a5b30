"""What holds the repository together: copies that are copies, folders that are whole, documents that are true."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from shared import new
from shared.apps import APPS, ROOT
from tests.markdown import sections


@pytest.mark.parametrize("copy", sorted(ROOT.glob("apps/*/*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_copies_are_the_same_byte_for_byte(copy: Path) -> None:
    """What stands in shared/app and in an app is one text."""
    original = ROOT / "shared" / "app" / copy.name
    if original.exists():
        assert copy.read_bytes() == original.read_bytes(), (
            f"{copy.relative_to(ROOT)} differs from shared/app/{copy.name}: change it there, then run `make sync`"
        )


def test_an_app_folder_holds_what_it_needs_and_nothing_else(app: str) -> None:
    """The same files in each."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", f"apps/{app}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    files = {path.removeprefix(f"apps/{app}/") for path in tracked}
    assert files == set(new.FILES)


def test_readmes_give_the_start_command_of_the_app(app: str) -> None:
    """The documents of an app start it as everything else does."""
    command = APPS[app].start
    assert re.search(
        rf"^\.venv/bin/{re.escape(command)}$", (ROOT / "apps" / app / "README.md").read_text(), re.MULTILINE
    )


def test_readmes_are_the_same_where_the_apps_are() -> None:
    """What does not depend on the framework is said in the same words."""
    for section in ("Open a route on purpose", "Test it", "Deploy", "Rotate the secret", "Upgrade the dependencies"):
        texts = {sections((ROOT / "apps" / app / "README.md").read_text())[section].replace(app, "APP") for app in APPS}
        assert len(texts) == 1, section


def test_readmes_name_every_variable(app: str) -> None:
    """The table has each that the code of the folder reads, and no other."""
    code = "".join(path.read_text() for path in (ROOT / "apps" / app).glob("*.py"))
    read = {*re.findall(r"os\.environ(?:\.get\(|\[)\"(\w+)\"", code), "WEB_CONCURRENCY"}  # that one the servers read
    secrets = set(re.findall(r"_read\(\"(\w+)\"\)", code))
    table = sections((ROOT / "apps" / app / "README.md").read_text())["Configure"]
    named = [name for row in re.findall(r"(?m)^\| (`.+?) \|", table) for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted({*read, *secrets, *(f"{name}_FILE" for name in secrets)})


def test_readmes_name_the_address_that_is_listened_on(app: str) -> None:
    """Where nobody tells it another."""
    folder = ROOT / "apps" / app
    host, port = re.findall(
        r'os\.environ\.get\("(?:HOST|PORT)"\) or "(.+?)"', "".join(map(Path.read_text, folder.glob("*.py")))
    )
    readme = (folder / "README.md").read_text()
    assert f"| `HOST`, `PORT` | `{host}`, `{port}` |" in readme
    assert set(re.findall(r"http://[\d.]+:\d+", readme)) == {f"http://{host}:{port}"}


def test_dockerfiles_differ_in_the_start_command_alone() -> None:
    """Each gives that of its app, and all else is the same."""
    rest = set()
    for app in APPS:
        *lines, last = (ROOT / "apps" / app / "Dockerfile").read_text().splitlines()
        assert last == f"CMD {json.dumps(APPS[app].command)}"
        rest.add(tuple(lines))
    assert len(rest) == 1
    assert len({(ROOT / "apps" / app / ".gitignore").read_bytes() for app in APPS}) == 1


def test_top_level() -> None:
    """No other folders than these, dot-folders aside."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {path.split("/")[0] for path in tracked if "/" in path and path[0] != "."} == {"apps", "shared", "tests"}


def test_readme_names_every_app() -> None:
    """The table of apps and the ports."""
    readme = (ROOT / "README.md").read_text()
    for name, app in APPS.items():
        assert f"| [{app.title}](apps/{name}) | {app.server} | {app.check} | {app.port} |" in readme


def test_every_app_is_behind_the_gateway() -> None:
    """In its configuration and in the stack, and nothing else is."""
    config, stack = ((ROOT / name).read_text() for name in ("shared/gateway/haproxy.cfg", "docker-compose.yml"))
    routed = re.search(r"acl origin path_reg \^/\((.+)\)/$", config, re.MULTILINE)
    assert routed
    assert set(routed[1].split("|")) == set(APPS)
    assert set(re.findall(r"^backend (\w+)$", config, re.MULTILINE)) == {*APPS, "rates"}
    assert set(re.findall(r"^    build: apps/(\w+)$", stack, re.MULTILINE)) == set(APPS)
