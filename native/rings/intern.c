#include "intern.h"
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include "vendor/xxhash.h"

struct hash128 hash_bytes(const void *bytes, size_t length)
{
	XXH128_hash_t h = XXH3_128bits(bytes, length);
	return (struct hash128){h.low64, h.high64};
}

static size_t site_hash(const struct site *site)
{
	return (size_t)XXH3_64bits(site, sizeof(*site));
}

int intern_init(struct intern *in)
{
	memset(in, 0, sizeof(*in));
	in->site_slots = 1 << 10;
	in->payload_slots = 1 << 12;
	in->sites = calloc(in->site_slots, sizeof(*in->sites));
	in->payloads = calloc(in->payload_slots, sizeof(*in->payloads));
	in->next_site = in->next_payload = 1;
	return in->sites && in->payloads ? 0 : -1;
}

void intern_free(struct intern *in)
{
	free(in->sites);
	free(in->payloads);
	memset(in, 0, sizeof(*in));
}

static struct site_entry *site_slot(struct site_entry *table, size_t slots, const struct site *site)
{
	size_t i = site_hash(site) & (slots - 1);
	while (table[i].id && memcmp(&table[i].site, site, sizeof(*site)))
		i = (i + 1) & (slots - 1);
	return &table[i];
}

static struct payload_entry *payload_slot(struct payload_entry *table, size_t slots, const struct hash128 *hash)
{
	size_t i = hash->low & (slots - 1);
	while (table[i].id && (table[i].hash.low != hash->low || table[i].hash.high != hash->high))
		i = (i + 1) & (slots - 1);
	return &table[i];
}

static int grow_sites(struct intern *in)
{
	size_t slots = in->site_slots * 2;
	struct site_entry *bigger = calloc(slots, sizeof(*bigger));
	if (!bigger)
		return -1;
	for (size_t i = 0; i < in->site_slots; i++)
		if (in->sites[i].id)
			*site_slot(bigger, slots, &in->sites[i].site) = in->sites[i];
	free(in->sites);
	in->sites = bigger;
	in->site_slots = slots;
	return 0;
}

static int grow_payloads(struct intern *in)
{
	size_t slots = in->payload_slots * 2;
	struct payload_entry *bigger = calloc(slots, sizeof(*bigger));
	if (!bigger)
		return -1;
	for (size_t i = 0; i < in->payload_slots; i++)
		if (in->payloads[i].id)
			*payload_slot(bigger, slots, &in->payloads[i].hash) = in->payloads[i];
	free(in->payloads);
	in->payloads = bigger;
	in->payload_slots = slots;
	return 0;
}

int intern_know_site(struct intern *in, const struct site *site, uint32_t id)
{
	if (in->site_count * 2 >= in->site_slots && grow_sites(in))
		return -1;
	struct site_entry *e = site_slot(in->sites, in->site_slots, site);
	if (!e->id)
		in->site_count++;
	e->site = *site;
	e->id = id;
	if (id >= in->next_site)
		in->next_site = id + 1;
	return 0;
}

int intern_know_payload(struct intern *in, const struct hash128 *hash, uint32_t id)
{
	if (in->payload_count * 2 >= in->payload_slots && grow_payloads(in))
		return -1;
	struct payload_entry *e = payload_slot(in->payloads, in->payload_slots, hash);
	if (!e->id)
		in->payload_count++;
	e->hash = *hash;
	e->id = id;
	if (id >= in->next_payload)
		in->next_payload = id + 1;
	return 0;
}

uint32_t intern_site(struct intern *in, const struct site *site, bool *fresh)
{
	struct site_entry *e = site_slot(in->sites, in->site_slots, site);
	*fresh = !e->id;
	if (e->id)
		return e->id;
	uint32_t id = in->next_site;
	return intern_know_site(in, site, id) ? 0 : id;
}

uint32_t intern_payload(struct intern *in, const struct hash128 *hash, bool *fresh)
{
	struct payload_entry *e = payload_slot(in->payloads, in->payload_slots, hash);
	*fresh = !e->id;
	if (e->id)
		return e->id;
	uint32_t id = in->next_payload;
	return intern_know_payload(in, hash, id) ? 0 : id;
}
