/* A guest that reads a register of QEMU's edu device 20 000 times and resets the machine: multiboot, 32 bits, no paging.
 *   gcc -m32 -nostdlib -static -Wl,-Ttext=0x100000,--build-id=none -o guest.elf guest.S */
#include "../play/edu-guest.S"

#define READS 20000

found:
	movl $0x04, %ecx
	call config
	orl $2, %eax /* memory */
	outl %eax, %dx
	movl $0x10, %ecx
	call config
	andl $~0xf, %eax
	movl %eax, %esi
	movl $READS, %ecx
read:
	movl 0x04(%esi), %eax
	loop read
missing: /* and done */
	movw $0xcf9, %dx
	movb $6, %al
	outb %al, %dx
	hlt
