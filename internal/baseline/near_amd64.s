#include "textflag.h"

// func addSquares(d *[lanes]float32, columns [][lanes]float32, values []float32)
//
// SSE2, which every amd64 has: no fused operations, so each lane is rounded as
// in addSquaresGo.
TEXT ·addSquares(SB), NOSPLIT, $0-56
	MOVQ   d+0(FP), DI
	MOVQ   columns_base+8(FP), SI
	MOVQ   values_base+32(FP), BX
	MOVQ   values_len+40(FP), CX
	CMPQ   CX, columns_len+16(FP)
	CMOVQGT columns_len+16(FP), CX
	MOVUPS 0(DI), X0
	MOVUPS 16(DI), X1
	TESTQ  CX, CX
	JZ     done

loop:
	MOVSS  (BX), X2
	SHUFPS $0, X2, X2
	MOVUPS 0(SI), X3
	MOVUPS 16(SI), X4
	SUBPS  X2, X3
	SUBPS  X2, X4
	MULPS  X3, X3
	MULPS  X4, X4
	ADDPS  X3, X0
	ADDPS  X4, X1
	ADDQ   $4, BX
	ADDQ   $32, SI
	DECQ   CX
	JNZ    loop

done:
	MOVUPS X0, 0(DI)
	MOVUPS X1, 16(DI)
	RET
