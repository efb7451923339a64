package history

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
)

// The tables of a group, in the order of world.tables.
const (
	interactions = iota
	people
	items
)

// A row is one row of a dataset.
type row struct {
	cells   string // in the order of the schema, as an export shows them
	key     string // the first cell: a user, a session or an item
	session string // of a streamed event
	put     bool
	stamp   int // when it arrived
}

// A table is what a dataset holds, in order of arrival. It is never changed: worlds share it.
type table struct {
	rows []row
	sum  uint64 // of the rows, but for their stamps
}

var seed = maphash.MakeSeed()

func newTable(rows []row) *table {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, r := range rows {
		fmt.Fprintf(&h, "%s\n%s\n%v\n", r.cells, r.session, r.put)
	}
	return &table{rows, h.Sum64()}
}

// An arrival is an import that was accepted and has not ended.
type arrival struct {
	table int
	full  bool
	rows  []row // whoever was deleted since it was accepted is left out
	stamp int   // 0: it has not begun
}

// A world is what a group may hold. It is what palate promises, in the plainest form.
type world struct {
	tables  [3]*table        // nil: the dataset was deleted
	coming  map[int]*arrival // by the number of the import in its batch
	ended   uint64           // the imports of the batch that have committed, one bit each
	clock   int
	history []string // how it came about, for people
}

func newWorld() *world {
	return &world{tables: [3]*table{newTable(nil), newTable(nil), newTable(nil)}, coming: map[int]*arrival{}}
}

func (w *world) clone() *world {
	c := &world{tables: w.tables, coming: map[int]*arrival{}, ended: w.ended, clock: w.clock, history: slices.Clip(w.history)}
	for id, a := range w.coming {
		copied := *a
		c.coming[id] = &copied
	}
	return c
}

// state is equal for worlds that are.
func (w *world) state() string {
	var b strings.Builder
	for _, t := range w.tables {
		if t != nil {
			fmt.Fprint(&b, t.sum)
		}
		b.WriteString(" ")
	}
	for _, id := range slices.Sorted(maps.Keys(w.coming)) {
		a, younger := w.coming[id], 0
		for _, r := range w.tables[a.table].rows {
			if r.stamp > a.stamp {
				younger++
			}
		}
		fmt.Fprint(&b, id, ":", a.stamp > 0, ":", len(a.rows), ":", younger, " ")
	}
	return b.String()
}

func (w *world) put(to int, rows []row) {
	all := slices.Clone(w.tables[to].rows)
	for _, r := range rows {
		w.clock++
		r.put, r.stamp = true, w.clock
		all = append(all, r)
	}
	w.tables[to] = newTable(all)
}

// accept, begin and commit are the life of an import.
func (w *world) accept(id, to int, full bool, rows []row) {
	w.coming[id] = &arrival{table: to, full: full, rows: rows}
}

func (w *world) begin(id int) {
	w.clock++
	w.coming[id].stamp = w.clock
}

func (w *world) commit(id int) {
	a := w.coming[id]
	delete(w.coming, id)
	w.ended |= 1 << id
	var rows []row
	for _, r := range w.tables[a.table].rows {
		if r.put || !a.full {
			rows = append(rows, r)
		}
	}
	for _, r := range a.rows {
		r.stamp = a.stamp
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(x, y row) int { return x.stamp - y.stamp })
	w.tables[a.table] = newTable(rows)
}

// forget removes users, with what they did in their sessions before they signed in, and returns how many rows numDeleted may count. What imports leave out counts.
// fulls are the FULL imports of the batch, by number: one that commits after the cut may have replaced bulk rows, which are hidden by then, before they were
// removed, and then they do not count.
func (w *world) forget(users []string, fulls map[int]int) (least, most int) {
	listed, sessions := map[string]bool{}, map[string]bool{}
	for _, u := range users {
		listed[u] = true
	}
	for _, r := range w.tables[interactions].rows {
		if listed[r.key] && r.session != "" {
			sessions[r.session] = true
		}
	}
	replaced := map[int]bool{}
	for id, table := range fulls {
		replaced[table] = replaced[table] || w.ended&(1<<id) == 0
	}
	for i, t := range w.tables {
		if t == nil || i == items {
			continue
		}
		var left []row
		for _, r := range t.rows {
			switch {
			case !listed[r.key] && (r.session != r.key || !sessions[r.key]):
				left = append(left, r)
				continue
			case r.put || !replaced[i]:
				least++
			}
			most++
		}
		w.tables[i] = newTable(left)
	}
	for _, a := range w.coming {
		if a.table == items {
			continue
		}
		var left []row
		for _, r := range a.rows {
			if !listed[r.key] {
				left = append(left, r)
			}
		}
		least, most = least+len(a.rows)-len(left), most+len(a.rows)-len(left)
		a.rows = left
	}
	return least, most
}

// export is what an export shows: equal rows once, and of records in mode ALL the newest of each key.
func (w *world) export(of int, mode string) []string {
	shown := map[string]string{}
	for _, r := range w.tables[of].rows {
		switch {
		case mode == "BULK" && r.put || mode == "PUT" && !r.put:
		case mode == "ALL" && of != interactions:
			shown[r.key] = r.cells
		default:
			shown[r.cells] = r.cells
		}
	}
	return slices.Sorted(maps.Values(shown))
}

// A view is one of the ways to look at a dataset.
type view struct {
	table int
	mode  string
}

// shows tells whether the world looks so.
func (w *world) shows(seen map[view][]string) bool {
	for of, rows := range seen {
		if !slices.Equal(w.export(of.table, of.mode), rows) {
			return false
		}
	}
	return true
}

// An event is something that happens to a world: at its place among the calls, or, if it floats, at any moment after them.
type event struct {
	what   string
	after  int // it floats: how many fixed events come before it at least. -1: it is fixed
	needs  int // the float that must come before it, -1: none
	maybe  bool
	closed bool                // all floats that began earlier have ended
	do     func(w *world) bool // false: what was seen is not what this world shows
}

// orders returns the different worlds that the events can lead to from those given.
func orders(from []*world, fixed, floats []event) []*world {
	found, tried := map[string]*world{}, map[string]bool{}
	var walk func(w *world, i int, done uint64)
	step := func(w *world, e event, i int, done uint64) {
		next := w.clone()
		if e.do(next) {
			next.history = append(next.history, e.what)
			walk(next, i, done)
		}
	}
	walk = func(w *world, i int, done uint64) {
		key := fmt.Sprint(i, " ", done, " ", w.state())
		if tried[key] {
			return
		}
		tried[key] = true
		if i == len(fixed) && done == 1<<len(floats)-1 {
			found[w.state()] = w
			return
		}
		for f, e := range floats {
			if done&(1<<f) == 0 && e.after <= i && (e.needs < 0 || done&(1<<e.needs) != 0) {
				step(w, e, i, done|1<<f)
			}
		}
		if i == len(fixed) {
			return
		}
		e := fixed[i]
		for f, float := range floats {
			if e.closed && float.after <= i && done&(1<<f) == 0 {
				return // it may only happen before
			}
		}
		step(w, e, i+1, done)
		if e.maybe {
			walk(w, i+1, done)
		}
	}
	for _, w := range from {
		w.history, w.ended = nil, 0
		walk(w, 0, 0)
	}
	return slices.Collect(maps.Values(found))
}
