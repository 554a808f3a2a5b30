"""The parts of the documents that are made from how the contract went for the five apps: `make report`."""

import platform
from pathlib import Path

from shared.apps import APPS, ROOT
from shared.documents import with_part
from tests.contract.groups import CASES
from tests.contract.report import Results, requirements_table, results_table

VERSIONS = {name: {**app.packages(), "Python": platform.python_version()} for name, app in APPS.items()}


def is_whole(results: Results) -> bool:
    """Return whether every case was run against every app."""
    return all(len(results.get(app, ())) == len(CASES) for app in APPS)


def documents(results: Results) -> dict[Path, str]:
    """Return the documents with such parts, by path, with the parts made from whole results."""
    readme, contract = ROOT / "README.md", ROOT / "tests" / "contract" / "README.md"
    return {
        readme: with_part(readme.read_text(), "results", results_table(results)),
        contract: with_part(contract.read_text(), "contract", requirements_table()),
    }
