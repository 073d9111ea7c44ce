/* A device writes into its peer's memory while a migration stops them one after the other: is the write seen in a peer
 * that is stopped already?        peer-dma WRITER PEER [ndma]
 * With `ndma` the writer is brought to NDMA before the peer is stopped, as the grace state is meant. */
#include "client.h"
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define IOVA 0x100000
#define PEER_IOVA 0x800000

int main(int argc, char **argv)
{
	int container, grace = argc > 3 && !strcmp(argv[3], "ndma");
	struct device writer, peer;
	uint8_t *memory, *window;
	uint32_t before, after;

	client_start();
	if (argc < 3)
		give_up("peer-dma WRITER PEER [ndma]");
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	pair_open(&writer, argv[1], container);
	pair_open(&peer, argv[2], container);
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	window = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, peer.fd, (off_t)peer.offset[MEMORY_BAR]);
	if (memory == MAP_FAILED || window == MAP_FAILED)
		give_up("no memory");
	expect("map memory", device_map(&writer, memory, IOVA, 4096), 0);
	expect("map the peer's memory", device_map(&writer, window, PEER_IOVA, MEMORY_SIZE), 0);
	memset(memory, 0x11, 64);
	dma_in(&writer, IOVA, 64);
	dma_out(&writer, PEER_IOVA, 64);
	check("while both run, a write arrives", region_read(&peer, MEMORY_BAR, 0, 4), 0x11111111);
	memset(memory, 0x22, 64);
	dma_in(&writer, IOVA, 64);
	expect("writer: SAVING|RUNNING", v1_set(&writer, V1_SAVING | V1_RUNNING), 0);
	expect("peer: SAVING|RUNNING", v1_set(&peer, V1_SAVING | V1_RUNNING), 0);
	if (grace)
		report("writer: NDMA|SAVING|RUNNING", v1_set(&writer, V1_NDMA | V1_SAVING | V1_RUNNING));
	expect("peer: stop-and-copy", v1_set(&peer, V1_SAVING), 0);
	before = (uint32_t)region_read(&peer, MEMORY_BAR, 0, 4);
	dma_out(&writer, PEER_IOVA, 64); /* the writer's guest driver had this transfer under way */
	after = (uint32_t)region_read(&peer, MEMORY_BAR, 0, 4);
	expect("writer: stop-and-copy", v1_set(&writer, V1_SAVING), 0);
	puts(before == after ? "outcome: the stopped peer is left alone" : "outcome: the stopped peer was written to");
	return client_status();
}
