"""Write everything that is made from shared/app and shared/apps.py: `make sync`.

Each app gets a README.md and a Dockerfile, made from templates, and copies of the files that are the same in every app.
shared/kubernetes gets the manifests that say the same of every app, and the README.md of the repository its table of
them.
"""

from functools import partial
from pathlib import Path

from shared.app.shared_secret import HEADER
from shared.apps import APPS, HOST, ORIGIN, PORT, ROOT, VENV, App
from shared.documents import templates, with_part
from shared.new import COPIES

SOURCE = ROOT / "shared" / "app"
TEMPLATES = templates(SOURCE)
KUBERNETES = ROOT / "shared" / "kubernetes"
MANIFESTS = {"base": ["origins"], "overlays/production": ["budgets", "scaling"], "overlays/gateway-api": ["routes"]}


def apps_table() -> str:
    """Return the table of the apps, in Markdown."""
    rows = [f"| [{app.title}](apps/{app.name}) | {app.server} | {app.check} | {app.port} |" for app in APPS.values()]
    return "\n".join(
        ["| app | server | how the check is plugged in | port of `make run` |", "|---|---|---|---|", *rows]
    )


def plus(app: App, first: str, following: str) -> str:
    """Return the lines of app.py from the one that begins with a text up to another, as a diff adds them."""
    code = (app.folder / "app.py").read_text()
    part = code[code.index(f"\n{first}") : code.index(f"\n{following}")].strip("\n")
    return "\n".join(f"+{line}" for line in [*part.split("\n"), ""])


def made() -> dict[Path, bytes]:
    """Return the content of every file that `make sync` writes, by path."""
    files = {}
    for app in APPS.values():
        values = {"app": app, "host": HOST, "port": PORT, "origin": ORIGIN, "header": HEADER, "venv": VENV}
        values["plus"] = partial(plus, app)
        for name, template in (("README.md", f"readme/{app.name}.md.jinja"), ("Dockerfile", "Dockerfile.jinja")):
            files[app.folder / name] = TEMPLATES.get_template(template).render(values).encode()
        for name in COPIES[app.interface]:
            original = name.removeprefix(".")  # shared/app/gitignore: with the dot, git would use it there
            files[app.folder / name] = (SOURCE / original).read_bytes()
    manifests = templates(KUBERNETES)
    for folder, names in MANIFESTS.items():
        for name in names:
            text = manifests.get_template(f"{name}.yaml.jinja").render(apps=list(APPS.values()), port=PORT)
            files[KUBERNETES / folder / f"{name}.yaml"] = text.encode()
    readme = ROOT / "README.md"
    files[readme] = with_part(readme.read_text(), "apps", apps_table()).encode()
    return files


def main() -> None:
    """Write the files whose content changes, and print their paths."""
    changed = {path: content for path, content in made().items() if not path.exists() or path.read_bytes() != content}
    for path, content in changed.items():
        path.write_bytes(content)
        print(f"Wrote {path.relative_to(ROOT)}")
    if not changed:
        print("Nothing has changed.")


if __name__ == "__main__":
    main()
