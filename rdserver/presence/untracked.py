"""
What the garbage collector need not look at.

It looks through everything in memory whenever that grew by a quarter, and nothing is
answered meanwhile: 200 to 400 ms with a million devices.  A device holds nothing but
texts, bytes and numbers, so it can be part of no cycle and goes when nothing refers to
it; a table of devices likewise.  CPython itself leaves such tuples out.  ``gc.freeze``
would do the same to everything, also to sessions, which do make cycles: those that were
in memory at that moment would never be freed.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable


def _chosen() -> Callable[[object], None]:
    if platform.python_implementation() != "CPython":
        return lambda _container: None
    function = ctypes.pythonapi.PyObject_GC_UnTrack
    function.argtypes = [ctypes.py_object]
    function.restype = None
    return function


untrack: Callable[[object], None] = _chosen()
"""
Take a container out of the collector's sight; only what can be in no cycle may be.

A dict comes back into sight with each new item, so it must be called after that.
"""
