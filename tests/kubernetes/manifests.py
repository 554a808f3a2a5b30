"""What kustomize builds from shared/kubernetes."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from shared.apps import ROOT

FOLDER = ROOT / "shared" / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
KUBECTL = Path(sys.executable).with_name("kubectl")

Object = dict[str, Any]  # of Kubernetes


@cache
def built(overlay: str) -> tuple[Object, ...]:
    """Return the objects of an overlay."""
    command = [str(KUBECTL), "kustomize", str(FOLDER / "overlays" / overlay)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return tuple(YAML(typ="safe").load_all(text))


def one(overlay: str, kind: str, name: str) -> Object:
    """Return one object of an overlay."""
    (found,) = (item for item in built(overlay) if (item["kind"], item["metadata"]["name"]) == (kind, name))
    return found


def pod(deployment: Object) -> Object:
    """Return what a Deployment says about its pods."""
    found: Object = deployment["spec"]["template"]["spec"]
    return found
