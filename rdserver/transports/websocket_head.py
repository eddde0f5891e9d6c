"""
The head of an upgrade request, such that Autobahn reads in it what a proxy read.

Autobahn ends a line at eight characters where HTTP ends it at CR LF, and forgives blanks
around a name.  A proxy passes such fields on as they are: without this, what a client
writes into any field could become an X-Forwarded-For that no proxy has seen.

Source: RFC 9110 section 5.
"""

from __future__ import annotations

import re

_FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:")

# All that ends a line for str.splitlines() in ISO 8859-1; 0x85 is also half of a letter in
# UTF-8, so it is no reason to refuse.
_LINE_ENDS = b"\n\x0b\x0c\r\x1c\x1d\x1e\x85"
_HARMLESS = bytes.maketrans(_LINE_ENDS, b"?" * len(_LINE_ENDS))

# Any origin is welcome; Autobahn has opinions about some of them.
_UNWANTED = (b"origin:", b"sec-websocket-origin:")


def harmless_head(head: bytes) -> bytes:
    """
    Return a request's head with the fields that Autobahn may see.

    :param head: without the empty line at its end.
    """
    first, *lines = head.split(b"\r\n")
    kept = [first, *filter(_is_wanted, lines)]
    return b"\r\n".join([line.translate(_HARMLESS) for line in kept])


def _is_wanted(line: bytes) -> bool:
    name = _FIELD.match(line)
    return name is not None and name[0].lower() not in _UNWANTED
