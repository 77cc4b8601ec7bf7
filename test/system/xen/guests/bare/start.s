// Where the guest begins: a header that makes it an arm64 Linux Image for xl, the orders that the test fills in, and the
// first instructions of each vCPU. Both run without MMU: every access of theirs goes to memory as it stands.
	.section .head, "ax"
	.global _start, orders, smc, hvc, second
_start:	b	first
	.long	0
	.quad	0			// text_offset
	.quad	_end - _start
	.quad	0xa			// little endian, 4 KiB pages, anywhere in memory
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0
orders:	.skip	1024			// struct orders of main.c, at offset 64

first:	adrp	x1, stacks_end
	mov	sp, x1
	bl	main
1:	wfi
	b	1b

second:	adrp	x1, stacks_end		// its own half of the stacks
	sub	x1, x1, #8192
	mov	sp, x1
	bl	second_main
1:	wfi
	b	1b

// u64 smc(u64 x0): x1 to x7 as they stand; what the callee may change is lost anyhow.
smc:	smc	#0
	ret
// u64 hvc(u64 x0, u64 x1, u64 x2, u64 x3): PSCI, which Xen itself serves.
hvc:	hvc	#0
	ret

	.bss
	.balign	4096
	.skip	16384
stacks_end:
