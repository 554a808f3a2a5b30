"""Build the pages: render each, follow it, and write it with the answers that came back."""

import json
import secrets
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from shared.apps import APPS
from shared.docs.render import (
    CHECK,
    SERVICES,
    AppSnippets,
    Snippets,
    commit,
    render,
    render_check,
    render_index,
    snippets,
)
from tests.commands import run
from tests.contract import VERSION
from tests.languages import check, missing
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


def attempt_check(site: str, folder: Path) -> str:
    """Return the page about the check, once its services that can be started here have met the contract."""
    summaries, codes = {}, {name: service.code for name, service in SERVICES.items()}
    for name, service in SERVICES.items():
        if not missing(service):
            checked = check(service, codes[name], folder / name, secrets.token_urlsafe(32))
            assert checked.status == 0, f"{service.file} does not meet the contract:\n{checked.output}"
            summaries[name] = checked.summary
    text = render_check(summaries, site)
    known = {f"SHARED_SECRET=the-secret-that-it-has {CHECK}", "export SHARED_SECRET=$(openssl rand -hex 32)"}
    known |= {service.commands for service in SERVICES.values()}
    for block in blocks(text):
        tried = codes.get(block.language) == block.code and SERVICES[block.language].file == block.title
        assert tried or block.code.strip() in {*known, next(iter(summaries.values()), "")}, (
            f"no step tests this block, under {block.heading!r}:\n{block.title}\n{block.code}"
        )
    return text


def build(apps: Sequence[str], site: str, folder: Path, with_check: bool = True) -> list[str]:
    """Write the pages of some apps, an index and snippets.json to a folder, or nothing if a page does not work.

    `with_check` adds the page about the check. Return an error message for each page that does not work.
    """
    errors, built, source = [], {}, commit()
    about_check = ""
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
            if with_check:
                try:
                    about_check = attempt_check(site, Path(place) / "check")
                except AssertionError as wrong:
                    errors.append(f"check: the page does not work: {wrong}")
                    print(errors[-1], file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise
    if not errors:
        for app, (text, _) in built.items():
            (folder / f"{app}.md").write_text(text)
        code = Snippets(source, VERSION, {app: code for app, (_, code) in built.items()})
        (folder / "index.md").write_text(render_index(code.apps, site, with_check))
        if with_check:
            (folder / "check.md").write_text(about_check)
        as_json = json.dumps(asdict(code), indent=1, ensure_ascii=False)
        (folder / "snippets.json").write_text(as_json + "\n")
    return errors
