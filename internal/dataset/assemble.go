package dataset

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"strings"
)

// assembly puts parts together in canonical form.
type assembly struct {
	moved  map[string][]movedEvent
	movers []string // the users of moved, ascending
	owners []owner
	ranks  map[*codes]*ranks
	item   func(name string) int32
	kind   func(name string) uint16
	ev     *Events
}

// ranks turn the codes of a part into canonical ones.
type ranks struct {
	item []int32
	kind []uint16
}

// owner is a user's events in a part, or, with no part, the events that move to him.
type owner struct {
	name string
	part *part
	at   int
}

func (o owner) events() (from, to int) {
	if o.at > 0 {
		from = o.part.ends[o.at-1]
	}
	return from, o.part.ends[o.at]
}

// assemble takes the parts over: their arrays are not to be used afterwards.
func assemble(ctx context.Context, parts []*part) (*Events, error) {
	a := &assembly{moved: make(map[string][]movedEvent), ranks: make(map[*codes]*ranks), ev: new(Events)}
	for _, p := range parts {
		for _, m := range p.moved {
			a.moved[m.user] = append(a.moved[m.user], m)
		}
	}
	for user := range a.moved {
		a.movers = append(a.movers, user)
	}
	slices.Sort(a.movers)
	a.merge(parts)
	if err := a.rank(parts); err != nil {
		return nil, err
	}
	return a.ev, a.fill(ctx)
}

// merge lists the users of all parts, each in order, in one order. Eight bytes behind what all ids begin with decide nearly every comparison.
func (a *assembly) merge(parts []*part) {
	parts = slices.DeleteFunc(slices.Clone(parts), func(p *part) bool { return len(p.users) == 0 })
	if len(a.movers) > 0 {
		parts = append(parts, &part{users: a.movers})
	}
	n, shared := 0, -1
	for _, p := range parts {
		n += len(p.users)
		for _, u := range []string{p.users[0], p.users[len(p.users)-1]} { // what the first and the last share, all between them share
			if shared < 0 {
				shared = len(u)
			}
			for !strings.HasPrefix(u, parts[0].users[0][:shared]) {
				shared--
			}
		}
	}
	a.owners = make([]owner, 0, n)
	heap := make([]ownerCursor, len(parts))
	for i, p := range parts {
		heap[i] = ownerCursor{users: p.users, part: p, shared: shared}
		heap[i].load()
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		siftOwners(heap, i)
	}
	for len(heap) > 0 {
		top := &heap[0]
		o := owner{name: top.users[top.at], part: top.part, at: top.at}
		if top.part.ends == nil {
			o.part = nil
		}
		a.owners = append(a.owners, o)
		if top.at++; top.at < len(top.users) {
			top.load()
		} else {
			heap[0] = heap[len(heap)-1]
			heap = heap[:len(heap)-1]
		}
		if len(heap) > 1 {
			siftOwners(heap, 0)
		}
	}
}

// ownerCursor walks the users of a part.
type ownerCursor struct {
	key    uint64 // of the current user
	users  []string
	part   *part
	at     int
	shared int
}

func (c *ownerCursor) load() {
	var head [8]byte
	copy(head[:], c.users[c.at][c.shared:])
	c.key = binary.BigEndian.Uint64(head[:])
}

// before puts a user's own events before those that move to him.
func (c *ownerCursor) before(d *ownerCursor) bool {
	if c.key != d.key {
		return c.key < d.key
	}
	if o := strings.Compare(c.users[c.at], d.users[d.at]); o != 0 {
		return o < 0
	}
	return c.part.ends != nil
}

func siftOwners(heap []ownerCursor, i int) {
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

// rank gives the strings that occur their canonical codes: what a core has met but left out is not among them.
func (a *assembly) rank(parts []*part) error {
	used := make(map[*codes]*[2][]bool) // which items and kinds occur
	for _, p := range parts {
		u := used[p.codes]
		if u == nil {
			u = &[2][]bool{make([]bool, len(p.codes.items.list)), make([]bool, len(p.codes.kinds.list))}
			used[p.codes] = u
		}
		for _, code := range p.item {
			u[0][code] = true
		}
		for _, code := range p.kind {
			u[1][code] = true
		}
	}
	items, kinds := newNames(), newNames()
	for d, u := range used {
		items.addUsed(d.items.list, u[0])
		kinds.addUsed(d.kinds.list, u[1])
	}
	for _, user := range a.movers {
		for _, m := range a.moved[user] {
			items.code(m.item)
			kinds.code(m.kind)
		}
	}
	if len(kinds.list) > math.MaxUint16+1 {
		return errTypes
	}
	var itemRank []int32
	var kindRank []uint16
	a.ev.Items, itemRank = rank[int32](items.list)
	a.ev.Types, kindRank = rank[uint16](kinds.list)
	a.item = func(name string) int32 { return itemRank[items.code(name)] }
	a.kind = func(name string) uint16 { return kindRank[kinds.code(name)] }
	for d, u := range used {
		r := &ranks{item: make([]int32, len(u[0])), kind: make([]uint16, len(u[1]))}
		for code, ok := range u[0] {
			if ok {
				r.item[code] = a.item(d.items.list[code])
			}
		}
		for code, ok := range u[1] {
			if ok {
				r.kind[code] = a.kind(d.kinds.list[code])
			}
		}
		a.ranks[d] = r
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

// fillStep is how many owners are copied at a time.
const fillStep = 4096

// fill copies everybody's events to their places, on all cores.
func (a *assembly) fill(ctx context.Context) error {
	ev := a.ev
	places := make([]int, len(a.owners)) // the rank of the user
	ev.Offsets = []int64{0}
	total := int64(0)
	for i, o := range a.owners {
		if i == 0 || a.owners[i-1].name != o.name {
			ev.Users = append(ev.Users, o.name)
			ev.Offsets = append(ev.Offsets, 0)
		}
		places[i] = len(ev.Users) - 1
		if o.part != nil {
			from, to := o.events()
			total += int64(to - from)
		} else {
			total += int64(len(a.moved[o.name]))
		}
		ev.Offsets[len(ev.Users)] = total
	}
	ev.Item, ev.Type, ev.Time, ev.Value = make([]int32, total), make([]uint16, total), make([]int64, total), make([]float32, total)
	steps := (len(a.owners) + fillStep - 1) / fillStep
	if err := inParallel(ctx, steps, func(step int) error {
		first := step * fillStep
		for i, o := range a.owners[first:min(first+fillStep, len(a.owners))] {
			if o.part != nil {
				a.copy(o, int(ev.Offsets[places[first+i]]))
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for i, o := range a.owners {
		if o.part == nil {
			a.insert(places[i], a.moved[o.name])
		}
	}
	return nil
}

// copy puts somebody's own events where they belong.
func (a *assembly) copy(o owner, at int) {
	from, to := o.events()
	p, r, ev := o.part, a.ranks[o.part.codes], a.ev
	for k, code := range p.item[from:to] {
		ev.Item[at+k] = r.item[code]
	}
	for k, code := range p.kind[from:to] {
		ev.Type[at+k] = r.kind[code]
	}
	copy(ev.Time[at:], p.time[from:to])
	copy(ev.Value[at:], p.value[from:to])
}

// insert merges moved events into the own events of the user, which stand first.
func (a *assembly) insert(user int, moved []movedEvent) {
	type event struct {
		time  int64
		item  int32
		kind  uint16
		value float32
		from  string
	}
	ev := a.ev
	var all []event
	start, end := int(ev.Offsets[user]), int(ev.Offsets[user+1])
	for i := start; i < end-len(moved); i++ {
		all = append(all, event{ev.Time[i], ev.Item[i], ev.Type[i], ev.Value[i], ""})
	}
	for _, m := range moved {
		all = append(all, event{m.time, a.item(m.item), a.kind(m.kind), m.value, m.from})
	}
	slices.SortStableFunc(all, func(x, y event) int {
		return cmp.Or(cmp.Compare(x.time, y.time), cmp.Compare(x.item, y.item), cmp.Compare(x.kind, y.kind), strings.Compare(x.from, y.from))
	})
	for i, x := range all {
		ev.Item[start+i], ev.Type[start+i], ev.Time[start+i], ev.Value[start+i] = x.item, x.kind, x.time, x.value
	}
}
