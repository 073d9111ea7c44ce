/* What the scenes of the test program share. */
#include <stdint.h>
#include <sys/types.h>

/* An address that nothing is mapped at; volatile, or the compiler refuses to use it. */
extern void *volatile nowhere;

int device_open(void);
uint32_t get(int fd, off_t at);
void put(int fd, off_t at, uint32_t value);

/* children.c */
int forks(void);
int vforks(char **argv);
/* mapped.c */
int mapped(void);
int covered(void);
int overruled(void);
int failing(void);
int protecting(void);
int operands(void);
int interrupting(void);
int own_handler(void);
/* interrupts.c */
int interrupts(void);
int crowds(void);
