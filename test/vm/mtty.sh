#!/bin/sh
# In the guest: make an mtty device afresh and print its group's number and its cdev's path.   mtty.sh [PORTS]
uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa100$((${1:-2} + 0))
d=/sys/bus/mdev/devices/$uuid
[ -e "$d" ] && echo 1 >"$d/remove"
echo "$uuid" >"/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-${1:-2}/create" || exit 1
echo "$(basename "$(readlink "$d/iommu_group")") /dev/vfio/devices/$(ls "$d/vfio-dev" 2>/dev/null)"
