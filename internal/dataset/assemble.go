package dataset

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"strings"
)

// assembly is the result of a training read while it is made. Every user has room for the rows that he may have; codes are those of whoever read him.
type assembly struct {
	ev      *Events
	starts  []int64  // where each user's room begins, and where the last one ends
	counts  []int32  // how many events there are in it
	readers []uint16 // who read them
	moved   map[string][]movedEvent
	joiners runUsers // whom events may move to, with the most that may
	buckets []*bucketRead

	items  canon[int32]
	kinds  canon[uint16]
	levels []canon[int32] // by context column
}

// newAssembly makes room: for everybody his rows of all runs and what may move to him. The columns of the context have no values yet.
func newAssembly(buckets []*bucketRead, joins map[string]int, context []EventColumn) *assembly {
	a := &assembly{ev: new(Events), buckets: buckets}
	for user := range joins {
		a.joiners.names = append(a.joiners.names, user)
	}
	slices.Sort(a.joiners.names)
	end := 0
	for _, user := range a.joiners.names {
		end += joins[user]
		a.joiners.ends = append(a.joiners.ends, int32(end))
	}
	lists, users := []*runUsers{&a.joiners}, len(joins)
	for _, b := range buckets {
		lists = append(lists, &b.all)
		users += len(b.all.names)
	}
	a.ev.Users, a.starts = make([]string, 0, users), make([]int64, 0, users+1)
	a.place(lists)
	n := a.starts[len(a.ev.Users)]
	a.counts, a.readers = make([]int32, len(a.ev.Users)), make([]uint16, len(a.ev.Users))
	a.ev.Item, a.ev.Type, a.ev.Time, a.ev.Value = make([]int32, n), make([]uint16, n), make([]int64, n), make([]float32, n)
	for _, c := range context {
		c.Code = make([]int32, n)
		a.ev.Context = append(a.ev.Context, c)
	}
	return a
}

// place lists the users of all lists, each in order, in one order. Eight bytes behind what all ids begin with decide nearly every comparison.
func (a *assembly) place(lists []*runUsers) {
	lists = slices.DeleteFunc(lists, func(u *runUsers) bool { return len(u.names) == 0 })
	shared := -1
	for _, u := range lists {
		for _, name := range []string{u.names[0], u.names[len(u.names)-1]} { // what the first and the last share, all between them share
			if shared < 0 {
				shared = len(name)
			}
			for !strings.HasPrefix(name, lists[0].names[0][:shared]) {
				shared--
			}
		}
	}
	heap := make([]userCursor, len(lists))
	for i, u := range lists {
		u.places = make([]int32, len(u.names))
		heap[i] = userCursor{list: u, shared: shared}
		heap[i].load()
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		siftUsers(heap, i)
	}
	users, end := a.ev.Users, int64(0)
	for len(heap) > 0 {
		top := &heap[0]
		name, rows := top.list.names[top.at], int64(top.list.ends[top.at]-top.list.start(top.at))
		if len(users) == 0 || users[len(users)-1] != name {
			users, a.starts = append(users, name), append(a.starts, end)
		}
		end += rows
		top.list.places[top.at] = int32(len(users) - 1)
		if top.at++; top.at < len(top.list.names) {
			top.load()
		} else {
			top.list.names = nil
			heap[0] = heap[len(heap)-1]
			heap = heap[:len(heap)-1]
		}
		if len(heap) > 1 {
			siftUsers(heap, 0)
		}
	}
	a.ev.Users, a.starts = users, append(a.starts, end)
}

// userCursor walks the users of a run.
type userCursor struct {
	key    uint64 // of the current user
	list   *runUsers
	at     int
	shared int
}

func (c *userCursor) load() {
	var head [8]byte
	copy(head[:], c.list.names[c.at][c.shared:])
	c.key = binary.BigEndian.Uint64(head[:])
}

func (c *userCursor) before(d *userCursor) bool {
	if c.key != d.key {
		return c.key < d.key
	}
	return c.list.names[c.at] < d.list.names[d.at]
}

func siftUsers(heap []userCursor, i int) {
	for {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < len(heap) && heap[child].before(&heap[least]) {
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

// ranks turn the codes of a reader into canonical ones.
type ranks struct {
	item  []int32
	kind  []uint16
	level [][]int32 // by context column
}

// canon gives strings their ranks among those that occur.
type canon[C int32 | uint16] struct {
	names *names
	ranks []C
}

func (c *canon[C]) rank(name string) C { return c.ranks[c.names.code(name)] }

// finish brings the result into canonical form.
func (a *assembly) finish(ctx context.Context, readers []*bucketReader) (*Events, error) {
	a.moved = make(map[string][]movedEvent)
	for _, b := range a.buckets {
		for _, m := range b.moved {
			a.moved[m.user] = append(a.moved[m.user], m)
		}
	}
	uses, err := a.uses(ctx, readers)
	if err != nil {
		return nil, err
	}
	if err := a.canonize(readers, uses); err != nil {
		return nil, err
	}
	all := make([]ranks, len(readers))
	for i, r := range readers {
		all[i] = ranks{item: ranksOf(r.codes.items.list, uses[i].item, a.items.rank), kind: ranksOf(r.codes.kinds.list, uses[i].kind, a.kinds.rank)}
		for k, n := range r.codes.levels {
			all[i].level = append(all[i].level, ranksOf(n.list, uses[i].level[k], a.levels[k].rank))
		}
	}
	if err := a.recode(ctx, all); err != nil {
		return nil, err
	}
	for _, place := range a.joiners.places {
		a.insert(place, a.moved[a.ev.Users[place]])
	}
	a.close()
	return a.ev, nil
}

// used are the codes of a reader that occur in the result.
type used struct {
	item, kind []bool
	level      [][]bool // by context column
}

// uses finds what occurs. The dictionaries of data files and of memory hold no strings but those of their rows, so that all does that a reader has met; the
// events are looked through only if it has left out rows.
func (a *assembly) uses(ctx context.Context, readers []*bucketReader) ([]used, error) {
	all := make([]used, len(readers))
	return all, inParallel(ctx, len(readers), func(i int) error {
		r, u := readers[i], &all[i]
		marks := func(n *names) []bool { return slices.Repeat([]bool{!r.left}, len(n.list)) }
		u.item, u.kind = marks(r.codes.items), marks(r.codes.kinds)
		for _, n := range r.codes.levels {
			u.level = append(u.level, marks(n))
		}
		if !r.left {
			if len(u.kind) > 0 {
				u.kind[r.codes.kinds.code("")] = r.codes.untyped
			}
			for k, n := range r.codes.levels {
				if at := slices.Index(n.list, ""); at >= 0 { // which is no level
					u.level[k][at] = false
				}
			}
			return nil
		}
		for user, reader := range a.readers {
			if reader == r.number {
				a.mark(u, a.starts[user], a.starts[user]+int64(a.counts[user]))
			}
		}
		return nil
	})
}

// mark notes what occurs in some events.
func (a *assembly) mark(u *used, from, to int64) {
	for _, code := range a.ev.Item[from:to] {
		u.item[code] = true
	}
	for _, code := range a.ev.Type[from:to] {
		u.kind[code] = true
	}
	for k, c := range a.ev.Context {
		for _, code := range c.Code[from:to] {
			if code >= 0 {
				u.level[k][code] = true
			}
		}
	}
}

// canonize ranks what occurs.
func (a *assembly) canonize(readers []*bucketReader, uses []used) error {
	a.items.names, a.kinds.names, a.levels = newNames(), newNames(), make([]canon[int32], len(a.ev.Context))
	for k := range a.levels {
		a.levels[k].names = newNames()
	}
	for i, r := range readers {
		a.items.names.addUsed(r.codes.items.list, uses[i].item)
		a.kinds.names.addUsed(r.codes.kinds.list, uses[i].kind)
		for k, n := range r.codes.levels {
			a.levels[k].names.addUsed(n.list, uses[i].level[k])
		}
	}
	for _, place := range a.joiners.places {
		for _, m := range a.moved[a.ev.Users[place]] {
			a.items.names.code(m.item)
			a.kinds.names.code(m.kind)
			for k, level := range m.context {
				if level != "" {
					a.levels[k].names.code(level)
				}
			}
		}
	}
	if len(a.kinds.names.list) > math.MaxUint16+1 {
		return errTypes
	}
	a.ev.Items, a.items.ranks = rank[int32](a.items.names.list)
	a.ev.Types, a.kinds.ranks = rank[uint16](a.kinds.names.list)
	for k := range a.levels {
		a.ev.Context[k].Levels, a.levels[k].ranks = rank[int32](a.levels[k].names.list)
	}
	return nil
}

func (n *names) addUsed(list []string, used []bool) {
	for code, ok := range used {
		if ok {
			n.code(list[code])
		}
	}
}

// ranksOf returns the rank of each used string.
func ranksOf[C int32 | uint16](list []string, used []bool, rank func(string) C) []C {
	ranks := make([]C, len(list))
	for code, ok := range used {
		if ok {
			ranks[code] = rank(list[code])
		}
	}
	return ranks
}

// recodeStep is how many users are recoded at a time.
const recodeStep = 4096

// recode gives all events their canonical codes, on all cores.
func (a *assembly) recode(ctx context.Context, readers []ranks) error {
	users := len(a.ev.Users)
	return inParallel(ctx, (users+recodeStep-1)/recodeStep, func(step int) error {
		for u := step * recodeStep; u < min((step+1)*recodeStep, users); u++ {
			r, from := &readers[a.readers[u]], a.starts[u]
			to := from + int64(a.counts[u])
			for i, code := range a.ev.Item[from:to] {
				a.ev.Item[from+int64(i)] = r.item[code]
			}
			for i, code := range a.ev.Type[from:to] {
				a.ev.Type[from+int64(i)] = r.kind[code]
			}
			for k, rank := range r.level {
				levels := a.ev.Context[k].Code[from:to]
				for i, code := range levels {
					if code >= 0 {
						levels[i] = rank[code]
					}
				}
			}
		}
		return nil
	})
}

// insert merges moved events into the own events of a user.
func (a *assembly) insert(user int32, moved []movedEvent) {
	if len(moved) == 0 {
		return
	}
	type event struct {
		time    int64
		item    int32
		kind    uint16
		value   float32
		from    string
		context []int32
	}
	ev := a.ev
	var all []event
	start := a.starts[user]
	for i := start; i < start+int64(a.counts[user]); i++ {
		e := event{ev.Time[i], ev.Item[i], ev.Type[i], ev.Value[i], "", nil}
		for _, c := range ev.Context {
			e.context = append(e.context, c.Code[i])
		}
		all = append(all, e)
	}
	for _, m := range moved {
		e := event{m.time, a.items.rank(m.item), a.kinds.rank(m.kind), m.value, m.from, nil}
		for k, level := range m.context {
			code := int32(-1)
			if level != "" {
				code = a.levels[k].rank(level)
			}
			e.context = append(e.context, code)
		}
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(x, y event) int {
		return cmp.Or(cmp.Compare(x.time, y.time), cmp.Compare(x.item, y.item), cmp.Compare(x.kind, y.kind), strings.Compare(x.from, y.from))
	})
	for i, x := range all {
		at := start + int64(i)
		ev.Item[at], ev.Type[at], ev.Time[at], ev.Value[at] = x.item, x.kind, x.time, x.value
		for k, code := range x.context {
			ev.Context[k].Code[at] = code
		}
	}
	a.counts[user] = int32(len(all))
}

// close moves the events of all users together and drops those who have none.
func (a *assembly) close() {
	ev, users, end := a.ev, 0, int64(0)
	ev.Offsets = make([]int64, 1, len(ev.Users)+1)
	for u, name := range ev.Users {
		from, n := a.starts[u], int64(a.counts[u])
		if n == 0 {
			continue
		}
		if from != end {
			copy(ev.Item[end:], ev.Item[from:from+n])
			copy(ev.Type[end:], ev.Type[from:from+n])
			copy(ev.Time[end:], ev.Time[from:from+n])
			copy(ev.Value[end:], ev.Value[from:from+n])
			for _, c := range ev.Context {
				copy(c.Code[end:], c.Code[from:from+n])
			}
		}
		end += n
		ev.Users[users] = name
		ev.Offsets = append(ev.Offsets, end)
		users++
	}
	clear(ev.Users[users:])
	ev.Users = ev.Users[:users:users]
	ev.Item, ev.Type, ev.Time, ev.Value = fitted(ev.Item, end), fitted(ev.Type, end), fitted(ev.Time, end), fitted(ev.Value, end)
	for k := range ev.Context {
		ev.Context[k].Code = fitted(ev.Context[k].Code, end)
	}
}

// fitted returns the first n elements, elsewhere if that saves much memory.
func fitted[T any](s []T, n int64) []T {
	if n < int64(len(s))*3/4 {
		return slices.Clone(s[:n])
	}
	return s[:n:n]
}
