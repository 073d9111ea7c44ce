/* Any device: says what it is and reads the head of its configuration space; writes nothing to it.
 *   describe group|cdev NAME */
#include "client.h"
#include "device.h"

#include <linux/pci_regs.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
	struct device d;

	client_start();
	if (argc < 3)
		give_up("describe group|cdev NAME");
	device_open(&d, argv[1], argv[2]);
	if (!d.cdev) /* what kernels before 6.13 have and later ones do not */
		report("VFIO_CHECK_EXTENSION type1 nesting",
		       ioctl(d.container, VFIO_CHECK_EXTENSION, __VFIO_RESERVED_TYPE1_NESTING_IOMMU));
	device_describe(&d);
	if (d.size[VFIO_PCI_CONFIG_REGION_INDEX])
		for (unsigned at = 0; at < PCI_STD_HEADER_SIZEOF; at += 4)
			note("configuration", region_read(&d, VFIO_PCI_CONFIG_REGION_INDEX, at, 4));
	device_close(&d);
	return client_status();
}
