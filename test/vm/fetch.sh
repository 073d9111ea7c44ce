#!/bin/bash
# Fetch a stock Debian kernel without touching the machine's own package lists, and unpack it.
#   fetch.sh 6.1|6.12|7.2 DEST        DEST gets vmlinuz, lib/modules/VERSION and PACKAGES, what was fetched
# 6.1 is bookworm's, 6.12 trixie's, 7.2 sid's. The mirror is the one that the machine's own sources name.
set -eu
version=$1 dest=$2
case $version in
  6.1) suite=bookworm ;;
  6.12) suite=trixie ;;
  7.2) suite=sid ;;
  *) echo "fetch.sh: no stock kernel $version; there are 6.1, 6.12 and 7.2" >&2; exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
"$here/need.sh" debian-archive-keyring ca-certificates xz-utils >&2
mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -E '/debian/?$' | head -n 1)
mkdir -p "$dest"
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $suite main" >"$apt/sources.list"
options=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::Lists=$apt/lists"
  -o "Dir::Cache=$apt/cache" -o Dir::State::status=/dev/null -o APT::Architecture=amd64 -o APT::Sandbox::User=root
  -o Acquire::Languages=none -o Acquire::Retries=3)
apt-get -qq "${options[@]}" update >&2

depends() { # the packages that one depends on, without versions
  apt-cache "${options[@]}" show --no-all-versions "$1" | sed -n 's/^Depends: //p' | tr ',' '\n' | sed 's/ *\([^ (|]*\).*/\1/'
}
# the meta package names the image; an image of sid is itself a meta package of a binary and its modules
image=$(depends linux-image-amd64 | grep -E "^linux-(image|binary)-$version[.+-]" | head -n 1)
[ -n "$image" ] || { echo "fetch.sh: $suite at $mirror has no kernel $version any more" >&2; exit 3; }
packages=("$image")
for p in $(depends "$image" | grep -E '^linux-(binary|modules|image)-' || true); do packages+=("$p"); done
for p in "${packages[@]}"; do
  (cd "$apt" && apt-get -qq "${options[@]}" download "$p" >&2)
done
for deb in "$apt"/*.deb; do
  dpkg -x "$deb" "$dest"
  dpkg-deb -W "$deb" >>"$dest/PACKAGES"
done
# a merged /usr or not, modules are found in lib/modules
[ -d "$dest/lib/modules" ] || { mkdir -p "$dest/lib" && ln -s ../usr/lib/modules "$dest/lib/modules"; }
cp "$(find "$dest" -type f -name 'vmlinuz*' | head -n 1)" "$dest/vmlinuz"
