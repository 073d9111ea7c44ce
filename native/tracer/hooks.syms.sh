#!/bin/sh
# The hooks' names, for objcopy: ioctl → hook_ioctl, so that the tracer's own calls stay libc's.
sed -n '/^global:/,/^local:/p' "$1" | grep -o '[a-z_0-9]*;' | tr -d ';' | sed 's/.*/& hook_&/'
