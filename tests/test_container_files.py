"""The files for containers: what they say must be what the programs mean."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

import rdserver
from rdserver.cli.container import HEALTHCHECK
from rdserver.cli.container_server import MODULE, Server
from rdserver.settings.config import SETTINGS, Config

ROOT = Path(rdserver.__file__).resolve().parent.parent
DEB = ROOT / "deb"
COMPOSE = ("compose.yaml", "compose-two.yaml")
COMMAND = ["/usr/bin/python3", "-I", "-m", MODULE]
_DEFAULT = Config()
TCP = {*_DEFAULT.id_ports, *_DEFAULT.relay_ports}
PORTS = {*((port, "TCP") for port in TCP), (_DEFAULT.port, "UDP")}
CLOSED = {"cap_drop": ["ALL"], "read_only": True, "network_mode": "host"}


def documents(path: Path) -> list[Any]:
    """Return what is in a YAML file; skip the test where nothing reads it."""
    try:
        import yaml
    except ImportError:
        raise SkipTest("there is no PyYAML") from None
    return list(yaml.safe_load_all(path.read_text("utf-8")))


class DockerfileTests(SynchronousTestCase):
    """What the image is made of."""

    def setUp(self) -> None:
        """Read the file, with lines that go on put together."""
        text = (DEB / "Dockerfile").read_text("utf-8")
        self.text = re.sub(r"\\\n\s*", "", text)

    def instruction(self, name: str) -> str:
        """Return what is behind the last *name*."""
        return re.findall(rf"^{name} (.+)$", self.text, re.MULTILINE)[-1]

    def test_starts_the_module(self) -> None:
        """The entry point and the health check are the module's."""
        self.assertEqual(COMMAND, json.loads(self.instruction("ENTRYPOINT")))
        command = self.instruction("HEALTHCHECK").partition(" CMD ")[2]
        self.assertEqual([*COMMAND, HEALTHCHECK], json.loads(command))

    def test_ports(self) -> None:
        """Those that are exposed are those of the default settings."""
        ports = {
            (int(port), protocol.upper())
            for port, _slash, protocol in (
                word.partition("/") for word in self.instruction("EXPOSE").split()
            )
        }
        self.assertEqual(PORTS, ports)

    def test_user(self) -> None:
        """A number, so that an engine sees that it is not root's."""
        self.assertEqual("10001:10001", self.instruction("USER"))
        self.assertIn("useradd --system --uid 10001 --gid 10001 ", self.text)

    def test_context(self) -> None:
        """Nothing but the package is sent to the builder."""
        ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        (copied,) = re.findall(r"^COPY (\S+) ", self.text, re.MULTILINE)
        self.assertEqual(["*", f"!{copied}"], [w for w in ignore if not w.startswith("#")])

    def test_lint(self) -> None:
        """Hadolint finds nothing."""
        hadolint = shutil.which("hadolint", path=f"{ROOT}/.venv/bin:{os.defpath}")
        if hadolint is None:
            raise SkipTest("there is no hadolint")
        command = [hadolint, "deb/Dockerfile"]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False
        )
        self.assertEqual((0, ""), (done.returncode, done.stdout))


class ComposeTests(SynchronousTestCase):
    """The examples for compose."""

    def test_words(self) -> None:
        """Each service starts a server, with settings that it understands."""
        found = []
        for name in COMPOSE:
            for service in documents(DEB / name)[0]["services"].values():
                server = Server.named(service.get("command", "").split(), {})
                found.append((server.name, server.located({}).config.relay_servers))
        relay = ("rustdesk.example.com:21117",)
        self.assertEqual([("rustdesk-server", ()), ("hbbs", relay), ("hbbr", ())], found)

    def test_closed(self) -> None:
        """No service can do or write what it need not; all see real addresses."""
        for name in COMPOSE:
            for service in documents(DEB / name)[0]["services"].values():
                self.assertEqual(CLOSED, {key: service[key] for key in CLOSED})
                self.assertEqual(["no-new-privileges:true"], service["security_opt"])
                self.assertEqual(["data:/data"], service["volumes"])

    def test_accepted(self) -> None:
        """Compose itself accepts them."""
        compose = shutil.which("docker-compose")
        if compose is None:
            raise SkipTest("there is no docker-compose")
        for name in COMPOSE:
            command = [compose, "-f", name, "config", "--quiet"]
            environ = {"PATH": os.defpath}
            done = subprocess.run(
                command, cwd=DEB, env=environ, capture_output=True, text=True, check=False
            )
            self.assertEqual((0, ""), (done.returncode, done.stderr))


class KubernetesTests(SynchronousTestCase):
    """The example for Kubernetes."""

    def setUp(self) -> None:
        self.service, self.set = documents(DEB / "kubernetes" / "rustdesk-server.yaml")
        self.pod = self.set["spec"]["template"]["spec"]
        (self.container,) = self.pod["containers"]

    def test_ports(self) -> None:
        """Service and container have the default settings' ports, by the same names."""
        ports, published = self.container["ports"], self.service["spec"]["ports"]
        self.assertEqual(PORTS, {(p["containerPort"], p["protocol"]) for p in ports})
        self.assertEqual(
            [(p["name"], p["containerPort"], p["protocol"]) for p in ports],
            [(p["name"], p["port"], p["protocol"]) for p in published],
        )
        self.assertTrue(all(len(p["name"]) <= 15 for p in ports))

    def test_variables(self) -> None:
        """They are settings of ours."""
        names = {variable["name"] for variable in self.container["env"]}
        self.assertEqual(set(), names - {setting.variable for setting in SETTINGS})

    def test_probes(self) -> None:
        """Each is the image's health check."""
        kinds = ("startup", "liveness", "readiness")
        probes = [self.container[f"{kind}Probe"] for kind in kinds]
        commands = [probe["exec"]["command"] for probe in probes]
        self.assertEqual([[*COMMAND, HEALTHCHECK]] * 3, commands)

    def test_closed(self) -> None:
        """It asks for no right, and its user is the image's."""
        self.assertEqual(10001, self.pod["securityContext"]["runAsUser"])
        self.assertTrue(self.pod["securityContext"]["runAsNonRoot"])
        context = self.container["securityContext"]
        self.assertTrue(context["readOnlyRootFilesystem"])
        self.assertFalse(context["allowPrivilegeEscalation"])
        self.assertEqual(["ALL"], context["capabilities"]["drop"])

    def test_volume(self) -> None:
        """What is claimed is mounted where the data goes."""
        (claim,) = self.set["spec"]["volumeClaimTemplates"]
        mounts = {m["name"]: m["mountPath"] for m in self.container["volumeMounts"]}
        self.assertEqual({claim["metadata"]["name"]: "/data"}, mounts)

    def test_selectors(self) -> None:
        """The service finds the pod."""
        labels = self.set["spec"]["template"]["metadata"]["labels"]
        self.assertEqual(labels, self.service["spec"]["selector"])
        self.assertEqual(labels, self.set["spec"]["selector"]["matchLabels"])
