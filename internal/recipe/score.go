package recipe

import (
	"context"
	"math"
	"math/bits"
	"sync/atomic"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// The product of the inverse P with HᵀE, the right-hand sides, whose columns are the targets. It is the most work of a training with many events, so it
// is done where the caches are: a worker takes some panels of P, each of TileCols columns, and for each target adds up the rows of the panel that its
// column of HᵀE names. A target whose column names many rows goes with others of its kind through the dense kernel instead, which does several times
// as much in the same time, zeros included. Which way a target goes depends on the data alone, as the order of the sum is another one. Without order the inverse itself
// says what targets of the core are worth, and the others are only offered to whom they meet (meet.go).
const (
	batchTargets = 8192    // columns of HᵀE held in memory at a time, at most
	batchSets    = 1 << 16 // and without order, where those of the core are empty and of the others few are dense
	batchEntries = 1 << 24 // entries of theirs
	denseShare   = 4       // a column with one entry in so many rows, or more, is dense
	unitPanels   = 4       // panels that a worker takes at a time
	chunkRows    = 256     // rows of a panel that a dense group goes through at a time, so that they stay in the first-level cache
)

// column is the right-hand side of one target over the core, by rank in the core, ascending.
type column struct {
	item  int32
	rank  []int32
	value []float32
}

// batch is some targets and their columns. The memory is used again by the next one.
type batch struct {
	*solver
	sparse []column
	dense  [][]column // groups of TileRows, the last one may be smaller
	left   []float32  // of each group, its columns as a panel of all rows of the core
	met    meetings   // without order, of sparse

	rank  []int32 // the memory of the columns
	value []float32
	used  atomic.Int64

	freeRank, freeValue, freeLeft func()
}

// score offers every target to every source of the core.
func (s *solver) score(ctx context.Context, best []selection, progress Progress) error {
	workers := make([]unit, len(s.core))
	defer func() {
		for w := range workers {
			workers[w].close()
		}
	}()
	b := s.newBatch()
	defer b.close()
	panels := s.inverse.Stride / vec.TileCols
	units := (panels + unitPanels - 1) / unitPanels
	for from := 0; from < s.seq.items; {
		to := s.batch(from)
		if err := b.fill(ctx, from, to); err != nil {
			return err
		}
		var done atomic.Int64
		err := vec.Parallel(ctx, units, func(n, worker int) {
			u := &workers[worker]
			u.prepare(s.inverse, n*unitPanels, min(unitPanels, panels-n*unitPanels), len(b.dense))
			b.offerDense(u, best)
			for p := range u.panels {
				b.offerSparse(u, p, best)
				if b.window == nil {
					b.offerMet(u, p, best)
				}
			}
			progress("scoring", int64(from)+int64(to-from)*done.Add(1)/int64(units), int64(s.seq.items))
		})
		if err != nil {
			return err
		}
		from = to
	}
	return nil
}

// batch is the end of the batch of targets that starts at from.
func (s *solver) batch(from int) int {
	entries, to, most := int64(0), from, batchTargets
	if s.window == nil {
		most = batchSets
	}
	for to < s.seq.items && to-from < most {
		entries += s.bound(to)
		if entries > s.entries && to > from {
			break
		}
		to++
	}
	return to
}

// bound is at least the number of entries of an item's column.
func (s *solver) bound(item int) int64 {
	if s.window == nil && s.rank[item] >= 0 {
		return 0
	}
	n := int64(0)
	for _, at := range s.where.of(item) {
		u := s.seq.user[at]
		n += min(basketSize, s.seq.offsets[u+1]-s.seq.offsets[u])
	}
	return min(n, int64(len(s.core)))
}

// newBatch has room for the largest batch.
func (s *solver) newBatch() *batch {
	most := int64(0)
	for from := 0; from < s.seq.items; {
		to, n := s.batch(from), int64(0)
		for i := from; i < to; i++ {
			n += s.bound(i)
		}
		from, most = to, max(most, n)
	}
	b := &batch{solver: s, freeLeft: func() {}}
	b.rank, b.freeRank = vec.Allocate[int32](int(most))
	b.value, b.freeValue = vec.Allocate[float32](int(most))
	return b
}

func (b *batch) close() {
	b.freeRank()
	b.freeValue()
	b.freeLeft()
}

// fill counts the columns of the targets from one item to another.
func (b *batch) fill(ctx context.Context, from, to int) error {
	b.used.Store(0)
	columns := make([]column, to-from)
	scratch := make([]column, len(columns)) // one per worker
	err := vec.Parallel(ctx, len(columns), func(t, worker int) {
		columns[t] = b.column(int32(from+t), b.counter(worker), &scratch[worker])
	})
	if err != nil {
		return err
	}
	b.sparse, b.dense = b.sparse[:0], b.dense[:0]
	var group []column
	for _, c := range columns {
		if len(c.rank)*denseShare < len(b.core) || len(c.rank) == 0 {
			b.sparse = append(b.sparse, c)
			continue
		}
		if group = append(group, c); len(group) == vec.TileRows {
			b.dense, group = append(b.dense, group), nil
		}
	}
	if len(group) > 0 {
		b.dense = append(b.dense, group)
	}
	if b.window == nil {
		b.met = meet(b.sparse, len(b.core))
	}
	size := b.inverse.Stride * vec.TileRows
	if need := len(b.dense) * size; need > len(b.left) {
		b.freeLeft()
		b.left, b.freeLeft = vec.Allocate[float32](need)
	}
	return vec.Parallel(ctx, len(b.dense), func(g, _ int) {
		left := b.left[g*size:][:size]
		clear(left)
		for k, c := range b.dense[g] {
			for t, r := range c.rank {
				left[int(r)*vec.TileRows+k] = c.value[t]
			}
		}
	})
}

// column counts one column; scratch is the worker's.
func (b *batch) column(item int32, c *counter, scratch *column) column {
	if b.window == nil && b.solver.rank[item] >= 0 {
		return column{item: item} // the inverse says it all
	}
	unit := b.unit()
	scratch.rank, scratch.value = scratch.rank[:0], scratch.value[:0]
	b.into(int(item), c)
	c.each(func(source int32, sum int64) {
		if r := b.solver.rank[source]; r >= 0 {
			scratch.rank = append(scratch.rank, r)
			scratch.value = append(scratch.value, float32(float64(sum)*unit))
		}
	})
	n := len(scratch.rank)
	at := int(b.used.Add(int64(n))) - n
	col := column{item, b.rank[at:][:n:n], b.value[at:][:n:n]}
	copy(col.rank, scratch.rank)
	copy(col.value, scratch.value)
	return col
}

// unit is a worker's view of some panels of the inverse, those of the sources from rank first on.
type unit struct {
	first, panels int
	table         []float32 // of all panels, one after the other
	narrow        []float32 // of some columns of a panel
	out           []float32 // of each dense group and panel, a tile
	release       []func()
}

// prepare copies the panels.
func (u *unit) prepare(inverse *vec.Symmetric, panel, panels, groups int) {
	size := inverse.Stride * vec.TileCols
	if u.table == nil {
		table, release := vec.Allocate[float32](unitPanels * size)
		u.table, u.release = table, append(u.release, release)
	}
	u.first, u.panels = panel*vec.TileCols, panels
	for p := range panels {
		inverse.Columns(u.table[p*size:][:size], u.first+p*vec.TileCols)
	}
	if need := groups * unitPanels * vec.TileRows * vec.TileCols; len(u.out) < need {
		u.out = make([]float32, need)
	}
}

func (u *unit) close() {
	for _, release := range u.release {
		release()
	}
}

// sources are the selections of the sources of a panel, and their floors side by side, so that most offers are turned down without a look at the selection.
type sources struct {
	chosen [vec.TileCols]*selection
	floors [vec.TileCols]float32
}

func (s *solver) sources(u *unit, panel int, best []selection) *sources {
	from := u.first + panel*vec.TileCols
	all := &sources{}
	for j := range all.floors {
		all.floors[j] = float32(math.Inf(1))
		if from+j < len(s.core) {
			all.chosen[j] = &best[s.core[from+j]]
			all.floors[j] = all.chosen[j].floor
		}
	}
	return all
}

// allSources are those of a panel.
const allSources = math.MaxUint32

// offer offers a target to those sources whose bits are set; values are those of TileCols sources.
func (s *sources) offer(target int32, values []float32, to uint32) {
	for high := vec.Reach(values, s.floors[:]) & to; high != 0; high &= high - 1 {
		j := bits.TrailingZeros32(high)
		s.chosen[j].offer(target, values[j])
		s.floors[j] = s.chosen[j].floor
	}
}

// offerDense offers the targets of the dense groups.
func (b *batch) offerDense(u *unit, best []selection) {
	const tile = vec.TileRows * vec.TileCols
	rows := b.inverse.Stride
	clear(u.out)
	for from := 0; from < rows; from += chunkRows {
		k := min(chunkRows, rows-from)
		for g := range b.dense {
			left := b.left[(g*rows+from)*vec.TileRows:]
			for p := range u.panels {
				vec.Tile(u.out[(g*unitPanels+p)*tile:], vec.TileCols, left, u.table[(p*rows+from)*vec.TileCols:], k)
			}
		}
	}
	for p := range u.panels {
		chosen := b.sources(u, p, best)
		for g, group := range b.dense {
			for k, c := range group {
				to := uint32(allSources)
				if b.window == nil {
					to = c.meets(u.first + p*vec.TileCols)
				}
				chosen.offer(c.item, u.out[(g*unitPanels+p)*tile+k*vec.TileCols:], to)
			}
		}
	}
}

// offerSparse offers the other targets to the sources of one panel, without order those of the core.
func (b *batch) offerSparse(u *unit, panel int, best []selection) {
	size := b.inverse.Stride * vec.TileCols
	table, first := u.table[panel*size:][:size], u.first+panel*vec.TileCols
	chosen := b.sources(u, panel, best)
	var out [vec.TileCols]float32
	for t := range b.sparse {
		c := &b.sparse[t]
		if b.window != nil {
			clear(out[:])
			vec.Gather(out[:], table, c.rank, c.value)
		} else if own := b.solver.rank[c.item]; own >= 0 {
			b.ease(out[:], table, first, int(own))
		} else {
			continue
		}
		chosen.offer(c.item, out[:], allSources)
	}
}

// ease is the column of I - P diag(P)⁻¹ of the target with rank own, at the sources of the panel of P that begins with rank first.
func (s *solver) ease(out, table []float32, first, own int) {
	diagonal := s.inverse.Row(own)[own]
	for j, v := range table[own*vec.TileCols:][:vec.TileCols] {
		out[j] = -v / diagonal
	}
	if own >= first && own < first+vec.TileCols {
		out[own-first] = 0
	}
}
