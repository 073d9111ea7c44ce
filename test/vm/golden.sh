#!/bin/bash
# Records the clients in the lab anew for traces/golden, and writes where each trace came from into its README.
#   golden.sh        only for a new client or a new format version: the old traces are kept, for they are what is read
set -eu
cd "$(dirname "$0")/../.."
test/setup.sh
make -s -C test/clients
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
test/vm/boot.sh -t 600 -o "$out" -q '-device edu,addr=05.0' node --import tsx test/vm/guest.ts lab golden
version=$(sqlite3 "$(ls "$out"/golden/*.vrr | head -n 1)" 'pragma user_version')
mkdir -p "traces/golden/v$version"
cp "$out"/golden/*.vrr "traces/golden/v$version/"
{
  cat <<'H'
# Golden traces

Traces that were recorded once and are read for ever: a reader that cannot read one of them is wrong, whatever its
version. One folder for each version of the format (`pragma user_version`). `test/golden/read.test.ts` reads them all.

They come from the lab (`docs/lab.md`): the kernel that `test/vm/kernel.sh` builds, in QEMU with an emulated VT-d IOMMU.
`0000:00:04.0` and `0000:00:05.0` are QEMU's edu device behind vfio-pci, the UUID is an mdev of the kernel's sample driver
mtty with two ports. The programs are in `test/clients`. `test/vm/golden.sh` records them; it overwrites, so it is run
only when the format's version changes or a client is new.

H
  for folder in traces/golden/v*/; do
    v=$(basename "$folder")
    [ "$v" = "v$version" ] || { sed -n "/^## $v\$/,/^## /p" traces/golden/README.md | sed '${/^## /d}'; continue; }
    printf '## %s\n\n| trace | program | kernel | date |\n|---|---|---|---|\n' "$v"
    cat "$out"/golden/*.row
    printf '\nQEMU: %s. glibc: %s. Commit: %s.\n' "$(qemu-system-x86_64 --version | head -n 1)" \
      "$(getconf GNU_LIBC_VERSION)" "$(git rev-parse --short HEAD)"
  done
} >"$out/README.md"
cp "$out/README.md" traces/golden/README.md
