#include "batch.h"
#include <stdlib.h>
#include <string.h>

bool rows_room(void *rows, size_t size)
{
	ROWS(event_row) *r = rows; /* all have one shape */
	if (r->count == r->capacity) {
		size_t more = r->capacity ? r->capacity * 2 : 64;
		void *bigger = realloc(r->list, more * size);
		if (!bigger)
			return false;
		r->list = bigger;
		r->capacity = more;
	}
	memset((uint8_t *)r->list + r->count * size, 0, size);
	return true;
}

void rows_free(void *rows)
{
	ROWS(event_row) *r = rows;
	free(r->list);
	memset(r, 0, sizeof(*r));
}

void *batch_alloc(struct batch *b, size_t size)
{
	if (b->arena_count == b->arena_capacity) {
		size_t more = b->arena_capacity ? b->arena_capacity * 2 : 16;
		void **bigger = realloc(b->arena, more * sizeof(*bigger));
		if (!bigger)
			goto out;
		b->arena = bigger;
		b->arena_capacity = more;
	}
	void *p = malloc(size ? size : 1);
	if (p)
		return b->arena[b->arena_count++] = p;
out:
	b->out_of_memory = true;
	return NULL;
}

char *batch_text(struct batch *b, const uint8_t *bytes, size_t length)
{
	length = strnlen((const char *)bytes, length);
	char *text = batch_alloc(b, length + 1);
	if (text) {
		memcpy(text, bytes, length);
		text[length] = 0;
	}
	return text;
}

void batch_clear(struct batch *b)
{
	b->event.count = b->memory.count = b->made.count = b->payload.count = b->site.count = b->thread.count = 0;
	b->process.count = b->handle.count = b->region.count = b->drained.count = 0;
	while (b->arena_count)
		free(b->arena[--b->arena_count]);
	b->payload_bytes = 0;
	b->has_payloads = b->out_of_memory = false;
}

void batch_free(struct batch *b)
{
	batch_clear(b);
	rows_free(&b->event);
	rows_free(&b->memory);
	rows_free(&b->made);
	rows_free(&b->payload);
	rows_free(&b->site);
	rows_free(&b->thread);
	rows_free(&b->process);
	rows_free(&b->handle);
	rows_free(&b->region);
	rows_free(&b->drained);
	free(b->arena);
	memset(b, 0, sizeof(*b));
}
