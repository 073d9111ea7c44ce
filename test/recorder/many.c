/* Many threads that each make five calls on a device and stay until all have: many THREADS */
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int device;
static pthread_barrier_t barrier;

static void *say(void *unused)
{
	uint32_t value = 1;
	(void)unused;
	for (int i = 0; i < 5; i++)
		if (pwrite(device, &value, 4, 64) != 4)
			abort();
	pthread_barrier_wait(&barrier);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned threads = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	pthread_t thread[256];
	int group = open("/dev/vfio/12", O_RDWR);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:04.0");
	pthread_barrier_init(&barrier, NULL, threads);
	for (unsigned i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, say, NULL);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	puts("all done");
	return 0;
}
