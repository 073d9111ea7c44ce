/* One transaction's worth of rows, decoded from the ring in the order in which calls returned. Payload bytes stay in
 * the ring (its segments are given back only after COMMIT) unless they were cut into several chunks. */
#ifndef VFIO_RR_BATCH_H
#define VFIO_RR_BATCH_H
#include "stream.h"

struct event_row {
	int64_t site, t, dur, a, ret, val, inp, outp; /* NO_NUMBER: NULL; val has a flag of its own */
	bool has_val;
};
struct memory_row {
	int64_t event, at, phase, payload, total;
};
struct made_row {
	int64_t event, handle, kind;
};
struct payload_row {
	int64_t id, size, codec; /* codec: VRR_CODEC_* */
	struct hash128 hash;
	const uint8_t *bytes;
};
struct thread_row {
	int64_t id, process, tid, level, stream;
};
struct process_row {
	int64_t id, pid, parent, t;
	char *exe; /* NULL or in the arena */
};
struct handle_row {
	int64_t id, kind, process, fd, parent, opened;
	char *path, *name;
};
struct region_row {
	int64_t handle, idx, flags, size, offset, type, subtype;
};
struct drained_row {
	int64_t ticket, bytes, state;
};
struct site_row {
	int64_t id;
	struct site site;
};

#define ROWS(type)                      \
	struct {                        \
		struct type *list;      \
		size_t count, capacity; \
	}

struct batch {
	ROWS(event_row) event;
	ROWS(memory_row) memory;
	ROWS(made_row) made;
	ROWS(payload_row) payload;
	ROWS(site_row) site;
	ROWS(thread_row) thread;
	ROWS(process_row) process;
	ROWS(handle_row) handle;
	ROWS(region_row) region;
	ROWS(drained_row) drained;
	void **arena;
	size_t arena_count, arena_capacity, payload_bytes;
	int64_t first_event;
	bool has_payloads, out_of_memory;
};

bool rows_room(void *rows, size_t size);
void rows_free(void *rows);
/* The next row, zeroed, or NULL and batch->out_of_memory. */
#define ROW(batch, table)                                                                                        \
	(rows_room(&(batch)->table, sizeof(*(batch)->table.list)) ? &(batch)->table.list[(batch)->table.count++] \
								  : ((batch)->out_of_memory = true, NULL))
void *batch_alloc(struct batch *batch, size_t size);
char *batch_text(struct batch *batch, const uint8_t *bytes, size_t length);
void batch_clear(struct batch *batch);
void batch_free(struct batch *batch);
#endif
