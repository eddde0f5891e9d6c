#!/bin/sh
# Runs a command where the laboratory's networks are: in namespaces of mounts, processes and
# network of its own.  They end with it, and with them all that was built inside.
if [ "$(id -u)" != 0 ]; then
    echo "the laboratory needs root, to build networks" >&2
    exit 1
fi
export RDSERVER_NAT_LAB=1
exec unshare --net --mount --pid --fork --kill-child --mount-proc sh -c '
    mkdir -p /run/netns && mount -t tmpfs netns /run/netns && exec "$@"
' sh "$@"
