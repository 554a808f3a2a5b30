"""The contract by URL, as `origin-guard check` runs it: output, exit status, reports, and how it is installed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path
from xml.etree import ElementTree

import pytest

from shared.apps import ROOT
from shared.docs.render import SERVICES
from tests.broken.conftest import RunCheck, Serve
from tests.broken.fixtures import SECRET
from tests.broken.makers import accepts
from tests.broken.service import CarefulService
from tests.broken.table import BROKEN
from tests.commands import ENVIRON, run
from tests.contract import VERSION
from tests.contract.__main__ import main
from tests.contract.case import Exchange
from tests.contract.groups import CASES
from tests.contract.report import digest
from tests.contract.run import UNSEEN
from tests.languages import build, missing
from tests.languages import running as running_in
from tests.processes import Service

CONTRACT = ROOT / "tests" / "contract"
UV = shutil.which("uv") or str(ROOT / ".venv" / "uv" / "bin" / "uv")
UNCHECKED = {"config", "doors", "load", "rotate", "life", "stop", "leak"}  # groups of which a URL cannot show all
BY_URL = [case for case in CASES if isinstance(case, Exchange) and case.state == "configured"]
SERIOUS = "auth/secret-less-a-byte"
NORMALISED = next(case.name for case in BY_URL if case.requirement.normalised and case.requirement.level == "required")


def logged(running: ExitStack, folder: Path, *words: str) -> Service:
    """Start a service that the supervisor knows by these words, with a log in a folder."""
    (log := folder / "log").touch()
    command = [sys.executable, "-m", "tests.broken.supervisor", *words, "configured"]
    config = {"SHARED_SECRET": SECRET, "PYTHONPATH": str(ROOT)}
    return running.enter_context(Service(words[0], command, folder, config, log))


def outcomes(output: str) -> dict[str, str]:
    """Return how each case went, by its name."""
    return {name: mark for mark, name in re.findall(r"^(ok|FAIL|know|--) +(\w+/\S+)", output, re.MULTILINE)}


def failed(output: str) -> list[str]:
    """Return the cases that failed."""
    return [name for name, mark in outcomes(output).items() if mark == "FAIL"]


def test_a_service_that_is_right(serve: Serve, run_check: RunCheck) -> None:
    """Status 0; cases that a URL cannot show are named, and do not count as passed; nor does what no request shows."""
    status, output = run_check(serve())
    assert status == 0, output
    went = outcomes(output)
    assert went.keys() == {case.name for case in CASES}
    assert not failed(output)
    unseen = {name for name, mark in went.items() if mark == "--"}
    assert {name.partition("/")[0] for name in unseen} == UNCHECKED
    for name in unseen:
        assert len(re.findall(rf"(?<![\w/-]){name}(?![\w/-])", output)) == 2, "once in its turn, once with the reason"
    assert UNSEEN in " ".join(output.split())
    assert output.count(f"The contract, version {VERSION}: ") == 2


def test_more_is_checked_when_more_is_given(
    running: ExitStack, serve: Serve, tmp_path: Path, run_check: RunCheck
) -> None:
    """An instance without a secret, the log, the process."""
    service = logged(running, tmp_path, "careful", "any case")
    more = ["--unconfigured-url", serve(environ={}), "--pid", str(service.process.pid)]
    status, output = run_check(service.url, "--log", str(tmp_path / "log"), *more)
    assert status == 0, output
    went = outcomes(output)
    for name in ("config/unset-missing", "config/first-wrong", "leak/own-secret", "leak/query", "load/memory"):
        assert went[name] == "ok"


def test_a_log_of_something_else_shows_nothing(serve: Serve, tmp_path: Path, run_check: RunCheck) -> None:
    """It is not taken for a log without secrets."""
    (log := tmp_path / "log").touch()
    _, output = run_check(serve(), "--log", str(log), "--timeout", "1", "--only", "leak")
    assert outcomes(output)["leak/own-secret"] == "--"


class StopsAnswering(CarefulService):
    """Answers the questions that come first, and then says nothing."""

    asked = 0

    def before(self, request: object) -> None:
        self.asked += 1
        if self.asked > 3:
            raise ConnectionError


def test_a_service_that_stops_answering(serve: Serve, run_check: RunCheck) -> None:
    """It is not sent every case, and those that are not sent do not count as passed."""
    status, output = run_check(serve(StopsAnswering), "--only", "auth,deny")
    assert status == 1
    assert "The service has stopped answering" in output


@pytest.mark.parametrize("secret", ["abc\udce9def-1234", "$(x) \\ ünï, <b>"])
def test_any_secret(secret: str, serve: Serve, run_check: RunCheck) -> None:
    """Also one that is not UTF-8 in the environment, and one with characters special to a shell or a pattern."""
    status, output = run_check(serve(environ={"SHARED_SECRET": secret}), secret=secret)
    assert status == 0, output


def test_the_open_path_is_no_case_of_its_own(serve: Serve, run_check: RunCheck) -> None:
    """A service whose open path is one of the paths that otherwise have to be refused."""

    class Root(CarefulService):
        """Open at its root."""

        open = "/"

    status, output = run_check(serve(Root), "--open", "/")
    assert status == 0, output
    assert outcomes(output)["deny/path-root"] == "--"
    assert outcomes(output)["open/query"] == "ok"


def test_a_service_that_is_broken(serve: Serve, run_check: RunCheck) -> None:
    """Status 1, and for each failure what to do about it, and what repeats it."""
    status, output = run_check(serve(BROKEN[SERIOUS]))
    assert status == 1
    assert SERIOUS in failed(output)
    for begin in ("fix:", "required:", "repeat:"):
        assert len(re.findall(rf"^ +{begin} +\S", output, re.MULTILINE)) == len(failed(output)), begin


def test_a_service_that_is_open(serve: Serve, run_check: RunCheck) -> None:
    """It fails cases: no option is to blame."""
    status, output = run_check(serve(accepts(lambda request: request.path == "/protected")), "--only", "auth,deny")
    assert status == 1
    assert {"auth/missing", "auth/wrong", "deny/DELETE-protected"} <= set(failed(output))


def test_what_is_only_recommended_does_not_fail(serve: Serve, run_check: RunCheck) -> None:
    """It is reported, and the status is 0."""
    status, output = run_check(serve(BROKEN["errors/no-store"]))
    assert failed(output) == ["errors/no-store"]
    assert status == 0


def test_what_a_gateway_keeps_away(serve: Serve, run_check: RunCheck) -> None:
    """It fails a service on the internet, and is only recommended behind a gateway that normalises."""
    url = serve(BROKEN[NORMALISED])
    assert [run_check(url, "--only", NORMALISED, "--level", level)[0] for level in ("internet", "gateway")] == [1, 1]
    assert run_check(url, "--only", f"{NORMALISED},auth/right", "--level", "gateway")[0] == 0


def test_a_logged_query_fails_one_case(running: ExitStack, tmp_path: Path, run_check: RunCheck) -> None:
    """The contract itself sends the secret in a query; a service that logs queries has not logged more than that."""
    service = logged(running, tmp_path, "broken", "leak/query")
    status, output = run_check(service.url, "--log", str(tmp_path / "log"))
    assert status == 0
    assert failed(output) == ["leak/query"]


def test_known_failures(serve: Serve, run_check: RunCheck, tmp_path: Path) -> None:
    """A case that is known to fail does not fail the service; one that passes has to be taken out."""
    (known := tmp_path / "known").write_text(f"# why\n\n{SERIOUS}  see #12\n")
    only = ["--known", str(known), "--only", f"{SERIOUS},auth/right"]
    status, output = run_check(serve(BROKEN[SERIOUS]), *only)
    assert (status, outcomes(output)[SERIOUS]) == (0, "know"), output
    status, output = run_check(serve(), *only)
    assert status == 1
    assert f"passed, but in --known: {SERIOUS}. Take them out." in output


def test_quiet(serve: Serve, run_check: RunCheck) -> None:
    """Only the last lines are shown."""
    status, output = run_check("--quiet", serve(), "--only", "open")
    assert status == 0
    assert len(output.splitlines()) == 4, output


def test_reports(serve: Serve, run_check: RunCheck, tmp_path: Path) -> None:
    """As a page, as JSON and as JUnit XML: with the version, without the secret; what is recommended is no failure."""
    url = serve(BROKEN["errors/no-store"])
    texts = {}
    for kind in ("html", "json", "xml"):
        status, _ = run_check(url, "--quiet", "--only", "errors", "--report", str(tmp_path / f"r.{kind}"))
        assert status == 0
        texts[kind] = (tmp_path / f"r.{kind}").read_text()
        assert SECRET not in texts[kind]
    data = json.loads(texts["json"])
    assert data["contract"] == VERSION
    assert len(data["cases"]) == len(CASES)
    (results,) = data["results"].values()
    assert results["errors/no-store"]["outcome"] == "failed"
    assert f'"contract": "{VERSION}"' in texts["html"]
    suite = ElementTree.fromstring(texts["xml"])
    assert f"version {VERSION}, {len(results)} of {len(CASES)} cases" in suite.attrib["name"]
    assert suite.attrib["tests"] == str(len(results)) == str(len(suite.findall("testcase")))
    assert suite.attrib["failures"] == "0"
    assert [case.attrib["name"] for case in suite if case.find("skipped") is not None] == ["no-store"]


def test_a_failure_in_junit(serve: Serve, run_check: RunCheck, tmp_path: Path) -> None:
    """It has what was sent and received as its text."""
    report = tmp_path / "r.xml"
    run_check(serve(BROKEN[SERIOUS]), "--quiet", "--only", SERIOUS, "--report", str(report))
    (failure,) = ElementTree.parse(report).iter("failure")
    assert "received:" in (failure.text or "")


def test_annotations(serve: Serve, run_check: RunCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    """In GitHub Actions each failure is one line of its own."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    _, output = run_check(serve(BROKEN["errors/no-store"]), "--only", "errors/no-store", "--quiet")
    assert re.search(r"^::warning title=errors/no-store::.+ To fix: .+$", output, re.MULTILINE)


@pytest.mark.parametrize(("case", "expected"), [(None, 0), (SERIOUS, 1)])
def test_the_action(case: str | None, expected: int, serve: Serve, tmp_path: Path) -> None:
    """Its script runs the check from any folder, and says where the report is."""
    inputs = {"URL": serve(BROKEN[case] if case else CarefulService), "ONLY": "auth", "HEADER": "", "OPEN": "/healthz"}
    environ = {
        **ENVIRON,
        **{f"INPUT_{name}": value for name, value in inputs.items()},
        "SHARED_SECRET": SECRET,
        "SHARED_SECRET_PREVIOUS": "",
        "GITHUB_ACTIONS": "true",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "RUNNER_TEMP": str(tmp_path),
    }
    script = ROOT / ".github" / "actions" / "check" / "check.py"
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == expected, done.stderr
    report = (tmp_path / "output").read_text().strip().removeprefix("report=")
    assert len(list(ElementTree.parse(report).iter("failure"))) == done.stdout.count("::error title=")
    assert bool(case) == ("::error title=" in done.stdout)
    assert SECRET not in done.stdout


def test_the_action_has_every_option() -> None:
    """Each input is given to the script, and each option of the command is an input."""
    text = (ROOT / ".github" / "actions" / "check" / "action.yml").read_text()
    inputs = set(re.findall(r"(?m)^  ([\w-]+):$", text.partition("outputs:")[0])) - {"secret", "previous"}
    assert inputs == set(re.findall(r"inputs\.([\w-]+) ", text)) - {"secret", "previous"}
    assert inputs == {*flags(), "url"} - {"quiet"}


def flags() -> set[str]:
    """Return the names of the command's options."""
    help_text = subprocess.run(
        [sys.executable, "-m", "tests.contract", "check", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(re.findall(r"(?m)^  --([\w-]+)", help_text))


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `make check`, with the environment of the tests as it is."""
    command = ["make", "--old-file=.venv/tests/.installed", "--no-print-directory", "check", *words]
    environ = {**ENVIRON, "SHARED_SECRET": SECRET, "HEADER": "of-the-environment"}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_make_passes_every_option() -> None:
    """As it was typed, whatever a value is made of; the environment gives none."""
    values = {name: f'{name}\'s $(x) $y "z" \\ a=b' for name in sorted(flags() - {"quiet", "open", "url", "header"})}
    variables = [f"{name.upper().replace('-', '_')}={value}" for name, value in values.items()]
    done = make("URL=http://host:1", "OPEN=", "LOG=log", *variables, "QUIET=1", "--dry-run")
    words = shlex.split(done.stdout.replace("\\\n", " "))
    assert words[words.index("check") + 1] == "http://host:1"
    assert {"--quiet", "--open=", *(f"--{name}={value}" for name, value in values.items())} == {
        word for word in words if word.startswith("--")
    }


def test_make(serve: Serve) -> None:
    """The check runs; make turns a failure into its own status 2; options are called what they are called in make."""
    done = make(f"URL={serve()}", "ONLY=auth/right", "QUIET=1")
    assert done.returncode == 0, done.stderr
    done = make(f"URL={serve(BROKEN['errors/no-store'])}", "ONLY=errors/no-store")
    assert done.returncode == 2
    done = make(f"URL={serve()}", "OPEN=/up")
    assert "OPEN names the open paths" in done.stderr


def test_a_misspelt_variable() -> None:
    """It is named, with those that there are."""
    done = make("URL=http://host:1", "HEADRE=X Y=Z", "BODY={ A=1 }")
    assert done.returncode == 2
    assert "make check does not have: HEADRE. It has: URL " in done.stderr


def test_list(tmp_path: Path) -> None:
    """The folder works alone: its copy lists every case with what it sends; without a command the status is 2."""
    shutil.copytree(CONTRACT, tmp_path / "contract")
    command = [sys.executable, "-m", "contract"]
    done = subprocess.run([*command, "list"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert f"version {VERSION}: {len(CASES)} cases" in done.stdout
    for case in CASES:
        assert f"{case.name} " in done.stdout
        assert case.sends in done.stdout
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False).returncode == 2
    assert run(f"{sys.executable} -m contract list | head -n 1; true", tmp_path).startswith("The contract")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """It is shown with the number of cases."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"origin-guard {VERSION}, {len(CASES)} cases\n"


def test_the_version_changes_with_the_cases() -> None:
    """The first version in CHANGELOG.md is this one, with the digest of these cases."""
    found = re.search(r"(?m)^## (\S+)\n+Digest of the cases: `(\w+)`", (CONTRACT / "CHANGELOG.md").read_text())
    assert found
    assert found.groups() == (VERSION, digest()), (
        "The cases have changed. If this version was released, raise VERSION in tests/contract/__init__.py. "
        "Then say in tests/contract/CHANGELOG.md what changed, under the version, with the digest that "
        "`python -m tests.contract list --digest` prints."
    )


def test_documents_name_every_option() -> None:
    """The table has each, as the variable of make and as the flag."""
    readme = (CONTRACT / "README.md").read_text()
    rows = re.findall(r"(?m)^\| `--([\w-]+)[^|]*\| `([A-Z_]+)", readme)
    assert {flag: flag.upper().replace("-", "_") for flag in flags()} == dict(rows)


def test_dependencies() -> None:
    """What the command needs is what the group `contract` has, of which requirements.txt is made."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dependencies"] == project["dependency-groups"]["contract"]


@pytest.mark.copies
def test_installed(tmp_path: Path) -> None:
    """A wheel in an environment of its own checks a service in another language, a right one and an open one."""
    node = SERVICES["js"]
    if missing(node):
        pytest.skip("There is no node.")
    run(f"{UV} build --quiet --wheel --out-dir {tmp_path} {ROOT}", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    run(f"{UV} venv --quiet --python {sys.executable} venv && {UV} pip install --quiet --python venv {wheel}", tmp_path)
    (tmp_path / "empty").mkdir()
    for name, code, status in (
        ("right", node.code, 0),
        ("open", node.code.replace('path === "/healthz" ? null', "true ? null"), 1),
    ):
        build(node, code, tmp_path / name)
        with running_in(node, tmp_path / name, SECRET) as address:
            done = subprocess.run(
                [tmp_path / "venv" / "bin" / "origin-guard", "check", f"http://{address}", "--report", "report.html"],
                cwd=tmp_path / "empty", env={**os.environ, "SHARED_SECRET": SECRET}, capture_output=True, text=True,
                timeout=120, check=False,
            )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        assert SECRET not in (tmp_path / "empty" / "report.html").read_text()
