/* Reads back from an unfinished trace what the drain keeps in memory. */
#include "drain.h"
#include "sqlite3ext.h"
#include <string.h>
SQLITE_EXTENSION_INIT3

struct position {
	uint64_t ticket;
	uint32_t bytes;
	int64_t state;
};
struct positions {
	ROWS(position) row;
};

typedef int (*row_fn)(void *context, sqlite3_stmt *row);

static int each(sqlite3 *db, const char *sql, row_fn fn, void *context)
{
	sqlite3_stmt *stmt;
	int wrong = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK;
	while (!wrong && sqlite3_step(stmt) == SQLITE_ROW)
		wrong = fn(context, stmt);
	if (sqlite3_finalize(stmt) != SQLITE_OK)
		wrong = 1;
	return wrong;
}

static int64_t number(sqlite3_stmt *row, int column)
{
	return sqlite3_column_type(row, column) == SQLITE_NULL ? NO_NUMBER : sqlite3_column_int64(row, column);
}

static int know_site(void *context, sqlite3_stmt *row)
{
	struct drain *drain = context;
	struct site site = {number(row, 1),
			    number(row, 2),
			    number(row, 3),
			    number(row, 4),
			    (uint32_t)sqlite3_column_int64(row, 5),
			    (uint32_t)sqlite3_column_int64(row, 6),
			    sqlite3_column_int(row, 7),
			    (uint8_t)sqlite3_column_int(row, 8),
			    (uint8_t)sqlite3_column_int(row, 9),
			    (uint8_t)sqlite3_column_int(row, 10),
			    0};
	return intern_know_site(&drain->intern, &site, (uint32_t)sqlite3_column_int64(row, 0));
}

static int know_payload(void *context, sqlite3_stmt *row)
{
	struct drain *drain = context;
	struct hash128 hash = {(uint64_t)sqlite3_column_int64(row, 2), 0};
	int codec = sqlite3_column_int(row, 3);
	if (sqlite3_column_bytes(row, 1) == sizeof(hash))
		memcpy(&hash, sqlite3_column_blob(row, 1), sizeof(hash));
	hash.high ^= (uint64_t)(codec == VRR_CODEC_HASH	  ? PAYLOAD_HASH
				: codec == VRR_CODEC_NONE ? PAYLOAD_NONE
							  : PAYLOAD_FULL);
	return intern_know_payload(&drain->intern, &hash, (uint32_t)sqlite3_column_int64(row, 0));
}

static int know_thread(void *context, sqlite3_stmt *row)
{
	return thread_set(context, (uint32_t)sqlite3_column_int64(row, 1), (uint32_t)sqlite3_column_int64(row, 0));
}

static int know_process(void *context, sqlite3_stmt *row)
{
	struct drain *drain = context;
	uint32_t id = (uint32_t)sqlite3_column_int64(row, 0);
	if (id >= drain->next_process)
		drain->next_process = id + 1;
	return pid_set(drain, (uint32_t)sqlite3_column_int64(row, 1), id);
}

static int know_handle(void *context, sqlite3_stmt *row)
{
	struct handle *handle = handle_at(context, (uint32_t)sqlite3_column_int64(row, 0));
	if (handle)
		handle->kind = (uint8_t)sqlite3_column_int(row, 1);
	return 0;
}

static int know_region(void *context, sqlite3_stmt *row)
{
	struct handle *handle = handle_at(context, (uint32_t)sqlite3_column_int64(row, 0));
	struct region *region = handle ? region_slot(handle, (uint32_t)sqlite3_column_int64(row, 1)) : NULL;
	if (!region)
		return -1;
	region->flags = sqlite3_column_int64(row, 2);
	region->size = (uint64_t)sqlite3_column_int64(row, 3);
	region->offset = (uint64_t)sqlite3_column_int64(row, 4);
	region->type = number(row, 5);
	region->subtype = number(row, 6);
	return 0;
}

static int know_last(void *context, sqlite3_stmt *row)
{
	((struct drain *)context)->next_event = sqlite3_column_int64(row, 0) + 1;
	return 0;
}

static int know_position(void *context, sqlite3_stmt *row)
{
	struct positions *all = context;
	if (!rows_room(&all->row, sizeof(*all->row.list)))
		return -1;
	all->row.list[all->row.count++] =
		(struct position){(uint64_t)sqlite3_column_int64(row, 0), (uint32_t)sqlite3_column_int64(row, 1),
				  sqlite3_column_int64(row, 2)};
	return 0;
}

static uint32_t bytes_of(void *context, uint64_t ticket)
{
	const struct positions *all = context;
	for (size_t i = 0; i < all->row.count; i++)
		if (all->row.list[i].ticket == ticket && all->row.list[i].state != 2)
			return all->row.list[i].bytes;
	return 0;
}

const char *prime(struct drain *drain, sqlite3 *db)
{
	struct positions positions = {0};
	drain->next_thread = drain->next_process = 1;
	drain->next_event = 1;
	int wrong =
		each(db, "SELECT coalesce(max(id), 0) FROM event", know_last, drain) ||
		each(db, "SELECT id, request, feature, region, length, thread, handle, fd, kind, op, flags FROM site",
		     know_site, drain) ||
		each(db, "SELECT id, hash, size, codec FROM payload", know_payload, drain) ||
		each(db, "SELECT id, stream FROM thread ORDER BY id", know_thread, drain) ||
		each(db, "SELECT id, pid FROM process ORDER BY id", know_process, drain) ||
		each(db, "SELECT id, kind FROM handle", know_handle, drain) ||
		each(db, "SELECT handle, idx, flags, size, offset, type, subtype FROM region", know_region, drain) ||
		each(db, "SELECT ticket, bytes, state FROM drained", know_position, &positions);
	wrong = wrong || streams_open(&drain->streams, &drain->ring, bytes_of, &positions);
	for (size_t i = 0; i < positions.row.count && !wrong; i++)
		if (positions.row.list[i].state == 2)
			wrong = streams_know_open(&drain->streams, positions.row.list[i].ticket,
						  positions.row.list[i].bytes);
	batch_clear(&drain->batch);
	rows_free(&positions.row);
	return wrong ? "the trace cannot be read" : NULL;
}
