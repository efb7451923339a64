#include "textflag.h"

// func dotRows256(dst *int32, x, table *int8, row *int32, n, rows int)
//
// The rows lie anywhere in a table larger than the caches, so the row after the next one is fetched while one is multiplied.
TEXT ·dotRows256(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ table+16(FP), R8
	MOVQ row+24(FP), R9
	MOVQ n+32(FP), R10
	MOVQ rows+40(FP), R11
	VPCMPEQW Y15, Y15, Y15
	VPSRLW $15, Y15, Y15 // ones

next:
	MOVLQSX (R9), DX
	IMULQ R10, DX
	ADDQ R8, DX
	MOVQ DX, BX
	CMPQ R11, $3
	JLT ready // no row after the next
	MOVLQSX 8(R9), BX
	IMULQ R10, BX
	ADDQ R8, BX

ready:
	MOVQ x+8(FP), SI
	MOVQ R10, CX
	VPXOR Y0, Y0, Y0

lanes: // the magnitudes of x times the elements of the row with the signs of x, in pairs that fit into words, and those in pairs
	PREFETCHT0 (BX)
	VMOVDQU (SI), Y2
	VMOVDQU (DX), Y3
	VPSIGNB Y2, Y3, Y3
	VPABSB Y2, Y2
	VPMADDUBSW Y3, Y2, Y2
	VPMADDWD Y15, Y2, Y2
	VPADDD Y2, Y0, Y0
	ADDQ $32, SI
	ADDQ $32, DX
	ADDQ $32, BX
	SUBQ $32, CX
	JGT lanes

	VEXTRACTI128 $1, Y0, X1
	VPADDD X1, X0, X0
	VPSHUFD $0x4e, X0, X1
	VPADDD X1, X0, X0
	VPSHUFD $0xb1, X0, X1
	VPADDD X1, X0, X0
	VMOVD X0, (DI)
	ADDQ $4, DI
	ADDQ $4, R9
	DECQ R11
	JNZ next
	VZEROUPPER
	RET
