/*
 * What the flight recorder's user wants a dump at (ring->dump_on): noticed where it happens, told to the recorder
 * through the ring's header, which it polls.
 *
 * Contract: costs nothing where nothing failed and no ioctl was made. Keeps errno.
 */
#ifndef VFIO_RR_TRIGGER_H
#define VFIO_RR_TRIGGER_H
#include "libc.h"

struct capture;

/** A recorded call answered -1: its result, -errno. */
int64_t trigger_failed(void);
/** After an ioctl; `c` is NULL where it has no argument. Only while ring->dump_on is set. */
void trigger_ioctl(const struct capture *c, uint32_t entry, unsigned long request, int ret);
/** Reads need a look before they are made: at their buffer (--mmio=trap), or at what they read (v1 migration state). */
extern bool reads_looked_at;
/** Whether [at, +n) of the device's file is the state in its v1 migration region. */
bool trigger_is_state(uint32_t entry, uint64_t at, size_t n);
/** The state that was read there. */
void trigger_state(uint32_t state);

#endif
