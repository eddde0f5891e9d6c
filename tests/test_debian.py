"""What ``debian/`` repeats of the project is what the project says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

import rdserver
from rdserver.cli.completion import completion
from rdserver.cli.manual import manual
from rdserver.settings.config import SETTINGS
from rdserver.settings.load import HBBR, HBBS, RUSTDESK_SERVER, load
from rdserver.settings.sample import sample

ROOT = Path(rdserver.__file__).resolve().parent.parent
DEBIAN = ROOT / "debian"
BY_PACKAGE = {"data-dir", "config"}


class PackageTests(SynchronousTestCase):
    """Names and numbers."""

    def test_version(self) -> None:
        """The changelog's newest version is ours, in Debian's spelling."""
        first = (DEBIAN / "changelog").read_text("utf-8").splitlines()[0]
        found = re.match(r"rustdesk-server \(([^)]+)\) ", first)
        assert found is not None
        self.assertEqual(rdserver.__version__, found[1].replace("~", "."))

    def test_requirements_are_named(self) -> None:
        """Each requirement of ours is a package in Depends: dh_python3 may drop some."""
        control = (DEBIAN / "control").read_text("utf-8")
        depends = control.partition("\nDepends:")[2].partition("${misc:Depends}")[0]
        named = set(re.findall(r"[\w-]+", depends))
        debian = {"attrs": "attr", "pynacl": "nacl", "pyopenssl": "openssl"}
        requirements = (ROOT / "requirements.txt").read_text("utf-8")
        ours = map(str.lower, re.findall(r"^[\w-]+", requirements, re.MULTILINE))
        wanted = {f"python3-{debian.get(name, name)}" for name in {*ours, "pyopenssl"}}
        self.assertEqual(set(), wanted - named)

    def test_unit_tells_the_data_folder(self) -> None:
        """The folder that systemd makes is the one that the server is given."""
        unit = (DEBIAN / "rustdesk-server.service").read_text("utf-8")
        self.assertIn("\nStateDirectory=rdserver\n", unit)
        self.assertIn(" --data-dir=/var/lib/rdserver ", unit)


class SampleTests(SynchronousTestCase):
    """The settings file."""

    def test_is_current(self) -> None:
        """The committed file is what "make docs" prints."""
        committed = (DEBIAN / "rustdesk-server.conf").read_text("utf-8")
        self.assertEqual(committed, sample(), "run: make docs")

    def test_lists_every_setting(self) -> None:
        """Each has one line, but for those that the unit sets."""
        names = re.findall(r"^#([a-z][a-z-]*)=", sample(), re.MULTILINE)
        self.assertEqual({s.name for s in SETTINGS} - BY_PACKAGE, set(names))
        self.assertEqual(len(set(names)), len(names))

    def test_changes_nothing(self) -> None:
        """As it comes every line is a comment."""
        self.assertNotRegex(sample(), re.compile(r"^[^#\n]", re.MULTILINE))

    def test_defaults_mean_the_defaults(self) -> None:
        """With the # removed a line that has a value sets what is the default anyway."""
        folder = Path(self.mktemp())
        folder.mkdir()
        lines = re.findall(r"^#([a-z][a-z-]*=.+)$", sample(), re.MULTILINE)
        (folder / "all.conf").write_text("\n".join(lines))
        lenient = "max-database-connections"
        config = load(RUSTDESK_SERVER, {"config": "all.conf"}, {}, folder)
        plain = load(RUSTDESK_SERVER, {}, {}, folder)
        for setting in SETTINGS:
            if setting.name not in (*BY_PACKAGE, "key", lenient):
                field = setting.field
                self.assertEqual(getattr(plain, field), getattr(config, field), field)
        self.assertEqual("-", config.key)  # said, but what None means as well
        self.assertEqual([lenient], [line.split()[0] for line in config.warnings])

    def test_fits_a_terminal(self) -> None:
        """Lines are of a readable length."""
        self.assertTrue(max(map(len, sample().splitlines())) <= 90)


class ManualTests(SynchronousTestCase):
    """The manual pages."""

    def test_servers(self) -> None:
        """Each option of a program is on its page."""
        for program in (RUSTDESK_SERVER, HBBS, HBBR):
            page = manual(program.name).replace("\\-", "-")
            self.assertIn(f".TH {program.name.upper()} 1 ", page)
            for setting in program.settings:
                self.assertIn(f"--{setting.name}\\fR", page)

    def test_utilities(self) -> None:
        """The page of rustdesk-utils is its help."""
        page = manual("rustdesk-utils").replace("\\-", "-")
        self.assertIn("    validatekeypair [public key] [secret key]    Validate", page)


class CompletionTests(SynchronousTestCase):
    """Completion of words in bash."""

    def complete(self, program: str, word: str, *, place: int = 1) -> list[str]:
        """Return what bash offers for *word* behind *program*, and perhaps others."""
        bash = shutil.which("bash")
        if bash is None:
            raise SkipTest("there is no bash")
        function = program.replace("-", "_")
        script = (
            f"{completion()}\nCOMP_WORDS[{place}]='{word}'\nCOMP_CWORD={place}\n"
            'compopt() { COMPREPLY+=("${@:2}"); }\n'
            f'_{function}\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n'
        )
        return subprocess.check_output([bash], input=script, text=True).split()

    def test_options(self) -> None:
        """A server's options, with what separates a value, behind which is no space."""
        offered = self.complete("rustdesk-server", "--relay-po")
        self.assertEqual(["--relay-port=", "nospace"], offered)
        self.assertEqual(["--help"], self.complete("hbbr", "--he"))
        self.assertEqual([], self.complete("hbbs", "--relay-po"))

    def test_commands(self) -> None:
        """The commands of rustdesk-utils."""
        self.assertEqual(["client-config"], self.complete("rustdesk-utils", "cl"))
        self.assertEqual([], self.complete("rustdesk-utils", "cl", place=2))
