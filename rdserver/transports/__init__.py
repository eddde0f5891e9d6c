"""The ring that touches sockets.  It moves bytes and decides nothing."""
