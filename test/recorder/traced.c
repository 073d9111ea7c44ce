/* What only ptrace sees, on an ordinary file that stands at /dev/vfio/vfio: its calls fail or succeed as a file's do.
 *   traced         data both ways, requests of VFIO's and of others, then the same in a new image and in a child
 *   traced vvar    writes memory that the kernel can reach and no other process */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
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

int main(int argc, char **argv)
{
	int status = -1;

	if (argc > 1 && !strcmp(argv[1], "vvar"))
		return write_vvar();
	if (use())
		return 1;
	if (argc > 1)
		return 0;
	if (fork() == 0)
		execl("/proc/self/exe", argv[0], "again", (char *)NULL);
	wait(&status);
	return status != 0 || use();
}
