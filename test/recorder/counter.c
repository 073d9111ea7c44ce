/*
 * Says to a device, in each of several threads, the numbers 0, 1, 2, … by pwrite; and beside that, in a shared file
 * that outlives it, how far each thread is: what a trace of it must then hold is known without asking the recorder.
 *   counter STATE THREADS CALLS [PAYLOAD BYTES]
 * STATE: u64 pid, then per thread u64 begun, u64 returned.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/vfio.h>
#include <unistd.h>

static struct {
	_Atomic uint64_t pid;
	struct {
		_Atomic uint64_t begun, returned;
	} thread[64];
} * state;
static int device;
static uint64_t calls;
static size_t length = 8;

static void *say(void *argument)
{
	uintptr_t me = (uintptr_t)argument;
	uint64_t *bytes = calloc(1, length);
	for (uint64_t i = 0; i < calls; i++) {
		bytes[0] = me << 32 | i;
		atomic_store(&state->thread[me].begun, i + 1);
		if (pwrite(device, bytes, length, 64) != (ssize_t)length)
			abort();
		atomic_store(&state->thread[me].returned, i + 1);
	}
	free(bytes);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread[64];
	if (argc < 4)
		return 2;
	int fd = open(argv[1], O_RDWR | O_CREAT, 0600), threads = atoi(argv[2]);
	calls = strtoull(argv[3], NULL, 0);
	if (argc > 4)
		length = strtoull(argv[4], NULL, 0);
	if (fd < 0 || ftruncate(fd, sizeof(*state)) || threads > 64)
		return 2;
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (state == MAP_FAILED)
		return 2;
	int group = open("/dev/vfio/12", O_RDWR);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	if (device < 0)
		return 1;
	atomic_store(&state->pid, (uint64_t)getpid());
	for (intptr_t i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, say, (void *)i);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	return 0;
}
