"""What survives a restart.  The interface, and what keeps it on a disk."""
