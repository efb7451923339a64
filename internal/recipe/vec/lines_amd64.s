#include "textflag.h"

// Constants: minus infinity, and the bits of the eight elements of either half of a line.
DATA nothing<>+0(SB)/4, $0xff800000
GLOBL nothing<>(SB), RODATA|NOPTR, $4

DATA halves<>+0(SB)/4, $0x0001
DATA halves<>+4(SB)/4, $0x0002
DATA halves<>+8(SB)/4, $0x0004
DATA halves<>+12(SB)/4, $0x0008
DATA halves<>+16(SB)/4, $0x0010
DATA halves<>+20(SB)/4, $0x0020
DATA halves<>+24(SB)/4, $0x0040
DATA halves<>+28(SB)/4, $0x0080
DATA halves<>+32(SB)/4, $0x0100
DATA halves<>+36(SB)/4, $0x0200
DATA halves<>+40(SB)/4, $0x0400
DATA halves<>+44(SB)/4, $0x0800
DATA halves<>+48(SB)/4, $0x1000
DATA halves<>+52(SB)/4, $0x2000
DATA halves<>+56(SB)/4, $0x4000
DATA halves<>+60(SB)/4, $0x8000
GLOBL halves<>(SB), RODATA|NOPTR, $64

// The sum of the item in R gets the lowest element of X.
#define ADDTO(R, X) \
	VADDSS (DI)(R*4), X, X \
	VMOVSS X, (DI)(R*4)

#define NOMARK(R)

#define MARK(R) \
	SHRQ $4, R \
	MOVB $1, (R12)(R*1)

// Four items from off on, whose products are in X.
#define FOUR(off, X, MARKED) \
	MOVQ off(SI), AX \
	MOVQ off+8(SI), BX \
	MOVL AX, R10 \
	SHRQ $32, AX \
	MOVL BX, R11 \
	SHRQ $32, BX \
	VMOVSHDUP X, X4 \
	VUNPCKHPS X, X, X5 \
	VPERMILPS $0xff, X, X6 \
	ADDTO(R10, X) \
	ADDTO(AX, X4) \
	ADDTO(R11, X5) \
	ADDTO(BX, X6) \
	MARKED(R10) \
	MARKED(AX) \
	MARKED(R11) \
	MARKED(BX)

#define EIGHT(off, MARKED) \
	VMULPS off(DX), Y0, Y2 \
	VADDPS Y1, Y2, Y2 \
	VEXTRACTF128 $1, Y2, X3 \
	FOUR(off, X2, MARKED) \
	FOUR(off+16, X3, MARKED)

#define SPARSEADD(MARKED) \
	MOVQ sum+0(FP), DI \
	MOVQ item+8(FP), SI \
	MOVQ value+16(FP), DX \
	MOVQ n+24(FP), CX \
	VBROADCASTSS w+32(FP), Y0 \
	MOVQ nextItem+40(FP), R8 \
	MOVQ nextValue+48(FP), R9 \
	VXORPS Y1, Y1, Y1 \
	SUBQ $16, CX \
	JLT rest \
lines: \
	PREFETCHT0 (R8) \
	PREFETCHT0 (R9) \
	EIGHT(0, MARKED) \
	EIGHT(32, MARKED) \
	ADDQ $64, SI \
	ADDQ $64, DX \
	ADDQ $64, R8 \
	ADDQ $64, R9 \
	SUBQ $16, CX \
	JGE lines \
rest: \
	PREFETCHT0 (R8) \
	PREFETCHT0 (R9) \
	ADDQ $16, CX \
	JZ done \
one: \
	MOVL (SI), AX \
	VMULSS (DX), X0, X2 \
	VADDSS X1, X2, X2 \
	ADDTO(AX, X2) \
	MARKED(AX) \
	ADDQ $4, SI \
	ADDQ $4, DX \
	DECQ CX \
	JNZ one \
done: \
	VZEROUPPER \
	RET

// func sparseAdd256(sum *float32, item *int32, value *float32, n int, w float32, nextItem *int32, nextValue *float32)
TEXT ·sparseAdd256(SB), NOSPLIT, $0-56
	SPARSEADD(NOMARK)

// func sparseAddMark256(sum *float32, item *int32, value *float32, n int, w float32, nextItem *int32, nextValue *float32, marks *uint8)
TEXT ·sparseAddMark256(SB), NOSPLIT, $0-64
	MOVQ marks+56(FP), R12
	SPARSEADD(MARK)

// The offset of the next line, in bytes.
#define LINE \
	MOVLQSX (R8), AX \
	SHLQ $6, AX \
	ADDQ $4, R8

// Eight sums from off on: their priors are added and what they are above them is left in Y5.
#define FINISHED(off) \
	VMOVUPS off(DI)(AX*1), Y2 \
	VMOVUPS off(SI)(AX*1), Y4 \
	VPCMPEQD Y15, Y2, Y3 \
	VADDPS Y4, Y2, Y2 \
	VSUBPS Y4, Y2, Y5 \
	VBLENDVPS Y3, Y14, Y2, Y2 \
	VMOVUPS Y2, off(DI)(AX*1)

#define GAINED(off) \
	FINISHED(off) \
	VANDNPS Y5, Y3, Y5 \
	VMOVUPS Y5, off(DX)(AX*1)

// func finish256(sum, gain, prior *float32, lines *int32, n int)
TEXT ·finish256(SB), NOSPLIT, $0-40
	MOVQ sum+0(FP), DI
	MOVQ gain+8(FP), DX
	MOVQ prior+16(FP), SI
	MOVQ lines+24(FP), R8
	MOVQ n+32(FP), CX
	VPCMPEQD Y15, Y15, Y15
	VPSLLD $31, Y15, Y15
	VBROADCASTSS nothing<>(SB), Y14
	TESTQ DX, DX
	JZ ungained

gained:
	LINE
	GAINED(0)
	GAINED(32)
	DECQ CX
	JNZ gained
	VZEROUPPER
	RET

ungained:
	LINE
	FINISHED(0)
	FINISHED(32)
	DECQ CX
	JNZ ungained
	VZEROUPPER
	RET

// func keep256(dst, src *float32, bits *uint64, lines *int32, n int)
TEXT ·keep256(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ bits+16(FP), DX
	MOVQ lines+24(FP), R8
	MOVQ n+32(FP), CX
	VBROADCASTSS nothing<>(SB), Y14
	VMOVDQU halves<>+0(SB), Y12
	VMOVDQU halves<>+32(SB), Y13

next:
	MOVLQSX (R8), AX
	ADDQ $4, R8
	MOVWLZX (DX)(AX*2), BX
	SHLQ $6, AX
	VMOVD BX, X0
	VPBROADCASTD X0, Y0
	VPAND Y12, Y0, Y1
	VPAND Y13, Y0, Y2
	VPCMPEQD Y12, Y1, Y1
	VPCMPEQD Y13, Y2, Y2
	VBLENDVPS Y1, (SI)(AX*1), Y14, Y1
	VBLENDVPS Y2, 32(SI)(AX*1), Y14, Y2
	VMOVUPS Y1, (DI)
	VMOVUPS Y2, 32(DI)
	ADDQ $64, DI
	DECQ CX
	JNZ next
	VZEROUPPER
	RET

// The next line into the groups of Yi and Yj, if there is one.
#define PEAK(Yi, Yj) \
	LINE \
	VMAXPS (SI)(AX*1), Yi, Yi \
	VMAXPS 32(SI)(AX*1), Yj, Yj

#define LAST(Yi, Yj) \
	DECQ CX \
	JLT done \
	PEAK(Yi, Yj)

// func peaks256(peaks *[PeakGroups]float32, v *float32, lines *int32, n int)
TEXT ·peaks256(SB), NOSPLIT, $0-32
	MOVQ peaks+0(FP), DI
	MOVQ v+8(FP), SI
	MOVQ lines+16(FP), R8
	MOVQ n+24(FP), CX
	VMOVUPS 0(DI), Y0
	VMOVUPS Y0, Y1
	VMOVUPS Y0, Y2
	VMOVUPS Y0, Y3
	VMOVUPS Y0, Y4
	VMOVUPS Y0, Y5
	VMOVUPS Y0, Y6
	VMOVUPS Y0, Y7
	VMOVUPS Y0, Y8
	VMOVUPS Y0, Y9
	VMOVUPS Y0, Y10
	VMOVUPS Y0, Y11
	VMOVUPS Y0, Y12
	VMOVUPS Y0, Y13
	VMOVUPS Y0, Y14
	VMOVUPS Y0, Y15
	SUBQ $8, CX
	JLT last

eight:
	PEAK(Y0, Y1)
	PEAK(Y2, Y3)
	PEAK(Y4, Y5)
	PEAK(Y6, Y7)
	PEAK(Y8, Y9)
	PEAK(Y10, Y11)
	PEAK(Y12, Y13)
	PEAK(Y14, Y15)
	SUBQ $8, CX
	JGE eight

last:
	ADDQ $8, CX
	LAST(Y0, Y1)
	LAST(Y2, Y3)
	LAST(Y4, Y5)
	LAST(Y6, Y7)
	LAST(Y8, Y9)
	LAST(Y10, Y11)
	LAST(Y12, Y13)

done:
	VMOVUPS Y0, 0(DI)
	VMOVUPS Y1, 32(DI)
	VMOVUPS Y2, 64(DI)
	VMOVUPS Y3, 96(DI)
	VMOVUPS Y4, 128(DI)
	VMOVUPS Y5, 160(DI)
	VMOVUPS Y6, 192(DI)
	VMOVUPS Y7, 224(DI)
	VMOVUPS Y8, 256(DI)
	VMOVUPS Y9, 288(DI)
	VMOVUPS Y10, 320(DI)
	VMOVUPS Y11, 352(DI)
	VMOVUPS Y12, 384(DI)
	VMOVUPS Y13, 416(DI)
	VMOVUPS Y14, 448(DI)
	VMOVUPS Y15, 480(DI)
	VZEROUPPER
	RET

#define COUNT(off, Ya, Yb, Yi, Yj) \
	VCMPPS $2, off(SI), Y0, Ya \
	VCMPPS $2, off+32(SI), Y0, Yb \
	VPSUBD Ya, Yi, Yi \
	VPSUBD Yb, Yj, Yj

// func count256(peaks *[PeakGroups]float32, least float32) int
TEXT ·count256(SB), NOSPLIT, $0-24
	MOVQ peaks+0(FP), SI
	VBROADCASTSS least+8(FP), Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	COUNT(0, Y3, Y4, Y1, Y2)
	COUNT(64, Y5, Y6, Y1, Y2)
	COUNT(128, Y3, Y4, Y1, Y2)
	COUNT(192, Y5, Y6, Y1, Y2)
	COUNT(256, Y3, Y4, Y1, Y2)
	COUNT(320, Y5, Y6, Y1, Y2)
	COUNT(384, Y3, Y4, Y1, Y2)
	COUNT(448, Y5, Y6, Y1, Y2)
	VPADDD Y2, Y1, Y1
	VEXTRACTI128 $1, Y1, X2
	VPADDD X2, X1, X1
	VPSHUFD $0x4e, X1, X2
	VPADDD X2, X1, X1
	VPSHUFD $0xb1, X1, X2
	VPADDD X2, X1, X1
	VMOVD X1, AX
	MOVQ AX, ret+16(FP)
	VZEROUPPER
	RET

// func reaching256(v *float32, lines *int32, n int, least float32) (at int, high uint32)
TEXT ·reaching256(SB), NOSPLIT, $0-44
	MOVQ v+0(FP), SI
	MOVQ lines+8(FP), R8
	MOVQ n+16(FP), CX
	VBROADCASTSS least+24(FP), Y0
	MOVQ CX, DX
	SUBQ $2, CX
	JLT last

pair: // two lines at a time, until one of them has such an element (2 is less or equal)
	MOVLQSX (R8), AX
	MOVLQSX 4(R8), BX
	SHLQ $6, AX
	SHLQ $6, BX
	VCMPPS $2, (SI)(AX*1), Y0, Y1
	VCMPPS $2, 32(SI)(AX*1), Y0, Y2
	VCMPPS $2, (SI)(BX*1), Y0, Y3
	VCMPPS $2, 32(SI)(BX*1), Y0, Y4
	VORPS Y1, Y2, Y5
	VORPS Y3, Y4, Y6
	VORPS Y5, Y6, Y6
	VMOVMSKPS Y6, R9
	TESTL R9, R9
	JNZ found
	ADDQ $8, R8
	SUBQ $2, CX
	JGE pair

last:
	ADDQ $2, CX
	JZ none
	MOVLQSX (R8), AX
	SHLQ $6, AX
	VCMPPS $2, (SI)(AX*1), Y0, Y1
	VCMPPS $2, 32(SI)(AX*1), Y0, Y2
	VMOVMSKPS Y1, R10
	VMOVMSKPS Y2, R11
	SHLL $8, R11
	ORL R11, R10
	JZ none
	SUBQ CX, DX
	JMP done

found: // in the first of them or in the second; CX+2 are left with both
	ADDQ $2, CX
	SUBQ CX, DX
	VMOVMSKPS Y1, R10
	VMOVMSKPS Y2, R11
	SHLL $8, R11
	ORL R11, R10
	JNZ done
	INCQ DX
	VMOVMSKPS Y3, R10
	VMOVMSKPS Y4, R11
	SHLL $8, R11
	ORL R11, R10

done:
	MOVQ DX, at+32(FP)
	MOVL R10, high+40(FP)
	VZEROUPPER
	RET

none:
	MOVQ DX, at+32(FP)
	MOVL $0, high+40(FP)
	VZEROUPPER
	RET

// Y2 as doubles.
#define EXTEND \
	VEXTRACTF128 $1, Y2, X3 \
	VCVTPS2PD X2, Y5 \
	VCVTPS2PD X3, Y6

// Eight elements from off on into the sums in Y8 and Y9. If all that are below the least are minus infinity, these count as 0; otherwise the quotients are needed.
#define ODDS(off, below, add) \
	VMOVUPS off(SI)(AX*1), Y2 \
	VCMPPS $1, Y15, Y2, Y3 \
	VCMPPS $0, Y14, Y2, Y4 \
	VMOVMSKPS Y3, BX \
	VMOVMSKPS Y4, DX \
	CMPL BX, DX \
	JNE below \
	VANDNPS Y2, Y3, Y2 \
	EXTEND \
add: \
	VADDPD Y5, Y8, Y8 \
	VADDPD Y6, Y9, Y9

// Four elements in Y as doubles: floor / (2 - Y / floor) of those that are below floor.
#define BELOW(Y) \
	VDIVPD Y13, Y, Y2 \
	VSUBPD Y2, Y12, Y2 \
	VDIVPD Y2, Y13, Y2 \
	VCMPPD $1, Y13, Y, Y3 \
	VBLENDVPD Y3, Y2, Y, Y

DATA two<>+0(SB)/8, $2.0
GLOBL two<>(SB), RODATA|NOPTR, $8

// func odds256(sum *[8]float64, v *float32, lines *int32, n int, floor float64, least float32)
TEXT ·odds256(SB), NOSPLIT, $0-44
	MOVQ sum+0(FP), DI
	MOVQ v+8(FP), SI
	MOVQ lines+16(FP), R8
	MOVQ n+24(FP), CX
	VBROADCASTSD floor+32(FP), Y13
	VBROADCASTSS least+40(FP), Y15
	VBROADCASTSS nothing<>(SB), Y14
	VBROADCASTSD two<>(SB), Y12
	VXORPD Y8, Y8, Y8
	VXORPD Y9, Y9, Y9

next:
	LINE
	ODDS(0, below0, add0)
	ODDS(32, below1, add1)
	DECQ CX
	JNZ next
	VMOVUPD Y8, (DI)
	VMOVUPD Y9, 32(DI)
	VZEROUPPER
	RET

below0:
	EXTEND
	BELOW(Y5)
	BELOW(Y6)
	JMP add0

below1:
	EXTEND
	BELOW(Y5)
	BELOW(Y6)
	JMP add1

// func fill256(dst *float32, lines *int32, n int, v float32)
TEXT ·fill256(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ lines+8(FP), R8
	MOVQ n+16(FP), CX
	VBROADCASTSS v+24(FP), Y0

next:
	LINE
	VMOVUPS Y0, (DI)(AX*1)
	VMOVUPS Y0, 32(DI)(AX*1)
	DECQ CX
	JNZ next
	VZEROUPPER
	RET
