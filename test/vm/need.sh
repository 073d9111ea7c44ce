#!/bin/bash
# Install the Debian packages named, if any is missing: as root by itself, else it says what to type.
#   need.sh PACKAGE …
set -eu
missing=()
for p in "$@"; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ]; then
  echo "missing packages; as root: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 2
fi
export DEBIAN_FRONTEND=noninteractive
opts=(-o DPkg::Lock::Timeout=600 -y --no-install-recommends)
apt-get "${opts[@]}" install "${missing[@]}" >/dev/null 2>&1 && exit 0
apt-get -o DPkg::Lock::Timeout=600 update >/dev/null 2>&1 # a machine never used before has no list yet
apt-get "${opts[@]}" install "${missing[@]}" >/dev/null || { echo "need.sh: apt-get could not install: ${missing[*]}" >&2; exit 3; }
