/* Generated from schema/ by schema/generate.ts; do not edit. */
#ifndef VFIO_RR_SCHEMA_H
#define VFIO_RR_SCHEMA_H
#include <stddef.h>
#include <stdint.h>

#define VRR_KIND_NONE 0
#define VRR_KIND_CONTAINER 1
#define VRR_KIND_GROUP 2
#define VRR_KIND_DEVICE 3
#define VRR_KIND_DATA 4
#define VRR_KIND_IOMMUFD 5
#define VRR_KIND_PGFAULT 6
#define VRR_KIND_VEVENTQ 7
#define VRR_KIND_DMABUF 8
#define VRR_KIND_EVENTFD 9
#define VRR_KIND_UNKNOWN 0xa

#define VRR_OP_IOCTL 1
#define VRR_OP_PREAD 2
#define VRR_OP_PWRITE 3
#define VRR_OP_READ 4
#define VRR_OP_WRITE 5
#define VRR_OP_OPEN 6
#define VRR_OP_CLOSE 7
#define VRR_OP_DUP 8
#define VRR_OP_MMAP 9
#define VRR_OP_MUNMAP 0xa
#define VRR_OP_MREMAP 0xb
#define VRR_OP_POLL 0xc
#define VRR_OP_SENDMSG 0xd
#define VRR_OP_RECVMSG 0xe
#define VRR_OP_FORK 0xf
#define VRR_OP_EXEC 0x10
#define VRR_OP_ATTACH 0x11
#define VRR_OP_EVENTFD 0x12
#define VRR_OP_FCNTL 0x13
#define VRR_OP_PROCESS 0x14
#define VRR_OP_LOAD 0x15
#define VRR_OP_STORE 0x16
#define VRR_OP_MPROTECT 0x17
#define VRR_OP_DMA 0x18
#define VRR_OP_KVM 0x19
#define VRR_OP_MORE 0x1e
#define VRR_OP_LOST 0x1f

#define VRR_STATE_NONE 0
#define VRR_STATE_ENTERED 1
#define VRR_STATE_DONE 2
#define VRR_FLAG_INLINE 1
#define VRR_FLAG_VECTORED 2
#define VRR_FLAG_SHORT 4
#define VRR_FLAG_HIDDEN 8
#define VRR_FLAG_MORE 0x10
#define VRR_FLAG_INFERRED 0x20
#define VRR_PHASE_IN 0
#define VRR_PHASE_OUT 1
#define VRR_CHUNK_CONTINUED 1
#define VRR_WHERE_ARG 0xffff
#define VRR_WHERE_PATH 0xfffe
#define VRR_WHERE_ARRAY 0xfffd
#define VRR_LOSS_QUOTA 1
#define VRR_LOSS_FD_RANGE 2
#define VRR_LOSS_RECORDER_GONE 3
#define VRR_LOSS_NESTING 4
#define VRR_LOSS_TOO_BIG 5
#define VRR_LOSS_MAPPED 6
#define VRR_LOSS_KIND_UNKNOWN 7
#define VRR_LOSS_PAUSED 8
#define VRR_LOSS_DMA_LIMIT 9
#define VRR_LOSS_DMA_GONE 0xa
#define VRR_LOSS_UNREADABLE 0xb
#define VRR_LOSS_RAW_UNSEEN 0xc
#define VRR_LOSS_RAW_CLONED 0xd
#define VRR_LOSS_TABLE_FULL 0xe
#define VRR_MMIO_PASS 0
#define VRR_MMIO_HIDE 1
#define VRR_MMIO_TRAP 2
#define VRR_RAW_OFF 0
#define VRR_RAW_DISPATCH 1
#define VRR_DMA_NONE 0
#define VRR_DMA_HASH 1
#define VRR_DMA_PAGES 2
#define VRR_DMA_AT_INTERRUPT 1
#define VRR_DMA_AT_UNMAP 2
#define VRR_DMA_AT_MIGRATION 3
#define VRR_DMA_AT_DOORBELL 4
#define VRR_CLOCK_TSC 1
#define VRR_CLOCK_MONOTONIC 2
#define VRR_RECORDING_OFF 0
#define VRR_RECORDING_ON 1
#define VRR_RECORDING_PAUSED 2
#define VRR_TRIGGER_ERRNO 1
#define VRR_TRIGGER_ERROR 2
#define VRR_TRIGGER_RESET 4
#define VRR_DUMP_NONE 0
#define VRR_DUMP_CLAIMED 1
#define VRR_DUMP_RAISED 2
#define VRR_CODEC_RAW 0
#define VRR_CODEC_LZ4 1
#define VRR_CODEC_HASH 2
#define VRR_CODEC_NONE 3

#define VRR_RING_MAGIC 0x31474e4952525256ULL
#define VRR_RING_VERSION 3
#define VRR_PAYLOAD_MAX 67108864u
#define VRR_ARG_MAX 1048576u
#define VRR_DOORBELLS_MAX 8
#define VRR_ENV_RING "VFIO_RR_RING"
#define VRR_ENV_PLAY "VFIO_RR_PLAY"

struct vrr_record {
	uint64_t head;
	uint64_t enter;
	uint64_t leave;
	int64_t ret;
	uint64_t a;
	uint64_t b;
	int32_t fd;
	uint32_t handle;
	uint64_t value;
};
_Static_assert(offsetof(struct vrr_record, head) == 0, "vrr_record.head");
_Static_assert(offsetof(struct vrr_record, enter) == 8, "vrr_record.enter");
_Static_assert(offsetof(struct vrr_record, leave) == 16, "vrr_record.leave");
_Static_assert(offsetof(struct vrr_record, ret) == 24, "vrr_record.ret");
_Static_assert(offsetof(struct vrr_record, a) == 32, "vrr_record.a");
_Static_assert(offsetof(struct vrr_record, b) == 40, "vrr_record.b");
_Static_assert(offsetof(struct vrr_record, fd) == 48, "vrr_record.fd");
_Static_assert(offsetof(struct vrr_record, handle) == 52, "vrr_record.handle");
_Static_assert(offsetof(struct vrr_record, value) == 56, "vrr_record.value");
_Static_assert(sizeof(struct vrr_record) == 64, "vrr_record");

struct vrr_chunk {
	uint32_t length;
	uint32_t total;
	uint16_t where;
	uint8_t phase;
	uint8_t flags;
	uint32_t pad;
};
_Static_assert(offsetof(struct vrr_chunk, length) == 0, "vrr_chunk.length");
_Static_assert(offsetof(struct vrr_chunk, total) == 4, "vrr_chunk.total");
_Static_assert(offsetof(struct vrr_chunk, where) == 8, "vrr_chunk.where");
_Static_assert(offsetof(struct vrr_chunk, phase) == 10, "vrr_chunk.phase");
_Static_assert(offsetof(struct vrr_chunk, flags) == 11, "vrr_chunk.flags");
_Static_assert(offsetof(struct vrr_chunk, pad) == 12, "vrr_chunk.pad");
_Static_assert(sizeof(struct vrr_chunk) == 16, "vrr_chunk");

struct vrr_segment {
	uint64_t ticket;
	uint32_t stream;
	uint32_t part;
	uint32_t pid;
	uint32_t tid;
	uint32_t level;
	uint32_t closed;
	uint64_t pad[4];
};
_Static_assert(offsetof(struct vrr_segment, ticket) == 0, "vrr_segment.ticket");
_Static_assert(offsetof(struct vrr_segment, stream) == 8, "vrr_segment.stream");
_Static_assert(offsetof(struct vrr_segment, part) == 12, "vrr_segment.part");
_Static_assert(offsetof(struct vrr_segment, pid) == 16, "vrr_segment.pid");
_Static_assert(offsetof(struct vrr_segment, tid) == 20, "vrr_segment.tid");
_Static_assert(offsetof(struct vrr_segment, level) == 24, "vrr_segment.level");
_Static_assert(offsetof(struct vrr_segment, closed) == 28, "vrr_segment.closed");
_Static_assert(offsetof(struct vrr_segment, pad) == 32, "vrr_segment.pad");
_Static_assert(sizeof(struct vrr_segment) == 64, "vrr_segment");

struct vrr_ring {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size;
	uint32_t segment_size;
	uint32_t segment_count;
	uint32_t mmio;
	uint32_t clock;
	uint64_t clock_start;
	uint64_t clock_hz;
	uint64_t mono_start;
	uint64_t real_start;
	uint32_t flags;
	uint32_t recorder_pid;
	uint32_t dma;
	uint32_t doorbells;
	uint64_t dma_limit;
	uint64_t seccomp_filters;
	uint32_t raw;
	uint32_t pad_raw;
	uint64_t pad0[2];
	uint64_t taken;
	uint64_t pad1[7];
	uint64_t given;
	uint64_t heartbeat;
	uint64_t populated;
	uint32_t recording;
	uint32_t spare;
	uint64_t pad2[4];
	uint32_t next_handle;
	uint32_t next_stream;
	uint64_t lost[16];
	uint64_t waits;
	uint64_t wait_ticks;
	uint64_t pad3[5];
	uint32_t dump_on;
	uint32_t dump_state;
	uint64_t dump_errnos[3];
	uint32_t dump_reason;
	uint32_t dump_detail;
	uint32_t dump_tid;
	uint32_t pad4;
	uint64_t dump_tick;
	uint64_t dump_count;
	uint32_t doorbell_region[8];
	uint32_t doorbell_size[8];
	uint64_t doorbell_offset[8];
};
_Static_assert(offsetof(struct vrr_ring, magic) == 0, "vrr_ring.magic");
_Static_assert(offsetof(struct vrr_ring, version) == 8, "vrr_ring.version");
_Static_assert(offsetof(struct vrr_ring, header_size) == 12, "vrr_ring.header_size");
_Static_assert(offsetof(struct vrr_ring, segment_size) == 16, "vrr_ring.segment_size");
_Static_assert(offsetof(struct vrr_ring, segment_count) == 20, "vrr_ring.segment_count");
_Static_assert(offsetof(struct vrr_ring, mmio) == 24, "vrr_ring.mmio");
_Static_assert(offsetof(struct vrr_ring, clock) == 28, "vrr_ring.clock");
_Static_assert(offsetof(struct vrr_ring, clock_start) == 32, "vrr_ring.clock_start");
_Static_assert(offsetof(struct vrr_ring, clock_hz) == 40, "vrr_ring.clock_hz");
_Static_assert(offsetof(struct vrr_ring, mono_start) == 48, "vrr_ring.mono_start");
_Static_assert(offsetof(struct vrr_ring, real_start) == 56, "vrr_ring.real_start");
_Static_assert(offsetof(struct vrr_ring, flags) == 64, "vrr_ring.flags");
_Static_assert(offsetof(struct vrr_ring, recorder_pid) == 68, "vrr_ring.recorder_pid");
_Static_assert(offsetof(struct vrr_ring, dma) == 72, "vrr_ring.dma");
_Static_assert(offsetof(struct vrr_ring, doorbells) == 76, "vrr_ring.doorbells");
_Static_assert(offsetof(struct vrr_ring, dma_limit) == 80, "vrr_ring.dma_limit");
_Static_assert(offsetof(struct vrr_ring, seccomp_filters) == 88, "vrr_ring.seccomp_filters");
_Static_assert(offsetof(struct vrr_ring, raw) == 96, "vrr_ring.raw");
_Static_assert(offsetof(struct vrr_ring, pad_raw) == 100, "vrr_ring.pad_raw");
_Static_assert(offsetof(struct vrr_ring, pad0) == 104, "vrr_ring.pad0");
_Static_assert(offsetof(struct vrr_ring, taken) == 120, "vrr_ring.taken");
_Static_assert(offsetof(struct vrr_ring, pad1) == 128, "vrr_ring.pad1");
_Static_assert(offsetof(struct vrr_ring, given) == 184, "vrr_ring.given");
_Static_assert(offsetof(struct vrr_ring, heartbeat) == 192, "vrr_ring.heartbeat");
_Static_assert(offsetof(struct vrr_ring, populated) == 200, "vrr_ring.populated");
_Static_assert(offsetof(struct vrr_ring, recording) == 208, "vrr_ring.recording");
_Static_assert(offsetof(struct vrr_ring, spare) == 212, "vrr_ring.spare");
_Static_assert(offsetof(struct vrr_ring, pad2) == 216, "vrr_ring.pad2");
_Static_assert(offsetof(struct vrr_ring, next_handle) == 248, "vrr_ring.next_handle");
_Static_assert(offsetof(struct vrr_ring, next_stream) == 252, "vrr_ring.next_stream");
_Static_assert(offsetof(struct vrr_ring, lost) == 256, "vrr_ring.lost");
_Static_assert(offsetof(struct vrr_ring, waits) == 384, "vrr_ring.waits");
_Static_assert(offsetof(struct vrr_ring, wait_ticks) == 392, "vrr_ring.wait_ticks");
_Static_assert(offsetof(struct vrr_ring, pad3) == 400, "vrr_ring.pad3");
_Static_assert(offsetof(struct vrr_ring, dump_on) == 440, "vrr_ring.dump_on");
_Static_assert(offsetof(struct vrr_ring, dump_state) == 444, "vrr_ring.dump_state");
_Static_assert(offsetof(struct vrr_ring, dump_errnos) == 448, "vrr_ring.dump_errnos");
_Static_assert(offsetof(struct vrr_ring, dump_reason) == 472, "vrr_ring.dump_reason");
_Static_assert(offsetof(struct vrr_ring, dump_detail) == 476, "vrr_ring.dump_detail");
_Static_assert(offsetof(struct vrr_ring, dump_tid) == 480, "vrr_ring.dump_tid");
_Static_assert(offsetof(struct vrr_ring, pad4) == 484, "vrr_ring.pad4");
_Static_assert(offsetof(struct vrr_ring, dump_tick) == 488, "vrr_ring.dump_tick");
_Static_assert(offsetof(struct vrr_ring, dump_count) == 496, "vrr_ring.dump_count");
_Static_assert(offsetof(struct vrr_ring, doorbell_region) == 504, "vrr_ring.doorbell_region");
_Static_assert(offsetof(struct vrr_ring, doorbell_size) == 536, "vrr_ring.doorbell_size");
_Static_assert(offsetof(struct vrr_ring, doorbell_offset) == 568, "vrr_ring.doorbell_offset");
_Static_assert(sizeof(struct vrr_ring) == 632, "vrr_ring");

/* KVM's requests that take eventfds (schema/kvm.ts). */
#define VRR_KVM_TYPE 0xae
#define VRR_KVM_IRQFD 0x4020ae76u
#define VRR_KVM_IOEVENTFD 0x4040ae79u
struct vrr_kvm_irqfd {
	int32_t fd;
	uint32_t gsi;
	uint32_t flags;
	uint32_t resamplefd;
	uint8_t pad[16];
};
_Static_assert(offsetof(struct vrr_kvm_irqfd, fd) == 0, "vrr_kvm_irqfd.fd");
_Static_assert(offsetof(struct vrr_kvm_irqfd, gsi) == 4, "vrr_kvm_irqfd.gsi");
_Static_assert(offsetof(struct vrr_kvm_irqfd, flags) == 8, "vrr_kvm_irqfd.flags");
_Static_assert(offsetof(struct vrr_kvm_irqfd, resamplefd) == 12, "vrr_kvm_irqfd.resamplefd");
_Static_assert(offsetof(struct vrr_kvm_irqfd, pad) == 16, "vrr_kvm_irqfd.pad");
_Static_assert(sizeof(struct vrr_kvm_irqfd) == 32, "vrr_kvm_irqfd");

struct vrr_kvm_ioeventfd {
	uint64_t datamatch;
	uint64_t addr;
	uint32_t len;
	int32_t fd;
	uint32_t flags;
	uint8_t pad[36];
};
_Static_assert(offsetof(struct vrr_kvm_ioeventfd, datamatch) == 0, "vrr_kvm_ioeventfd.datamatch");
_Static_assert(offsetof(struct vrr_kvm_ioeventfd, addr) == 8, "vrr_kvm_ioeventfd.addr");
_Static_assert(offsetof(struct vrr_kvm_ioeventfd, len) == 16, "vrr_kvm_ioeventfd.len");
_Static_assert(offsetof(struct vrr_kvm_ioeventfd, fd) == 20, "vrr_kvm_ioeventfd.fd");
_Static_assert(offsetof(struct vrr_kvm_ioeventfd, flags) == 24, "vrr_kvm_ioeventfd.flags");
_Static_assert(offsetof(struct vrr_kvm_ioeventfd, pad) == 28, "vrr_kvm_ioeventfd.pad");
_Static_assert(sizeof(struct vrr_kvm_ioeventfd) == 64, "vrr_kvm_ioeventfd");
#define VRR_KVM_IRQFD_DEASSIGN 1
#define VRR_KVM_IRQFD_RESAMPLE 2
#define VRR_KVM_IOEVENTFD_DATAMATCH 1
#define VRR_KVM_IOEVENTFD_PIO 2
#define VRR_KVM_IOEVENTFD_DEASSIGN 4

#define VRR_REGION_FLAG_READ 1
#define VRR_REGION_FLAG_WRITE 2
#define VRR_REGION_FLAG_MMAP 4
#define VRR_REGION_FLAG_CAPS 8
#define VRR_REGION_CAP_SPARSE_MMAP 1
#define VRR_REGION_CAP_TYPE 2
#define VRR_REGION_CAP_MSIX_MAPPABLE 3
#define VRR_REGION_CAP_MIG_NDMA 6
#define VRR_REGION_MIGRATION_TYPE 3
#define VRR_REGION_MIGRATION_SUBTYPE 1
#define VRR_IRQ_SET_DATA_NONE 1
#define VRR_IRQ_SET_DATA_BOOL 2
#define VRR_IRQ_SET_DATA_EVENTFD 4
#define VRR_IRQ_SET_ACTION_MASK 8
#define VRR_IRQ_SET_ACTION_UNMASK 0x10
#define VRR_IRQ_SET_ACTION_TRIGGER 0x20
#define VRR_CAP_HEADER_SIZE 8

/* X(prefix, exact, kind): the first that matches a path given to open() */
#define VRR_PATHS(X) \
	X("/dev/vfio/vfio", 1, 1) \
	X("/dev/vfio/devices/", 0, 3) \
	X("/dev/vfio/", 0, 2) \
	X("/dev/iommu", 1, 5) \
	/* end */
/* X(name, kind): targets "anon_inode:NAME" of /proc/self/fd links */
#define VRR_ANON_INODES(X) \
	X("[vfio-device]", 3) \
	X("[eventfd]", 9) \
	X("[iommufd-pgfault]", 6) \
	X("[iommufd-viommu-event]", 7) \
	X("mlx5vf_mig", 4) \
	X("hisi_acc_vf_mig", 4) \
	X("pds_vfio_lm", 4) \
	X("qat_vf_mig", 4) \
	X("virtiovf_mig", 4) \
	X("xe_vfio_mig", 4) \
	X("mtty_mig", 4) \
	/* end */

/* Bytes behind a pointer in an argument. rule 0: scale * x * y; rule 1: dirty bitmap, ceil(x / y / 64) * 8.
 * x, y are fields at x_at, y_at of x_size, y_size bytes (size 0: factor 1). dir: 1 in, 2 out. Only if
 * (u32 at when_at & when_mask) == when_equals. */
struct vrr_pointer {
	uint16_t at;
	uint8_t dir, rule;
	uint16_t x_at;
	uint8_t x_size;
	uint16_t y_at;
	uint8_t y_size;
	uint32_t scale;
	uint16_t when_at;
	uint32_t when_mask, when_equals;
};
#define VRR_POINTERS { \
	{ 40, 3, 0, 32, 8, 0, 0, 1, 4, 1, 1 }, \
	{ 40, 3, 0, 32, 8, 0, 0, 1, 4, 4, 4 }, \
	{ 16, 1, 0, 0, 0, 0, 0, 16, 4, 1, 1 }, \
	{ 16, 1, 0, 8, 4, 0, 0, 16, 0, 0, 0 }, \
	{ 16, 2, 0, 8, 4, 0, 0, 16, 0, 0, 0 }, \
	{ 32, 1, 0, 28, 4, 0, 0, 1, 0, 0, 0 }, \
	{ 16, 2, 0, 12, 4, 0, 0, 1, 0, 0, 0 }, \
	{ 40, 3, 1, 24, 8, 32, 8, 1, 0, 0, 0 }, \
	{ 8, 3, 0, 20, 4, 24, 4, 1, 0, 0, 0 }, \
	{ 32, 3, 0, 24, 4, 0, 0, 1, 0, 0, 0 }, \
	{ 24, 1, 0, 16, 4, 0, 0, 16, 0, 0, 0 }, \
	{ 32, 3, 1, 16, 8, 24, 8, 1, 0, 0, 0 }, \
}

/* arg: 0 none, 1 value, 2 string (size: longest), 3 one scalar of size bytes, 4 structure whose first u32 is its size
 * (min: least, size: as in the 7.2 header). makes: kind of descriptor that the call makes, at makes_at of the argument
 * (VRR_AT_RETURN: its result; VRR_NOWHERE: none). */
#define VRR_ARG_NONE 0
#define VRR_ARG_VALUE 1
#define VRR_ARG_STRING 2
#define VRR_ARG_SCALAR 3
#define VRR_ARG_STRUCT 4
#define VRR_NOWHERE 65535
#define VRR_AT_RETURN 65534
/* X(name, kind, request, arg, min, size, first_pointer, pointers, makes, makes_at) */
#define VRR_CALLS(X) \
	X(VFIO_GET_API_VERSION, 1, 0x3b64, 0, 0, 0, 0, 0, 0, 65535) \
	X(VFIO_CHECK_EXTENSION, 1, 0x3b65, 1, 0, 0, 0, 0, 0, 65535) \
	X(VFIO_SET_IOMMU, 1, 0x3b66, 1, 0, 0, 0, 0, 0, 65535) \
	X(VFIO_IOMMU_GET_INFO, 1, 0x3b70, 4, 16, 24, 0, 0, 0, 65535) \
	X(VFIO_IOMMU_MAP_DMA, 1, 0x3b71, 4, 32, 32, 0, 0, 0, 65535) \
	X(VFIO_IOMMU_UNMAP_DMA, 1, 0x3b72, 4, 24, 24, 0, 1, 0, 65535) \
	X(VFIO_IOMMU_ENABLE, 1, 0x3b73, 0, 0, 0, 1, 0, 0, 65535) \
	X(VFIO_IOMMU_DISABLE, 1, 0x3b74, 0, 0, 0, 1, 0, 0, 65535) \
	X(VFIO_IOMMU_DIRTY_PAGES, 1, 0x3b75, 4, 8, 8, 1, 1, 0, 65535) \
	X(VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, 1, 0x3b76, 4, 24, 24, 2, 0, 0, 65535) \
	X(VFIO_IOMMU_SPAPR_TCE_CREATE, 1, 0x3b77, 4, 40, 40, 2, 0, 0, 65535) \
	X(VFIO_IOMMU_SPAPR_TCE_REMOVE, 1, 0x3b78, 4, 16, 16, 2, 0, 0, 65535) \
	X(VFIO_EEH_PE_OP, 1, 0x3b79, 4, 12, 12, 2, 0, 0, 65535) \
	X(VFIO_GROUP_GET_STATUS, 2, 0x3b67, 4, 8, 8, 2, 0, 0, 65535) \
	X(VFIO_GROUP_SET_CONTAINER, 2, 0x3b68, 3, 4, 4, 2, 0, 0, 65535) \
	X(VFIO_GROUP_UNSET_CONTAINER, 2, 0x3b69, 0, 0, 0, 2, 0, 0, 65535) \
	X(VFIO_GROUP_GET_DEVICE_FD, 2, 0x3b6a, 2, 0, 4096, 2, 0, 3, 65534) \
	X(VFIO_DEVICE_GET_INFO, 3, 0x3b6b, 4, 16, 24, 2, 0, 0, 65535) \
	X(VFIO_DEVICE_GET_REGION_INFO, 3, 0x3b6c, 4, 32, 32, 2, 0, 0, 65535) \
	X(VFIO_DEVICE_GET_IRQ_INFO, 3, 0x3b6d, 4, 16, 16, 2, 0, 0, 65535) \
	X(VFIO_DEVICE_SET_IRQS, 3, 0x3b6e, 4, 20, 20, 2, 0, 0, 65535) \
	X(VFIO_DEVICE_RESET, 3, 0x3b6f, 0, 0, 0, 2, 0, 0, 65535) \
	X(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 3, 0x3b70, 4, 12, 12, 2, 0, 0, 65535) \
	X(VFIO_DEVICE_PCI_HOT_RESET, 3, 0x3b71, 4, 12, 12, 2, 0, 0, 65535) \
	X(VFIO_DEVICE_QUERY_GFX_PLANE, 3, 0x3b72, 4, 60, 64, 2, 0, 0, 65535) \
	X(VFIO_DEVICE_GET_GFX_DMABUF, 3, 0x3b73, 3, 4, 4, 2, 0, 8, 65534) \
	X(VFIO_DEVICE_IOEVENTFD, 3, 0x3b74, 4, 28, 32, 2, 0, 0, 65535) \
	X(VFIO_DEVICE_FEATURE, 3, 0x3b75, 4, 8, 8, 2, 0, 0, 65535) \
	X(VFIO_DEVICE_BIND_IOMMUFD, 3, 0x3b76, 4, 16, 24, 2, 1, 0, 65535) \
	X(VFIO_DEVICE_ATTACH_IOMMUFD_PT, 3, 0x3b77, 4, 12, 16, 3, 0, 0, 65535) \
	X(VFIO_DEVICE_DETACH_IOMMUFD_PT, 3, 0x3b78, 4, 8, 12, 3, 0, 0, 65535) \
	X(VFIO_MIG_GET_PRECOPY_INFO, 4, 0x3b79, 4, 24, 24, 3, 0, 0, 65535) \
	X(IOMMU_DESTROY, 5, 0x3b80, 4, 8, 8, 3, 0, 0, 65535) \
	X(IOMMU_IOAS_ALLOC, 5, 0x3b81, 4, 12, 12, 3, 0, 0, 65535) \
	X(IOMMU_IOAS_ALLOW_IOVAS, 5, 0x3b82, 4, 24, 24, 3, 1, 0, 65535) \
	X(IOMMU_IOAS_COPY, 5, 0x3b83, 4, 40, 40, 4, 0, 0, 65535) \
	X(IOMMU_IOAS_IOVA_RANGES, 5, 0x3b84, 4, 32, 32, 4, 1, 0, 65535) \
	X(IOMMU_IOAS_MAP, 5, 0x3b85, 4, 40, 40, 5, 0, 0, 65535) \
	X(IOMMU_IOAS_UNMAP, 5, 0x3b86, 4, 24, 24, 5, 0, 0, 65535) \
	X(IOMMU_OPTION, 5, 0x3b87, 4, 24, 24, 5, 0, 0, 65535) \
	X(IOMMU_VFIO_IOAS, 5, 0x3b88, 4, 12, 12, 5, 0, 0, 65535) \
	X(IOMMU_HWPT_ALLOC, 5, 0x3b89, 4, 24, 48, 5, 1, 0, 65535) \
	X(IOMMU_GET_HW_INFO, 5, 0x3b8a, 4, 32, 40, 6, 1, 0, 65535) \
	X(IOMMU_HWPT_SET_DIRTY_TRACKING, 5, 0x3b8b, 4, 16, 16, 7, 0, 0, 65535) \
	X(IOMMU_HWPT_GET_DIRTY_BITMAP, 5, 0x3b8c, 4, 48, 48, 7, 1, 0, 65535) \
	X(IOMMU_HWPT_INVALIDATE, 5, 0x3b8d, 4, 32, 32, 8, 1, 0, 65535) \
	X(IOMMU_FAULT_QUEUE_ALLOC, 5, 0x3b8e, 4, 16, 16, 9, 0, 6, 12) \
	X(IOMMU_IOAS_MAP_FILE, 5, 0x3b8f, 4, 40, 40, 9, 0, 0, 65535) \
	X(IOMMU_VIOMMU_ALLOC, 5, 0x3b90, 4, 24, 40, 9, 1, 0, 65535) \
	X(IOMMU_VDEVICE_ALLOC, 5, 0x3b91, 4, 24, 24, 10, 0, 0, 65535) \
	X(IOMMU_IOAS_CHANGE_PROCESS, 5, 0x3b92, 4, 8, 8, 10, 0, 0, 65535) \
	X(IOMMU_VEVENTQ_ALLOC, 5, 0x3b93, 4, 28, 32, 10, 0, 7, 24) \
	X(IOMMU_HW_QUEUE_ALLOC, 5, 0x3b94, 4, 40, 40, 10, 0, 0, 65535) \
	/* end */

/* X(name, id, size of data[], first_pointer, pointers, makes, makes_at); offsets count from the argument's start. */
#define VRR_FEATURES(X) \
	X(PCI_VF_TOKEN, 0, 16, 10, 0, 0, 65535) \
	X(MIGRATION, 1, 8, 10, 0, 0, 65535) \
	X(MIG_DEVICE_STATE, 2, 8, 10, 0, 4, 12) \
	X(LOW_POWER_ENTRY, 3, 0, 10, 0, 0, 65535) \
	X(LOW_POWER_ENTRY_WITH_WAKEUP, 4, 8, 10, 0, 0, 65535) \
	X(LOW_POWER_EXIT, 5, 0, 10, 0, 0, 65535) \
	X(DMA_LOGGING_START, 6, 24, 10, 1, 0, 65535) \
	X(DMA_LOGGING_STOP, 7, 0, 11, 0, 0, 65535) \
	X(DMA_LOGGING_REPORT, 8, 32, 11, 1, 0, 65535) \
	X(MIG_DATA_SIZE, 9, 8, 12, 0, 0, 65535) \
	X(BUS_MASTER, 10, 4, 12, 0, 0, 65535) \
	X(DMA_BUF, 11, 16, 12, 0, 8, 65534) \
	X(MIG_PRECOPY_INFOv2, 12, 0, 12, 0, 0, 65535) \
	/* end */

/* The agent's protocol (schema/agent.ts). */
#define VRR_AGENT_VERSION 1
#define VRR_AGENT_HELLO 0xffffffffu
#define VRR_AGENT_FRAME_MAX 83886080u
#define VRR_AGENT_RET 0xffffffffu
#define VRR_AGENT_OP_MEMORY 0x64
#define VRR_AGENT_OP_FREE 0x65
#define VRR_AGENT_OP_SLEEP 0x66
#define VRR_AGENT_OP_PEEK 0x67
#define VRR_AGENT_OP_POKE 0x68
#define VRR_AGENT_OP_LINK 0x69
#define VRR_AGENT_OP_LIST 0x6a
#define VRR_AGENT_FLAG_UNTIL 1
#define VRR_AGENT_FLAG_FAULT 2
#define VRR_AGENT_PART_ARG 1
#define VRR_AGENT_PART_BUFFER 2
#define VRR_AGENT_PART_ZEROES 3
#define VRR_AGENT_PART_FD 4
#define VRR_AGENT_PART_ID 5
#define VRR_AGENT_PART_ADDRESS 6
#define VRR_AGENT_PART_KEEP_FD 7
#define VRR_AGENT_PART_KEEP_ID 8
#define VRR_AGENT_PART_KEEP_MEMORY 9
struct agent_request {
	uint32_t size;
	uint16_t op;
	uint16_t flags;
	uint32_t tag;
	uint32_t subject;
	uint64_t a;
	uint64_t b;
	uint32_t timeout;
	uint32_t parts;
};
_Static_assert(offsetof(struct agent_request, size) == 0, "agent_request.size");
_Static_assert(offsetof(struct agent_request, op) == 4, "agent_request.op");
_Static_assert(offsetof(struct agent_request, flags) == 6, "agent_request.flags");
_Static_assert(offsetof(struct agent_request, tag) == 8, "agent_request.tag");
_Static_assert(offsetof(struct agent_request, subject) == 12, "agent_request.subject");
_Static_assert(offsetof(struct agent_request, a) == 16, "agent_request.a");
_Static_assert(offsetof(struct agent_request, b) == 24, "agent_request.b");
_Static_assert(offsetof(struct agent_request, timeout) == 32, "agent_request.timeout");
_Static_assert(offsetof(struct agent_request, parts) == 36, "agent_request.parts");
_Static_assert(sizeof(struct agent_request) == 40, "agent_request");

struct agent_part {
	uint16_t type;
	uint16_t pad;
	uint32_t at;
	uint32_t slot;
	uint32_t length;
};
_Static_assert(offsetof(struct agent_part, type) == 0, "agent_part.type");
_Static_assert(offsetof(struct agent_part, pad) == 2, "agent_part.pad");
_Static_assert(offsetof(struct agent_part, at) == 4, "agent_part.at");
_Static_assert(offsetof(struct agent_part, slot) == 8, "agent_part.slot");
_Static_assert(offsetof(struct agent_part, length) == 12, "agent_part.length");
_Static_assert(sizeof(struct agent_part) == 16, "agent_part");

struct agent_reply {
	uint32_t size;
	uint32_t tag;
	int64_t ret;
	uint64_t duration;
	uint32_t parts;
	uint32_t pad;
};
_Static_assert(offsetof(struct agent_reply, size) == 0, "agent_reply.size");
_Static_assert(offsetof(struct agent_reply, tag) == 4, "agent_reply.tag");
_Static_assert(offsetof(struct agent_reply, ret) == 8, "agent_reply.ret");
_Static_assert(offsetof(struct agent_reply, duration) == 16, "agent_reply.duration");
_Static_assert(offsetof(struct agent_reply, parts) == 24, "agent_reply.parts");
_Static_assert(offsetof(struct agent_reply, pad) == 28, "agent_reply.pad");
_Static_assert(sizeof(struct agent_reply) == 32, "agent_reply");

/* The play transport (schema/play.ts). */
#define VRR_PLAY_VERSION 1
#define VRR_PLAY_REQUEST_MAX 4096
#define VRR_PLAY_INLINE_MAX 3072
#define VRR_PLAY_SIGNALS_MAX 64
#define VRR_PLAY_FLAG_INSTALL 1
#define VRR_PLAY_FLAG_TRAP 2
#define VRR_PLAY_OP_HELLO 1
#define VRR_PLAY_OP_OPEN 2
#define VRR_PLAY_OP_IOCTL 3
#define VRR_PLAY_OP_PREAD 4
#define VRR_PLAY_OP_PWRITE 5
#define VRR_PLAY_OP_READ 6
#define VRR_PLAY_OP_WRITE 7
#define VRR_PLAY_OP_CLOSE 8
#define VRR_PLAY_OP_MMAP 9
#define VRR_PLAY_OP_SENT 0xa
#define VRR_PLAY_OP_WAIT 0xb
#define VRR_PLAY_OP_INSTALLED 0xe
#define VRR_PLAY_OP_UNMAP 0xf
#define VRR_PLAY_OP_TICK 0xc
#define VRR_PLAY_OP_END 0xd
struct play_request {
	uint32_t size;
	uint16_t op;
	uint16_t pad;
	uint32_t pid;
	uint32_t tid;
	uint32_t seq;
	uint32_t handle;
	int32_t fd;
	uint32_t length;
	uint64_t a;
	uint64_t b;
	uint64_t c;
	uint64_t d;
};
_Static_assert(offsetof(struct play_request, size) == 0, "play_request.size");
_Static_assert(offsetof(struct play_request, op) == 4, "play_request.op");
_Static_assert(offsetof(struct play_request, pad) == 6, "play_request.pad");
_Static_assert(offsetof(struct play_request, pid) == 8, "play_request.pid");
_Static_assert(offsetof(struct play_request, tid) == 12, "play_request.tid");
_Static_assert(offsetof(struct play_request, seq) == 16, "play_request.seq");
_Static_assert(offsetof(struct play_request, handle) == 20, "play_request.handle");
_Static_assert(offsetof(struct play_request, fd) == 24, "play_request.fd");
_Static_assert(offsetof(struct play_request, length) == 28, "play_request.length");
_Static_assert(offsetof(struct play_request, a) == 32, "play_request.a");
_Static_assert(offsetof(struct play_request, b) == 40, "play_request.b");
_Static_assert(offsetof(struct play_request, c) == 48, "play_request.c");
_Static_assert(offsetof(struct play_request, d) == 56, "play_request.d");
_Static_assert(sizeof(struct play_request) == 64, "play_request");

struct play_reply {
	uint32_t size;
	uint32_t seq;
	int64_t ret;
	uint32_t signals;
	uint16_t kind;
	uint16_t flags;
	uint32_t handle;
	uint32_t length;
};
_Static_assert(offsetof(struct play_reply, size) == 0, "play_reply.size");
_Static_assert(offsetof(struct play_reply, seq) == 4, "play_reply.seq");
_Static_assert(offsetof(struct play_reply, ret) == 8, "play_reply.ret");
_Static_assert(offsetof(struct play_reply, signals) == 16, "play_reply.signals");
_Static_assert(offsetof(struct play_reply, kind) == 20, "play_reply.kind");
_Static_assert(offsetof(struct play_reply, flags) == 22, "play_reply.flags");
_Static_assert(offsetof(struct play_reply, handle) == 24, "play_reply.handle");
_Static_assert(offsetof(struct play_reply, length) == 28, "play_reply.length");
_Static_assert(sizeof(struct play_reply) == 32, "play_reply");

#endif
