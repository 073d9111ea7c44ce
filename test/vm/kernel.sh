#!/bin/bash
# Build the lab kernel from Debian's linux-source with kernel.config beside this file, once per configuration.
#   kernel.sh [6.12]        prints the path of the bzImage; about 8 minutes on 2 cores the first time
# The image is kept in ${VFIO_RR_CACHE:-${XDG_CACHE_HOME:-~/.cache}/vfio-rr}/kernels, keyed by the configuration and
# the source package's version, so a change of either builds anew and a checkout never holds a kernel.
set -eu
version=${1:-6.12}
here=$(cd "$(dirname "$0")" && pwd)
cache=${VFIO_RR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vfio-rr}/kernels
mkdir -p "$cache"

key() { # of the configuration and of the source that is installed
  { cat "$here/kernel.config"; dpkg-query -W -f '${Version}' "linux-source-$version"; } | sha256sum | cut -c1-12
}

"$here/need.sh" flex bison bc libelf-dev libssl-dev kmod cpio xz-utils "linux-source-$version" >&2
image=$cache/bzImage-$version-$(key)
exec 9>"$cache/.lock-$version"
flock 9 # two test runs on one machine build it once
if [ ! -s "$image" ]; then
  build=$(mktemp -d "$cache/build.XXXXXX")
  trap 'rm -rf "$build"' EXIT
  echo "kernel.sh: building linux-source-$version (about 8 minutes on 2 cores) …" >&2
  tar -C "$build" -xf "/usr/src/linux-source-$version.tar.xz"
  cd "$build/linux-source-$version"
  make -s tinyconfig >&2
  ./scripts/kconfig/merge_config.sh -m .config "$here/kernel.config" >/dev/null 2>&1
  make -s olddefconfig >&2 2>/dev/null
  if ! make -s -j"$(nproc)" bzImage >"$cache/build-$version.log" 2>&1; then
    tail -n 20 "$cache/build-$version.log" >&2
    echo "kernel.sh: the build failed; its log is $cache/build-$version.log" >&2
    exit 1
  fi
  cp .config "$image.config"
  cp arch/x86/boot/bzImage "$image.tmp"
  mv "$image.tmp" "$image"
fi
echo "$image"
