#!/bin/sh
# In the guest: give a PCI device to vfio-pci and print its group's number.   bind.sh 0000:00:04.0
d=/sys/bus/pci/devices/$1
echo vfio-pci >"$d/driver_override"
[ -e "$d/driver" ] && echo "$1" >"$d/driver/unbind"
echo "$1" >/sys/bus/pci/drivers_probe
basename "$(readlink "$d/iommu_group")"
