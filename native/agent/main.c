/* vfio-rr-agent: performs recorded calls on this machine's devices. Requests come on standard input, replies go to
 * standard output (schema/agent.ts has the protocol). It ends when its input ends; whatever it opened is then closed.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "generated/schema.h"
#include "perform.h"
#include "pipe.h"

static void hello(void)
{
	struct utsname u;
	struct agent_reply *r =
		(void *)pipe_room(sizeof(struct agent_reply) + sizeof(struct agent_part) + sizeof(u) + 64);
	struct agent_part *p = (void *)(r + 1);
	uname(&u);
	int n = sprintf((char *)(p + 1), "vfio-rr-agent %d\n%s %s %s\n", VRR_AGENT_VERSION, u.sysname, u.release,
			u.machine);
	*p = (struct agent_part){.type = VRR_AGENT_PART_ARG, .length = (uint32_t)n};
	while (n % 8)
		((char *)(p + 1))[n++] = 0;
	*r = (struct agent_reply){
		.size = (uint32_t)(sizeof(*r) + sizeof(*p)) + (uint32_t)n, .tag = VRR_AGENT_HELLO, .parts = 1};
	pipe_commit(r->size);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		bool help = !strcmp(argv[1], "--help"), version = !strcmp(argv[1], "--version");
		if (version)
			printf("vfio-rr-agent %d\n", VRR_AGENT_VERSION);
		else
			fputs("vfio-rr-agent: performs recorded VFIO calls that come on standard input.\n"
			      "It is started by: vfio-rr replay TRACE --on device [--agent 'ssh HOST vfio-rr-agent']\n",
			      help ? stdout : stderr);
		return help || version ? 0 : 2;
	}
	/* Recorded programs may hold more descriptors than the usual 1024. */
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	pipe_init();
	hello();
	uint32_t size;
	for (const unsigned char *frame; (frame = pipe_next(&size));)
		perform(frame, size);
	pipe_flush();
	return 0;
}
