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
        f"load/{name}.c"
        for name in (
            *("loadgen", "bulk", "messages", "pingpong"),
            *("sessions", "framing", "inbound", "common"),
        )
    ),
    "udpgen": ("load/udpgen.c", "load/common.c"),
    "conngen": ("load/conngen.c", "load/common.c"),
    "c_relay": ("peers/c/c_relay.c",),
    "udp_srv": ("peers/c/udp_srv.c",),
    "tcp_srv": ("peers/c/tcp_srv.c",),
}
_CRATES = {"tokio_peer": "tokio", "tokio_ws_peer": "tokio-ws"}
"""The peers in Rust, and their folders; both have tokio's wire.rs."""

_PEERS = ("c_relay", "udp_srv", "tcp_srv", *_CRATES)


def say(text: str) -> None:
    """Write a line to the operator."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def program(name: str) -> Path:
    """Return where the program *name* is built."""
    if name in _CRATES:
        return BUILD / _CRATES[name] / "release" / name
    return BUILD / name


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


def _build_crate(name: str) -> None:
    peers, target = HERE / "peers", program(name)
    folder = peers / _CRATES[name]
    sources = [*peers.glob("*/src/*.rs"), folder / "Cargo.toml", folder / "Cargo.lock"]
    if _is_fresh(target, sources):
        return
    target.unlink(missing_ok=True)
    if shutil.which("cargo") is None:
        say(f"cargo is missing: {name} is left out")
        return
    place = ("--target-dir", str(BUILD / _CRATES[name]))
    command = ["cargo", "build", "--quiet", "--release", "--locked", *place]
    if subprocess.run(command, cwd=folder, check=False).returncode == 0:
        target.touch()
        return
    say(f"cargo could not build {name}: it is left out")


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
    for name in _CRATES:
        _build_crate(name)
    return available()


if __name__ == "__main__":
    say("built: " + ", ".join(sorted(build())))
