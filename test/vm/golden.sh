#!/bin/bash
# Records the clients in the lab for traces/golden, takes this machine out of them, and prints their rows for its README.
#   golden.sh        only for a new client or a new version of the format: the old traces stay, for they are what is read
set -eu
cd "$(dirname "$0")/../.."
test/setup.sh
make -s -C test/clients
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
test/vm/boot.sh -t 600 -o "$out" -q '-device edu,addr=05.0' node --import tsx test/vm/guest.ts lab golden >&2
folder=traces/golden/v$(sqlite3 "$(find "$out/golden" -name '*.vrr' | head -n 1)" 'pragma user_version')
mkdir -p "$folder"
cp -n "$out"/golden/*.vrr "$folder/"
npx tsx test/golden/scrub.ts "$folder"/*.vrr
cat "$out"/golden/*.row
