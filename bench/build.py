"""Compiles the load generators and the peers into ``bench/build``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"

_FLAGS = ("-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra")
_PROGRAMS: dict[str, tuple[str, ...]] = {
    "loadgen": tuple(
        f"load/{name}.c" for name in ("loadgen", "bulk", "pingpong", "sessions", "common")
    ),
    "udpgen": ("load/udpgen.c", "load/common.c"),
    "conngen": ("load/conngen.c", "load/common.c"),
    "c_relay": ("peers/c/c_relay.c",),
    "udp_srv": ("peers/c/udp_srv.c",),
    "tcp_srv": ("peers/c/tcp_srv.c",),
}
TOKIO_PEER = BUILD / "tokio" / "release" / "tokio_peer"


def say(text: str) -> None:
    """Write a line to the operator."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def program(name: str) -> Path:
    """Return where the program *name* is built."""
    return TOKIO_PEER if name == "tokio_peer" else BUILD / name


def _is_fresh(target: Path, sources: list[Path]) -> bool:
    if not target.exists():
        return False
    built = target.stat().st_mtime
    return all(source.stat().st_mtime <= built for source in sources)


def _compile(name: str, sources: tuple[str, ...]) -> None:
    target = program(name)
    headers = [*HERE.glob("load/*.h"), *HERE.glob("peers/c/*.h")]
    if _is_fresh(target, [HERE / source for source in sources] + headers):
        return
    command = ["gcc", *_FLAGS, "-o", str(target), *(str(HERE / s) for s in sources)]
    subprocess.run(command, check=True)


def _build_tokio() -> bool:
    folder = HERE / "peers" / "tokio"
    sources = [*folder.glob("src/*.rs"), folder / "Cargo.toml", folder / "Cargo.lock"]
    if _is_fresh(TOKIO_PEER, sources):
        return True
    if shutil.which("cargo") is None:
        say("cargo is missing: the tokio peer is left out")
        return False
    target = ("--target-dir", str(BUILD / "tokio"))
    command = ["cargo", "build", "--quiet", "--release", "--locked", *target]
    if subprocess.run(command, cwd=folder, check=False).returncode == 0:
        TOKIO_PEER.touch()
        return True
    say("cargo could not build the tokio peer: it is left out")
    return False


def build() -> set[str]:
    """
    Build what can be built; return the names of the peers that are there.

    :raises SystemExit: there is no gcc, so there are no load generators either.
    """
    if shutil.which("gcc") is None:
        raise SystemExit("the benchmark needs gcc for its load generators")
    BUILD.mkdir(exist_ok=True)
    for name, sources in _PROGRAMS.items():
        _compile(name, sources)
    peers = {"c_relay", "udp_srv", "tcp_srv"}
    return peers | {"tokio_peer"} if _build_tokio() else peers


if __name__ == "__main__":
    say("built: " + ", ".join(sorted(build())))
