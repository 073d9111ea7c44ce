/* The SQLite extension: functions that open a ring, prepare a batch and, after COMMIT, let it go; tables.c shows the
 * batch. One drain a connection, used by the thread that has the connection.
 *
 *   ring_open(path, payload, window)   payload: full, hash, none; window: segments ready ahead, 0: nobody writes
 *   ring_batch(max, haste)             prepares events, at most `max`; their number (enum haste)
 *   ring_tables()                      bit set of the tables that have rows, see `nonempty`
 *   ring_done()                        after COMMIT, or to skip the batch
 *   ring_let_go(max, age, keep)        flight recorder: moves past records older than `age` ns, and the oldest while
 * more than `keep` segments are in use; the batch has what they made. Their number ring_limit(tid, tick, errno) later
 * batches end here; tid, tick: what asked for the dump, see drain.h ring_cause()                       the event that
 * asked, 0: not moved yet; -1: calls before the limit are being written ring_restart()                     the next
 * batch begins a new trace ring_scarce()                      whether writers soon find no segment ring_clock() "TICKS
 * NS" of one moment ring_close()
 */
#define _GNU_SOURCE
#include "drain.h"
#include "sqlite3ext.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
SQLITE_EXTENSION_INIT1

void drain_close(struct drain *d)
{
	if (!d->open)
		return;
	streams_close(&d->streams);
	intern_free(&d->intern);
	batch_free(&d->batch);
	for (size_t i = 0; i < d->handle_count; i++)
		free(d->handles[i].regions);
	free(d->handles);
	free(d->threads);
	free(d->pids);
	free(d->bytes);
	pack_free(&d->packer);
	ring_close(&d->ring);
	memset(d, 0, sizeof(*d));
}

static void fn_open(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	struct drain *d = sqlite3_user_data(c);
	const char *path = (const char *)sqlite3_value_text(argv[0]), *mode = (const char *)sqlite3_value_text(argv[1]);
	int window = sqlite3_value_int(argv[2]);
	(void)argc;
	if (d->open)
		return sqlite3_result_error(c, "is open already", -1);
	const char *wrong = path && mode ? ring_open(&d->ring, path, window > 0 ? (uint32_t)window : 0) : "has no name";
	if (wrong)
		return sqlite3_result_error(c, wrong, -1);
	d->open = true;
	d->payload_mode = !strcmp(mode, "none") ? PAYLOAD_NONE : !strcmp(mode, "hash") ? PAYLOAD_HASH : PAYLOAD_FULL;
	wrong = intern_init(&d->intern) ? "does not fit memory" : prime(d, sqlite3_context_db_handle(c));
	if (!wrong && window > 0 && ring_start(&d->ring))
		wrong = "has no room to grow in; name another folder with --ring";
	if (wrong) {
		drain_close(d);
		sqlite3_result_error(c, wrong, -1);
	}
}

static void fn_batch(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	struct drain *d = sqlite3_user_data(c);
	(void)argc;
	int64_t n = d->open ? drain_batch(d, sqlite3_value_int64(argv[0]), (enum haste)sqlite3_value_int(argv[1])) : 0;
	if (n < 0)
		sqlite3_result_error_nomem(c);
	else
		sqlite3_result_int64(c, n);
}

static void fn_tables(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	const struct batch *b = &((struct drain *)sqlite3_user_data(c))->batch;
	const size_t nonempty[] = {b->process.count, b->thread.count, b->handle.count, b->region.count, b->site.count,
				   b->payload.count, b->memory.count, b->made.count,   b->has_payloads};
	int bits = 0;
	(void)argc, (void)argv;
	for (size_t i = 0; i < sizeof(nonempty) / sizeof(*nonempty); i++)
		bits |= nonempty[i] ? 1 << i : 0;
	sqlite3_result_int(c, bits);
}

static void fn_scarce(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	const struct drain *d = sqlite3_user_data(c);
	(void)argc, (void)argv;
	sqlite3_result_int(c, d->open && drain_scarce(d));
}

static void fn_let_go(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	struct drain *d = sqlite3_user_data(c);
	(void)argc;
	int64_t n = d->open ? drain_let_go(d, sqlite3_value_int64(argv[0]), (uint64_t)sqlite3_value_int64(argv[1]),
					   (uint32_t)sqlite3_value_int64(argv[2]))
			    : 0;
	if (n < 0)
		sqlite3_result_error_nomem(c);
	else
		sqlite3_result_int64(c, n);
}

static void fn_limit(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	struct drain *d = sqlite3_user_data(c);
	(void)c, (void)argc;
	if (!d->open)
		return;
	d->limit = ring_now(&d->ring);
	d->cause.tid = (uint32_t)sqlite3_value_int64(argv[0]);
	d->cause.tick = (uint64_t)sqlite3_value_int64(argv[1]);
	d->cause.error = sqlite3_value_int(argv[2]);
}

static void fn_cause(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	const struct drain *d = sqlite3_user_data(c);
	(void)argc, (void)argv;
	sqlite3_result_int64(c, d->held ? -1 : d->cause.event);
}

static void fn_restart(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	struct drain *d = sqlite3_user_data(c);
	(void)argc, (void)argv;
	if (d->open)
		drain_restart(d);
	if (d->batch.out_of_memory)
		sqlite3_result_error_nomem(c);
}

static void fn_done(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	struct drain *d = sqlite3_user_data(c);
	(void)argc, (void)argv;
	if (d->open)
		drain_done(d);
}

static void fn_close(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	(void)argc, (void)argv;
	drain_close(sqlite3_user_data(c));
}

/* "TICKS NS": the TSC (0: this processor has none that we read) and CLOCK_MONOTONIC of one moment. */
static void fn_clock(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	uint64_t best = UINT64_MAX, tsc = 0, mono = 0;
	struct timespec ts;
	char both[48];
	(void)argc, (void)argv;
	/* The pair with least between them: one that no interrupt came into. */
	for (int i = 0; i < 16; i++) {
#if defined(__x86_64__)
		uint64_t before = __builtin_ia32_rdtsc();
		clock_gettime(CLOCK_MONOTONIC, &ts);
		uint64_t after = __builtin_ia32_rdtsc();
#else
		uint64_t before = 0, after = 0;
		clock_gettime(CLOCK_MONOTONIC, &ts);
#endif
		if (after - before < best) {
			best = after - before;
			tsc = before + best / 2;
			mono = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
		}
	}
	snprintf(both, sizeof(both), "%llu %llu", (unsigned long long)tsc, (unsigned long long)mono);
	sqlite3_result_text(c, both, -1, SQLITE_TRANSIENT);
}

static void forget(void *drain)
{
	drain_close(drain);
	free(drain);
}

__attribute__((visibility("default"))) int sqlite3_rings_init(sqlite3 *db, char **error,
							      const sqlite3_api_routines *api);
int sqlite3_rings_init(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
	static const struct {
		const char *name;
		int arguments;
		void (*fn)(sqlite3_context *, int, sqlite3_value **);
	} functions[] = {
		{"ring_batch", 2, fn_batch},	 {"ring_tables", 0, fn_tables}, {"ring_done", 0, fn_done},
		{"ring_close", 0, fn_close},	 {"ring_clock", 0, fn_clock},	{"ring_scarce", 0, fn_scarce},
		{"ring_let_go", 3, fn_let_go},	 {"ring_limit", 3, fn_limit},	{"ring_cause", 0, fn_cause},
		{"ring_restart", 0, fn_restart},
	};
	SQLITE_EXTENSION_INIT2(api);
	(void)error;
	struct drain *drain = calloc(1, sizeof(*drain));
	if (!drain)
		return SQLITE_NOMEM;
	int rc = sqlite3_create_function_v2(db, "ring_open", 3, SQLITE_UTF8 | SQLITE_DIRECTONLY, drain, fn_open, NULL,
					    NULL, forget);
	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions) && rc == SQLITE_OK; i++)
		rc = sqlite3_create_function_v2(db, functions[i].name, functions[i].arguments,
						SQLITE_UTF8 | SQLITE_DIRECTONLY, drain, functions[i].fn, NULL, NULL,
						NULL);
	return rc == SQLITE_OK ? tables_register(db, drain) : rc;
}
