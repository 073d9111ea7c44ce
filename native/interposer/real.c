#include "real.h"

struct real real;

static long missing(void)
{
	errno = ENOSYS;
	return -1;
}

static void find(void **where, const char *name)
{
	if (*where)
		return;
	void *found = dlsym(RTLD_NEXT, name);
	*where = found ? found : (void *)missing;
}

void real_find(void)
{
	int saved = errno;
#define FIND(result, name, parameters) find((void **)&real.name, #name);
	REAL_CALLS(FIND)
#undef FIND
	errno = saved;
}
