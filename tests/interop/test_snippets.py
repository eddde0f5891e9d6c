"""Tests for :mod:`tests.interop.snippets`, and what all of docs/proxies has in common."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.interop.snippets import FOLDER, shipped, with_changes


class WithChangesTests(SynchronousTestCase):
    def test_everywhere(self) -> None:
        """A key is replaced wherever it stands, by the text of its value."""
        self.assertEqual("1 b 1", with_changes("a b a", {"a": 1}))

    def test_all_at_once(self) -> None:
        """What a value brings in is not replaced again."""
        self.assertEqual("b a", with_changes("a b", {"a": "b", "b": "a"}))

    def test_longer_key_first(self) -> None:
        """A key may be the beginning of another."""
        changes = {"listen": "x", "listen 443": "y"}
        self.assertEqual("y x 80", with_changes("listen 443 listen 80", changes))

    def test_missing(self) -> None:
        """A key that does not occur is an error: the file has changed."""
        self.assertRaises(AssertionError, with_changes, "a", {"a": "b", "c": "d"})

    def test_hidden(self) -> None:
        """So is one that occurs only inside another."""
        self.assertRaises(AssertionError, with_changes, "ab", {"a": 1, "ab": 2})


class ShippedTests(SynchronousTestCase):
    def test_readme_names_all(self) -> None:
        """The README has a line for each file."""
        readme = shipped("README.md")
        names = {path.name for path in FOLDER.iterdir()} - {"README.md"}
        self.assertEqual(set(), {name for name in names if f"({name})" not in readme})

    def test_defaults(self) -> None:
        """The files look for a server that has the ports it has by default."""
        for name in ("nginx.conf", "Caddyfile", "haproxy.cfg", "apache.conf"):
            text = shipped(name)
            for backend in ("127.0.0.1:21118", "127.0.0.1:21119", "/ws/id", "/ws/relay"):
                self.assertIn(backend, text, name)
