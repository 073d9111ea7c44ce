#include "slots.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct slot *slots;
static uint32_t slots_count;

static bool grow(uint32_t number)
{
	if (number >= SLOTS_MAX)
		return false;
	if (number < slots_count)
		return true;
	uint32_t count = slots_count ? slots_count : 256;
	while (count <= number)
		count *= 2;
	struct slot *bigger = realloc(slots, count * sizeof(*slots));
	if (!bigger)
		return false;
	memset(bigger + slots_count, 0, (count - slots_count) * sizeof(*slots));
	slots = bigger;
	slots_count = count;
	return true;
}

const struct slot *slots_get(uint32_t number, enum slot_kind kind)
{
	return number < slots_count && slots[number].kind == kind ? &slots[number] : NULL;
}

static void let_go(const struct slot *s)
{
	if (s->kind == SLOT_FD)
		close((int)s->value);
	else if (s->kind == SLOT_MEMORY)
		munmap((void *)(uintptr_t)s->value, s->length);
}

bool slots_put(uint32_t number, enum slot_kind kind, uint64_t value, uint64_t length)
{
	if (!grow(number))
		return false;
	struct slot *s = &slots[number];
	/* The same id may come back for the same slot (VFIO_DEVICE_ATTACH_IOMMUFD_PT echoes pt_id). */
	let_go(s);
	*s = (struct slot){kind, value, length};
	return true;
}

void slots_forget(uint32_t number)
{
	if (number < slots_count)
		slots[number] = (struct slot){0};
}
