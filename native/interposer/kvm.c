#include "kvm.h"

#include "fds.h"
#include "guard.h"
#include "real.h"
#include "ring.h"

int kvm_ioctl(int fd, unsigned long request, void *argument)
{
	union {
		struct vrr_kvm_irqfd irqfd;
		struct vrr_kvm_ioeventfd ioeventfd;
	} u;
	bool irqfd = (uint32_t)request == VRR_KVM_IRQFD;
	size_t size = irqfd ? sizeof u.irqfd : sizeof u.ioeventfd;
	bool known = ring && !guard_copy(&u, argument, size);
	/* Before the call, as it may wait for long and another thread may close the eventfd meanwhile. An eventfd that
	 * no VFIO call was given so far may get to one later: QEMU makes the KVM route first. */
	uint32_t entry = known ? fds_get(irqfd ? u.irqfd.fd : u.ioeventfd.fd) : 0;
	if (known && irqfd && !fds_handle(entry) && u.irqfd.flags & VRR_KVM_IRQFD_RESAMPLE)
		entry = fds_get((int)u.irqfd.resamplefd);
	int ret = REAL(ioctl)(fd, request, argument);
	if (!fds_handle(entry))
		return ret;
	int saved = errno;
	struct rec r;
	rec_begin(&r, VRR_OP_KVM, fd, entry, request, 0, (uint32_t)rec_size(size));
	rec_chunk(&r, VRR_WHERE_ARG, VRR_PHASE_IN, &u, size, size);
	rec_enter(&r, 0);
	rec_leave(&r, ret < 0 ? -saved : ret);
	rec_end(&r, 0);
	errno = saved;
	return ret;
}
