#!/bin/bash
# Make a stock Debian kernel boot like the lab kernel: an initramfs that loads virtio, 9p and vfio, then goes on to the
# root it is given. Prints the kernel's path and the initramfs's, one a line.
#   stock.sh 6.1|6.12|7.2
# Kept in ${VFIO_RR_CACHE:-${XDG_CACHE_HOME:-~/.cache}/vfio-rr}/kernels/stock-VERSION; remove it to fetch a newer one.
set -eu
version=$1 here=$(cd "$(dirname "$0")" && pwd)
cache=${VFIO_RR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vfio-rr}/kernels
kept=$cache/stock-$version
mkdir -p "$cache"
exec 9>"$cache/.lock-stock-$version"
flock 9
if [ ! -s "$kept/initrd.gz" ]; then
  "$here/need.sh" busybox-static kmod cpio xz-utils >&2
  echo "stock.sh: fetching Debian's kernel $version …" >&2
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  "$here/fetch.sh" "$version" "$work/kernel"
  modules=$(cd "$work/kernel/lib/modules" && ls | head -n 1)
  depmod -b "$work/kernel" "$modules" 2>/dev/null || true
  root=$work/root
  mkdir -p "$root"/{bin,dev,proc,sys,m,new}
  cp "$(command -v busybox)" "$root/bin/"
  for a in sh mount insmod switch_root cat sed; do ln -s busybox "$root/bin/$a"; done
  add() { # a module after those it needs, once each
    local dep f
    for dep in $(modprobe -D -S "$modules" -d "$work/kernel" "$1" 2>/dev/null | awk '/insmod/{print $2}'); do
      f=$(basename "${dep%.xz}")
      [ -e "$root/m/$f" ] && continue
      case $dep in
        *.xz) xz -dc "$dep" >"$root/m/$f" ;;
        *) cp "$dep" "$root/m/$f" ;;
      esac
      echo "$f" >>"$root/m/order"
    done
  }
  for m in virtio_pci 9pnet_virtio 9p vfio_iommu_type1 vfio-pci vfio_virqfd mdev; do add "$m"; done
  cat >"$root/init" <<'I'
#!/bin/sh
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for f in $(cat /m/order); do insmod /m/$f; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro rootfs /new
init=$(sed 's/.*init=\([^ ]*\).*/\1/' /proc/cmdline)
exec switch_root /new "$init"
I
  chmod +x "$root/init"
  (cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/initrd.gz"
  rm -rf "$kept"
  mkdir -p "$kept"
  cp "$work/kernel/vmlinuz" "$kept/vmlinuz"
  cp "$work/kernel/PACKAGES" "$kept/"
  mv "$work/initrd.gz" "$kept/initrd.gz"
fi
printf '%s\n' "$kept/vmlinuz" "$kept/initrd.gz"
