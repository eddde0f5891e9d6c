"""A server for RustDesk clients: ID server (hbbs) and relay (hbbr) on Twisted."""

__version__ = "2.0.0.dev0"
