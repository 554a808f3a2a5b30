"""Tests of the service: run `pytest` in this folder."""

import cherrypy
import pytest
from webtest import TestApp

from app import PREFIX, app
from shared_secret import HEADER, SharedSecret

SECRET = {HEADER: "for-tests"}
cherrypy.log.screen = False  # pytest shows what is logged


@pytest.fixture
def client(monkeypatch):
    """Give a client of the app, which accepts SECRET, whatever the environment says."""
    monkeypatch.setattr("app.rule", SharedSecret({"SHARED_SECRET": SECRET[HEADER]}))
    return TestApp(app, extra_environ={"SCRIPT_NAME": PREFIX})


def test_with_the_secret(client):
    response = client.get("/protected", headers=SECRET)
    assert response.status_code == 200
    assert response.json == {"message": "Access granted"}


def test_without_the_secret(client):
    assert client.get("/protected", status="*").status_code == 401


def test_with_a_wrong_secret(client):
    response = client.get("/protected", headers={HEADER: "wrong"}, status="*")
    assert response.status_code == 401


def test_a_path_that_does_not_exist(client):
    assert client.get("/missing", status="*").status_code == 401
    assert client.get("/missing", headers=SECRET, status="*").status_code == 404
