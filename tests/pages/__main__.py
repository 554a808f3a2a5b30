"""Build a page for each app from its files, and one about the check, test everything on them, and write what works."""

import argparse
import os
import re
import secrets
import shutil
import signal
import sys
from pathlib import Path

from jinja2 import TemplateError

from shared.apps import APPS, ROOT
from shared.docs.render import SITE
from tests.commands import NO_PROXY
from tests.gateway.runner import HAPROXY
from tests.pages.build import build


def address(url: str) -> str:
    """Return the address of a site, without a slash at its end."""
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url):
        raise argparse.ArgumentTypeError(
            f"{url!r} is not the address of a site, such as https://docs.example.com/guide"
        )
    return url.rstrip("/")


def main() -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="make docs", usage="make docs [SITE=https://...]", description=__doc__)
    parser.add_argument("--site", type=address, default=SITE, help="where the pages will be, for their canonicalUrl")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "docs", help="the folder to write")
    parser.add_argument("--app", choices=list(APPS), help="leave out all other pages")
    options = parser.parse_args()
    for program, path in (("curl", shutil.which("curl")), ("haproxy", HAPROXY)):
        if not path:
            sys.exit(f"There is no {program}, which the requests on the pages need: install it and try again.")
    os.environ.update(NO_PROXY)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    apps = [options.app] if options.app else list(APPS)
    output: Path = options.output
    draft, old = (output.with_name(f".{output.name}-{secrets.token_hex(4)}") for _ in range(2))
    try:
        if output.exists() and any(output.iterdir()) and not (output / "snippets.json").exists():
            sys.exit(f"{output} holds other files than pages, and would be replaced: name another folder.")
        draft.mkdir(parents=True)
        errors = build(apps, options.site, draft, with_check=not options.app)
        if not errors:
            if output.exists():
                output.rename(old)
            draft.rename(output)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: nothing was written.")
    except (OSError, TemplateError) as error:
        sys.exit(f"The pages cannot be built: {error}")
    finally:
        if old.exists() and not output.exists():
            old.rename(output)
        for folder in (draft, old):
            shutil.rmtree(folder, ignore_errors=True)
    if errors:
        sys.exit(f"Nothing was written: {len(errors)} of {len(apps) + (not options.app)} pages do not work.")
    print(f"Wrote {output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
