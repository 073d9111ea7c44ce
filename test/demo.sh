#!/bin/bash
# The main job, from nothing: a program that uses VFIO is recorded, its trace shown, and replayed on the same device.
#   npm run demo [-- GROUP-DEVICE]      such as 0000:03:00.0, bound to vfio-pci
# On a machine with a device bound to vfio-pci that device is used, and only read from; else QEMU's edu device in a
# virtual machine with a kernel built for it (8 minutes the first time). What is missing is installed, as root.
set -eu
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

if [ "${1:-}" = --steps ]; then # in the virtual machine
  test/vm/bind.sh 0000:00:04.0 >/dev/null
  mkdir -p /tmp/demo
  steps /tmp/demo test/clients/build/edu-group 0000:00:04.0
  cp /tmp/demo/*.vrr "$VM_OUT"
  exit
fi

test/setup.sh
make -s -C test/clients
device=${1:-}
if [ -z "$device" ]; then
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
  steps "$out" test/clients/build/describe group "$device"
else
  echo 'demo: no device here is bound to vfio-pci; booting a virtual machine that has one'
  step test/vm/boot.sh -t 180 -o "$out" test/demo.sh --steps
  echo "the traces are in $out"
fi
