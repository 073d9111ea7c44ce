/* One connection's drain: a ring, what is known of it, and the batch being moved. */
#ifndef VFIO_RR_DRAIN_H
#define VFIO_RR_DRAIN_H
#include "batch.h"
#include "pack.h"

enum payload_mode { PAYLOAD_FULL, PAYLOAD_HASH, PAYLOAD_NONE };

struct region {
	uint32_t index;
	uint64_t offset, size;
	int64_t flags, type, subtype;
};
struct handle {
	uint8_t kind; /* 0: unknown */
	uint8_t region_count;
	struct region *regions;
};
struct pid_row {
	uint32_t pid, process;
	bool visible; /* as streams */
};

struct drain {
	bool open, prepared;
	struct ring ring;
	struct streams streams;
	struct intern intern;
	struct batch batch;
	enum payload_mode payload_mode;
	struct handle *handles; /* by number */
	size_t handle_count;
	uint32_t *threads; /* thread row by stream */
	size_t thread_slots;
	struct pid_row *pids;
	size_t pid_count, pid_capacity;
	uint32_t next_thread, next_process;
	int64_t next_event;
	uint64_t last_leave, checked;
	int64_t spoilt;	      /* of the streams, as it is counted */
	uint64_t stuck_since; /* ticks: writers wait, and nothing can be moved; 0: not so */
	/* Flight recorder. Records are let go: what they made is kept, they themselves are not. */
	bool letting_go;
	int64_t let_go; /* calls, since the drain was opened or restarted */
	int64_t freed;	/* segments that the present batch has come past */
	uint64_t limit; /* no record that returned later is moved; 0: none */
	bool held;	/* some record before the limit is still being written */
	struct {
		uint32_t tid;
		int32_t error; /* of a call that failed; 0: the last call before the tick */
		uint64_t tick;
		int64_t event; /* 0: not moved yet */
	} cause;
	/* For the recording's report. */
	int64_t late, unfinished;
	int64_t broken;		/* streams */
	int64_t damaged;	/* whatever else makes no sense */
	int64_t damaged_before; /* the present batch */
	/* Of the payload row that is being read: bytes in packer.room, 0 not packed. */
	struct packer packer;
	size_t packed;
	/* Of the record being decoded. */
	struct bytes *bytes;
	size_t bytes_count, bytes_capacity;
};

/* Memory that a record carries, its chunks put together. */
struct bytes {
	uint16_t where;
	uint8_t phase;
	bool goes_on;
	uint32_t total;
	size_t length, room; /* room: 0 while `data` is in the ring */
	uint8_t *data;
};

/* gather.c */
int gather(struct drain *drain, const struct stream *stream, struct place place, const struct vrr_record *record);
const struct bytes *gathered(const struct drain *drain, uint16_t where, uint8_t phase);
int64_t payload_of(struct drain *drain, const struct bytes *bytes, enum payload_mode mode);

/* objects.c: who calls, and on what */
struct handle *handle_at(struct drain *drain, uint32_t number);
uint32_t thread_of(struct drain *drain, struct stream *stream, const struct vrr_record *record);
void handle_made(struct drain *drain, uint32_t number, uint8_t kind, const struct vrr_record *record, uint32_t process,
		 int64_t fd);
const struct region *region_at(const struct drain *drain, uint32_t handle, uint64_t offset);
void region_told(struct drain *drain, uint32_t handle, const struct bytes *info);
int pid_set(struct drain *drain, uint32_t pid, uint32_t process);
uint32_t pid_process(const struct drain *drain, uint32_t pid);
bool pid_visible(const struct drain *drain, uint32_t pid);
int thread_set(struct drain *drain, uint32_t stream, uint32_t thread);
struct region *region_slot(struct handle *handle, uint32_t index);

/* decode.c */
int decode(struct drain *drain, struct stream *stream, struct place place, const struct vrr_record *record,
	   bool returned);

/* What later records need of one that is let go. */
int let_go(struct drain *drain, struct stream *stream, struct place place, const struct vrr_record *record,
	   bool returned);

/* merge.c */
/* SOON: hold back little. FINISH: nobody writes any more; all there is, calls that never returned last. */
enum haste { HASTE_NONE, HASTE_FINISH, HASTE_SOON };
/* Fills the batch with at most `max` events; their number, -1: no memory. */
int64_t drain_batch(struct drain *drain, int64_t max, enum haste haste);
/* Lets go of what returned `age` ns ago or earlier, and of the oldest while more than `keep` segments are in use: at
 * most `max` records. The batch has what they made. Their number, -1: no memory. */
int64_t drain_let_go(struct drain *drain, int64_t max, uint64_t age, uint32_t keep);
/* The next batch begins a new trace: nothing is in it yet. */
void drain_restart(struct drain *drain);
/* Segments that writers or undrained records hold. */
uint32_t drain_in_use(struct drain *drain);
/* Whether writers soon find no segment. */
bool drain_scarce(const struct drain *drain);
void drain_done(struct drain *drain);

/* prime.c: what an unfinished trace knows already. NULL, or what is wrong. */
struct sqlite3;
const char *prime(struct drain *drain, struct sqlite3 *db);

/* tables.c */
int tables_register(struct sqlite3 *db, struct drain *drain);
void drain_close(struct drain *drain);
#endif
