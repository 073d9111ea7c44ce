#!/bin/sh
# First process of the guest: mounts, runs the job, leaves its exit status in the writable share, powers off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc p /proc
mount -t sysfs s /sys
mount -t devtmpfs d /dev
mkdir -p /dev/shm /dev/pts
for d in /dev/shm /run /mnt; do mount -t tmpfs t $d; done
# a checkout in /tmp stays where it is when /tmp becomes writable
checkout=${0%/test/vm/init.sh}
case $checkout in
  /tmp/*)
    mkdir /run/checkout
    mount --bind "$checkout" /run/checkout
    mount -t tmpfs t /tmp
    mkdir -p "$checkout"
    mount --move /run/checkout "$checkout"
    ;;
  *) mount -t tmpfs t /tmp ;;
esac
mount -t devpts d /dev/pts
mount -t debugfs d /sys/kernel/debug
mkdir -p /mnt/out
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288 out /mnt/out
stty -F /dev/ttyS1 raw
ip link set lo up 2>/dev/null
/mnt/out/job </dev/null >/dev/ttyS1 2>&1
echo $? >/mnt/out/rc
sync
echo o >/proc/sysrq-trigger
sleep 5
