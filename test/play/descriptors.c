/* Puts a file in the place of every descriptor that it did not open itself, then closes them all, while two threads
 * ask VFIO before and after. Prints how many places it could not have, and what VFIO said. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

static int container;
static pthread_barrier_t asked, placed;

static void ask(const char *who)
{
	int version = ioctl(container, VFIO_GET_API_VERSION);
	printf("%s: version %d%s\n", who, version, version < 0 ? " failed" : "");
}
static void *other(void *unused)
{
	ask("thread");
	pthread_barrier_wait(&asked);
	pthread_barrier_wait(&placed);
	ask("thread");
	return unused;
}

int main(void)
{
	pthread_t thread;
	struct rlimit most;
	int kept = 0, file;
	container = open("/dev/vfio/vfio", O_RDWR);
	file = open("/dev/null", O_RDWR);
	pthread_barrier_init(&asked, NULL, 2);
	pthread_barrier_init(&placed, NULL, 2);
	ask("main");
	pthread_create(&thread, NULL, other, NULL);
	pthread_barrier_wait(&asked);
	getrlimit(RLIMIT_NOFILE, &most);
	for (int fd = 3; fd < (int)most.rlim_cur && fd < 66000; fd++)
		if (fd != container && fd != file && dup2(file, fd) != fd) {
			kept++;
			if (errno != EBADF)
				perror("dup2");
		}
	for (int fd = 3; fd < (int)most.rlim_cur && fd < 66000; fd++)
		if (fd != container)
			close(fd);
	pthread_barrier_wait(&placed);
	pthread_join(thread, NULL);
	ask("main");
	printf("kept %d\n", kept);
	return 0;
}
