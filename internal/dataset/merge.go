package dataset

import (
	"context"
	"errors"
)

// cursor walks the rows of one sorted run: a data file, or streamed rows in memory.
type cursor struct {
	r     *fileReader // nil for rows in memory
	group int         // the next row group
	b     *block
	order []int32 // rows in memory: their sorted order
	at    int
	err   error
}

// row returns the current row.
func (c *cursor) row() (*block, int) {
	if c.order != nil {
		return c.b, int(c.order[c.at])
	}
	return c.b, c.at
}

// next moves to the next row; false at the end or after an error.
func (c *cursor) next() bool {
	c.at++
	for c.b == nil || c.at >= c.b.n {
		if c.b != nil && c.b.err != nil {
			c.err = c.b.err
			return false
		}
		if c.r == nil || c.group >= c.r.groups() {
			return false
		}
		c.b, c.at = c.r.group(c.group), 0
		c.group++
	}
	return c.b.err == nil || c.fail()
}

func (c *cursor) fail() bool {
	c.err = c.b.err
	return false
}

// mergeRows yields all rows of the files of one bucket and of the rows in memory, in the order of compareRows, and then calls end. Blocks stay readable until
// mergeRows returns.
func mergeRows(ctx context.Context, l *layout, files []*dataFile, mem *block, yield func(b *block, i int) error, end func() error) (err error) {
	var heap []*cursor
	for _, f := range files {
		r, err := openFile(f.path, l, f.source)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.close()) }()
		c := &cursor{r: r, at: -1}
		if c.next() {
			heap = append(heap, c)
		} else if c.err != nil {
			return c.err
		}
	}
	if mem != nil && mem.n > 0 {
		heap = append(heap, &cursor{b: mem, order: mem.sorted()})
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		sift(heap, i)
	}
	for n := 0; len(heap) > 0; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		top := heap[0]
		b, i := top.row()
		if err := yield(b, i); err != nil {
			return err
		}
		if !top.next() {
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

func before(x, y *cursor) bool {
	a, i := x.row()
	b, j := y.row()
	return compareRows(a, i, b, j) < 0
}
