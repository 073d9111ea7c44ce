#include "known.h"

#include <link.h>
#include <sys/auxv.h>

#define IMAGES	     256
#define PAGE	     4096ul
/* Threads' and coroutines' stacks lie further below the main one: the kernel keeps that much free for it to grow. */
#define MAIN_STACK   (64ul << 20)
/* Above a frame of a thread lies its descriptor; a smaller stack than this is rare, and its neighbour is not asked for.
 */
#define THREAD_STACK (64ul << 10)

static struct {
	uintptr_t start, end;
} images[IMAGES];
static unsigned image_count;
static uintptr_t heap, stack_top;

static int image(struct dl_phdr_info *info, size_t size, void *unused)
{
	(void)size, (void)unused;
	for (int i = 0; i < info->dlpi_phnum && image_count < IMAGES; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type != PT_LOAD || !(p->p_flags & PF_R))
			continue;
		images[image_count].start = (uintptr_t)(info->dlpi_addr + p->p_vaddr);
		images[image_count++].end = (uintptr_t)(info->dlpi_addr + p->p_vaddr + p->p_memsz);
	}
	return 0;
}

void known_start(void)
{
	heap = (uintptr_t)sbrk(0);
	stack_top = getauxval(AT_EXECFN);
	dl_iterate_phdr(image, NULL);
}

/* Where memory that holds `at` ends for certain; `at` itself: nothing is known of it. */
static uintptr_t end_of(uintptr_t at)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0), self = (uintptr_t)pthread_self();
	if (at >= frame) {
		if (at < stack_top && stack_top - frame < MAIN_STACK)
			return stack_top;
		if (at < self && self - frame < THREAD_STACK)
			return self;
		if (at - frame < PAGE && (at & ~(PAGE - 1)) == (frame & ~(PAGE - 1)))
			return (at | (PAGE - 1)) + 1;
	}
	for (unsigned i = 0; i < image_count; i++)
		if (at >= images[i].start && at < images[i].end)
			return images[i].end;
	uintptr_t top = heap ? (uintptr_t)sbrk(0) : 0; /* a variable of libc's, once brk() was called */
	return at >= heap && at < top ? top : at;
}

size_t known_bytes(const void *from, size_t n)
{
	uintptr_t at = (uintptr_t)from;
	size_t known = 0;
	while (known < n) {
		uintptr_t end = end_of(at + known);
		if (end == at + known)
			break;
		known = end - at < n ? end - at : n;
	}
	return known;
}
