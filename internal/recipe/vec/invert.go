package vec

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/palate-dev/palate/internal/pace"
)

// block is the width of the panels of Invert: a panel's share of one tile column stays in the first-level cache.
const block = 256

// Symmetric is a dense symmetric matrix. Only elements on and above the diagonal are meaningful; rows have Stride elements. The stride is a
// multiple of TileCols, and the rows and columns beyond N, up to the stride, are scratch.
type Symmetric struct {
	N, Stride int
	A         []float32

	release func()
}

// NewSymmetric returns the n by n zero matrix, outside of the heap. Close ends its use.
func NewSymmetric(n int) *Symmetric {
	s := &Symmetric{N: n, Stride: stride(n)}
	s.A, s.release = Allocate[float32](s.Stride * s.Stride)
	return s
}

func stride(n int) int { return (n + TileCols - 1) / TileCols * TileCols }

// Close gives the memory of the matrix back. Nothing may use it any more.
func (s *Symmetric) Close() {
	s.A = nil
	s.release()
}

// InverseBytes is the memory that an n by n matrix takes together with what Invert needs beside it.
func InverseBytes(n int) int64 {
	wide := int64(stride(n))
	return 4 * wide * (wide + 4*block)
}

// Row is row i, all columns.
func (s *Symmetric) Row(i int) []float32 { return s.A[i*s.Stride:][:s.Stride] }

// Columns fills dst, a table of TileCols columns and Stride rows, with the columns from c on, a multiple of TileCols.
func (s *Symmetric) Columns(dst []float32, c int) {
	n := s.Stride
	for i := range c {
		copy(dst[i*TileCols:][:TileCols], s.A[i*n+c:])
	}
	for j := c; j < c+TileCols; j++ {
		for i := c; i < j; i++ {
			dst[i*TileCols+j-c] = s.A[i*n+j]
		}
		for i, v := range s.A[j*n+j : j*n+n] {
			dst[(j+i)*TileCols+j-c] = v
		}
	}
}

// Invert replaces the matrix, which must be positive definite, by its inverse.
//
// It is the symmetric sweep (Gauss-Jordan without pivoting) by blocks of rows: with D the inverse of the pivot block and P its rows, the rest
// of the matrix becomes A - PᵀDP, the block's rows become DP and the pivot block -D; after all blocks A holds minus its inverse. Every
// element sees the blocks in ascending order, so the result does not depend on the number of workers.
func Invert(ctx context.Context, s *Symmetric, progress func(done, total int)) error {
	n := s.Stride
	for i := s.N; i < n; i++ { // a unit diagonal makes the scratch rows harmless
		clear(s.Row(i))
		for j := range i {
			s.A[j*n+i] = 0
		}
		s.A[i*n+i] = 1
	}
	all, release := Allocate[float32](4 * block * n)
	defer release()
	w := &sweep{Symmetric: s, p: all[:block*n], v: all[block*n:][:block*n], left: all[2*block*n:][:block*n], right: all[3*block*n:], d: make([]float32, block*block)}
	for k := 0; k < n; k += block {
		if err := w.step(ctx, k, min(block, n-k)); err != nil {
			return err
		}
		if progress != nil {
			progress(min(k+block, n), n)
		}
	}
	return Parallel(ctx, n, func(i, _ int) {
		row := s.A[i*n+i : i*n+n]
		for j := range row {
			row[j] = -row[j]
		}
	})
}

// sweep is the state of one Invert. p and v hold b rows of n elements, left and right the factors of a product in panels of TileRows and TileCols columns, d b by b elements,
// where b is the height of the current pivot block.
type sweep struct {
	*Symmetric
	p, v, left, right, d []float32
}

// step sweeps the b rows from k on.
func (w *sweep) step(ctx context.Context, k, b int) error {
	n := w.Stride
	tiles := n / TileCols
	if err := Parallel(ctx, tiles, func(t, _ int) { w.gather(k, b, t*TileCols) }); err != nil {
		return err
	}
	for i := range b {
		copy(w.d[i*b:][:b], w.p[i*n+k:])
	}
	invertSmall(w.d, b)
	clear(w.v[:b*n])
	if err := product(ctx, w.v, n, w.d, b, w.left, w.p, w.right, b, 1, false); err != nil { // v = d p, as d is symmetric
		return err
	}
	for i := range b { // the pivot block's own rows and columns are set below, not updated
		clear(w.p[i*n+k:][:b])
	}
	if err := product(ctx, w.A, n, w.p, n, w.left, w.v, w.right, b, -1, true); err != nil { // A -= pᵀ v
		return err
	}
	if err := Parallel(ctx, tiles, func(t, _ int) { w.scatter(k, b, t*TileCols) }); err != nil {
		return err
	}
	for i := range b {
		for j := i; j < b; j++ {
			w.A[(k+i)*n+k+j] = -w.d[i*b+j]
		}
	}
	return nil
}

// gather copies the pivot rows' TileCols elements from column c on into p, from whichever side of the diagonal is stored.
func (w *sweep) gather(k, b, c int) {
	n := w.Stride
	for i := range b {
		out := w.p[i*n+c:][:TileCols]
		above := min(max(k+i-c, 0), TileCols) // columns of which row k+i lies below the diagonal
		for j := range above {
			out[j] = w.A[(c+j)*n+k+i]
		}
		copy(out[above:], w.A[(k+i)*n+c+above:])
	}
}

// scatter writes v back as the pivot rows, outside the pivot block.
func (w *sweep) scatter(k, b, c int) {
	n := w.Stride
	for i := range b {
		for j, v := range w.v[i*n+c:][:TileCols] {
			switch {
			case c+j >= k+b:
				w.A[(k+i)*n+c+j] = v
			case c+j < k:
				w.A[(c+j)*n+k+i] = v
			}
		}
	}
}

// The unit of work of product is a block of c, so many tiles high and wide. A panel of the right factor stays in the first-level cache while all panels of the
// left one pass by, and those stay in the second-level cache while the panels of the right one change.
const (
	blockRows = 16
	blockCols = 8
)

// product adds sign times lᵀr to c, where l is k rows of stride m elements of which all m columns count, and r is k rows of n columns; c is m by n
// with stride n. With upper, tiles below the diagonal are left out. left and right are scratch for l and r in panels.
func product(ctx context.Context, c []float32, n int, l []float32, m int, left, r, right []float32, k int, sign float32, upper bool) error {
	if err := Parallel(ctx, m/TileRows, func(p, _ int) { pack(left[p*k*TileRows:], l, m, k, p*TileRows, TileRows, sign) }); err != nil {
		return err
	}
	if err := Parallel(ctx, n/TileCols, func(p, _ int) { pack(right[p*k*TileCols:], r, n, k, p*TileCols, TileCols, 1) }); err != nil {
		return err
	}
	const high, wide = blockRows * TileRows, blockCols * TileCols
	down := (m + high - 1) / high
	return Parallel(ctx, down*((n+wide-1)/wide), func(i, _ int) {
		top, from := i%down*high, i/down*wide
		for col := from; col < min(from+wide, n); col += TileCols {
			bottom := min(top+high, m)
			if upper {
				bottom = min(bottom, col+TileCols)
			}
			for row := top; row < bottom; row += TileRows {
				Tile(c[row*n+col:], n, left[row*k:], right[col*k:], k)
			}
		}
	})
}

// pack copies sign times width columns of the k rows of src, from column c on, into dst, row after row.
func pack(dst, src []float32, stride, k, c, width int, sign float32) {
	for t := range k {
		out, in := dst[t*width:][:width], src[t*stride+c:][:width]
		if sign == 1 {
			copy(out, in)
			continue
		}
		for j, v := range in {
			out[j] = v * sign
		}
	}
}

// invertSmall replaces the positive definite n by n matrix d, full storage, by its inverse: the sweep one row at a time.
func invertSmall(d []float32, n int) {
	column := make([]float32, n)
	for k := range n {
		pivot := d[k*n : k*n+n]
		scale := 1 / pivot[k]
		for i := range n {
			column[i] = d[i*n+k] * scale
		}
		for i := range n {
			if i != k {
				Axpy(-column[i], pivot, d[i*n:i*n+n])
			}
		}
		for i := range n {
			d[i*n+k] = column[i]
			pivot[i] = column[i]
		}
		pivot[k] = -scale
	}
	for i := range d[:n*n] {
		d[i] = -d[i]
	}
}

// Parallel calls do(i, worker) for every i < n from as many goroutines as there are cores and at most n, numbered from 0, and waits for them. It stops early,
// with the context's error, when ctx ends.
func Parallel(ctx context.Context, n int, do func(i, worker int)) error {
	var next atomic.Int64
	var group sync.WaitGroup
	workers := min(pace.Cores(), n)
	some := min(1+n/(256*max(workers, 1)), 16) // at a time: calls may be so short that taking each by itself would cost as much
	for worker := range workers {
		group.Go(func() {
			budget := pace.Process.Worker(workers)
			for ctx.Err() == nil {
				from := int(next.Add(int64(some))) - some
				if from >= n {
					return
				}
				for i := from; i < min(from+some, n); i++ {
					do(i, worker)
				}
				budget.Step()
			}
		})
	}
	group.Wait()
	return ctx.Err()
}
