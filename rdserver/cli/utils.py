"""
``rustdesk-utils``: keys, a look at a server from outside, and the two consoles.

What the original's commands print is printed exactly as there, on the standard
output.  Every command returns the program's exit status.

Source: protocol.md section 5.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from nacl.bindings import crypto_sign, crypto_sign_open
from nacl.exceptions import CryptoError

from rdserver.cli import admin, client_config, healthcheck, move
from rdserver.cli.doctor import Doctor
from rdserver.cli.installed import server_settings
from rdserver.cli.network import SocketNetwork
from rdserver.errors import ConfigError, StorageError
from rdserver.keys import PUBLIC_BYTES, SECRET_BYTES, decode_base64, generate_key_pair
from rdserver.transports.local import shown_address

# The original's help, then what is only ours.
HELP = """\
Usage:
    rustdesk-utils [command]

Available Commands:
    genkeypair                                   Generate a new keypair
    validatekeypair [public key] [secret key]    Validate an existing keypair
    doctor [rustdesk-server]                     Check for server connection problems
    admin [id|relay] [command]                   Ask a running server on this machine
    client-config                                Show what to enter in a client
    healthcheck                                  Ask every port of the server here
    import [folder]                              Copy key, database and lists from there
    export [folder]                              Copy key, database and lists to there

doctor takes HOST or HOST:PORT, PORT being the ID server's (default 21116).  It exits
with 0 if everything that clients need answers on each address that can be reached
from here, else with 1.

admin talks to the server whose data folder is the working directory, or else to the one
of Debian's package; another one is named with --data-dir DIR before the command, or with
RDSERVER_DATA_DIR.  Without id or relay it asks the ID server, or the relay if only that
runs there.  The command h lists the commands.

client-config takes --host HOST, how clients reach this machine.  It and healthcheck also
take the options of rustdesk-server; without --data-dir and --config they look where
Debian's package keeps data and settings.  healthcheck exits with 0 if every port answers,
else with 1.

import and export take --data-dir DIR, the server's own folder, and --dry-run, which only
says what would be copied.  Nothing is overwritten: stop the server before an import.
"""

_TEST_MESSAGE = b"This is meant to be signed and verified"
_INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended


class MissingArgumentError(Exception):
    """Too few arguments; ``str(self)`` says which."""


class InvalidKeyError(Exception):
    """``str(self)`` says what is wrong with a key, in the original's words."""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param argv: the arguments without the program's name; None: the process's own.
    :return: the exit status.
    """
    name, *arguments = (sys.argv[1:] if argv is None else argv) or [""]
    try:
        status = _run(name.lower(), arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _run(name: str, arguments: list[str]) -> int:
    command = COMMANDS.get(name)
    if command is None:
        sys.stdout.write(HELP)
        return 0 if name in ("help", "-h", "--help") else 1
    try:
        return command(arguments)
    except MissingArgumentError as e:
        sys.stdout.write(f"ERROR: {e}\n\n{HELP}")
    except InvalidKeyError as e:
        _say(str(e))
    except (admin.AdminError, ConfigError, StorageError) as e:
        sys.stderr.write(f"rustdesk-utils: {e}\n")
    return 1


def _generate_key_pair(_arguments: list[str]) -> int:
    pair = generate_key_pair()
    _say(f"Public Key:  {pair.public_text}")
    _say(f"Secret Key:  {pair.secret_text}")
    return 0


def _validate_key_pair(arguments: list[str]) -> int:
    if len(arguments) < 2:
        raise MissingArgumentError("You must supply both the public and the secret key")
    secret = _key_bytes(arguments[1], SECRET_BYTES, "secret")
    public = _key_bytes(arguments[0], PUBLIC_BYTES, "public")
    try:
        crypto_sign_open(crypto_sign(_TEST_MESSAGE, secret), public)
    except CryptoError:
        raise InvalidKeyError("Key pair is INVALID") from None
    _say("Key pair is VALID")
    return 0


def _key_bytes(text: str, size_bytes: int, kind: str) -> bytes:
    key = decode_base64(text)
    if key is None:
        raise InvalidKeyError(f"Invalid {kind} key")
    if len(key) != size_bytes:
        raise InvalidKeyError(f"Invalid {kind.capitalize()} key")
    return key


def _doctor(arguments: list[str]) -> int:
    if not arguments:
        raise MissingArgumentError("You must supply the rustdesk-server address")
    return Doctor(SocketNetwork(), _say, time.monotonic).examine(arguments[0])


def _admin(arguments: list[str]) -> int:
    question = admin.parse(arguments, os.environ)
    if not question.command:
        raise MissingArgumentError("You must supply a console command; h lists them")
    sys.stdout.write(admin.ask(question))
    return 0


def _client_config(arguments: list[str]) -> int:
    host, words = client_config.parse(arguments)
    config = server_settings(words, os.environ)
    host = host or shown_address(config.bind)
    client = client_config.client_config(config, host)
    for line in client_config.lines(client, config):
        _say(line)
    if config.role != "relay" and (sys.stdout.encoding or "").lower().startswith("utf"):
        _say(client_config.qr_code(client.qr_text))
    if text := client_config.doubt(host):
        _say(text)
    return 0


def _import(arguments: list[str]) -> int:
    order = move.parse(arguments, os.environ)
    return _say_all(
        move.copy_state(order.folder, order.data_dir, dry_run=order.dry_run, for_owner=True)
    )


def _export(arguments: list[str]) -> int:
    order = move.parse(arguments, os.environ)
    # Never for the owner of the folder: it holds a private key.
    return _say_all(move.copy_state(order.data_dir, order.folder, dry_run=order.dry_run))


def _say_all(lines: Iterable[str]) -> int:
    for line in lines:
        _say(line)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # a check can take seconds; each line is shown when it is known


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "genkeypair": _generate_key_pair,
    "validatekeypair": _validate_key_pair,
    "doctor": _doctor,
    "admin": _admin,
    "client-config": _client_config,
    "healthcheck": healthcheck.main,
    "import": _import,
    "export": _export,
}
"""What there is, by name."""


if __name__ == "__main__":
    raise SystemExit(main())
