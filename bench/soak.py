"""
A soak of the relay: many sessions with stalls, resets and half-closes, every byte checked.

``python -m bench.soak --minutes 10``.  It fails if a byte is wrong or missing, a session
sticks, the server logs an error, or does not come back to what it had open at the start.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench import namespace, servers
from bench.build import build, say
from bench.child import LOAD_CPUS, descriptors, end, leave_server_cpu, rss_bytes, spawn
from bench.relay_rows import relayed
from bench.servers import ROOT, RULES, Server, add_build_options, chosen_build

_SAMPLE_S = 5.0
_SETTLE_S = 2.0
_BACK_S = 45.0
_GRACE_S = 120.0
_GROWTH = 0.05
_GROWTH_BYTES = 8 << 20
_TROUBLE = ("Traceback", "Unhandled", "CRITICAL", "failure")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--sessions", type=int, default=2000, help="at once")
    parser.add_argument("--workers", type=int, default=2, help="processes of clients")
    parser.add_argument("--spare-pipes", type=int, default=0, help="the server may keep")
    add_build_options(parser)
    return parser.parse_args()


class Soak:
    """One soak of *server*."""

    def __init__(self, server: Server, arguments: argparse.Namespace) -> None:
        self._server = server
        self._arguments = arguments
        self._start: dict[str, int] = {}
        self._rss: list[int] = []
        self.faults: list[str] = []

    def run(self) -> None:
        """Work, then look at what is left."""
        self._warm_up()
        self._start = descriptors(self._server.pid)
        say(f"at the start: {self._start}, {rss_bytes(self._server.pid) >> 20} MiB")
        with servers.temporary_folder() as folder:
            self._work(folder)
        self._wait_for_descriptors()
        self._judge_memory()
        self._judge_log()

    def _warm_up(self) -> None:
        """Let the server open what it opens once, with the first session."""
        with relayed(self._server, "bulk", 2, seconds=0.3) as load:
            load.result()
        time.sleep(_SETTLE_S)

    def _work(self, folder: Path) -> None:
        count, seconds = self._arguments.workers, self._arguments.minutes * 60
        logs = [folder / str(number) for number in range(count)]
        workers = [self._spawn(i, log, seconds) for i, log in enumerate(logs)]
        until_s = time.monotonic() + seconds + _GRACE_S
        try:
            while any(worker.poll() is None for worker in workers):
                if time.monotonic() > until_s:
                    self.faults.append("a process of clients did not end")
                    break
                time.sleep(_SAMPLE_S)
                self._sample(logs)
        finally:
            for worker in workers:
                end(worker)
        for log in logs:
            self._judge_worker(_last_report(log), log)

    def _spawn(self, number: int, log: Path, seconds: float) -> Any:
        at_once = self._arguments.sessions // self._arguments.workers
        server = self._server
        command = [sys.executable, "-m", "bench.soak_worker", number, at_once, seconds]
        to = [server.id_port, server.relay_port, server.key]
        with log.open("w") as output:
            command = [str(part) for part in command + to]
            return spawn(command, LOAD_CPUS, folder=ROOT, stdout=output)

    def _sample(self, logs: Sequence[Path]) -> None:
        rss = rss_bytes(self._server.pid)
        self._rss.append(rss)
        reports = [_last_report(log) for log in logs]
        say(
            f"{_sum(reports, 'open')} open, {_sum(reports, 'finished')} finished, "
            f"{_sum(reports, 'bytes') / 1e9:.2f} GB checked, "
            f"{_sum(reports, 'faults')} faults, server {rss >> 20} MiB, "
            f"{descriptors(self._server.pid)}"
        )

    def _judge_worker(self, report: dict[str, Any], log: Path) -> None:
        if not report.get("final"):
            self.faults.append(f"a process of clients died: {log.read_text()[-500:]}")
        if report.get("faults"):
            self.faults.append(f"{report['faults']} sessions went wrong")
            self.faults += report["shown"]
        say(f"ended: {report.get('endings')}")

    def _wait_for_descriptors(self) -> None:
        until_s = time.monotonic() + _BACK_S
        while (left := self._left_open()) and time.monotonic() < until_s:
            time.sleep(0.5)
        say(f"at the end: {descriptors(self._server.pid)}")
        if left:
            self.faults.append(f"still open at the end, more than at the start: {left}")

    def _left_open(self) -> dict[str, int]:
        spare = {"pipe": 2 * self._arguments.spare_pipes}
        more = {
            kind: number - self._start.get(kind, 0) - spare.get(kind, 0)
            for kind, number in descriptors(self._server.pid).items()
        }
        return {kind: number for kind, number in more.items() if number > 0}

    def _judge_memory(self) -> None:
        quarter = len(self._rss) // 4
        if quarter < 2:
            say("too short to judge memory")
            return
        early = median(self._rss[quarter : 2 * quarter])
        late = median(self._rss[-quarter:])
        say(f"memory: {early / 2**20:.1f} MiB early, {late / 2**20:.1f} MiB late")
        if late - early > max(_GROWTH * early, _GROWTH_BYTES):
            self.faults.append("the server's memory grows")

    def _judge_log(self) -> None:
        text = self._server.log.read_text("utf-8", "replace")
        for word in _TROUBLE:
            if word in text:
                place = text.index(word)
                self.faults.append(f"the server's log: {text[place : place + 1500]}")
                return


def _last_report(log: Path) -> dict[str, Any]:
    lines = log.read_text().splitlines()
    for line in reversed(lines):
        try:
            report: dict[str, Any] = json.loads(line)
        except ValueError:
            continue  # being written
        return report
    return {}


def _sum(reports: Sequence[dict[str, Any]], name: str) -> int:
    return sum(report.get(name, 0) for report in reports)


def main() -> int:
    """Run the soak; return the exit status."""
    arguments = _arguments()
    if not namespace.is_inside():
        build()
    namespace.enter("bench.soak")
    leave_server_cpu()
    options = (*RULES, *arguments.server_option)
    with (
        servers.temporary_folder() as folder,
        servers.ours(folder, options, chosen_build(arguments)) as server,
    ):
        soak = Soak(server, arguments)
        soak.run()
    for fault in soak.faults:
        say(f"FAULT: {fault}")
    say("failed" if soak.faults else "every byte was right")
    return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main())
