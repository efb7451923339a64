package dataset

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/palate-dev/palate/internal/userset"
)

// Events is the training input of an interactions table: the effective view, sorted by (user, time, item, type, seq).
//
// Users, Items and Types are sorted and hold exactly the strings that occur. A code is the rank of its string, so that the coding of a table from which
// somebody was erased equals the coding of a table that never held him.
type Events struct {
	Users, Items, Types []string  // sorted, distinct; Types[0] may be "" (no type)
	Offsets             []int64   // len(Users)+1: the events of user u are Offsets[u]:Offsets[u+1]
	Item                []int32   // index into Items
	Type                []uint16  // index into Types
	Time                []int64   // seconds
	Value               []float32 // NaN = none
	Context             []EventColumn
	Seq                 int64 // everything with a smaller or equal sequence number is in
}

// EventColumn is a categorical or numeric field of all events: where or how they happened. The levels of a numeric one are its numbers as NumberLevel writes
// them.
type EventColumn struct {
	Name    string
	Numeric bool
	Levels  []string // sorted as strings, exactly those that occur; none is ""
	Code    []int32  // index into Levels, -1 for none
}

// NumberLevel writes a number with six digits, which is as much as a column of the context needs: so there are not as many levels as events. "" is none.
func NumberLevel(n float64) string {
	switch {
	case math.IsNaN(n) || math.IsInf(n, 0):
		return ""
	case n == 0:
		return "0" // and not -0
	}
	return strconv.FormatFloat(n, 'g', 6, 64)
}

// Len returns the number of events.
func (ev *Events) Len() int { return len(ev.Item) }

// Filter returns the events that keep accepts, coded as if the others had never been. keep is called once for each event, in order.
func (ev *Events) Filter(keep func(i int) bool) *Events {
	kept := make([]bool, ev.Len())
	for i := range kept {
		kept[i] = keep(i)
	}
	return ev.subset(kept)
}

// Without returns the events of everybody but users; touched tells whether that left any out.
func (ev *Events) Without(users *userset.Set) (out *Events, touched bool) {
	kept := make([]bool, ev.Len())
	for u, name := range ev.Users {
		gone := users.Has(name)
		touched = touched || gone
		for i := ev.Offsets[u]; i < ev.Offsets[u+1]; i++ {
			kept[i] = !gone
		}
	}
	if !touched {
		return ev, false
	}
	return ev.subset(kept), true
}

// subset builds the canonical form of the kept events. Order is kept, because codes are ranks: dropping strings does not change how the rest compare.
func (ev *Events) subset(kept []bool) *Events {
	n := 0
	items, types := make([]bool, len(ev.Items)), make([]bool, len(ev.Types))
	for i, k := range kept {
		if k {
			n++
			items[ev.Item[i]], types[ev.Type[i]] = true, true
		}
	}
	out := &Events{
		Item:  make([]int32, 0, n),
		Type:  make([]uint16, 0, n),
		Time:  make([]int64, 0, n),
		Value: make([]float32, 0, n),
		Seq:   ev.Seq,
	}
	for _, c := range ev.Context {
		out.Context = append(out.Context, c.subset(kept, n))
	}
	var item []int32
	var kind []uint16
	out.Items, item = recode[int32](ev.Items, items)
	out.Types, kind = recode[uint16](ev.Types, types)
	out.Offsets = append(out.Offsets, 0)
	for u := range ev.Users {
		start := len(out.Item)
		for i := ev.Offsets[u]; i < ev.Offsets[u+1]; i++ {
			if !kept[i] {
				continue
			}
			out.Item = append(out.Item, item[ev.Item[i]])
			out.Type = append(out.Type, kind[ev.Type[i]])
			out.Time = append(out.Time, ev.Time[i])
			out.Value = append(out.Value, ev.Value[i])
		}
		if len(out.Item) > start {
			out.Users = append(out.Users, ev.Users[u])
			out.Offsets = append(out.Offsets, int64(len(out.Item)))
		}
	}
	return out
}

// subset is the column of the n kept events.
func (c *EventColumn) subset(kept []bool, n int) EventColumn {
	used := make([]bool, len(c.Levels))
	for i, k := range kept {
		if k && c.Code[i] >= 0 {
			used[c.Code[i]] = true
		}
	}
	out := EventColumn{Name: c.Name, Numeric: c.Numeric, Code: make([]int32, 0, n)}
	var level []int32
	out.Levels, level = recode[int32](c.Levels, used)
	for i, k := range kept {
		switch {
		case k && c.Code[i] >= 0:
			out.Code = append(out.Code, level[c.Code[i]])
		case k:
			out.Code = append(out.Code, -1)
		}
	}
	return out
}

// recode drops the names that are not used and returns the new code of each old one.
func recode[C int32 | uint16](names []string, used []bool) (left []string, code []C) {
	code = make([]C, len(names))
	for i, name := range names {
		if used[i] {
			code[i] = C(len(left))
			left = append(left, name)
		}
	}
	return left, code
}

// rank sorts names, which must be distinct, and returns for each old index its place in the sorted order.
func rank[C int32 | uint16](names []string) (sorted []string, code []C) {
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(names[a], names[b]) })
	sorted, code = make([]string, len(names)), make([]C, len(names))
	for at, i := range order {
		sorted[at], code[i] = names[i], C(at)
	}
	return sorted, code
}
