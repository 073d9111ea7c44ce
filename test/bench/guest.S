/* A guest that reads a register of QEMU's edu device 20 000 times and resets the machine: multiboot, 32 bits, no paging.
 *   gcc -m32 -nostdlib -static -Wl,-Ttext=0x100000,--build-id=none -o guest.elf guest.S */
#define MAGIC 0x1badb002
#define ID 0x11e81234 /* device and vendor */
#define READS 20000

	.section .text
	.global _start
	.align 4
	.long MAGIC, 0, -MAGIC
_start:
	cli
	movl $0x80000000, %ebx /* configuration address of 00:00.0 */
find:
	xorl %ecx, %ecx
	call config
	cmpl $ID, %eax
	je found
	addl $0x800, %ebx
	cmpl $0x80010000, %ebx
	jb find
	jmp reset
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
reset:
	movw $0xcf9, %dx
	movb $6, %al
	outb %al, %dx
	hlt

/* %eax: configuration register %ecx of the device at %ebx; %dx: the data port */
config:
	movl %ebx, %eax
	orl %ecx, %eax
	movw $0xcf8, %dx
	outl %eax, %dx
	movw $0xcfc, %dx
	inl %dx, %eax
	ret
	.section .note.GNU-stack, "", @progbits
