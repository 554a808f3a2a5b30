"""What kustomize builds is valid, has nothing secret, and agrees with Docker Compose, the Dockerfiles and the apps."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from shared.apps import APPS, PORT, ROOT
from tests.kubernetes.manifests import FOLDER, OVERLAYS, built, one, pod

COMPOSE = YAML(typ="safe").load(ROOT / "docker-compose.yml")
VERSIONS = ("1.25", "1.37")  # the oldest and the newest whose schemas there are
CUSTOM = {"ExternalSecret", "HTTPRoute", "HTTPRouteFilter", "SecurityPolicy"}  # kinds that a cluster gets from others
OLD = {"v1", "apps/v1", "networking.k8s.io/v1"}  # what Kubernetes 1.20 has too
DEPLOYMENTS = ["gateway", *APPS]
SCRIPT = """
import { readFileSync } from "node:fs";
import { HTTPRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute";
import { HTTPRouteFilter } from "@kubernetes-models/envoy-gateway/gateway.envoyproxy.io/v1alpha1/HTTPRouteFilter";
import { SecurityPolicy } from "@kubernetes-models/envoy-gateway/gateway.envoyproxy.io/v1alpha1/SecurityPolicy";
import { ExternalSecret } from "@kubernetes-models/external-secrets/external-secrets.io/v1/ExternalSecret";
const kinds = { HTTPRoute, HTTPRouteFilter, SecurityPolicy, ExternalSecret };
for (const item of JSON.parse(readFileSync(0))) new kinds[item.kind](item).validate();
"""


def deployment(name: str, overlay: str = "local") -> dict[str, Any]:
    """Return a Deployment."""
    return one(overlay, "Deployment", name)


def container(name: str, overlay: str = "local") -> dict[str, Any]:
    """Return the one container of a Deployment."""
    (found,) = pod(deployment(name, overlay))["containers"]
    assert found["name"] == name
    return dict(found)


def environment(name: str) -> dict[str, str]:
    """Return the variables that have a value of a Deployment's container."""
    return {entry["name"]: entry["value"] for entry in container(name)["env"] if "value" in entry}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_valid(overlay: str, version: str) -> None:
    """Every object is of a known kind and has no unknown field."""
    for item in built(overlay):
        if item["kind"] not in CUSTOM:
            kubernetes_validate.validate(item, version, strict=True)


def test_invalid_is_found() -> None:
    """An unknown field is an error."""
    item = {**one("local", "Service", "gateway"), "specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(item, VERSIONS[0], strict=True)


@pytest.mark.copies
@pytest.mark.skipif(not shutil.which("npm"), reason="This needs node and npm.")
def test_custom_kinds(tmp_path: Path) -> None:
    """Those of other projects are valid too, by schemas that know types and let unknown fields pass."""
    packages = [f"@kubernetes-models/{name}@2.0.0" for name in ("envoy-gateway", "external-secrets", "gateway-api")]
    subprocess.run(["npm", "install", "--silent", "--prefix", tmp_path, *packages], check=True, timeout=300)
    (tmp_path / "validate.mjs").write_text(SCRIPT)
    items = [item for overlay in OVERLAYS for item in built(overlay) if item["kind"] in CUSTOM]
    items += YAML(typ="safe").load_all((FOLDER / "overlays" / "production" / "external-secret.yaml").read_text())
    assert {item["kind"] for item in items} == CUSTOM

    def validate(given: Any) -> int:
        command = ["node", "validate.mjs"]
        return subprocess.run(
            command, cwd=tmp_path, input=json.dumps(given), text=True, capture_output=True, timeout=60
        ).returncode

    assert validate(items) == 0
    for item in items:
        assert validate([{**item, "spec": "nothing"}]) != 0


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_secret(overlay: str) -> None:
    """The Secrets are made by a command, and what is built only names them."""
    kinds = {item["kind"] for item in built(overlay)}
    assert "Secret" not in kinds
    assert not re.search(
        r"ogk_[\w-]{20}|(?<![\w-])[\w-]{43}(?![\w-])",
        json.dumps([item for item in built(overlay) if item["kind"] != "ConfigMap"]),
    )


def test_what_old_clusters_have() -> None:
    """The local overlay has only kinds that Kubernetes 1.20 knows."""
    assert {item["apiVersion"] for item in built("local")} <= OLD
    assert {item["apiVersion"] for item in built("production")} == {*OLD, "policy/v1", "autoscaling/v2"}


def test_what_there_is() -> None:
    """One Deployment and one Service each; the five Services are headless."""
    for kind in ("Deployment", "Service"):
        assert {item["metadata"]["name"] for item in built("local") if item["kind"] == kind} == set(DEPLOYMENTS)
    for app in APPS:
        assert one("local", "Service", app)["spec"]["clusterIP"] == "None"
    assert "clusterIP" not in one("local", "Service", "gateway")["spec"]


def test_haproxy_cfg_is_that_of_compose() -> None:
    """Byte for byte."""
    (name,) = (v["configMap"]["name"] for v in pod(deployment("gateway"))["volumes"] if "configMap" in v)
    assert one("local", "ConfigMap", name)["data"] == {
        "haproxy.cfg": (ROOT / "shared" / "gateway" / "haproxy.cfg").read_text()
    }
    assert container("gateway")["command"] == COMPOSE["services"]["gateway"]["command"]
    assert container("gateway")["image"] == COMPOSE["services"]["gateway"]["image"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_pods_can_do_little(name: str) -> None:
    """No root, no writable files, no capabilities, no token of the API server, and limited memory."""
    inside, around = container(name)["securityContext"], pod(deployment(name))["securityContext"]
    assert inside == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert around["runAsNonRoot"] is True
    assert around["runAsUser"] > 0
    assert around["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(deployment(name))["automountServiceAccountToken"] is False
    resources = container(name)["resources"]
    assert {"cpu", "memory"} == set(resources["requests"])
    memory = COMPOSE["services"][name]["mem_limit"]
    assert resources["limits"]["memory"] == memory.upper() + "i"


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_replacement(name: str) -> None:
    """Two replicas, spread over nodes; an old one goes when a new one is ready, and has time for its last requests."""
    spec = deployment(name)["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    (spread,) = pod(deployment(name))["topologySpreadConstraints"]
    assert spread["labelSelector"] == spec["selector"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    grace = pod(deployment(name))["terminationGracePeriodSeconds"]
    compose = int(COMPOSE["services"][name]["stop_grace_period"].rstrip("s"))
    before = sum(
        map(
            int,
            re.findall(r"\b(\d+)\b", str(container(name)["lifecycle"]["preStop"]["exec"]["command"][-1].split(";")[0])),
        )
    )
    assert grace >= compose + before
    for probe in ("readinessProbe", "livenessProbe"):
        assert container(name)[probe]["httpGet"]["path"] == "/healthz"


def test_origins(app: str) -> None:
    """The user, the port and the variables are those of the container in Compose; the secret is mounted as a folder."""
    dockerfile = (APPS[app].folder / "Dockerfile").read_text()
    assert f"\nUSER {pod(deployment(app))['securityContext']['runAsUser']}\n" in dockerfile
    assert f"\nEXPOSE {PORT}\n" in dockerfile
    (port,) = container(app)["ports"]
    assert port["containerPort"] == PORT
    assert one("local", "Service", app)["spec"]["ports"][0]["port"] == PORT
    assert set(environment(app)) == set(COMPOSE["services"][app]["environment"])
    volumes = {volume["name"]: volume for volume in pod(deployment(app))["volumes"]}
    (mount,) = (mount for mount in container(app)["volumeMounts"] if volumes[mount["name"]].get("secret"))
    assert "subPath" not in mount
    assert {Path(path).parent for path in environment(app).values()} == {Path(mount["mountPath"])}
    address = environment("gateway")[app.upper()]
    assert address == f"{app}.$(NAMESPACE).svc.cluster.local:{PORT}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_and_ports(overlay: str) -> None:
    """Images have a tag or a digest; ports say their protocol, which server-side apply wants."""
    for item in built(overlay):
        if item["kind"] == "Deployment":
            (one_container,) = pod(item)["containers"]
            assert re.search(r":[\w.]+$|@sha256:[0-9a-f]{64}$", one_container["image"])
            assert not one_container["image"].endswith(":latest")
            assert one_container["imagePullPolicy"] == "IfNotPresent"
            ports = one_container["ports"]
        elif item["kind"] == "Service":
            ports = item["spec"]["ports"]
        else:
            continue
        assert all(port["protocol"] == "TCP" for port in ports)


def test_production() -> None:
    """Every image has a digest, and every Deployment a budget, and a scale that alone says how many there are."""
    assert re.fullmatch(r"haproxy@sha256:[0-9a-f]{64}", container("gateway", "production")["image"])
    for name in DEPLOYMENTS:
        assert "replicas" not in deployment(name, "production")["spec"]
    for app in APPS:
        assert re.fullmatch(
            rf"registry\.example/origin-guard-{app}@sha256:[0-9a-f]{{64}}", container(app, "production")["image"]
        )
    for kind in ("PodDisruptionBudget", "HorizontalPodAutoscaler"):
        assert {item["metadata"]["name"] for item in built("production") if item["kind"] == kind} == set(DEPLOYMENTS)


def test_only_the_gateway_reaches_an_origin() -> None:
    """By the policies: who may come in, and where it may go."""
    policy = one("local", "NetworkPolicy", "origins")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    for app in APPS:
        labels = deployment(app)["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    (rule,) = policy["ingress"]
    assert rule == {
        "from": [{"podSelector": deployment("gateway")["spec"]["selector"]}],
        "ports": [{"port": PORT, "protocol": "TCP"}],
    }
    (away,) = policy["egress"]
    assert {port["port"] for port in away["ports"]} == {53}


def test_gateway_api(app: str) -> None:
    """The same paths as through HAProxy, with the secret from a Secret; HAProxy itself is not there."""
    route = one("gateway-api", "HTTPRoute", app)
    (rule,) = route["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": f"/{app}/"}}]
    assert rule["backendRefs"] == [{"name": app, "port": PORT}]
    policy = one("gateway-api", "SecurityPolicy", "keys")["spec"]
    (selector,) = policy["targetSelectors"]
    assert selector["matchLabels"].items() <= route["metadata"]["labels"].items()
    names = {(item["kind"], item["metadata"]["name"]) for item in built("gateway-api")}
    assert not [name for _, name in names if name.startswith(("gateway", "settings"))]
    assert ("Deployment", app) in names
