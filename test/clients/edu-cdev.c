/* The edu device through its cdev and iommufd.   edu-cdev 0000:00:04.0 */
#include "client.h"
#include "edu.h"

#include <errno.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct device d;
	int irq;

	client_start();
	device_find(&d, argc > 1 ? argv[1] : "0000:00:04.0");
	device_open_cdev(&d);
	device_describe(&d);
	edu_config_space(&d);
	edu_registers(&d);
	edu_intx(&d);
	irq = edu_msi(&d);
	edu_factorial(&d, irq);
	edu_dma(&d, irq);
	edu_mapping_errors(&d);
	expect("VFIO_DEVICE_SET_IRQS MSI off", irq_action(&d, VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0),
	       0);
	close(irq);
	edu_reset(&d);
	device_close(&d);
	return client_status();
}
