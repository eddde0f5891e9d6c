"""The rules of the house, checked instead of remembered: who imports whom, and sizes."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

import rdserver

ROOT = Path(rdserver.__file__).resolve().parent.parent
PACKAGE = ROOT / "rdserver"
LONGEST_FUNCTION = 50
LONGEST_FILE = 300
# One entry for each setting: a table, which is easier to read in one place.
TABLES = {"rdserver/settings/config.py"}

# What the rooms that decide and keep may import of this project, and nothing else.
# A backend of storage or presence is known to its own room and to service.py alone.
INNER = {
    "wire": ("errors", "wire"),
    "rendezvous": (
        "errors",
        "notices",
        "old_keys",
        "key_watch",
        "wire",
        "rendezvous",
        "storage.interface",
        "presence.interface",
    ),
    "relay": ("errors", "notices", "old_keys", "key_watch", "wire", "relay"),
    "storage": ("errors", "notices", "wire.address", "storage"),
    "presence": ("errors", "storage.interface", "wire.address", "presence"),
    "settings": ("__version__", "errors", "wire.address", "settings"),
}
# What the rooms of the ring may not import of it: they meet in what service.py passes in.
RING = {
    "transports": ("admin", "cli", "http", "service", "settings", "tap"),
    "admin": ("cli", "http", "service", "tap", "transports"),
}
# The rooms that decide do no I/O and read no clock; the rest of Twisted is for the ring.
DECIDING = ("wire", "rendezvous", "relay")
DATABASES = ("alembic", "sqlalchemy", "sqlite3")
IO = ("asyncio", "autobahn", "select", "socket", "threading", "time", "twisted", *DATABASES)
PURE = ("twisted.logger",)
# Only to turn addresses into text and back, several times as fast as ipaddress does.
TEXT_OF_ADDRESSES = ("wire/address.py", "socket")
REACTOR_USERS = {"service.py", "cli/run.py"}

# Folders that exist on one machine only.
MACHINE_PATH = re.compile(r"(?<![\w.-])/(?:work/|root/|(?:home|Users)/\w)")


def below(name: str, prefixes: tuple[str, ...]) -> bool:
    """Return whether the dotted *name* is one of *prefixes* or inside one."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def sources(folder: Path) -> list[Path]:
    """Return the Python files in *folder* that people wrote."""
    return sorted(path for path in folder.rglob("*.py") if not path.stem.endswith("_pb2"))


def imported(text: str, package: tuple[str, ...]) -> set[str]:
    """
    Return the dotted names that a module of *package* with source *text* imports.

    At any depth; ``from a import b`` counts as ``a.b``, which may be a name inside ``a``.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def imported_by(source: Path) -> set[str]:
    """Return the dotted names that the file *source* imports."""
    return imported(source.read_text("utf-8"), source.relative_to(ROOT).parts[:-1])


def imports_of(part: str) -> Iterator[tuple[str, str]]:
    """Yield (file, imported name) for everything in the room *part*."""
    for source in sources(PACKAGE / part):
        for name in sorted(imported_by(source)):
            yield str(source.relative_to(PACKAGE)), name


def users_of(prefixes: tuple[str, ...]) -> set[str]:
    """Return the files of the package that import something below *prefixes*."""
    return {
        str(source.relative_to(PACKAGE))
        for source in sources(PACKAGE)
        if any(below(name, prefixes) for name in imported_by(source))
    }


def ours(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return *names* as full dotted names of this project."""
    return tuple(f"rdserver.{name}" for name in names)


def tracked_files() -> list[Path]:
    """Return the files git knows; skip the test in a tree that is not a checkout."""
    if not (ROOT / ".git").exists():
        raise SkipTest("not a git checkout")
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


class ImportTests(SynchronousTestCase):
    """Arrows point inwards: edges know decisions, decisions know no edge."""

    def test_inner_rooms_know_only_what_is_listed(self) -> None:
        """Rooms that decide or keep import of this project what INNER names, no more."""
        wrong = [
            f"{source} imports {name}"
            for part, allowed in INNER.items()
            for source, name in imports_of(part)
            if below(name, ("rdserver",)) and not below(name, ours(allowed))
        ]
        self.assertEqual([], wrong)

    def test_ring_rooms_do_not_know_each_other(self) -> None:
        """Transports and consoles meet in the objects that service.py passes in."""
        wrong = [
            f"{source} imports {name}"
            for part, forbidden in RING.items()
            for source, name in imports_of(part)
            if below(name, ours(forbidden))
        ]
        self.assertEqual([], wrong)

    def test_decisions_do_no_io(self) -> None:
        """Rooms that decide import no reactor, socket, thread, database or clock."""
        wrong = [
            f"{source} imports {name}"
            for part in DECIDING
            for source, name in imports_of(part)
            if below(name, IO)
            and not below(name, PURE)
            and (source, name) != TEXT_OF_ADDRESSES
        ]
        self.assertEqual([], wrong)

    def test_generated_code_has_one_importer(self) -> None:
        """Only wire/pb.py knows the module that protoc wrote."""
        users = users_of(("rdserver.wire.rendezvous_pb2",))
        self.assertEqual({"wire/pb.py"}, users)

    def test_databases_stay_in_storage(self) -> None:
        """Only the storage room knows SQLAlchemy or SQLite."""
        outside = {user for user in users_of(DATABASES) if not user.startswith("storage/")}
        self.assertEqual(set(), outside)

    def test_global_reactor_stays_where_the_server_is_assembled(self) -> None:
        """Everybody else is handed a reactor, so tests can hand over a fake one."""
        users = users_of(("twisted.internet.reactor",))
        self.assertEqual(set(), users - REACTOR_USERS)

    def test_nothing_inside_imports_tests(self) -> None:
        """The package runs without its tests."""
        self.assertEqual(set(), users_of(("tests",)))


class ImportedTests(SynchronousTestCase):
    """The tests above are worth what :func:`imported` sees."""

    def assert_imports(self, expected: set[str], text: str) -> None:
        """Check what a module of the wire room with source *text* imports."""
        self.assertEqual(expected, imported(text, ("rdserver", "wire")))

    def test_plain_import(self) -> None:
        """``import`` is seen, under any other name too."""
        self.assert_imports({"socket", "os.path"}, "import socket, os.path as p")

    def test_import_of_a_name(self) -> None:
        """``from ... import`` is seen with the name, so that a submodule is known."""
        self.assert_imports(
            {"twisted.internet.reactor"}, "from twisted.internet import reactor as r"
        )

    def test_relative_imports(self) -> None:
        """Dots are resolved against the importing package."""
        self.assert_imports(
            {"rdserver.wire.pb", "rdserver.errors", "rdserver.relay.x"},
            "from . import pb\nfrom .. import errors\nfrom ..relay import x",
        )

    def test_import_inside_a_function(self) -> None:
        """An import that hides in a function counts like any other."""
        self.assert_imports({"time"}, "def f():\n    if True:\n        import time")

    def test_prefix_is_a_whole_name(self) -> None:
        """``rdserver.wired`` is not inside ``rdserver.wire``."""
        self.assertTrue(below("rdserver.wire.pb", ("rdserver.wire",)))
        self.assertTrue(below("rdserver.wire", ("rdserver.wire",)))
        self.assertFalse(below("rdserver.wired", ("rdserver.wire",)))


class SizeTests(SynchronousTestCase):
    """A function fits on a screen, a file holds one idea."""

    def test_functions_are_short(self) -> None:
        """No function, of the tests neither, is longer than LONGEST_FUNCTION lines."""
        long = [
            f"{source.relative_to(ROOT)}: {node.name} has {lines} lines"
            for folder in ("rdserver", "tests", "tools", "twisted")
            for source in sources(ROOT / folder)
            for node in ast.walk(ast.parse(source.read_text("utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
        ]
        self.assertEqual([], long)

    def test_files_are_short(self) -> None:
        """No file of the server is longer than LONGEST_FILE lines, tables apart."""
        lines = {
            str(source.relative_to(ROOT)): len(source.read_text("utf-8").splitlines())
            for folder in ("rdserver", "tools", "twisted")
            for source in sources(ROOT / folder)
        }
        long = {name for name, count in lines.items() if count > LONGEST_FILE}
        self.assertEqual(set(), long - TABLES)


class WritingTests(SynchronousTestCase):
    """What is written for people is there, and true everywhere."""

    def test_every_test_states_a_behaviour(self) -> None:
        """A test without a docstring does not say what it is about."""
        silent = [
            f"{source.relative_to(ROOT)}: {node.name}"
            for source in sources(ROOT / "tests")
            for node in ast.walk(ast.parse(source.read_text("utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and not ast.get_docstring(node)
        ]
        self.assertEqual([], silent)

    def test_every_module_says_what_lives_in_it(self) -> None:
        """Each module of the server begins with a docstring, unless it is empty."""
        silent = [
            str(source.relative_to(ROOT))
            for source in sources(PACKAGE)
            if (text := source.read_text("utf-8"))
            and not ast.get_docstring(ast.parse(text))
        ]
        self.assertEqual([], silent)

    def test_no_path_of_one_machine(self) -> None:
        """Nothing in the repository names a folder that only its author has."""
        found = [
            f"{path.relative_to(ROOT)}: {match.group()}"
            for path in tracked_files()
            for match in MACHINE_PATH.finditer(path.read_text("utf-8", "replace"))
        ]
        self.assertEqual([], found)
