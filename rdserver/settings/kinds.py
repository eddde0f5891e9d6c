"""
The kinds of value a setting can have: what a text must look like, and what it means.

Nothing here knows a setting's name or where a text came from.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from attrs import frozen

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?|[0-9]*\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_VISIBLE = re.compile(r"[!-~]+")
_ON = frozenset({"y", "yes", "true", "1", "on"})
_OFF = frozenset({"n", "no", "false", "0", "off"})


@frozen
class Kind:
    """
    One kind of value.

    :ivar parse: text to value; raises ValueError for a text that is none of this kind.
    :ivar needs: completes the sentence "it must be ...".
    :ivar is_flag: whether it stands alone on the command line, without a value.
    """

    parse: Callable[[str], object]
    needs: str
    is_flag: bool = False


@frozen
class SelfTest:
    """
    What the ID server's self test does.

    :ivar enabled: whether it runs at all.
    :ivar target: IP text and UDP port to ask; ``None`` is the server's own address.
    """

    enabled: bool = True
    target: tuple[str, int] | None = None


def whole(low: int, high: int) -> Kind:
    """Whole numbers of ``low`` to ``high``, both included."""

    def parse(text: str) -> int:
        if not _WHOLE.fullmatch(text.strip()):
            raise ValueError(text)
        return int(_within(low, int(text), high))

    return Kind(parse, f"a whole number from {low} to {high}")


def whole_or_zero(low: int, high: int) -> Kind:
    """Whole numbers of ``low`` to ``high``, both included, and 0."""
    parse_positive = whole(low, high).parse

    def parse(text: str) -> object:
        return 0 if text.strip() == "0" else parse_positive(text)

    return Kind(parse, f"0, or a whole number from {low} to {high}")


def number(low: float, high: float) -> Kind:
    """Finite numbers of ``low`` to ``high``, both included."""

    def parse(text: str) -> float:
        if not _NUMBER.fullmatch(text.strip()):
            raise ValueError(text)
        return _within(low, float(text), high)

    return Kind(parse, f"a number from {low:g} to {high:.0f}")


def _within(low: float, value: float, high: float) -> float:
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(value)
    return value


def text() -> Kind:
    """Any text, taken as it is."""
    return Kind(_unicode, "text in UTF-8")


def _unicode(text: str) -> str:
    # Bytes that are not UTF-8 arrive as lone surrogates, which cannot be sent on.
    text.encode()
    return text


def path() -> Kind:
    """The name of a file or folder."""

    def parse(text: str) -> str:
        if not text or "\0" in text:
            raise ValueError(text)
        return text

    return Kind(parse, "a path that is not empty")


def http_url() -> Kind:
    """The address of an HTTP server, perhaps with a path; a slash at the end is dropped."""

    def parse(text: str) -> str:
        url = urlsplit(text.strip())
        plain = url.scheme in ("http", "https") and url.hostname and url.port != 0
        spare = url.query or url.fragment or url.username is not None or "@" in url.netloc
        if not plain or spare or not _VISIBLE.fullmatch(text.strip()):
            raise ValueError(text)
        return text.strip().rstrip("/")

    return Kind(parse, "an address such as http://127.0.0.1:21114")


def items() -> Kind:
    """Texts separated by commas; blanks around them and empty ones are dropped."""

    def parse(text: str) -> tuple[str, ...]:
        return tuple(item.strip() for item in _unicode(text).split(",") if item.strip())

    return Kind(parse, "a list separated by commas, in UTF-8")


def choice(*words: str) -> Kind:
    """One of a few words, in any case."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError(text)
        return word

    return Kind(parse, _enumerated(words))


def _enumerated(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def switch() -> Kind:
    """On or off."""

    def parse(text: str) -> bool:
        word = text.strip().lower()
        if word not in _ON | _OFF:
            raise ValueError(text)
        return word in _ON

    return Kind(
        parse, "Y, yes, true, 1 or on, or else N, no, false, 0 or off", is_flag=True
    )


def only_y() -> Kind:
    """
    On for the letter Y alone, as the original reads it.

    Source: protocol.md section 3.1.
    """

    def parse(text: str) -> bool:
        word = text.strip().lower()
        if word != "y" and word not in _OFF:
            raise ValueError(text)
        return word == "y"

    return Kind(parse, "Y (on) or N (off)", is_flag=True)


def interface() -> Kind:
    """An IP address to listen on; empty or blank is all of them."""

    def parse(text: str) -> str:
        return str(ipaddress.ip_address(text.strip())) if text.strip() else ""

    return Kind(parse, "an IP address, or empty for all")


def ipv4_network() -> Kind:
    """An IPv4 network; bits behind the prefix are cut off."""

    def parse(text: str) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(text.strip(), strict=False)

    return Kind(parse, "an IPv4 network such as 192.168.0.0/16")


IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks() -> Kind:
    """Networks or single addresses, separated by commas; ``none`` or empty for none."""

    def parse(text: str) -> tuple[IPNetwork, ...]:
        if text.strip().lower() == "none":
            return ()
        items = (item.strip() for item in text.split(","))
        return tuple(ipaddress.ip_network(item, strict=False) for item in items if item)

    return Kind(
        parse,
        "addresses or networks such as 127.0.0.0/8,::1 separated by commas, or none",
    )


def self_test() -> Kind:
    """
    ``no``, or an address with port; empty is the own one.

    Source: protocol.md section 3.14.
    """

    def parse(text: str) -> SelfTest:
        if not text.strip():
            return SelfTest()
        if text.strip().lower() == "no":
            return SelfTest(enabled=False)
        return SelfTest(target=_address_and_port(text.strip()))

    return Kind(parse, "no, or an IP address with a port such as 127.0.0.1:21116")


def _address_and_port(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    if not separator or bracketed != (address.version == 6):
        raise ValueError(text)
    return str(address), _port(port)


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise ValueError(text)
    return int(_within(1, int(text), 65535))
