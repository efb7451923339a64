package dataset

import (
	"context"
	"errors"
	"sort"

	"github.com/palate-dev/palate/internal/pace"
)

// cursor walks the rows of one sorted run: a data file, or streamed rows in memory.
type cursor struct {
	r     *fileReader // nil for rows in memory
	group int         // the next row group
	b     *block
	at    int
	err   error
}

// settle loads the next row group where the current one is at its end; false at the end of the run or after an error.
func (c *cursor) settle() bool {
	for c.b == nil || c.at >= c.b.n {
		if c.b != nil && c.b.err != nil {
			break
		}
		if c.r == nil || c.group >= c.r.groups() {
			return false
		}
		c.b, c.at = c.r.group(c.group), 0
		c.group++
	}
	c.err = c.b.err
	return c.err == nil
}

// upto returns where the rows of the current block end that come before the current row of o.
func (c *cursor) upto(o *cursor) int {
	before := func(i int) bool { return compareRows(c.b, i, o.b, o.at) < 0 }
	if before(c.b.n - 1) {
		return c.b.n
	}
	low, step := c.at+1, 1 // the current row is known to come before o's
	for low+step < c.b.n && before(low+step-1) {
		low += step
		step *= 2
	}
	return low + sort.Search(min(step, c.b.n-low), func(k int) bool { return !before(low + k) })
}

// mergeRuns yields all rows of the files of one bucket and of the rows in memory, in the order of compareRows: neighbours that stand in one block together,
// and then calls end. Blocks stay readable until mergeRuns returns.
func mergeRuns(ctx context.Context, l *layout, files []*dataFile, mem *block, yield func(b *block, from, to int) error, end func() error) (err error) {
	var heap []*cursor
	for _, f := range files {
		r, err := openFile(f.path, l, f.source)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.close()) }()
		c := &cursor{r: r}
		if c.settle() {
			heap = append(heap, c)
		} else if c.err != nil {
			return c.err
		}
	}
	if mem != nil && mem.n > 0 {
		heap = append(heap, &cursor{b: mem.arranged(mem.sorted())})
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		sift(heap, i)
	}
	for n := 0; len(heap) > 0; n++ {
		if n%64 == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			pace.Process.Yield()
		}
		top := heap[0]
		b, from, to := top.b, top.at, top.b.n
		if len(heap) > 1 {
			second := heap[1]
			if len(heap) > 2 && before(heap[2], second) {
				second = heap[2]
			}
			to = top.upto(second)
		}
		if err := yield(b, from, to); err != nil {
			return err
		}
		top.at = to
		if !top.settle() {
			if top.err != nil {
				return top.err
			}
			heap[0] = heap[len(heap)-1]
			heap = heap[:len(heap)-1]
		}
		if len(heap) > 1 {
			sift(heap, 0)
		}
	}
	return end()
}

// sift restores the heap below i.
func sift(heap []*cursor, i int) {
	for {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(heap) && before(heap[child], heap[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		heap[i], heap[least] = heap[least], heap[i]
		i = least
	}
}

func before(x, y *cursor) bool { return compareRows(x.b, x.at, y.b, y.at) < 0 }
