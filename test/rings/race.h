/* Between the two sides of race.c's test: their headers have names in common. */
#ifndef RACE_H
#define RACE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WRITERS	 6
#define SEGMENT	 (16u << 10)
#define SEGMENTS 96

/* An event as the reader gives it; bytes: how many it carries, 0: its value. */
struct told {
	uint64_t name, value;
	int64_t ret, end;
	bool has_bytes, has_value;
};
/* What is known of the bytes: the name that they begin with, 0: the rest is not what it makes of them. */
struct payload {
	uint64_t name;
	size_t length;
};

static inline uint64_t mixed(uint64_t n)
{
	return (n ^ n >> 29) * 0x9e3779b97f4a7c15u;
}
static inline uint8_t byte_of(uint64_t name, size_t at)
{
	return at < 8 ? (uint8_t)(name >> 8 * at) : (uint8_t)(mixed(name) >> at % 7 * 8) ^ (uint8_t)at;
}

/* race.c */
void take_event(const struct told *event, struct payload bytes);

/* race-reader.c */
struct sums {
	int64_t batches, late, damaged, unfinished;
};
/* NULL, or what is wrong. */
const char *reader_start(const char *path);
void *reader_map(size_t size);
/* Moves a batch; false: nothing came. */
bool reader_step(bool finish);
struct sums reader_sums(void);
#endif
