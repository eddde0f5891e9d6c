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
_PEERS = ("c_relay", "udp_srv", "tcp_srv", "tokio_peer")
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


def compile_to(folder: Path, name: str) -> Path:
    """Build a program in C in *folder* if it is not there as it should be; return it."""
    target, sources = folder / name, [HERE / source for source in _PROGRAMS[name]]
    headers = [*HERE.glob("load/*.h"), *HERE.glob("peers/c/*.h")]
    if not _is_fresh(target, sources + headers):
        subprocess.run(["gcc", *_FLAGS, "-o", target, *sources], check=True)
    return target


def _build_tokio() -> None:
    folder = HERE / "peers" / "tokio"
    sources = [*folder.glob("src/*.rs"), folder / "Cargo.toml", folder / "Cargo.lock"]
    if _is_fresh(TOKIO_PEER, sources):
        return
    TOKIO_PEER.unlink(missing_ok=True)
    if shutil.which("cargo") is None:
        say("cargo is missing: the tokio peer is left out")
        return
    target = ("--target-dir", str(BUILD / "tokio"))
    command = ["cargo", "build", "--quiet", "--release", "--locked", *target]
    if subprocess.run(command, cwd=folder, check=False).returncode == 0:
        TOKIO_PEER.touch()
        return
    say("cargo could not build the tokio peer: it is left out")


def available() -> set[str]:
    """Return the names of the peers that have been built."""
    return {name for name in _PEERS if program(name).exists()}


def build() -> set[str]:
    """
    Build what can be built; return the names of the peers that are there.

    :raises SystemExit: there is no gcc, so there are no load generators either.
    """
    if shutil.which("gcc") is None:
        raise SystemExit("the benchmark needs gcc for its load generators")
    BUILD.mkdir(exist_ok=True)
    for name in _PROGRAMS:
        compile_to(BUILD, name)
    _build_tokio()
    return available()


if __name__ == "__main__":
    say("built: " + ", ".join(sorted(build())))
