"""What an installation gets: the wheel, and the environment that the Makefile makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from unittest import SkipTest
from zipfile import ZipFile

from twisted.trial.unittest import SynchronousTestCase

import rdserver

ROOT = Path(rdserver.__file__).resolve().parent.parent
PROGRAMS = {"rustdesk-server", "hbbs", "hbbr", "rustdesk-utils"}
PLUGIN = "twisted/plugins/rustdesk_server.py"
BUILD = "from setuptools import build_meta; build_meta.build_wheel('dist')"


def setup_cfg() -> ConfigParser:
    """Return the project's metadata as it is written."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def listed(text: str) -> list[str]:
    """Return the entries of a list in setup.cfg or in a requirements file, in order."""
    return [line for line in text.split("\n") if line and not line.startswith("#")]


def require_wheel_builder() -> None:
    """Skip the test where no wheel can be built; in CI, which can, fail instead."""
    try:
        major, minor = map(int, version("setuptools").split(".")[:2])
    except PackageNotFoundError:
        major = minor = 0
    # From 70.1 on setuptools makes wheels without the package "wheel".
    if (major, minor) >= (70, 1) or (major >= 61 and find_spec("wheel")):
        return
    message = "needs setuptools 70.1 or newer, or 61 with wheel"
    raise AssertionError(message) if os.environ.get("CI") else SkipTest(message)


def run_python(*arguments: str, cwd: Path, **environment: str) -> str:
    """Run this Python and return what it printed; fail with its complaint."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout


def shipped(folder: Path) -> set[str]:
    """Return the files of the package in *folder*, without what Python caches."""
    return {
        path.relative_to(folder).as_posix()
        for path in (folder / "rdserver").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


class MetadataTests(SynchronousTestCase):
    """setup.cfg says what the tree holds."""

    def test_every_package_is_listed(self) -> None:
        """A new folder with an ``__init__.py`` must be added to the list by hand."""
        folders = (path.parent for path in (ROOT / "rdserver").rglob("__init__.py"))
        found = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
        self.assertEqual(
            found | {"twisted.plugins"}, set(listed(setup_cfg()["options"]["packages"]))
        )

    def test_twisted_stays_a_namespace(self) -> None:
        """An ``__init__.py`` here would overwrite Twisted's own in an installation."""
        self.assertEqual([], list((ROOT / "twisted").rglob("__init__.py")))

    def test_requirements_are_stated_alike(self) -> None:
        """``make`` installs what a wheel would ask for."""
        requirements = (ROOT / "requirements.txt").read_text("utf-8")
        self.assertEqual(
            listed(setup_cfg()["options"]["install_requires"]), listed(requirements)
        )

    def test_version_sorts_above_the_original(self) -> None:
        """Debian's packages of the original end at 1.1.17; ours must replace them."""
        self.assertGreaterEqual(int(rdserver.__version__.split(".")[0]), 2)


class WheelTests(SynchronousTestCase):
    """A wheel, built without network from a copy of the sources."""

    def setUp(self) -> None:
        """Build it and unpack it, as an installation would."""
        require_wheel_builder()
        tree = Path(self.mktemp()).resolve()
        ignored = shutil.ignore_patterns("__pycache__")
        for folder in ("rdserver", "twisted", "tests", "tools"):
            shutil.copytree(ROOT / folder, tree / folder, ignore=ignored)
        for name in ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, tree)
        run_python("-c", BUILD, cwd=tree)
        (wheel,) = (tree / "dist").iterdir()
        self.wheel = wheel.name
        self.installed = tree / "installed"
        with ZipFile(wheel) as archive:
            self.names = set(archive.namelist())
            archive.extractall(self.installed)

    def test_holds_the_package_and_the_plugin_alone(self) -> None:
        """Every file of the package, one plugin, the metadata: no tests, no caches."""
        metadata = {name for name in self.names if ".dist-info/" in name}
        self.assertEqual(shipped(ROOT) | {PLUGIN}, self.names - metadata)

    def test_holds_generated_code_and_schema(self) -> None:
        """An installation needs no protoc, and type checkers find our types."""
        wire = "rdserver/wire/rendezvous"
        wanted = {f"{wire}.proto", f"{wire}_pb2.py", f"{wire}_pb2.pyi", "rdserver/py.typed"}
        self.assertEqual(set(), wanted - self.names)

    def test_has_our_version(self) -> None:
        """The version is the one that the package tells."""
        self.assertEqual(f"rdserver-{rdserver.__version__}-py3-none-any.whl", self.wheel)

    def test_names_all_programs(self) -> None:
        """An installation has the original's programs and ours."""
        config = ConfigParser()
        folder = self.installed / f"rdserver-{rdserver.__version__}.dist-info"
        config.read(folder / "entry_points.txt", encoding="utf-8")
        self.assertEqual(PROGRAMS, set(config["console_scripts"]))

    def test_twistd_finds_the_plugin(self) -> None:
        """Installed beside Twisted, the plugin is found there and Twisted still works."""
        script = (
            "from twisted.application.service import IServiceMaker\n"
            "from twisted.plugin import getPlugins\n"
            "from twisted.plugins import rustdesk_server\n"
            "print(rustdesk_server.__file__)\n"
            "print('rustdesk-server' in [p.tapname for p in getPlugins(IServiceMaker)])\n"
        )
        printed = run_python(
            "-c", script, cwd=self.installed.parent.parent, PYTHONPATH=str(self.installed)
        )
        self.assertEqual([str(self.installed / PLUGIN), "True"], printed.splitlines())


class CheckoutTests(SynchronousTestCase):
    """An environment linked to the checkout by ``tools/link_checkout.py``."""

    def setUp(self) -> None:
        """Make an environment in a path with a space, as a user's folder may have."""
        self.folder = Path(self.mktemp(), "with space").resolve()
        run_python("-m", "venv", "--without-pip", str(self.folder), cwd=ROOT)
        self.python = self.folder / "bin" / "python"
        self.run_in(self.python, ROOT / "tools" / "link_checkout.py")

    def run_in(self, *command: str | Path) -> str:
        """Run *command* in the root folder and return what it printed."""
        return subprocess.run(
            command, cwd="/", check=True, capture_output=True, text=True
        ).stdout

    def test_package_and_plugins_are_found_anywhere(self) -> None:
        """The checkout is on the path of the environment's Python in any folder."""
        printed = self.run_in(self.python, "-c", "import sys; print(sys.path[-1])")
        self.assertEqual(f"{ROOT}\n", printed)

    def test_all_programs_exist(self) -> None:
        """Each program that setup.cfg names can be executed."""
        programs = {path.name for path in (self.folder / "bin").iterdir()}
        self.assertEqual(set(), PROGRAMS - programs)
        for name in PROGRAMS:
            self.assertTrue(os.access(self.folder / "bin" / name, os.X_OK), name)

    def test_programs_run_in_the_environment(self) -> None:
        """A program hands its function's result and its arguments on, spaces and all."""
        package = self.folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
        (package / "site-packages" / "fake.pth").write_text("import fake_programs\n")
        (package / "site-packages" / "fake_programs.py").write_text(
            "import sys, types\n"
            "fake = types.ModuleType('rdserver.cli.utils')\n"
            "fake.main = lambda: print(sys.argv[1:], sys.prefix) or 3\n"
            "sys.modules['rdserver.cli.utils'] = fake\n"
        )
        done = subprocess.run(
            [self.folder / "bin" / "rustdesk-utils", "a b", "c"],
            cwd="/",
            check=False,
            capture_output=True,
            text=True,
        )
        self.assertEqual(f"['a b', 'c'] {self.folder}\n", done.stdout)
        self.assertEqual(3, done.returncode)
