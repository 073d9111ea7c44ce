/*
 * Which descriptors are watched: kind and handle by number, one load to look up.
 *
 * Contract: an entry is cleared before the call that frees the number and set after the call that makes it, so that a
 * number that another thread gets in between is not mistaken. Lock-free, async-signal-safe, no system call except
 * fds_look() where no seccomp filter is in force.
 */
#ifndef VFIO_RR_FDS_H
#define VFIO_RR_FDS_H
#include "libc.h"
#include "schema.h"

/* nr_open's usual ceiling; descriptors beyond it are counted as FD_RANGE. */
#define FDS_MAX	     (1 << 20)

/* Kinds of our own in the same field: watched, but not recorded yet. */
#define FD_EPOLL     13 /* epoll instance that watched descriptors were added to */
#define FD_CANDIDATE 14 /* came from elsewhere and could not be looked up: the first VFIO request tells */
#define FD_QUIET     15 /* eventfd that no VFIO call was given so far */

extern uint32_t fds[FDS_MAX];
extern int fds_top; /* highest number that was ever watched */

static inline uint32_t fds_entry(uint32_t kind, uint32_t handle)
{
	return kind << 28 | (handle & 0x0fffffff);
}
static inline uint32_t fds_kind(uint32_t entry)
{
	return entry >> 28;
}
static inline uint32_t fds_handle(uint32_t entry)
{
	return entry & 0x0fffffff;
}
static inline bool fds_recorded(uint32_t entry)
{
	return entry >> 28 && entry >> 28 <= VRR_KIND_UNKNOWN;
}
static inline uint32_t fds_get(int fd)
{
	return likely((unsigned)fd < FDS_MAX) ? __atomic_load_n(&fds[fd], __ATOMIC_RELAXED) : 0;
}
/** What a record says about the entry: kind << 32 | handle, our own kinds put back to the schema's. */
static inline uint64_t fds_value(uint32_t entry)
{
	uint64_t kind = fds_kind(entry) == FD_QUIET	     ? VRR_KIND_EVENTFD
			: fds_kind(entry) > VRR_KIND_UNKNOWN ? VRR_KIND_UNKNOWN
							     : fds_kind(entry);
	return entry ? kind << 32 | fds_handle(entry) : 0;
}

void fds_set(int fd, uint32_t entry);
/** Takes the entry out and returns it. */
uint32_t fds_take(int fd);
/** A new open file: numbers it, enters it, returns the entry. */
uint32_t fds_make(int fd, uint32_t kind);
/** Eventfds that a VFIO call was given are recorded from now on, under all their numbers; unknown ones are attached. */
void fds_arm(int fd);

/** Kind that a path given to open() has, 0: none of ours. */
uint32_t fds_kind_of_path(const char *path);
/** Kind that the target of a /proc/self/fd link has, 0: none of ours. */
uint32_t fds_kind_of_link(const char *target);
/** Writes an attach record for a descriptor that was there already; flags: record flags. */
void fds_attach(int fd, uint32_t entry, const char *target, int flags);
/** What an unwatched or candidate descriptor is, judged by its link and else by a request made on it. Enters it. */
uint32_t fds_look(int fd, uint32_t entry, unsigned long request);
/** The same; inferred: the request alone told, so that an ENOTTY would disprove it. */
uint32_t fds_judge(int fd, uint32_t entry, unsigned long request, bool *inferred);
/** A descriptor that came over a socket: looked up at once, or a candidate where a filter forbids to look. */
uint32_t fds_receive(int fd);
/** At start: all of /proc/self/fd. */
void fds_scan(void);

#endif
