package vec

import "golang.org/x/sys/cpu"

// bodies lists the kernels that this machine can run, the fastest first.
func bodies() []body {
	var b []body
	if cpu.X86.HasAVX512F && cpu.X86.HasFMA {
		b = append(b, body{"avx512", tileAVX512, axpyAVX512, gatherAVX512})
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		b = append(b, body{"avx2", tileAVX2, axpyAVX2, gatherAVX2})
	}
	return append(b, generic)
}

func tileAVX512(c []float32, ldc int, l, r []float32, k int) { tile8x32(&c[0], ldc*4, &l[0], &r[0], k) }

// tileAVX2 covers the tile with four sub-tiles, as many as the sixteen registers hold at a time.
func tileAVX2(c []float32, ldc int, l, r []float32, k int) {
	for i := 0; i < TileRows; i += 4 {
		for j := 0; j < TileCols; j += 16 {
			tile4x16(&c[i*ldc+j], ldc*4, &l[i], &r[j], k)
		}
	}
}

func axpyAVX512(a float32, x, y []float32) { axpy512(a, &x[0], &y[0], len(x)) }
func axpyAVX2(a float32, x, y []float32)   { axpy256(a, &x[0], &y[0], len(x)) }

func gatherAVX512(dst, table []float32, row []int32, val []float32) {
	gather512(&dst[0], &table[0], &row[0], &val[0], len(row))
}

func gatherAVX2(dst, table []float32, row []int32, val []float32) {
	gather256(&dst[0], &table[0], &row[0], &val[0], len(row))
}

// The assembly bodies. Strides are in bytes, k and n must be positive.

//go:noescape
func tile8x32(c *float32, ldc int, l, r *float32, k int)

//go:noescape
func tile4x16(c *float32, ldc int, l, r *float32, k int)

//go:noescape
func axpy512(a float32, x, y *float32, n int)

//go:noescape
func axpy256(a float32, x, y *float32, n int)

//go:noescape
func gather512(dst, table *float32, row *int32, val *float32, n int)

//go:noescape
func gather256(dst, table *float32, row *int32, val *float32, n int)
