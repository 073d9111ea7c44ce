#include "trigger.h"

#include <linux/vfio.h>

#include "capture.h"
#include "fds.h"
#include "guard.h"
#include "process.h"
#include "stream.h"

#define V1_REGIONS 64

bool reads_looked_at;
static struct {
	uint32_t handle;
	uint64_t offset;
} v1_regions[V1_REGIONS];
static uint32_t v1_count;

static void trigger_raise(uint32_t reason, uint32_t detail)
{
	uint32_t none = VRR_DUMP_NONE;
	__atomic_fetch_add(&ring->dump_count, 1, __ATOMIC_RELAXED);
	if (!__atomic_compare_exchange_n(&ring->dump_state, &none, VRR_DUMP_CLAIMED, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return; /* the dump that is to come has this call too */
	ring->dump_reason = reason;
	ring->dump_detail = detail;
	ring->dump_tid = process_tid();
	ring->dump_tick = ring_now();
	release(&ring->dump_state, VRR_DUMP_RAISED);
}

__attribute__((cold, noinline)) int64_t trigger_failed(void)
{
	int error = errno;
	if (ring && relaxed(&ring->dump_on) & VRR_TRIGGER_ERRNO && (unsigned)error < 64 * 3 &&
	    ring->dump_errnos[error / 64] >> error % 64 & 1)
		trigger_raise(VRR_TRIGGER_ERRNO, (uint32_t)error);
	return -(int64_t)error;
}

static void know_v1(uint32_t entry, uint64_t offset)
{
	uint32_t handle = fds_handle(entry), n = relaxed(&v1_count);
	for (uint32_t i = 0; i < n && i < V1_REGIONS; i++)
		if (v1_regions[i].handle == handle)
			return;
	n = __atomic_fetch_add(&v1_count, 1, __ATOMIC_RELAXED);
	if (n >= V1_REGIONS)
		return;
	v1_regions[n].offset = offset;
	release(&v1_regions[n].handle, handle);
	__atomic_store_n(&reads_looked_at, true, __ATOMIC_RELAXED);
}

/* Whether a region is the v1 migration region stands in a capability of its answer. */
static void look_for_v1(const struct capture *c, uint32_t entry)
{
	struct vfio_region_info info;
	struct vfio_region_info_cap_type cap;
	if (!capture_field(c, 0, &info, sizeof info) || !(info.flags & VFIO_REGION_INFO_FLAG_CAPS))
		return;
	uint32_t at = info.cap_offset;
	for (int i = 0; i < 64 && at >= sizeof info; i++, at = cap.header.next) {
		if (!capture_field(c, at, &cap.header, sizeof cap.header))
			return;
		if (cap.header.id == VFIO_REGION_INFO_CAP_TYPE && capture_field(c, at, &cap, sizeof cap) &&
		    cap.type == VRR_REGION_MIGRATION_TYPE && cap.subtype == VRR_REGION_MIGRATION_SUBTYPE)
			return know_v1(entry, info.offset);
	}
}

static bool asks_for_state(const struct capture *c)
{
	return (c->flags & VFIO_DEVICE_FEATURE_MASK) == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE &&
	       !(c->flags & VFIO_DEVICE_FEATURE_PROBE);
}

__attribute__((cold, noinline)) void trigger_ioctl(const struct capture *c, uint32_t entry, unsigned long request,
						   int ret)
{
	uint32_t on = relaxed(&ring->dump_on);
	if (fds_kind(entry) != VRR_KIND_DEVICE)
		return;
	int saved = errno;
	if (on & VRR_TRIGGER_RESET && (request == VFIO_DEVICE_RESET || request == VFIO_DEVICE_PCI_HOT_RESET))
		trigger_raise(VRR_TRIGGER_RESET, (uint32_t)request);
	if (on & VRR_TRIGGER_ERROR && c && ret >= 0) {
		struct vfio_device_feature_mig_state state;
		if (request == VFIO_DEVICE_GET_REGION_INFO)
			look_for_v1(c, entry);
		else if (request == VFIO_DEVICE_FEATURE && asks_for_state(c) &&
			 capture_field(c, sizeof(struct vfio_device_feature), &state, sizeof state) &&
			 state.device_state == VFIO_DEVICE_STATE_ERROR)
			trigger_raise(VRR_TRIGGER_ERROR, (uint32_t)request);
	}
	errno = saved;
}

bool trigger_is_state(uint32_t entry, uint64_t at, size_t n)
{
	if (n != sizeof(uint32_t) || fds_kind(entry) != VRR_KIND_DEVICE)
		return false;
	for (uint32_t i = 0; i < V1_REGIONS && i < relaxed(&v1_count); i++)
		if (acquire(&v1_regions[i].handle) == fds_handle(entry))
			return at == v1_regions[i].offset + offsetof(struct vfio_device_migration_info, device_state);
	return false;
}

void trigger_state(uint32_t state)
{
	if (VFIO_DEVICE_STATE_IS_ERROR(state))
		trigger_raise(VRR_TRIGGER_ERROR, 0);
}
