/* A kernel that says how far it has come and gets no further: multiboot, 32-bit protected mode.
 *   gcc -m32 -nostdlib -static -Wl,-Ttext=0x100000,--build-id=none -o stuck.elf stuck.S */
#define MAGIC 0x1badb002
#define COM1 0x3f8

	.section .text
	.global _start
	.align 4
	.long MAGIC, 0, -MAGIC
_start:
	cli
	movl $said, %esi
	movw $COM1, %dx
next:
	lodsb
	testb %al, %al
	jz stop
	outb %al, %dx
	jmp next
stop:
	hlt
	jmp stop
said:
	.asciz "stuck: mounted root\nstuck: waiting for init\n"
