"""The parts of the documents that `make report` makes: what a person sees first, and how the contract went."""

import platform
import re
from pathlib import Path

from shared.app.shared_secret import HEADER
from shared.apps import APPS, HOST, ROOT
from shared.documents import with_part
from tests.apps.running import SECRET
from tests.commands import run
from tests.contract.groups import CASES
from tests.contract.report import Results, requirements_table, results_line, results_table
from tests.processes import Service

README, CONTRACT = ROOT / "README.md", ROOT / "tests" / "contract" / "README.md"


def versions() -> dict[str, dict[str, str]]:
    """Return the pinned versions of what each app depends on, and that of Python."""
    return {name: {**app.packages(), "Python": platform.python_version()} for name, app in APPS.items()}


def is_whole(results: Results) -> bool:
    """Return whether every case was run against every app."""
    return all(len(results.get(app, ())) == len(CASES) for app in APPS)


def with_results(results: Results) -> dict[Path, str]:
    """Return the documents that show how the contract went, by path, with their parts made from whole results."""
    contract = with_part(CONTRACT.read_text(), "requirements", requirements_table())
    return {
        README: with_part(README.read_text(), "results", results_line(results)),
        CONTRACT: with_part(contract, "results", results_table(results)),
    }


def quick_start(folder: Path) -> str:
    """Return the requests that `make run-falcon` prints, in Markdown, and their answers without the header fields."""
    app = APPS["falcon"]
    (log := folder / "log").touch()
    command = [str(ROOT / "shared" / "run.sh"), app.name, str(app.port), app.name, app.start]
    with Service(app.name, command, ROOT, {"SHARED_SECRET": SECRET}, log) as service:
        requests = re.findall(r"curl .+", service.log())
        answers = [run(request, folder).splitlines() for request in requests]
    shown = [f"{request}\n# {answer[0]}, {answer[-1]}" for request, answer in zip(requests, answers, strict=True)]
    text = "\n".join(shown).replace(service.url, f"http://{HOST}:{app.port}")
    text = text.replace(f"'{HEADER}: {SECRET}'", f'"{HEADER}: $(cat .secrets/shared_secret)"')
    return f"```sh\n{text}\n```"


def with_answers(answers: str) -> str:
    """Return the README of the repository with the requests and answers of the quick start."""
    return with_part(README.read_text(), "answers", answers)
