/* A device opened through its group and a type1 container, or through its cdev and iommufd. */
#ifndef DEVICE_H
#define DEVICE_H
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct device {
	bool cdev;
	char sysfs[128];
	char name[64];
	int container, group; /* through the group */
	int iommufd;	      /* through the cdev */
	uint32_t ioas, hwpt;
	int fd;
	uint64_t offset[VFIO_PCI_NUM_REGIONS]; /* of each region in the device's file */
	uint64_t size[VFIO_PCI_NUM_REGIONS];
	uint32_t flags[VFIO_PCI_NUM_REGIONS];
};

/* NAME is a PCI address (0000:00:04.0) or an mdev's UUID. */
void device_find(struct device *d, const char *name);
void device_open_group(struct device *d);
void device_open_cdev(struct device *d);
/* Finds it and opens it by its group, or by its cdev when HOW is "cdev". */
void device_open(struct device *d, const char *how, const char *name);
/* GET_INFO, every GET_REGION_INFO and GET_IRQ_INFO. */
void device_describe(struct device *d);
/* Everything is closed, in the order in which a tidy program does it. */
void device_close(struct device *d);

long device_map(struct device *d, void *memory, uint64_t iova, uint64_t size);
/* The bytes unmapped, or -1. */
long device_unmap(struct device *d, uint64_t iova, uint64_t size);

/* An access of SIZE bytes (1, 2, 4, 8); a failed read gives all ones and is printed. */
uint64_t region_read(struct device *d, unsigned index, uint64_t at, unsigned size);
void region_write(struct device *d, unsigned index, uint64_t at, uint64_t value, unsigned size);

/* VFIO_DEVICE_SET_IRQS with one eventfd as the trigger of IRQ 0 of an index; fd -1 takes it away. */
long irq_eventfd(struct device *d, unsigned index, int fd);
/* VFIO_DEVICE_SET_IRQS without data. */
long irq_action(struct device *d, unsigned index, uint32_t action, unsigned count);
/* Waits at most 10 s and gives the eventfd's counter, 0 when nothing came. */
uint64_t irq_wait(int fd);
#endif
