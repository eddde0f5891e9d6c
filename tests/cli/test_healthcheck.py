"""Tests for :mod:`rdserver.cli.healthcheck`: what is asked, and what comes of it."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rdserver.cli.healthcheck import Question, ask_all, questions
from rdserver.cli.local_network import LocalNetwork
from rdserver.errors import ProtocolError
from rdserver.settings.config import Config
from tests.cli.test_utils import run


def nothing() -> None:
    """A port that answers."""


def fail_with(error: Exception) -> Question:
    """Return a question that is answered like this."""

    def ask() -> None:
        raise error

    return Question("1/tcp", ask)


class HealthcheckTests(SynchronousTestCase):
    """From settings to questions, from answers to sentences."""

    def ports(self, **settings: object) -> list[str]:
        """Return the ports that are asked where a server has these settings."""
        config = Config(**settings)
        return [asked.port for asked in questions(config, LocalNetwork("127.0.0.1"))]

    def test_every_listener(self) -> None:
        """Each role's ports are asked, and no others."""
        of_id = ["21115/tcp", "21116/tcp", "21116/udp", "21118/tcp"]
        of_relay = ["21117/tcp", "21119/tcp"]
        self.assertEqual(of_id + of_relay, self.ports())
        self.assertEqual(of_id, self.ports(role="id"))
        self.assertEqual(of_relay, self.ports(role="relay", key="k"))

    def test_https(self) -> None:
        """The port for everything is asked where it was asked for."""
        self.assertIn("8443/tcp", self.ports(tls_cert="c.pem", https_port=8443))
        self.assertNotIn("443/tcp", self.ports(tls_cert="c.pem"))

    def test_faults(self) -> None:
        """Each port that fails has a sentence, also where the error says nothing."""
        asked = [
            fail_with(ConnectionRefusedError(111, "refused")),
            Question("2/tcp", nothing),
            fail_with(ProtocolError("no frame")),
            fail_with(TimeoutError()),
        ]
        faults = ask_all(asked)
        self.assertEqual(3, len(faults))
        words = "refused", "no frame", "TimeoutError"
        for fault, word in zip(faults, words, strict=True):
            self.assertTrue(fault.startswith("no answer on 1/tcp: "), fault)
            self.assertIn(word, fault)

    def test_wrong_options(self) -> None:
        """They are named, and that is not well."""
        self.addCleanup(os.chdir, Path.cwd())
        folder = Path(self.mktemp())
        folder.mkdir()
        os.chdir(folder)
        ran = run("healthcheck", "--role=judge")
        self.assertEqual((1, ""), (ran.status, ran.out))
        self.assertIn("role must be", ran.err)
