/* RESUMING to SAVING|!RUNNING in one write, on a device that has been given another's state: is it the other's state that
 * it then saves?       v1-resume-save SOURCE TARGET */
#include "client.h"
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define MARK 0x600dcafe

int main(int argc, char **argv)
{
	static uint8_t data[1 << 20], again[1 << 20];
	size_t sizes[256], more[256];
	unsigned count, counted;
	struct device source, target;
	int container;

	client_start();
	if (argc < 3)
		give_up("v1-resume-save SOURCE TARGET");
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	pair_open(&source, argv[1], container);
	pair_open(&target, argv[2], container);
	region_write(&source, MEMORY_BAR, 0x100, MARK, 4);
	expect("source: stop-and-copy", v1_set(&source, V1_SAVING), 0);
	note("source: bytes saved", v1_save(&source, data, sizes, &count));
	expect("target: RESUMING", v1_set(&target, V1_RESUMING), 0);
	v1_load(&target, data, sizes, count);
	report("target: RESUMING to SAVING", v1_set(&target, V1_SAVING));
	note("target: device_state", v1_read(&target, V1_STATE, 4));
	if (v1_read(&target, V1_STATE, 4) != V1_SAVING)
		puts("outcome: ERROR");
	else {
		note("target: bytes saved", v1_save(&target, again, more, &counted));
		puts(region_read(&target, MEMORY_BAR, 0x100, 4) == MARK ? "outcome: right" : "outcome: the data is lost");
	}
	return client_status();
}
