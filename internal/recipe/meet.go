package recipe

import (
	"math/bits"
	"slices"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// Without order a target outside of the core is offered to the sources of the core that it meets: those that its column of G names, which is to say that
// somebody has both. To any other source it is worth what the sources between them pass on, which is little where rows are weak, and there are many more of the others. So a worker takes the sources of a
// panel of P a few at a time, in a table that fits into the second-level cache, and adds up only for the targets that meet one of them.

// meeting says that a target meets some of the sources of a narrow panel.
type meeting struct {
	target  int32 // index into batch.sparse
	sources uint8 // bit j: the panel's source j
}

// meetings are those of a batch, by narrow panel.
type meetings struct {
	offsets []int
	all     []meeting
}

func (m *meetings) of(panel int) []meeting { return m.all[m.offsets[panel]:m.offsets[panel+1]] }

// meet lists who meets in columns over a core of so many items.
func meet(columns []column, core int) meetings {
	panels := (core + vec.NarrowCols - 1) / vec.NarrowCols
	m := meetings{offsets: make([]int, panels+1)}
	each := func(do func(target, panel int, sources uint8)) {
		for t := range columns {
			ranks := columns[t].rank
			for k := 0; k < len(ranks); {
				panel, sources := ranks[k]/vec.NarrowCols, uint8(0)
				for ; k < len(ranks) && ranks[k]/vec.NarrowCols == panel; k++ {
					sources |= 1 << (ranks[k] % vec.NarrowCols)
				}
				do(t, int(panel), sources)
			}
		}
	}
	each(func(_, panel int, _ uint8) { m.offsets[panel+1]++ })
	for p := range panels {
		m.offsets[p+1] += m.offsets[p]
	}
	m.all = make([]meeting, m.offsets[panels])
	next := slices.Clone(m.offsets[:panels])
	each(func(target, panel int, sources uint8) {
		m.all[next[panel]] = meeting{int32(target), sources}
		next[panel]++
	})
	return m
}

// meets has a bit for each of the TileCols sources from rank first on that the target meets.
func (c *column) meets(first int) (sources uint32) {
	at, _ := slices.BinarySearch(c.rank, int32(first))
	for ; at < len(c.rank) && int(c.rank[at]) < first+vec.TileCols; at++ {
		sources |= 1 << (int(c.rank[at]) - first)
	}
	return sources
}

// offerMet offers the targets outside of the core that are not dense to the sources of one panel that they meet.
func (b *batch) offerMet(u *unit, panel int, best []selection) {
	rows := b.inverse.Stride
	wide, first := u.table[panel*rows*vec.TileCols:][:rows*vec.TileCols], u.first+panel*vec.TileCols
	if u.narrow == nil {
		table, release := vec.Allocate[float32](rows * vec.NarrowCols)
		u.narrow, u.release = table, append(u.release, release)
	}
	var out [vec.NarrowCols]float32
	for from := 0; from < vec.TileCols && first+from < len(b.core); from += vec.NarrowCols {
		met := b.met.of((first + from) / vec.NarrowCols)
		if len(met) == 0 {
			continue
		}
		for r := range rows {
			copy(u.narrow[r*vec.NarrowCols:][:vec.NarrowCols], wide[r*vec.TileCols+from:])
		}
		for _, m := range met {
			c := &b.sparse[m.target]
			vec.GatherNarrow(&out, u.narrow, c.rank, c.value)
			for s := m.sources; s != 0; s &= s - 1 {
				j := bits.TrailingZeros8(s)
				best[b.core[first+from+j]].offer(c.item, out[j])
			}
		}
	}
}
