#!/bin/sh
# What the clients of test/clients print on a real kernel (6.12, QEMU's edu behind an emulated VT-d; mtty): the reference
# for the emulator. Run from the checkout; takes a minute. The clients print nothing that changes from run to run.
set -eu
cd "$(dirname "$0")/../../.."
if [ "${1:-}" != --steps ]; then
	make -s -C test/clients
	out=$(mktemp -d)
	test/vm/boot.sh -t 240 -o "$out" test/play/kernel-6.12/make.sh --steps
	cp "$out"/*.txt test/play/kernel-6.12/
	exit
fi
test/vm/bind.sh 0000:00:04.0 >/dev/null
clients=test/clients/build
for name in edu-group edu-cdev threads fork passfd exec spawn errors entries; do
	"$clients/$name" >"$VM_OUT/$name.txt"
done
for way in group cdev; do
	test/vm/mtty.sh >/dev/null
	"$clients/mtty-migrate" "$way" 83b8f4f2-509f-382f-3c1e-e6bfe0fa1002 >"$VM_OUT/mtty-$way.txt"
done
