#!/bin/bash
# Records the named scenarios (programs/) on the emulator, as in traces/golden/README.md.
#   golden.sh [FOLDER [PATTERN]]        default: traces/golden/v1, all
set -eu
cd "$(dirname "$0")/../.."
to=${1:-traces/golden/v1} only=${2:-*}
mkdir -p "$to"
make -s -C test/emulator/programs
u=00000000-0000-4000-8000-00000000000
b=0000:00:0

record() { # NAME PROGRAM ARGUMENTS -- DEVICES
  # shellcheck disable=SC2053
  [[ $1 == $only ]] || return 0
  local name=$1 command=(test/emulator/programs/build/"$2") emulate=()
  shift 2
  while [ "$1" != -- ]; do command+=("$1"); shift; done
  shift
  for d in "$@"; do emulate+=(--emulate "$d"); done
  node --import tsx cli.ts play "${emulate[@]}" --force --record "$to/$name.vrr" -- "${command[@]}" | tail -n 2 | head -n 1 | sed "s/^/$name: /"
  node --import tsx test/golden/scrub.ts "$to/$name.vrr"
}

for p in v2 v3 reply derived; do
  record "v1-states-$p" v1-states ${u}1 -- "v1-ndma,precedence=$p:${u}1"
  for buffer in shared separate; do
    record "v1-resume-save-$p-$buffer" v1-resume-save ${u}1 ${u}2 -- "v1-edu:${u}1" "v1-edu,precedence=$p,buffer=$buffer:${u}2"
  done
done
record v1-resume-save-v3-checked v1-resume-save ${u}1 ${u}2 -- "v1-edu:${u}1" "v1-edu,precedence=v3,intermediate=checked:${u}2"
record v1-peer-dma-none peer-dma ${u}1 ${u}2 -- "v1-edu:${u}1" "v1-edu:${u}2"
record v1-peer-dma-ndma peer-dma ${u}1 ${u}2 ndma -- "v1-ndma:${u}1" "v1-ndma:${u}2"
record v1-peer-dma-ccw peer-dma ${u}1 ${u}2 ndma -- "v1-noop:${u}1" "v1-noop:${u}2"
record two-containers containers ${b}4.0 ${b}5.0 ${b}6.0 -- "v2-full:${b}4.0@1" "v2-full:${b}5.0@2" "v2-full:${b}6.0@2"
record dirty-pinned dirty-scope ${b}4.0 -- "v2-full:${b}4.0"
record dirty-mdev dirty-scope ${u}1 -- "v1-edu:${u}1"
for f in stop-copy p2p pre-copy full; do record "v2-states-$f" v2-states ${b}4.0 -- "v2-$f:${b}4.0"; done
