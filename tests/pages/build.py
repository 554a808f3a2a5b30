"""Build the pages: render each, follow it, and write it with the answers that came back."""

import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from shared.apps import APPS
from shared.docs.render import AppSnippets, Snippets, commit, render, render_index, snippets, version
from tests.commands import run
from tests.markdown import blocks
from tests.pages.reader import Step, followed, steps
from tests.pages.routes import try_changes
from tests.processes import end_all


def attempt(app: str, site: str, folder: Path) -> tuple[str, AppSnippets]:
    """Follow the page of an app in a folder; return the page with its answers, and its snippets.

    If something on the page does not work, that raises an error.
    """
    code = snippets(app)  # read once: what is written is what was tested
    draft = render(app, code, site)
    page = blocks(draft.text)
    requests = [block.code.strip() for step, block in steps(app, page) if step is Step.ASK]
    assert len(requests) == len(draft.expected), "the page has a request that the template does not make with ask()"
    with followed(app, page, folder) as reader:
        wrong = [
            f"{request}\nexpected {status}, but the answer was\n{answer}"
            for request, answer, status in zip(requests, reader.answers, draft.expected, strict=True)
            if int(answer.split()[1]) != status
        ]
        assert not wrong, "\n".join([*wrong, "the service's log:", reader.serve("").tail()])
        installed = run(".venv/bin/pip freeze", reader.home).lower().splitlines()
        for name, version in code.packages.items():
            assert f"{name.partition('[')[0].lower()}=={version}" in installed, (
                f"the page does not install {name} {version}"
            )
        reader.run_contract()
        try_changes(APPS[app], page, reader.home, reader.serve_with)
    return draft.with_answers(reader.answers), code


def build(apps: Sequence[str], site: str, folder: Path) -> list[str]:
    """Write the pages of some apps, an index and snippets.json to a folder, or nothing if a page does not work.

    Return an error message for each page that does not work.
    """
    errors, built, source = [], {}, commit()
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(max_workers=2) as pool:
        begun = {app: pool.submit(attempt, app, site, Path(place) / app) for app in apps}
        try:
            for app, future in begun.items():
                error = future.exception()
                if error:
                    message = error if isinstance(error, AssertionError | RuntimeError) else repr(error)
                    errors.append(f"{app}: the page does not work: {message}")
                    print(errors[-1], file=sys.stderr, flush=True)
                else:
                    built[app] = future.result()
                    print(f"{app}: the page works, and its service meets the contract", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise
    if not errors:
        for app, (text, _) in built.items():
            (folder / f"{app}.md").write_text(text)
        code = Snippets(source, version(), {app: code for app, (_, code) in built.items()})
        (folder / "index.md").write_text(render_index(code.apps, site))
        as_json = json.dumps(asdict(code), indent=1, ensure_ascii=False)
        (folder / "snippets.json").write_text(as_json + "\n")
    return errors
