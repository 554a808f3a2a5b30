"""What only one of the WSGI frameworks has, on its grown app: servers, settings and mounts of its own."""

from pathlib import Path

import pytest

from tests.apps.grown import HEADER, grow, grown_service, request
from tests.apps.running import SECRET
from tests.contract.http1 import exchange
from tests.processes import Service

RIGHT = f"{HEADER}: {SECRET}".encode()
SUB = """
class Sub:
    @cherrypy.expose
    def hello(self):
        return "hello"
"""
MOUNTS = {  # what people append to app.py, and a path that it adds or takes over
    "mount": (SUB + 'cherrypy.tree.mount(Sub(), "/other")', "/other/hello"),
    "mounted-as-app": (SUB + 'app = cherrypy.tree.mount(Sub(), "")', "/hello"),
    "application-as-app": (SUB + 'app = cherrypy.Application(Sub(), "")', "/hello"),
}
TWEENS = """
from pyramid.tweens import INGRESS, MAIN

def first(handler, registry):
    def tween(request):
        print("the tween ran", flush=True)
        return handler(request)
    return tween

tween0 = tween1 = tween2 = first

def includeme(config):
    for number, place in enumerate(({}, {"under": INGRESS}, {"over": MAIN})):
        config.add_tween(f"package.tween{number}", **place)
"""
ALL = "package.tween0 package.tween1 package.tween2 pyramid.tweens.excview_tween_factory"


def serve(app: str, home: Path, log: Path, command: str) -> Service:
    """Return the service of a grown copy, started by a command."""
    log.mkdir()
    service = grown_service(app, "configured", home, log)
    service.command = command.split()
    return service


def statuses(service: Service, path: str) -> list[int]:
    """Return the status without the secret, and with it."""
    return [exchange(service.address, request(path, *fields)).status for fields in ((), (RIGHT,))]


@pytest.mark.parametrize(("app", "command"), [
    ("cherrypy", "python app.py"),
    ("pyramid", "gunicorn --paste production.ini"),
    ("pyramid", "env PYTHONPATH=. pserve production.ini"),
])  # fmt: skip
def test_another_server(app: str, command: str, tmp_path: Path) -> None:
    """What GROW.md names besides `gunicorn` serves everything behind the check."""
    with serve(app, grow(app, tmp_path / app), tmp_path / "log", command) as service:
        for path in ("/protected", "/things/7", "/static/hello.txt", "/sub/hello", "/sub/healthz"):
            assert (path, statuses(service, path)) == (path, [401, 200])
        assert statuses(service, "/healthz") == [200, 200]


@pytest.mark.parametrize(("app", "mount"), [("cherrypy", mount) for mount in MOUNTS])
def test_mounts(app: str, mount: str, tmp_path: Path) -> None:
    """However an application is mounted, it is behind the check."""
    code, path = MOUNTS[mount]
    home = grow(app, tmp_path / app)
    with (home / "app.py").open("a") as file:
        file.write(code)
    with serve(app, home, tmp_path / "log", "gunicorn") as service:
        assert statuses(service, path) == [401, 200]


@pytest.mark.parametrize("app", ["pyramid"])
@pytest.mark.parametrize("setting", ["includes = package", f"tweens = {ALL}"], ids=["includes", "tweens"])
def test_tweens_of_settings(app: str, setting: str, tmp_path: Path) -> None:
    """Tweens that the settings name, even where they replace all others, run behind the check."""
    home = grow(app, tmp_path / app)
    (home / "package.py").write_text(TWEENS)
    ini = home / "production.ini"
    ini.write_text(ini.read_text().replace("call:app:main", f"call:app:main\npyramid.{setting}"))
    with serve(app, home, tmp_path / "log", "gunicorn --paste production.ini") as service:
        assert exchange(service.address, request("/protected")).status == 401
        assert "the tween ran" not in service.log()
        assert exchange(service.address, request("/protected", RIGHT)).status == 200
        service.wait_for_log("the tween ran\nthe tween ran\nthe tween ran")
