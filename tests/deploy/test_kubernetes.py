"""The Kubernetes manifests: the schema of the API, and what a store in a pod must have."""

import shutil
import subprocess
import tomllib

import kubernetes_validate
import pytest
import yaml

from stibgate.config.model import ServerSettings
from tests.deploy.fronts import DEPLOY

HERE = DEPLOY / "kubernetes"
VERSION = "1.34"
KUSTOMIZATION = yaml.safe_load((HERE / "kustomization.yaml").read_text())
NOT_RESOURCES = {"kustomization.yaml", "secret.example.yaml", "restore/job.yaml"}


def documents(path):
    """Return the objects of a file."""
    return list(yaml.safe_load_all((HERE / path).read_text()))


FILES = sorted(str(path.relative_to(HERE)) for path in HERE.rglob("*.yaml"))
(STATEFULSET,) = documents("statefulset.yaml")
(JOB,) = documents("restore/job.yaml")
PODS = {"statefulset": STATEFULSET["spec"]["template"]["spec"], "restore": JOB["spec"]["template"]["spec"]}


@pytest.mark.parametrize("name", [name for name in FILES if name != "kustomization.yaml"])
def test_every_object_is_one_that_kubernetes_takes(name):
    """Each object is valid by the schema of the API, strictly: an unknown field is a mistake."""
    for one in documents(name):
        kubernetes_validate.validate(one, VERSION, strict=True)


def test_every_file_is_a_resource_or_says_why_not():
    """Nothing lies here that the kustomization forgot."""
    assert set(KUSTOMIZATION["resources"]) == set(FILES) - NOT_RESOURCES
    assert all((HERE / name).is_file() for one in KUSTOMIZATION["configMapGenerator"] for name in one["files"])


def test_what_kustomize_makes_is_valid():
    """`kubectl kustomize` puts it together: config map and image names are filled in, and all of it is valid."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed here: the files are checked, what kustomize makes of them is not")
    ran = subprocess.run(["kubectl", "kustomize", HERE], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    made = list(yaml.safe_load_all(ran.stdout))
    for one in made:
        kubernetes_validate.validate(one, VERSION, strict=True)
    (stateful,) = [one for one in made if one["kind"] == "StatefulSet"]
    (config,) = [one for one in made if one["kind"] == "ConfigMap"]
    pod = stateful["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == JOB["spec"]["template"]["spec"]["containers"][0]["image"]
    assert config["metadata"]["name"] in [volume.get("configMap", {}).get("name") for volume in pod["volumes"]]
    assert {one["metadata"].get("namespace", "stibgate") for one in made} == {"stibgate"}
    assert "Secret" not in {one["kind"] for one in made}  # the example's values are in public


@pytest.mark.parametrize("pod", PODS.values(), ids=list(PODS))
def test_a_pod_can_do_nothing_beyond_its_work(pod):
    """No root, no capability, no token of the cluster, a read-only root, and no variables of other services."""
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        assert not container["image"].endswith(":latest")


def test_one_process_has_the_store_and_time_to_drain():
    """One replica, a volume that one pod alone may have, and a grace period beyond what draining may take."""
    assert STATEFULSET["spec"]["replicas"] == 1
    (claim,) = STATEFULSET["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    pod = PODS["statefulset"]
    sleep_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > sleep_s + ServerSettings().drain_timeout
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in PODS["restore"]["volumes"][:1]]
    assert claims == [f"{claim['metadata']['name']}-{STATEFULSET['metadata']['name']}-0"]


def test_probes_ask_the_admin_listener():
    """Liveness asks /livez, readiness and start /readyz, on the admin port and under a name that it answers to."""
    container = PODS["statefulset"]["containers"][0]
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {name: probe["path"] for name, probe in asked.items()} == {
        "startup": "/readyz",
        "readiness": "/readyz",
        "liveness": "/livez",
    }
    for probe in asked.values():
        assert probe["port"] == "admin"
        assert probe["httpHeaders"] == [{"name": "Host", "value": "localhost"}]


def test_ports_are_those_of_the_configuration():
    """Container ports, the configuration's addresses and the services agree."""
    config = tomllib.loads((HERE / "config.toml").read_text())["server"]
    ports = {one["name"]: one["containerPort"] for one in PODS["statefulset"]["containers"][0]["ports"]}
    assert config["bind"].endswith(f":{ports['public']}")
    assert config["admin_bind"].endswith(f":{ports['admin']}")
    assert {port["targetPort"] for one in documents("services.yaml") for port in one["spec"]["ports"]} == set(ports)
