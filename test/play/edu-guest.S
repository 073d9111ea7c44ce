/* The start of a guest that uses QEMU's edu device: multiboot, 32-bit protected mode, no paging. Goes to `found` with the
 * device's configuration address in %ebx, or to `missing`.
 *   config: %eax: configuration register %ecx of the device at %ebx; %dx: the data port */
#define MAGIC 0x1badb002
#define ID 0x11e81234 /* device and vendor */

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
	jmp missing

config:
	movl %ebx, %eax
	orl %ecx, %eax
	movw $0xcf8, %dx
	outl %eax, %dx
	movw $0xcfc, %dx
	inl %dx, %eax
	ret
	.section .note.GNU-stack, "", @progbits
	.section .text
