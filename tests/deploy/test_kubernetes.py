"""The Kubernetes example agrees with the image and the settings."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from backend.config import Settings
from backend.transport.auth import HEALTH
from tests.support.dockerfile import (
    CONTAINERS,
    image_environment,
    last_value,
    settings_of,
)


def read_kubernetes() -> dict[str, Any]:
    text = (CONTAINERS / "kubernetes.yaml").read_text("utf-8")
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


@pytest.fixture
def pod() -> dict[str, Any]:
    spec: dict[str, Any] = read_kubernetes()["Deployment"]["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    assert isinstance(only, dict)
    return only


def pod_settings(container: dict[str, Any]) -> Settings:
    given = {each["name"]: each.get("value", "a-key") for each in container["env"]}
    return settings_of(image_environment("Dockerfile") | given)


def test_the_pod_has_its_keys_from_the_secret(container: dict[str, Any]) -> None:
    access = pod_settings(container).access
    assert access.api_keys == "a-key"
    assert not access.create_key  # it would be in the log
    (reference,) = [
        each["valueFrom"]["secretKeyRef"] for each in container["env"] if "valueFrom" in each
    ]
    command = "kubectl create secret generic {name} --from-literal={key}=".format(**reference)
    assert command in (CONTAINERS / "kubernetes.yaml").read_text("utf-8")


def test_probes_ask_the_servers_own_paths(container: dict[str, Any]) -> None:
    probes = {
        name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")
    }
    assert {probe["path"] for probe in probes.values()} == HEALTH
    assert probes["liveness"]["path"] == "/healthz"  # a busy engine is no reason to restart
    (port,) = container["ports"]
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    assert str(port["containerPort"]) == last_value("Dockerfile", "EXPOSE")


def test_the_service_reaches_the_pod(container: dict[str, Any]) -> None:
    found = read_kubernetes()
    deployment, service = found["Deployment"]["spec"], found["Service"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert service["selector"] == deployment["selector"]["matchLabels"] == labels
    assert service["ports"][0]["targetPort"] == container["ports"][0]["name"]


def test_the_cluster_sets_no_variables_that_look_like_settings(pod: dict[str, Any]) -> None:
    """A service named duplex-tts would bring DUPLEX_TTS_PORT, and the server would not start."""
    assert pod["enableServiceLinks"] is False


def test_the_pod_gives_no_more_rights_than_needed(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert str(pod["securityContext"]["runAsUser"]) == last_value("Dockerfile", "USER")
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    assert set(mounts) == {last_value("Dockerfile", "VOLUME"), "/tmp"}
    assert set(mounts.values()) == {each["name"] for each in pod["volumes"]}


def test_the_pod_has_time_to_end_speech(pod: dict[str, Any], container: dict[str, Any]) -> None:
    waiting_s = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    drain_s = pod_settings(container).server.drain_timeout
    assert pod["terminationGracePeriodSeconds"] >= waiting_s + drain_s + 5
