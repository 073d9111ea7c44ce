/* What only ptrace sees, on an ordinary file that stands at /dev/vfio/vfio: its calls fail or succeed as a file's do.
 *   traced         data both ways, requests of VFIO's and of others, then the same in a new image and in a child
 *   traced waits   the kernel's ways to wait
 *   traced vvar    writes memory that the kernel can reach and no other process */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int use(void)
{
	char text[] = "hello", back[8] = "";
	struct vfio_group_status status = {.argsz = sizeof(status)};
	int unread, fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

	if (fd < 0 || pwrite(fd, text, 5, 0) != 5 || pread(fd, back, 5, 0) != 5 || strcmp(text, back))
		return 1;
	ioctl(fd, VFIO_GROUP_GET_STATUS, &status); /* ENOTTY, like the next */
	ioctl(fd, TCGETS, back);
	return ioctl(fd, FIONREAD, &unread) || close(fd);
}

static int write_vvar(void)
{
	char line[256];
	unsigned long at = 0;
	FILE *maps = fopen("/proc/self/maps", "r");

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar]"))
			sscanf(line, "%lx", &at);
	int fd = open("/dev/vfio/vfio", O_RDWR);
	return at && fd >= 0 && pwrite(fd, (void *)at, 8, 0) == 8 ? 0 : 77;
}

static int waits(void)
{
	int fd = open("/dev/vfio/vfio", O_RDWR);
	struct pollfd p = {fd, POLLIN, 0};
	struct timespec most = {100, 0};
	struct timeval same = {100, 0};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return syscall(SYS_poll, &p, 1, 100) != 1 || syscall(SYS_ppoll, &p, 1, &most, NULL, 8) != 1 ||
	       syscall(SYS_select, fd + 1, &set, NULL, NULL, &same) != 1 ||
	       syscall(SYS_pselect6, fd + 1, &set, NULL, NULL, &most, NULL) != 1;
}

int main(int argc, char **argv)
{
	int status = -1;

	if (argc > 1 && !strcmp(argv[1], "vvar"))
		return write_vvar();
	if (argc > 1 && !strcmp(argv[1], "waits"))
		return waits();
	if (use())
		return 1;
	if (argc > 1)
		return 0;
	if (fork() == 0)
		execl("/proc/self/exe", argv[0], "again", (char *)NULL);
	wait(&status);
	return status != 0 || use();
}
