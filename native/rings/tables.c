/* The batch as tables: ring_event, ring_site, …, each with the columns of the trace's table of that name, so that
 * `INSERT INTO event SELECT * FROM ring_event` moves it. Read only, no constraints: a scan in order. */
#include "drain.h"
#include "sqlite3ext.h"
#include <stdlib.h>
#include <string.h>
SQLITE_EXTENSION_INIT3

struct table {
	const char *name, *columns;
	size_t (*count)(const struct drain *);
	void (*column)(struct drain *, size_t row, int column, sqlite3_context *);
};

static void integer(sqlite3_context *c, int64_t v)
{
	if (v == NO_NUMBER)
		sqlite3_result_null(c);
	else
		sqlite3_result_int64(c, v);
}
static void text(sqlite3_context *c, const char *s)
{
	if (s)
		sqlite3_result_text(c, s, -1, SQLITE_STATIC);
	else
		sqlite3_result_null(c);
}
/* Rows of integers only: columns are the structure's members in order. */
#define INTEGERS(table)                                                                         \
	static void table##_column(struct drain *d, size_t row, int column, sqlite3_context *c) \
	{                                                                                       \
		integer(c, ((const int64_t *)&d->batch.table.list[row])[column]);               \
	}
#define COUNT(table)                                       \
	static size_t table##_count(const struct drain *d) \
	{                                                  \
		return d->batch.table.count;               \
	}
/* clang-format off */
COUNT(event) COUNT(memory) COUNT(made) COUNT(payload) COUNT(site) COUNT(thread) COUNT(process) COUNT(handle)
COUNT(region) COUNT(drained)
INTEGERS(memory) INTEGERS(made) INTEGERS(thread) INTEGERS(region) INTEGERS(drained)

static void event_column(struct drain *d, size_t row, int column, sqlite3_context *c)
{
	const struct event_row *e = &d->batch.event.list[row];
	int64_t v = column ? ((const int64_t *)e)[column - 1] : d->batch.first_event + (int64_t)row;
	/* A column without a result is NULL. */
	if (column == 6 ? e->has_val : v != NO_NUMBER)
		sqlite3_result_int64(c, v);
}
/* clang-format on */

static void payload_column(struct drain *d, size_t row, int column, sqlite3_context *c)
{
	const struct payload_row *p = &d->batch.payload.list[row];
	/* Packed once a row: SQLite asks for the columns of one row in order. */
	if (column == 3 && p->codec == VRR_CODEC_RAW)
		d->packed = pack(&d->packer, p->bytes, (size_t)p->size);
	switch (column) {
	case 0:
		return sqlite3_result_int64(c, p->id);
	case 1:
		if (p->codec == VRR_CODEC_NONE)
			return sqlite3_result_null(c);
		return sqlite3_result_blob(c, &p->hash, sizeof(p->hash), SQLITE_STATIC);
	case 2:
		return sqlite3_result_int64(c, p->size);
	case 3:
		return sqlite3_result_int64(c, p->codec == VRR_CODEC_RAW && d->packed ? VRR_CODEC_LZ4 : p->codec);
	default:
		if (p->codec == VRR_CODEC_RAW && d->packed)
			sqlite3_result_blob64(c, d->packer.room, d->packed, SQLITE_STATIC);
		else if (p->codec == VRR_CODEC_RAW)
			sqlite3_result_blob64(c, p->bytes, (sqlite3_uint64)p->size, SQLITE_STATIC);
		else
			sqlite3_result_null(c);
	}
}

static void site_column(struct drain *d, size_t row, int column, sqlite3_context *c)
{
	const struct site_row *r = &d->batch.site.list[row];
	const struct site *s = &r->site;
	const int64_t values[] = {r->id,      s->thread,  s->handle, s->kind,	s->fd,	 s->op,
				  s->request, s->feature, s->region, s->length, s->flags};
	integer(c, values[column]);
}

static void process_column(struct drain *d, size_t row, int column, sqlite3_context *c)
{
	const struct process_row *p = &d->batch.process.list[row];
	const int64_t values[] = {p->id, p->pid, p->parent, 0, p->t, NO_NUMBER};
	if (column == 3)
		text(c, p->exe);
	else
		integer(c, values[column]);
}

static void handle_column(struct drain *d, size_t row, int column, sqlite3_context *c)
{
	const struct handle_row *h = &d->batch.handle.list[row];
	const int64_t values[] = {h->id, h->kind, h->process, h->fd, 0, 0, h->parent, NO_NUMBER, h->opened, NO_NUMBER};
	if (column == 4 || column == 5)
		text(c, column == 4 ? h->path : h->name);
	else
		integer(c, values[column]);
}

/* What the ring knows besides records, and how the drain fares. */
#define LOST_ROW    7 /* the first of the losses */
#define LOSSES	    15
#define STATUS_ROWS (LOST_ROW + LOSSES + 7)
static size_t status_count(const struct drain *d)
{
	return d->open ? STATUS_ROWS : 0;
}
static void status_column(struct drain *d, size_t row, int column, sqlite3_context *c)
{
	static const char *const names[STATUS_ROWS] = {"taken",
						       "given",
						       "waits",
						       "wait_ns",
						       "late",
						       "damaged",
						       "unfinished",
						       "lost_0",
						       "lost_quota",
						       "lost_fd_range",
						       "lost_recorder_gone",
						       "lost_nesting",
						       "lost_too_big",
						       "mapped",
						       "kind_unknown",
						       "paused",
						       "dma_limit",
						       "dma_gone",
						       "unreadable",
						       "raw_unseen",
						       "raw_cloned",
						       "table_full",
						       "in_use",
						       "segments",
						       "segment_size",
						       "let_go",
						       "window_ns",
						       "triggers",
						       "now_ns"};
	const struct vrr_ring *h = d->ring.header;
	if (column == 0)
		return text(c, names[row]);
	const int64_t values[] = {
		(int64_t)h->taken, (int64_t)h->given,	   (int64_t)h->waits, ring_nanos(&d->ring, 0, h->wait_ticks),
		d->late,	   d->damaged + d->broken, d->unfinished};
	const int64_t more[] = {drain_in_use(d),
				d->ring.segment_count,
				d->ring.segment_size,
				d->let_go,
				d->last_leave ? ring_nanos(&d->ring, d->last_leave, ring_now(&d->ring)) : 0,
				(int64_t)h->dump_count,
				ring_nanos(&d->ring, h->clock_start, ring_now(&d->ring))};
	sqlite3_result_int64(c, row < LOST_ROW ? values[row]
				: row < LOST_ROW + LOSSES
					? (int64_t)__atomic_load_n(&h->lost[row - LOST_ROW], __ATOMIC_RELAXED)
					: more[row - LOST_ROW - LOSSES]);
}

static const struct table tables[] = {
#define TABLE(name, columns)                                                              \
	{                                                                                 \
		"ring_" #name, "CREATE TABLE x(" columns ")", name##_count, name##_column \
	}
	TABLE(event, "id INT, site INT, t INT, dur INT, a INT, ret INT, val INT, inp INT, outp INT"),
	TABLE(memory, "event INT, at INT, phase INT, payload INT, total INT"),
	TABLE(made, "event INT, handle INT, kind INT"),
	TABLE(payload, "id INT, hash BLOB, size INT, codec INT, data BLOB"),
	TABLE(site, "id INT, thread INT, handle INT, kind INT, fd INT, op INT, request INT, feature INT, region INT, "
		    "length INT, flags INT"),
	TABLE(thread, "id INT, process INT, tid INT, level INT, stream INT"),
	TABLE(process, "id INT, pid INT, parent INT, exe TEXT, t INT, exit INT"),
	TABLE(handle, "id INT, kind INT, process INT, fd INT, path TEXT, name TEXT, parent INT, alias INT, opened INT, "
		      "closed INT"),
	TABLE(region, "handle INT, idx INT, flags INT, size INT, offset INT, type INT, subtype INT"),
	TABLE(drained, "ticket INT, bytes INT, state INT"),
	TABLE(status, "name TEXT, value INT"),
};
#define TABLES (sizeof(tables) / sizeof(*tables))

struct view {
	sqlite3_vtab base;
	const struct table *table;
	struct drain *drain;
};
struct cursor {
	sqlite3_vtab_cursor base;
	size_t row, count;
};
struct module {
	const struct table *table;
	struct drain *drain;
};

static int connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error)
{
	const struct module *module = aux;
	struct view *view = sqlite3_malloc(sizeof(*view));
	(void)argc, (void)argv, (void)error;
	if (!view)
		return SQLITE_NOMEM;
	memset(view, 0, sizeof(*view));
	view->table = module->table;
	view->drain = module->drain;
	*out = &view->base;
	return sqlite3_declare_vtab(db, module->table->columns);
}
static int disconnect(sqlite3_vtab *vtab)
{
	sqlite3_free(vtab);
	return SQLITE_OK;
}
static int best_index(sqlite3_vtab *vtab, sqlite3_index_info *info)
{
	(void)vtab;
	info->estimatedCost = 1e6;
	return SQLITE_OK;
}
static int open_cursor(sqlite3_vtab *vtab, sqlite3_vtab_cursor **out)
{
	struct cursor *cursor = sqlite3_malloc(sizeof(*cursor));
	(void)vtab;
	if (!cursor)
		return SQLITE_NOMEM;
	memset(cursor, 0, sizeof(*cursor));
	*out = &cursor->base;
	return SQLITE_OK;
}
static int close_cursor(sqlite3_vtab_cursor *cursor)
{
	sqlite3_free(cursor);
	return SQLITE_OK;
}
static int filter(sqlite3_vtab_cursor *base, int number, const char *name, int argc, sqlite3_value **argv)
{
	struct cursor *cursor = (struct cursor *)base;
	const struct view *view = (const struct view *)base->pVtab;
	(void)number, (void)name, (void)argc, (void)argv;
	cursor->row = 0;
	cursor->count = view->table->count(view->drain);
	return SQLITE_OK;
}
static int next(sqlite3_vtab_cursor *base)
{
	((struct cursor *)base)->row++;
	return SQLITE_OK;
}
static int eof(sqlite3_vtab_cursor *base)
{
	const struct cursor *cursor = (const struct cursor *)base;
	return cursor->row >= cursor->count;
}
static int column(sqlite3_vtab_cursor *base, sqlite3_context *context, int number)
{
	const struct view *view = (const struct view *)base->pVtab;
	view->table->column(view->drain, ((struct cursor *)base)->row, number, context);
	return SQLITE_OK;
}
static int rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
	*out = (sqlite3_int64)((struct cursor *)base)->row;
	return SQLITE_OK;
}

int tables_register(sqlite3 *db, struct drain *drain)
{
	/* No xCreate: each is there under its name, nothing is stored in the schema. */
	static const sqlite3_module methods = {
		.iVersion = 1,
		.xConnect = connect,
		.xBestIndex = best_index,
		.xDisconnect = disconnect,
		.xOpen = open_cursor,
		.xClose = close_cursor,
		.xFilter = filter,
		.xNext = next,
		.xEof = eof,
		.xColumn = column,
		.xRowid = rowid,
	};
	int rc = SQLITE_OK;
	for (size_t i = 0; i < TABLES && rc == SQLITE_OK; i++) {
		struct module *module = malloc(sizeof(*module));
		if (!module)
			return SQLITE_NOMEM;
		*module = (struct module){&tables[i], drain};
		rc = sqlite3_create_module_v2(db, tables[i].name, &methods, module, free);
	}
	return rc;
}
