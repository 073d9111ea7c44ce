/* Eventfds that the program gives to KVM: what is signalled through them no longer passes through the program. */
#ifndef VFIO_RR_KVM_H
#define VFIO_RR_KVM_H
#include "libc.h"
#include "schema.h"

static inline bool kvm_takes_eventfd(unsigned long request)
{
	return (uint32_t)request == VRR_KVM_IRQFD || (uint32_t)request == VRR_KVM_IOEVENTFD;
}
/** Makes the call, and notes it if the eventfd is one that is followed. */
int kvm_ioctl(int fd, unsigned long request, void *argument);

#endif
