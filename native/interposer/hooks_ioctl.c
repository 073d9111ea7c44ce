/* ioctl, and what follows from its answer: descriptors that it made, eventfds that it was given, mmap that is hidden.
 */
#include <linux/iommufd.h>
#include <linux/vfio.h>

#include "brief.h"
#include "capture.h"
#include "dma.h"
#include "fds.h"
#include "guard.h"
#include "kvm.h"
#include "mappings.h"
#include "real.h"

static void arm_at(const struct capture *c, size_t at)
{
	int32_t fd;
	if (capture_field(c, at, &fd, sizeof fd) && fd >= 0)
		fds_arm(fd);
}

static void arm(const struct capture *c, unsigned long request)
{
	if (request == VFIO_DEVICE_SET_IRQS) {
		struct vfio_irq_set set;
		if (!capture_field(c, 0, &set, sizeof set) || !(set.flags & VFIO_IRQ_SET_DATA_EVENTFD))
			return;
		for (size_t i = 0; i < set.count && sizeof set + i * 4 < c->size; i++)
			arm_at(c, sizeof set + i * 4);
	} else if (request == VFIO_DEVICE_IOEVENTFD) {
		arm_at(c, offsetof(struct vfio_device_ioeventfd, fd));
	} else if (request == VFIO_DEVICE_FEATURE && c->flags & VFIO_DEVICE_FEATURE_SET &&
		   (c->flags & VFIO_DEVICE_FEATURE_MASK) == VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP) {
		arm_at(c, sizeof(struct vfio_device_feature) +
				  offsetof(struct vfio_device_low_power_entry_with_wakeup, wakeup_eventfd));
	}
}

/* Takes one link out of the capability chain; `link` is the offset of the field that leads to the next capability. */
static void unlink_sparse(char *info, size_t size)
{
	size_t link = offsetof(struct vfio_region_info, cap_offset);
	for (int i = 0; i < 64; i++) {
		uint32_t at;
		struct vfio_info_cap_header cap;
		if (guard_copy(&at, info + link, sizeof at) || at < sizeof(struct vfio_region_info) ||
		    at > size - sizeof cap || guard_copy(&cap, info + at, sizeof cap))
			return;
		if (cap.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP)
			guard_copy(info + link, &cap.next, sizeof cap.next);
		else
			link = at + offsetof(struct vfio_info_cap_header, next);
	}
}

/* The program gets the answer of a region that cannot be mapped, and reads and writes it by calls that we see. */
static bool hide(const struct capture *c)
{
	struct vfio_region_info info;
	if (!capture_field(c, 0, &info, sizeof info) || !(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return false;
	char *to = (char *)(uintptr_t)c->argument;
	if (info.flags & VFIO_REGION_INFO_FLAG_CAPS && info.cap_offset)
		unlink_sparse(to, c->size);
	info.flags &= ~(uint32_t)VFIO_REGION_INFO_FLAG_MMAP;
	uint32_t first = 0;
	guard_copy(&first, to + offsetof(struct vfio_region_info, cap_offset), sizeof first);
	if (info.cap_offset && !first)
		info.flags &= ~(uint32_t)VFIO_REGION_INFO_FLAG_CAPS;
	guard_copy(to + offsetof(struct vfio_region_info, flags), &info.flags, sizeof info.flags);
	return true;
}

/* Memory that devices reach from now on, or no more. */
static void follow_dma(const struct capture *c, uint32_t entry, unsigned long request)
{
	union {
		struct vfio_iommu_type1_dma_map map;
		struct vfio_iommu_type1_dma_unmap unmap;
		struct iommu_ioas_map ioas_map;
		struct iommu_ioas_unmap ioas_unmap;
	} u;
	if (request == VFIO_IOMMU_MAP_DMA && capture_field(c, 0, &u.map, sizeof u.map))
		mappings_pin(entry, u.map.vaddr, u.map.size, u.map.iova);
	else if (request == VFIO_IOMMU_UNMAP_DMA && capture_field(c, 0, &u.unmap, sizeof u.unmap))
		mappings_unpin(entry, u.unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL ? 0 : u.unmap.iova,
			       u.unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL ? UINT64_MAX : u.unmap.size);
	else if (request == IOMMU_IOAS_MAP && capture_field(c, 0, &u.ioas_map, sizeof u.ioas_map))
		mappings_pin(entry, u.ioas_map.user_va, u.ioas_map.length, u.ioas_map.iova);
	else if (request == IOMMU_IOAS_UNMAP && capture_field(c, 0, &u.ioas_unmap, sizeof u.ioas_unmap))
		mappings_unpin(entry, u.ioas_unmap.iova, u.ioas_unmap.length);
}

/* A request whose argument is a number, or none: then the register held whatever it did. */
static inline int recorded_briefly(int fd, uint32_t entry, unsigned long request, void *argument, bool none)
{
	struct brief b = brief_enter(VRR_OP_IOCTL, fd, entry, request, none ? 0 : (uint64_t)(uintptr_t)argument, 0, 0);
	int ret = REAL(ioctl)(fd, request, argument);
	brief_leave(&b, rec_result(ret), 0, 0);
	if (unlikely(ring->dump_on))
		trigger_ioctl(NULL, entry, request, ret);
	return ret;
}

static __attribute__((noinline)) int recorded_whole(int fd, uint32_t entry, unsigned long request, void *argument,
						    const struct capture_call *call)
{
	struct capture c;
	struct rec r;
	capture_plan(&c, call, fds_kind(entry), request, argument);
	if (unlikely(dma_on))
		dma_before(&c, entry, request);
	size_t room = capture_room(&c, false);
	rec_begin(&r, VRR_OP_IOCTL, fd, entry, request, (uint64_t)(uintptr_t)argument,
		  (uint32_t)(room < VRR_PAYLOAD_MAX ? room : VRR_PAYLOAD_MAX));
	if (r.record)
		capture_before(&c, &r);
	rec_enter(&r, capture_room(&c, true));
	int ret = REAL(ioctl)(fd, request, argument);
	if (r.record) {
		rec_leave(&r, rec_result(ret));
		if (r.record)
			capture_after(&c, &r, ret >= 0);
	}
	if (unlikely(ring->dump_on))
		trigger_ioctl(&c, entry, request, ret);
	uint64_t value = 0;
	if (ret >= 0) {
		int32_t made = -1;
		if (c.makes && c.makes_at == VRR_AT_RETURN)
			made = ret;
		else if (c.makes && c.makes_at != VRR_NOWHERE && !capture_field(&c, c.makes_at, &made, sizeof made))
			made = -1;
		if (made >= 0)
			value = fds_value(fds_make(made, c.makes));
		if (fds_kind(entry) == VRR_KIND_CONTAINER || fds_kind(entry) == VRR_KIND_IOMMUFD)
			follow_dma(&c, entry, request);
		if (fds_kind(entry) == VRR_KIND_DEVICE) {
			arm(&c, request);
			if (unlikely(dma_on) && request == VFIO_DEVICE_GET_REGION_INFO)
				dma_region(&c, entry);
			if (request == VFIO_DEVICE_GET_REGION_INFO && ring->mmio == VRR_MMIO_HIDE && hide(&c))
				r.flags |= VRR_FLAG_HIDDEN;
		}
	}
	rec_end(&r, value);
	return ret;
}

static inline int recorded(int fd, uint32_t entry, unsigned long request, void *argument)
{
	const struct capture_call *call = capture_call(fds_kind(entry), request);
	bool foreign = _IOC_TYPE(request) != VFIO_TYPE;
	if (foreign ? _IOC_DIR(request) == _IOC_NONE : capture_bare(call))
		return recorded_briefly(fd, entry, request, argument, !foreign && call->arg == VRR_ARG_NONE);
	return recorded_whole(fd, entry, request, argument, call);
}

/* A request of VFIO's or KVM's on a descriptor that is not recorded. */
__attribute__((noinline)) static int looked_at(int fd, uint32_t entry, unsigned long request, void *argument)
{
	if (kvm_takes_eventfd(request))
		return kvm_ioctl(fd, request, argument);
	if (_IOC_TYPE(request) == VFIO_TYPE && (!entry || fds_kind(entry) == FD_CANDIDATE) && ring) {
		bool inferred;
		uint32_t found = fds_judge(fd, entry, request, &inferred);
		if (found) {
			int ret = recorded(fd, found, request, argument);
			if (ret < 0 && inferred && (errno == ENOTTY || errno == EBADF))
				fds_set(fd, entry); /* it was some other file */
			return ret;
		}
	}
	return REAL(ioctl)(fd, request, argument);
}

int ioctl_entry(int fd, unsigned long request, void *argument)
{
	uint32_t entry = fds_get(fd);
	if (likely(fds_recorded(entry)))
		return recorded(fd, entry, request, argument);
	if (unlikely(_IOC_TYPE(request) == VFIO_TYPE || _IOC_TYPE(request) == VRR_KVM_TYPE))
		return looked_at(fd, entry, request, argument);
	return REAL(ioctl)(fd, request, argument);
}
