/* A guest that drives QEMU's edu device with memory in BAR 2: multiboot, 32-bit protected mode, no paging.
 * Writes a pattern into the memory, uses the registers, then says so at NOTE and counts in the memory for ever.
 *   gcc -m32 -nostdlib -static -Wl,-Ttext=0x100000,--build-id=none -o guest.elf guest.S */
#include "edu-guest.S"

#define NOTE 0x6000
#define PATTERN 64 /* words */
#define COUNTER 0x1000

missing:
	movl $2, NOTE /* no such device */
	hlt
found:
	movl $0x04, %ecx
	call config
	orl $6, %eax /* memory, bus master */
	outl %eax, %dx
	movl $0x10, %ecx
	call config
	andl $~0xf, %eax
	movl %eax, %esi /* registers */
	movl $0x18, %ecx
	call config
	andl $~0xf, %eax
	movl %eax, %edi /* memory */

	xorl %ecx, %ecx
	movl $1, %eax
write:
	movl %eax, (%edi,%ecx,4)
	addl $0x01030507, %eax
	incl %ecx
	cmpl $PATTERN, %ecx
	jb write

	movl $0x12345678, 0x04(%esi) /* kept inverted */
	movl $5, 0x08(%esi) /* becomes its factorial */
busy:
	movl 0x20(%esi), %eax
	testl $1, %eax
	jnz busy
	movl $1, NOTE

	xorl %ebp, %ebp
count:
	incl %ebp
	movl %ebp, COUNTER(%edi)
	movl %ebp, NOTE+4
	movl $2000000, %ecx
wait:
	loop wait
	jmp count
