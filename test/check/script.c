/*
 * Makes the calls of a script (script.ts writes it), one a line, and prints the result of each: line, result, errno.
 *   script SCRIPT KEPT-DIRECTORY
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAMES 64
#define WORDS 64

struct name {
	char text[32];
	int fd;
	char *memory;
	size_t size;
};
static struct name names[NAMES];
static const char *directory;
static long number;
static int hanging;

static struct name *named(const char *text)
{
	for (int i = 0; i < NAMES; i++) {
		if (names[i].text[0] && strcmp(names[i].text, text))
			continue;
		snprintf(names[i].text, sizeof names[i].text, "%s", text);
		return &names[i];
	}
	fprintf(stderr, "script: too many names\n");
	exit(2);
}

static int digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

static unsigned char *bytes_of(const char *hex, size_t *length)
{
	*length = strlen(hex) / 2;
	unsigned char *bytes = calloc(1, *length + 4096);
	if (!bytes)
		exit(2);
	for (size_t i = 0; i < *length; i++)
		bytes[i] = (unsigned char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
	return bytes;
}

static FILE *kept(const char *name, const char *mode)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", directory, name);
	FILE *file = fopen(path, mode);
	if (!file) {
		perror(path);
		exit(2);
	}
	return file;
}

static void keep(const char *name, const void *bytes, ssize_t length)
{
	if (!name || length <= 0)
		return;
	FILE *file = kept(name, "a");
	fwrite(bytes, 1, (size_t)length, file);
	fclose(file);
}

static unsigned char *given(char **word, size_t *length)
{
	if (strcmp(word[0], "kept"))
		return bytes_of(word[0], length);
	FILE *file = kept(word[1], "r");
	fseek(file, 0, SEEK_END);
	*length = (size_t)ftell(file);
	rewind(file);
	unsigned char *bytes = calloc(1, *length + 1);
	if (!bytes || fread(bytes, 1, *length, file) != *length)
		exit(2);
	fclose(file);
	return bytes;
}

static long do_ioctl(char **w, int n)
{
	int fd = named(w[1])->fd;
	unsigned long request = strtoul(w[2], NULL, 0);
	if (!strcmp(w[3], "none"))
		return ioctl(fd, request);
	if (!strcmp(w[3], "value"))
		return ioctl(fd, request, strtoul(w[4], NULL, 0));
	size_t length;
	unsigned char *arg = bytes_of(w[4], &length);
	for (int i = 5; i + 2 < n; i += 3) {
		size_t at = strtoul(w[i + 1], NULL, 0);
		if (!strcmp(w[i], "fd"))
			memcpy(arg + at, &named(w[i + 2])->fd, 4);
		if (!strncmp(w[i], "address", 7)) {
			uint64_t p = (uint64_t)(uintptr_t)named(w[i + 2])->memory + strtoul(w[i] + 7, NULL, 0);
			memcpy(arg + at, &p, 8);
		}
	}
	int ret = ioctl(fd, request, arg);
	int saved = errno;
	for (int i = 5; ret >= 0 && i + 2 < n; i += 3) {
		if (strcmp(w[i], "made"))
			continue;
		int made = ret;
		if (strcmp(w[i + 1], "ret"))
			memcpy(&made, arg + strtoul(w[i + 1], NULL, 0), 4);
		named(w[i + 2])->fd = made;
	}
	free(arg);
	errno = saved;
	return ret;
}

static long transfer(char **w, int n)
{
	int fd = named(w[1])->fd;
	int positioned = w[0][0] == 'p', writes = strstr(w[0], "write") != NULL;
	int i = 2;
	off_t at = positioned ? (off_t)strtoull(w[i++], NULL, 0) : 0;
	size_t length = strtoul(w[i++], NULL, 0);
	if (writes) {
		size_t have;
		unsigned char *bytes = given(w + i, &have);
		if (!positioned)
			return write(fd, bytes, have);
		return pwrite(fd, bytes, length, at);
	}
	unsigned char *bytes = malloc(length + 1);
	if (!bytes)
		exit(2);
	ssize_t got = positioned ? pread(fd, bytes, length, at) : read(fd, bytes, length);
	int saved = errno;
	keep(i < n ? w[i] : NULL, bytes, got);
	free(bytes);
	errno = saved;
	return got;
}

static long do_mmap(char **w)
{
	struct name *to = named(w[2]);
	to->size = strtoul(w[4], NULL, 0);
	int flags = strcmp(w[5], "private") ? MAP_SHARED : MAP_PRIVATE;
	void *p = mmap(NULL, to->size, PROT_READ | PROT_WRITE, flags, named(w[1])->fd, (off_t)strtoull(w[3], NULL, 0));
	if (p == MAP_FAILED)
		return -1;
	to->memory = p;
	return 0;
}

static void new_memory(char **w, int n)
{
	struct name *to = named(w[1]);
	to->size = strtoul(w[2], NULL, 0);
	to->memory = mmap(NULL, to->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (to->memory == MAP_FAILED)
		exit(2);
	size_t length;
	if (n > 3)
		memcpy(to->memory, bytes_of(w[3], &length), strlen(w[3]) / 2);
}

static void lie(char **w, int n)
{
	static const char *const kinds[] = {"truth", "set", "memory", "errno", "ok", "hang"};
	void (*arm)(int, size_t, const void *, size_t, long) =
		(void (*)(int, size_t, const void *, size_t, long))dlsym(RTLD_DEFAULT, "liar_arm");
	size_t length = 0;
	const void *bytes = n > 3 ? bytes_of(w[3], &length) : NULL;
	for (int k = 1; k < 6; k++)
		if (!strcmp(w[1], kinds[k]) && arm)
			arm(k, n > 2 ? strtoul(w[2], NULL, 0) : 0, bytes, length, n > 2 ? strtol(w[2], NULL, 0) : 0);
	hanging = !strcmp(w[1], "hang");
}

static long call(char **w, int n)
{
	const char *what = w[0];
	if (!strcmp(what, "open")) {
		int fd = open(w[2], O_RDWR);
		return fd < 0 ? -1 : (named(w[1])->fd = fd);
	}
	if (!strcmp(what, "close")) {
		int ret = close(named(w[1])->fd);
		named(w[1])->fd = -1;
		return ret;
	}
	if (!strcmp(what, "ioctl"))
		return do_ioctl(w, n);
	if (!strcmp(what, "mmap"))
		return do_mmap(w);
	if (!strcmp(what, "munmap"))
		return munmap(named(w[1])->memory, named(w[1])->size);
	if (!strcmp(what, "load"))
		return *(volatile uint32_t *)(named(w[1])->memory + strtoul(w[2], NULL, 0)), 0;
	if (!strcmp(what, "eventfd"))
		return named(w[1])->fd = eventfd(0, EFD_NONBLOCK);
	return transfer(w, n);
}

struct line {
	char **words;
	int count;
};
static void *stuck(void *line)
{
	struct line *l = line;
	call(l->words, l->count);
	return NULL;
}

static void run(char **w, int n)
{
	number++;
	if (!strcmp(w[0], "memory"))
		new_memory(w, n);
	else if (!strcmp(w[0], "fill")) {
		size_t length;
		memcpy(named(w[1])->memory, bytes_of(w[2], &length), strlen(w[2]) / 2);
	} else if (!strcmp(w[0], "lie"))
		lie(w, n);
	else if (!strcmp(w[0], "signal")) {
		void (*signal_it)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "liar_signal");
		if (signal_it)
			signal_it(named(w[1])->fd);
	} else if (hanging) {
		static struct line l;
		static char *words[WORDS];
		memcpy(words, w, sizeof *w * (size_t)n);
		l = (struct line){words, n};
		pthread_t thread;
		pthread_create(&thread, NULL, stuck, &l);
		usleep(300000);
		hanging = 0;
		printf("%ld hang 0\n", number);
	} else {
		errno = 0;
		long ret = call(w, n);
		printf("%ld %ld %d\n", number, ret, ret < 0 ? errno : 0);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	directory = argv[2];
	FILE *script = fopen(argv[1], "r");
	char *line = NULL;
	size_t size = 0;
	if (!script)
		return 2;
	while (getline(&line, &size, script) > 0) {
		char *w[WORDS + 1] = {0};
		int n = 0;
		for (char *t = strtok(line, " \n"); t && n < WORDS; t = strtok(NULL, " \n"))
			w[n++] = t;
		if (n)
			run(w, n);
	}
	fflush(stdout);
	_exit(0);
}
