"""
``rustdesk-utils healthcheck``: whether the server on this machine answers on every port.

A connection alone proves nothing: the system accepts it even where the server hangs. So
each port is asked something that only the server itself can answer, and none of it leaves
a trace in the server's log.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from attrs import frozen

from rdserver.cli.installed import server_settings
from rdserver.cli.local_network import LocalNetwork
from rdserver.errors import ConfigError, ProtocolError
from rdserver.settings.config import Config
from rdserver.settings.options import Options, ProgramOptions
from rdserver.wire.networks import Networks, one_address

_HERE = "127.0.0.1"


@frozen
class Question:
    """
    What one port is asked.

    :ivar port: such as ``21116/tcp``.
    :ivar ask: raises OSError or ProtocolError if there is no proper answer.
    """

    port: str
    ask: Callable[[], None]


def main(arguments: Sequence[str], options: type[ProgramOptions] = Options) -> int:
    """
    Ask the server that runs with these options.

    Returns 0 if every port answers; else 1, with a line for each that does not.
    """
    try:
        config = server_settings(arguments, os.environ, options)
    except ConfigError as e:
        sys.stderr.write(f"healthcheck: {e}\n")
        return 1
    faults = ask_all(questions(config, _network(config)))
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


def ask_all(asked: Sequence[Question]) -> list[str]:
    """Ask all at the same time; return a sentence for each that is not answered."""
    with ThreadPoolExecutor(len(asked)) as threads:
        found = list(threads.map(_fault, asked))
    return [fault for fault in found if fault]


def questions(config: Config, network: LocalNetwork) -> list[Question]:
    """Return what the ports of a server with these settings are asked."""
    asked = []
    if config.role != "relay":
        nat, main_port, websocket = config.id_ports
        asked += [
            Question(f"{nat}/tcp", partial(network.nat_test, nat)),
            Question(f"{main_port}/tcp", partial(network.nat_test, main_port)),
            Question(f"{main_port}/udp", partial(network.nat_test_udp, main_port)),
            Question(f"{websocket}/tcp", partial(network.websocket_nat_test, websocket)),
        ]
    if config.role != "id":
        relay, websocket = config.relay_ports
        asked += [
            Question(f"{relay}/tcp", partial(network.farewell, relay)),
            Question(f"{websocket}/tcp", partial(network.websocket_farewell, websocket)),
        ]
    # 443 is not the server's where it may not have it, of which its log warns.
    if config.https_port:
        page = partial(network.healthz, config.https_port)
        asked.append(Question(f"{config.https_port}/tcp", page))
    return asked


def _network(config: Config) -> LocalNetwork:
    host = one_address(config.bind) or _HERE
    # Who asks there comes from the same address.
    is_proxy = config.proxy_protocol and host in Networks(config.trusted_proxies)
    return LocalNetwork(host, is_proxy)


def _fault(question: Question) -> str:
    try:
        question.ask()
    except (OSError, ProtocolError) as e:
        return f"no answer on {question.port}: {str(e) or type(e).__name__}"
    return ""
