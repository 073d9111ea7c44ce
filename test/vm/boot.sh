#!/bin/bash
# Boot a VFIO kernel under software emulation, with this machine's own files as the guest's (9p, read-only), run one
# command in it and exit with its status; 124 when it took too long, 125 when the guest died.
#   boot.sh [-k lab|6.1|6.12|7.2|BZIMAGE] [-o OUT] [-t SECONDS] [-q 'QEMU ARGUMENTS'] COMMAND [ARGUMENT …]
# COMMAND runs as root in the present directory, with the present PATH; its output comes on stdout;
# the kernel's log is OUT/console.
#   -k  the kernel: lab (default) has type1, cdev, iommufd, mdev and mtty; 6.1, 6.12 and 7.2 are
#      Debian's own (type1, vfio-pci); a path is a kernel that needs no ramdisk
#   -o  a directory that the guest sees, writable, as /mnt/out ($VM_OUT); default: a temporary one
#   -t  at most this long (default 180)
#   -q  further devices, such as '-device e1000,addr=05.0,romfile='
# It ends with the process that started it, however that ends, and QEMU with it.
# Writable in the guest besides: /run, /tmp, /dev/shm and /mnt, all gone with it. There is an edu device at 0000:00:04.0.
# Environment: MEM (MiB, 2048), SMP (1). Debian packages it lacks are installed as root, or named.
set -eu
[ "${BOOT_PARENT-}" = "$PPID" ] || BOOT_PARENT=$PPID exec setpriv --pdeathsig TERM -- "$0" "$@"
here=$(cd "$(dirname "$0")" && pwd)
kernel=lab out='' limit=180 extra=()
while getopts k:o:t:q: option; do
  case $option in
    k) kernel=$OPTARG ;;
    o) out=$OPTARG ;;
    t) limit=$OPTARG ;;
    q) read -ra extra <<<"$OPTARG" ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2; }
"$here/need.sh" qemu-system-x86 iproute2
initrd=()
case $kernel in
  lab) image=$("$here/kernel.sh") ;;
  */*) image=$kernel ;;
  *) { read -r image; read -r ramdisk; } < <("$here/stock.sh" "$kernel"); initrd=(-initrd "$ramdisk") ;;
esac
[ -s "$image" ] || exit 3
if [ -z "$out" ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -f "$out/rc"
{
  echo '#!/bin/bash'
  printf 'export PATH=%q VM_OUT=/mnt/out\ncd %q\nexec' "$PATH" "$PWD"
  printf ' %q' "$@"
  echo
} >"$out/job"
chmod +x "$out/job"
# no_timer_check: under a loaded host the emulated timer is late, and the kernel takes it for broken. Emulated vectors,
# five levels of page tables and mitigations cost a sixth of the time, and guard nobody here.
status=0
timeout --foreground "$limit" qemu-system-x86_64 \
  -M q35,accel=tcg,kernel-irqchip=split -cpu max,avx=off,avx2=off,la57=off -smp "${SMP:-1}" -m "${MEM:-2048}" \
  -display none -no-reboot -nic none -monitor none -serial file:"$out/console" -serial stdio \
  -kernel "$image" "${initrd[@]}" \
  -append "console=ttyS0 panic=-1 no_timer_check mitigations=off intel_iommu=on root=rootfs rootfstype=9p rootflags=trans=virtio,version=9p2000.L,msize=524288,cache=loose ro init=$here/init.sh" \
  -device intel-iommu,intremap=on,caching-mode=on \
  -virtfs local,path=/,mount_tag=rootfs,security_model=none,multidevs=remap \
  -virtfs local,path="$out",mount_tag=out,security_model=none \
  -device edu,addr=04.0 "${extra[@]}" </dev/null &
# In the background, since a trap waits for what runs in the foreground.
qemu=$!
trap 'kill "$qemu"' TERM INT HUP
wait "$qemu" || status=$?
[ "$status" = 124 ] && { echo "boot.sh: not done after $limit s" >&2; exit 124; }
[ -s "$out/rc" ] || { tail -n 15 "$out/console" >&2 || true; echo "boot.sh: the guest died" >&2; exit 125; }
exit "$(cat "$out/rc")"
