#include "textflag.h"

// Eight elements, from off on, into the bits of Rx: the sign is cleared, then compared (13 is greater or equal).
#define EIGHT(off, Y, Rx) \
	VANDPS off(SI), Y15, Y \
	VCMPPS $13, off(DI), Y, Y \
	VMOVMSKPS Y, Rx

// func reach256(v, floor *float32) uint32
TEXT ·reach256(SB), NOSPLIT, $0-20
	MOVQ v+0(FP), SI
	MOVQ floor+8(FP), DI
	VPCMPEQD Y15, Y15, Y15
	VPSRLD $1, Y15, Y15
	EIGHT(0, Y0, AX)
	EIGHT(32, Y1, BX)
	EIGHT(64, Y2, CX)
	EIGHT(96, Y3, DX)
	SHLL $8, BX
	SHLL $16, CX
	SHLL $24, DX
	ORL BX, AX
	ORL CX, AX
	ORL DX, AX
	MOVL AX, ret+16(FP)
	VZEROUPPER
	RET
