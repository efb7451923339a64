#include "textflag.h"

// The row and the weight at off, into the chain Y; R is scratch for the index.
#define TERM(off, R, W, Y) \
	MOVLQSX off(R8), R \
	SHLQ $5, R \
	VBROADCASTSS off(R9), W \
	VFMADD231PS (SI)(R*1), W, Y

// func gather8(dst, table *float32, row *int32, val *float32, n int)
TEXT ·gather8(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ table+8(FP), SI
	MOVQ row+16(FP), R8
	MOVQ val+24(FP), R9
	MOVQ n+32(FP), CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	SUBQ $4, CX
	JLT last

four:
	TERM(0, AX, Y4, Y0)
	TERM(4, BX, Y5, Y1)
	TERM(8, DX, Y6, Y2)
	TERM(12, R10, Y7, Y3)
	ADDQ $16, R8
	ADDQ $16, R9
	SUBQ $4, CX
	JGE four

last:
	ADDQ $4, CX
	JZ done
	TERM(0, AX, Y4, Y0)
	DECQ CX
	JZ done
	TERM(4, BX, Y5, Y1)
	DECQ CX
	JZ done
	TERM(8, DX, Y6, Y2)

done:
	VADDPS Y1, Y0, Y0
	VADDPS Y3, Y2, Y2
	VADDPS Y2, Y0, Y0
	VMOVUPS Y0, (DI)
	VZEROUPPER
	RET
