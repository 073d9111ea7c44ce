/* What the agent keeps between requests: descriptors, object ids and memory, each under a number the replayer chose. */
#ifndef VFIO_RR_AGENT_SLOTS_H
#define VFIO_RR_AGENT_SLOTS_H
#include <stdbool.h>
#include <stdint.h>

/* A replay needs one slot per open file, object and mapping; the limit only stops a damaged request from asking for
 * gigabytes. */
#define SLOTS_MAX (1u << 22)

enum slot_kind { SLOT_EMPTY, SLOT_FD, SLOT_ID, SLOT_MEMORY };

struct slot {
	enum slot_kind kind;
	uint64_t value;	 /* descriptor, id, address */
	uint64_t length; /* bytes of memory */
};

/* The slot if it is of that kind, else NULL. */
const struct slot *slots_get(uint32_t number, enum slot_kind kind);
/* Fills a slot, letting go of what it held. false: no memory or number out of range. */
bool slots_put(uint32_t number, enum slot_kind kind, uint64_t value, uint64_t length);
/* Forgets what the slot held without closing or unmapping it. */
void slots_forget(uint32_t number);

#endif
