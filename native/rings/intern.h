/* What many events have in common is kept once: sites and payloads, by content. */
#ifndef VFIO_RR_INTERN_H
#define VFIO_RR_INTERN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NO_NUMBER INT64_MIN /* a column that is NULL */

/* Columns of `site`, without holes: compared and hashed as bytes. */
struct site {
	int64_t request, feature, region, length; /* or NO_NUMBER */
	uint32_t thread, handle;
	int32_t fd;
	uint8_t kind, op, flags, pad;
};
struct hash128 {
	uint64_t low, high;
};

struct site_entry {
	struct site site;
	uint32_t id;
};
struct payload_entry {
	struct hash128 hash;
	uint32_t id;
};

struct intern {
	struct site_entry *sites;
	struct payload_entry *payloads;
	size_t site_slots, payload_slots; /* powers of two */
	uint32_t site_count, payload_count;
	uint32_t next_site, next_payload;
};

int intern_init(struct intern *intern);
void intern_free(struct intern *intern);
/* Id of the entry; *fresh when it was made now. 0: out of memory. */
uint32_t intern_site(struct intern *intern, const struct site *site, bool *fresh);
uint32_t intern_payload(struct intern *intern, const struct hash128 *hash, bool *fresh);
/* Takes what the database has already. */
int intern_know_site(struct intern *intern, const struct site *site, uint32_t id);
int intern_know_payload(struct intern *intern, const struct hash128 *hash, uint32_t id);
struct hash128 hash_bytes(const void *bytes, size_t length);
#endif
