package vec

import "context"

// Matrices that are tall and narrow: v has rows of n elements, one after the other, n a multiple of TileCols.

// gramRows is how many rows of v Gram goes through at a time, so that its panels stay in the caches.
const gramRows = 512

// Gram adds the products of the columns of v to the upper triangle of the n by n matrix c: for i <= j and the rows t = 0, 1, ...
//
//	c[i*n+j] = fma(v[t*n+i], v[t*n+j], c[i*n+j])
//
// What is below the diagonal is left undefined.
func Gram(ctx context.Context, c, v []float32, n int) error {
	rows := len(v) / n
	left, right := make([]float32, gramRows*n), make([]float32, gramRows*n)
	for from := 0; from < rows; from += gramRows {
		k := min(gramRows, rows-from)
		src := v[from*n:][:k*n]
		err := Parallel(ctx, n/TileCols, func(p, _ int) {
			pack(right[p*k*TileCols:], src, n, k, p*TileCols, TileCols, 1)
			for i := p * TileCols; i < (p+1)*TileCols; i += TileRows {
				pack(left[i*k:], src, n, k, i, TileRows, 1)
			}
		})
		if err != nil {
			return err
		}
		err = Parallel(ctx, n/TileCols, func(p, _ int) {
			col := n - (p+1)*TileCols // the longest columns first
			for row := 0; row < col+TileCols; row += TileRows {
				Tile(c[row*n+col:], n, left[row*k:], right[col*k:], k)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// TimesUpper replaces v by its product with the n by n upper triangular matrix u: element j of a row becomes the sum, from t = 0 on, of
//
//	fma(v[t], u[t*n+j], sum)   for the t of all columns up to the end of j's panel of TileCols
//
// where u is zero below the diagonal.
func TimesUpper(ctx context.Context, v, u []float32, n int) error {
	rows := len(v) / n
	right := make([]float32, n*n)
	for p := range n / TileCols {
		pack(right[p*n*TileCols:], u, n, n, p*TileCols, TileCols, 1)
	}
	type scratch struct{ left, out []float32 }
	work := make([]scratch, (rows+TileRows-1)/TileRows) // by worker
	return Parallel(ctx, len(work), func(g, worker int) {
		w := &work[worker]
		if w.left == nil {
			w.left, w.out = make([]float32, n*TileRows), make([]float32, n*TileRows)
		}
		group := v[g*TileRows*n : min((g+1)*TileRows, rows)*n]
		for at, x := range group {
			w.left[at%n*TileRows+at/n] = x
		}
		clear(w.out)
		for col := 0; col < n; col += TileCols {
			Tile(w.out[col:], n, w.left, right[col*n:], col+TileCols)
		}
		copy(group, w.out)
	})
}
