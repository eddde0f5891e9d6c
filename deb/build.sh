#!/bin/sh
# Builds the Debian package from what git tracks, in a folder of its own, into dist/.
# Needs the packages of Build-Depends in debian/control; dpkg-buildpackage names those
# that are missing ("apt-get build-dep ./" installs them).
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
if [ -e .git ]; then
    git -c safe.directory='*' ls-files -z | tar --null --files-from=- -cf "$work/tree.tar"
else
    tar --exclude=./dist --exclude=./.venv -cf "$work/tree.tar" .
fi
tar -xf "$work/tree.tar" -C "$work/tree"
(cd "$work/tree" && PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg-buildpackage -us -uc -b)
# Of several versions an image would not know which one is meant.
rm -f dist/rustdesk-server_*
mkdir -p dist
cp "$work"/rustdesk-server_* dist/
ls -l dist/rustdesk-server_*.deb
