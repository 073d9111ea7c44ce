/* One request: parsed, performed, answered. */
#ifndef VFIO_RR_AGENT_PERFORM_H
#define VFIO_RR_AGENT_PERFORM_H
#include <stdint.h>

void perform(const unsigned char *frame, uint32_t size);

#endif
