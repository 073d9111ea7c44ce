/* Who calls (processes, threads) and on what (handles, their regions). */
#include "drain.h"
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>

/* gcc 12 loses sight of what hangs in an array that was reallocated. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"

/* Open files are numbered from the ring's header; a number beyond belongs to no recording of this length. */
#define HANDLE_MAX (1u << 24)

struct handle *handle_at(struct drain *drain, uint32_t number)
{
	if (!number || number >= HANDLE_MAX)
		return NULL;
	if (number >= drain->handle_count) {
		size_t more = (size_t)number + 64;
		struct handle *bigger = realloc(drain->handles, more * sizeof(*bigger));
		if (!bigger) {
			drain->batch.out_of_memory = true;
			return NULL;
		}
		memset(bigger + drain->handle_count, 0, (more - drain->handle_count) * sizeof(*bigger));
		drain->handles = bigger;
		drain->handle_count = more;
	}
	return &drain->handles[number];
}

int pid_set(struct drain *drain, uint32_t pid, uint32_t process)
{
	for (size_t i = 0; i < drain->pid_count; i++)
		if (drain->pids[i].pid == pid) {
			drain->pids[i].process = process;
			return 0;
		}
	if (drain->pid_count == drain->pid_capacity) {
		size_t more = drain->pid_capacity ? drain->pid_capacity * 2 : 16;
		struct pid_row *bigger = realloc(drain->pids, more * sizeof(*bigger));
		if (!bigger)
			return -1;
		drain->pids = bigger;
		drain->pid_capacity = more;
	}
	drain->pids[drain->pid_count++] = (struct pid_row){pid, process, false};
	return 0;
}

uint32_t pid_process(const struct drain *drain, uint32_t pid)
{
	for (size_t i = drain->pid_count; i-- > 0;)
		if (drain->pids[i].pid == pid)
			return drain->pids[i].process;
	return 0;
}

int thread_set(struct drain *drain, uint32_t stream, uint32_t thread)
{
	if (stream >= drain->thread_slots) {
		size_t more = (size_t)stream + 64;
		uint32_t *bigger = realloc(drain->threads, more * sizeof(*bigger));
		if (!bigger)
			return -1;
		memset(bigger + drain->thread_slots, 0, (more - drain->thread_slots) * sizeof(*bigger));
		drain->threads = bigger;
		drain->thread_slots = more;
	}
	drain->threads[stream] = thread;
	if (thread >= drain->next_thread)
		drain->next_thread = thread + 1;
	return 0;
}

bool pid_visible(const struct drain *drain, uint32_t pid)
{
	if (pid == drain->ring.header->recorder_pid)
		return true;
	for (size_t i = drain->pid_count; i-- > 0;)
		if (drain->pids[i].pid == pid)
			return drain->pids[i].visible;
	return false;
}

/* A child of a process that we see is one too; so is what it becomes by exec. One in a pid namespace of its own has a
 * parent 0, or one that we do not know. */
static void mark_visible(struct drain *drain, const struct stream *stream, uint32_t parent)
{
	bool visible = stream->visible || pid_visible(drain, parent);
	for (size_t i = 0; i < drain->pid_count; i++)
		if (drain->pids[i].pid == stream->pid)
			drain->pids[i].visible |= visible;
}

static uint32_t process_new(struct drain *drain, uint32_t pid, int64_t parent, const struct vrr_record *record)
{
	struct process_row *row = ROW(&drain->batch, process);
	if (!row)
		return 0;
	const struct bytes *path = gathered(drain, VRR_WHERE_PATH, VRR_PHASE_IN);
	row->id = drain->next_process++;
	row->pid = pid;
	row->parent = parent;
	row->t = ring_nanos(&drain->ring, drain->ring.header->clock_start, record->enter);
	row->exe = path ? batch_text(&drain->batch, path->data, path->length) : NULL;
	if (pid_set(drain, pid, (uint32_t)row->id))
		drain->batch.out_of_memory = true;
	return (uint32_t)row->id;
}

/* A program that begins in a process which had another: exec ended the streams of that. */
static void replaced(struct drain *drain, const struct stream *by)
{
	for (size_t i = 0; i < drain->streams.count; i++) {
		struct stream *s = drain->streams.list[i];
		if (s && s->pid == by->pid && s->id < by->id)
			s->dead = true;
	}
}

/* A stream belongs to one process: fork and exec begin new ones. */
uint32_t thread_of(struct drain *drain, struct stream *stream, const struct vrr_record *record)
{
	uint32_t thread = stream->id < drain->thread_slots ? drain->threads[stream->id] : 0;
	bool begins = record_op(record->head) == VRR_OP_PROCESS;
	uint32_t process = begins ? process_new(drain, stream->pid, (int64_t)record->b, record) : 0;
	if (begins) {
		replaced(drain, stream);
		mark_visible(drain, stream, (uint32_t)record->b);
	}
	stream->visible |= pid_visible(drain, stream->pid);
	if (thread && !begins)
		return thread;
	if (!process)
		process = pid_process(drain, stream->pid);
	if (!process)
		process = process_new(drain, stream->pid, NO_NUMBER, record);
	struct thread_row *row = ROW(&drain->batch, thread);
	if (!row || !process)
		return 0;
	thread = drain->next_thread++;
	*row = (struct thread_row){thread, process, stream->tid, stream->level, stream->id};
	if (thread_set(drain, stream->id, thread))
		drain->batch.out_of_memory = true;
	return thread;
}

void handle_made(struct drain *drain, uint32_t number, uint8_t kind, const struct vrr_record *record, uint32_t process,
		 int64_t fd)
{
	struct handle *handle = handle_at(drain, number);
	if (!handle || handle->kind)
		return;
	handle->kind = kind ? kind : VRR_KIND_UNKNOWN;
	struct handle_row *row = ROW(&drain->batch, handle);
	if (!row)
		return;
	const struct bytes *path = gathered(drain, VRR_WHERE_PATH, VRR_PHASE_IN);
	const struct bytes *name = gathered(drain, VRR_WHERE_ARG, VRR_PHASE_IN);
	bool ioctl = record_op(record->head) == VRR_OP_IOCTL;
	row->id = number;
	row->kind = handle->kind;
	row->process = process;
	row->fd = fd;
	row->parent = ioctl && record->handle ? record->handle : NO_NUMBER;
	row->opened = drain->letting_go ? NO_NUMBER : drain->next_event;
	row->path = path ? batch_text(&drain->batch, path->data, path->length) : NULL;
	if (name && ioctl && record->a == VFIO_GROUP_GET_DEVICE_FD) {
		row->name = batch_text(&drain->batch, name->data, name->length);
		/* "NAME vf_token=UUID" (vfio_pci_core.c, vfio_pci_core_match). */
		if (row->name && strchr(row->name, ' '))
			*strchr(row->name, ' ') = 0;
	}
	if (drain->letting_go)
		return;
	struct made_row *made = ROW(&drain->batch, made);
	if (made)
		*made = (struct made_row){drain->next_event, number, handle->kind};
}

const struct region *region_at(const struct drain *drain, uint32_t handle, uint64_t offset)
{
	if (!handle || handle >= drain->handle_count)
		return NULL;
	const struct handle *h = &drain->handles[handle];
	for (size_t i = 0; i < h->region_count; i++)
		if (offset - h->regions[i].offset < h->regions[i].size)
			return &h->regions[i];
	return NULL;
}

struct region *region_slot(struct handle *h, uint32_t index)
{
	for (size_t i = 0; i < h->region_count; i++)
		if (h->regions[i].index == index)
			return &h->regions[i];
	if (h->region_count == UINT8_MAX)
		return NULL;
	struct region *bigger = realloc(h->regions, (h->region_count + 1u) * sizeof(*bigger));
	if (!bigger)
		return NULL;
	h->regions = bigger;
	memset(&bigger[h->region_count], 0, sizeof(*bigger));
	bigger[h->region_count].index = index;
	return &bigger[h->region_count++];
}

static void find_type(const struct bytes *info, uint32_t at, struct region *region)
{
	/* The chain comes from the kernel, but perhaps from a damaged file: it may not run in a circle. */
	for (int n = 0; n < 64 && at >= sizeof(struct vfio_region_info); n++) {
		struct vfio_region_info_cap_type cap;
		if (at + sizeof(cap.header) > info->length)
			return;
		memcpy(&cap.header, info->data + at, sizeof(cap.header));
		if (cap.header.id == VFIO_REGION_INFO_CAP_TYPE && at + sizeof(cap) <= info->length) {
			memcpy(&cap, info->data + at, sizeof(cap));
			region->type = cap.type;
			region->subtype = cap.subtype;
			return;
		}
		at = cap.header.next;
	}
}

void region_told(struct drain *drain, uint32_t number, const struct bytes *info)
{
	struct vfio_region_info r;
	struct handle *h = handle_at(drain, number);
	if (!h || !info || info->length < sizeof(r))
		return;
	memcpy(&r, info->data, sizeof(r));
	struct region now = {r.index, r.offset, r.size, r.flags, NO_NUMBER, NO_NUMBER};
	if (r.flags & VFIO_REGION_INFO_FLAG_CAPS)
		find_type(info, r.cap_offset, &now);
	struct region *known = region_slot(h, r.index);
	if (!known) {
		drain->damaged++;
		return;
	}
	/* A first, short buffer gets no capabilities: the type told once stays. */
	if (now.type == NO_NUMBER && known->type != NO_NUMBER && known->type) {
		now.type = known->type;
		now.subtype = known->subtype;
	}
	if (known->size == now.size && known->offset == now.offset && known->flags == now.flags &&
	    known->type == now.type)
		return;
	*known = now;
	struct region_row *row = ROW(&drain->batch, region);
	if (row)
		*row = (struct region_row){number,   r.index,	 r.flags, (int64_t)r.size, (int64_t)r.offset,
					   now.type, now.subtype};
}
