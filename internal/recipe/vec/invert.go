package vec

import (
	"context"
	"runtime"
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
}

// NewSymmetric returns the n by n zero matrix.
func NewSymmetric(n int) *Symmetric {
	stride := (n + TileCols - 1) / TileCols * TileCols
	return &Symmetric{N: n, Stride: stride, A: make([]float32, stride*stride)}
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
	w := &sweep{
		Symmetric: s,
		p:         make([]float32, block*n),
		v:         make([]float32, block*n),
		left:      make([]float32, block*n),
		d:         make([]float32, block*block),
	}
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

// sweep is the state of one Invert. p and v hold b rows of n elements, left the same as p in panels of TileRows columns, d b by b elements,
// where b is the height of the current pivot block.
type sweep struct {
	*Symmetric
	p, v, left, d []float32
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
	if err := product(ctx, w.v, n, w.d, b, w.left, w.p, b, n, 1, false); err != nil { // v = d p, as d is symmetric
		return err
	}
	for i := range b { // the pivot block's own rows and columns are set below, not updated
		clear(w.p[i*n+k:][:b])
	}
	if err := product(ctx, w.A, n, w.p, n, w.left, w.v, b, n, -1, true); err != nil { // A -= pᵀ v
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
	for j := c; j < c+TileCols; j++ {
		for i := range b {
			if k+i <= j {
				w.p[i*n+j] = w.A[(k+i)*n+j]
			} else {
				w.p[i*n+j] = w.A[j*n+k+i]
			}
		}
	}
}

// scatter writes v back as the pivot rows, outside the pivot block.
func (w *sweep) scatter(k, b, c int) {
	n := w.Stride
	for j := c; j < c+TileCols; j++ {
		for i := range b {
			switch {
			case j >= k+b:
				w.A[(k+i)*n+j] = w.v[i*n+j]
			case j < k:
				w.A[j*n+k+i] = w.v[i*n+j]
			}
		}
	}
}

// product adds sign times lᵀr to c, where l is k rows of stride m elements of which all m columns count, and r is k rows of n columns; c is m by n
// with stride n. With upper, tiles below the diagonal are left out. left is scratch for l in panels.
func product(ctx context.Context, c []float32, n int, l []float32, m int, left, r []float32, k, ldr int, sign float32, upper bool) error {
	if err := Parallel(ctx, m/TileRows, func(p, _ int) { pack(left[p*k*TileRows:], l, m, k, p*TileRows, TileRows, sign) }); err != nil {
		return err
	}
	panels := make([][]float32, n/TileCols) // one per worker, of whom there are never more
	return Parallel(ctx, n/TileCols, func(t, worker int) {
		if panels[worker] == nil {
			panels[worker] = make([]float32, k*TileCols)
		}
		col, right := t*TileCols, panels[worker]
		pack(right, r, ldr, k, col, TileCols, 1)
		rows := m
		if upper {
			rows = min(m, col+TileCols)
		}
		for i := 0; i < rows; i += TileRows {
			Tile(c[i*n+col:], n, left[i*k:], right, k)
		}
	})
}

// pack copies sign times width columns of the k rows of src, from column c on, into dst, row after row.
func pack(dst, src []float32, stride, k, c, width int, sign float32) {
	for t := range k {
		out := dst[t*width:][:width]
		for j, v := range src[t*stride+c:][:width] {
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
	workers := min(runtime.GOMAXPROCS(0), n)
	for worker := range workers {
		group.Go(func() {
			budget := pace.Process.Worker(workers)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				do(i, worker)
				budget.Step()
			}
		})
	}
	group.Wait()
	return ctx.Err()
}
