#!/bin/bash
# The main job, from nothing: a program that uses VFIO is recorded, its trace shown, and replayed.
#   npm run demo                        on a device of this machine that is bound to vfio-pci (only read from), or where
#                                       there is none on the emulator: no root, no VFIO, a few seconds
#   npm run demo -- 0000:03:00.0        on that device
#   npm run demo -- --vm                on QEMU's edu device in a virtual machine with a kernel built for it (8 minutes
#                                       the first time); what is missing is installed, as root
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }
few() { "$@" | sed -n '1,14p;15s/.*/…/p'; }

steps() { # DIRECTORY CLIENT [ARGUMENT …]
  trace=$1/demo.vrr
  shift
  step bin/vfio-rr record -o "$trace" --force -- "$@" | tail -n 8
  step bin/vfio-rr info "$trace"
  step few bin/vfio-rr show "$trace"
  step few bin/vfio-rr query "$trace" 'SELECT name, kind, calls, failed, mean_us FROM call_summary'
  step bin/vfio-rr replay "$trace" --on device -o "${trace%.vrr}-replayed.vrr" --force
  printf '\nrecorded and replayed without a divergence: %s\n' "$trace"
}

# A migratable serial port that is not there: what the program does with it, its migration states, and all of it again.
emulated() { # DIRECTORY
  local trace=$1/demo.vrr uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa1002
  step bin/vfio-rr play --emulate "serial:$uuid" --record "$trace" -- test/clients/build/mtty-migrate group "$uuid" | tail -n 8
  step few bin/vfio-rr show "$trace" @feature:MIG_DEVICE_STATE
  step few bin/vfio-rr query "$trace" 'SELECT name, kind, calls, failed, mean_us FROM call_summary'
  step bin/vfio-rr states "$trace"
  step bin/vfio-rr replay "$trace" --on emulator
  printf '\nrecorded and replayed without a divergence: %s\n' "$trace"
}

if [ "${1:-}" = --steps ]; then # in the virtual machine
  test/vm/bind.sh 0000:00:04.0 >/dev/null
  mkdir -p /tmp/demo
  steps /tmp/demo test/clients/build/edu-group 0000:00:04.0
  cp /tmp/demo/*.vrr "$VM_OUT"
  exit
fi

client() { make -s -C test/clients "build/$1"; } # only what is used: a first run takes seconds
test/setup.sh
vm='' device=''
if [ "${1:-}" = --vm ]; then vm=1; else device=${1:-}; fi
if [ -z "$vm$device" ]; then
  for d in /sys/bus/pci/drivers/vfio-pci/*:*; do
    group=/dev/vfio/$(basename "$(readlink -f "$d/iommu_group" 2>/dev/null)")
    # opened by nobody else, and by us: a group opens once
    if [ -c "$group" ] && (exec 3<>"$group") 2>/dev/null; then
      device=$(basename "$d")
      break
    fi
  done
fi
out=$(mktemp -d "${TMPDIR:-/tmp}/vfio-rr-demo.XXXXXX")
if [ -n "$device" ]; then
  echo "demo: on $device of this machine"
  client describe
  steps "$out" test/clients/build/describe group "$device"
elif [ -n "$vm" ]; then
  client edu-group
  step test/vm/boot.sh -t 180 -o "$out" test/demo.sh --steps
  echo "the traces are in $out"
else
  echo 'demo: no device here is bound to vfio-pci, so on the emulator; `npm run demo -- --vm` boots a kernel with VFIO'
  client mtty-migrate
  emulated "$out"
fi
