// Package vec holds the numeric kernels of training, which are a rank-k update of a tile, a scaled vector sum, a sparse sum of rows, and the inverse of
// a dense symmetric matrix that is built from them, and those of serving, which add sparse rows to an array and look through it (lines.go).
//
// Every kernel has one definition and several bodies (AVX-512, AVX2, plain Go), and all bodies give the same bits. That works because the
// definition leaves no freedom: each output element is its own chain of fused multiply-adds in a stated order, so the width of a vector
// register decides only how many chains run side by side, never how one of them rounds. The plain body computes the fused operation
// exactly in float64, so a machine without vector code trains the same model, only slowly.
package vec

// Sizes of the tile that Tile updates and of the rows that Gather adds.
const (
	TileRows = 8
	TileCols = 32
)

// Tile adds a product of two panels to a tile of c: for i < TileRows and j < TileCols,
//
//	c[i*ldc+j] = fma(l[t*TileRows+i], r[t*TileCols+j], c[i*ldc+j])   for t = 0, 1, ... k-1
func Tile(c []float32, ldc int, l, r []float32, k int) {
	if k == 0 {
		return
	}
	_, _, _ = c[(TileRows-1)*ldc+TileCols-1], l[k*TileRows-1], r[k*TileCols-1]
	chosen.tile(c, ldc, l, r, k)
}

// Axpy adds a times x to y, element by element: y[i] = fma(a, x[i], y[i]). y must be as long as x.
func Axpy(a float32, x, y []float32) {
	if len(x) == 0 {
		return
	}
	chosen.axpy(a, x, y[:len(x)])
}

// Gather adds selected rows of a table of TileCols columns to dst: with even and odd zero at first,
//
//	even[j] = fma(val[t], table[row[t]*TileCols+j], even[j])   for t = 0, 2, 4, ...
//	odd[j]  = fma(val[t], table[row[t]*TileCols+j], odd[j])    for t = 1, 3, 5, ...
//	dst[j]  = dst[j] + (even[j] + odd[j])
//
// The two chains hide the latency of the fused operation. Every row must lie inside the table: the caller vouches for it.
func Gather(dst, table []float32, row []int32, val []float32) {
	if len(row) == 0 {
		return
	}
	_ = val[len(row)-1]
	chosen.gather(dst[:TileCols], table, row, val)
}

// Body names the kernels in use on this machine: "avx512", "avx2" or "generic". It has no influence on results.
func Body() string { return chosen.name }

// body is one implementation of the kernels.
type body struct {
	name   string
	tile   func(c []float32, ldc int, l, r []float32, k int)
	axpy   func(a float32, x, y []float32)
	gather func(dst, table []float32, row []int32, val []float32)
}

var (
	generic = body{"generic", tileGeneric, axpyGeneric, gatherGeneric}
	chosen  = bodies()[0]
)
