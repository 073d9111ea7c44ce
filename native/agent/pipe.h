/* The agent's standard input and output: whole frames in, replies out. Neither side may wait for the other: while the
 * output is full the input is read ahead, so a replayer may write a batch of any size before it reads a reply. */
#ifndef VFIO_RR_AGENT_PIPE_H
#define VFIO_RR_AGENT_PIPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ends the agent with status 3 after one line on standard error. */
__attribute__((noreturn, format(printf, 1, 2))) void broken(const char *format, ...);

/* The next request's frame: 8-aligned, valid until the next call; NULL at the input's end. Replies are sent before it
 * waits. */
const unsigned char *pipe_next(uint32_t *size);
/* Bytes of input before that frame. */
uint64_t pipe_position(void);

/* `room` writable bytes, 8-aligned, for the reply that comes next; pipe_commit() sends the first `size` of them. */
unsigned char *pipe_room(size_t room);
void pipe_commit(size_t size);
void pipe_flush(void);

void pipe_init(void);

#endif
