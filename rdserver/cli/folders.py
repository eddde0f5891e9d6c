"""Where Debian's package keeps what the commands look for."""

from __future__ import annotations

from pathlib import Path

DATA_DIR = Path("/var/lib/rdserver")
CONFIG_FILE = Path("/etc/rustdesk-server/rustdesk-server.conf")
