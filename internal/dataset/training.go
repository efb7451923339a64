package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Events reads an event log for training: the effective view, in which anonymous events of a session that somebody signed in with are his. If several did,
// they belong to the one whose event came in first.
func (e *Engine) Events(ctx context.Context, t Table) (*Events, error) {
	state, err := e.find(t)
	if err != nil {
		return nil, err
	}
	if !t.Schema.Type.isLog() {
		return nil, fmt.Errorf("read events: %s is not an event log", t.Schema.Type)
	}
	s := state.snapshot()
	defer s.release()
	r, err := newTraining(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	mem := s.memBlocks()
	buckets := s.buckets(mem)
	parts := make([]*part, len(buckets))
	if err := inParallel(ctx, len(buckets), func(i int) (err error) {
		parts[i], err = r.readBucket(ctx, buckets[i], mem[buckets[i]])
		return err
	}); err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	ev, err := assemble(parts)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	ev.Seq = s.seq
	return ev, nil
}

// inParallel calls f(0) to f(n-1) on all cores and returns the error of the lowest index that failed.
func inParallel(ctx context.Context, n int, f func(i int) error) error {
	errs := make([]error, n)
	next := make(chan int)
	var failed sync.Once
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var work sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		work.Go(func() {
			for i := range next {
				if errs[i] = f(i); errs[i] != nil {
					failed.Do(stop)
				}
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		errs[i] = ctx.Err()
		break
	}
	close(next)
	work.Wait()
	var first error
	for _, err := range errs {
		if err != nil && (first == nil || errors.Is(first, context.Canceled)) {
			first = err
		}
	}
	return first
}

// training is one read of events.
type training struct {
	s        *snapshot
	sel      selection
	item     int // columns; -1 if the table has none
	kind     int
	value    int
	signedIn map[string]signIn // session -> who signed in, for the sessions that have anonymous events
	unseen   map[string]int64  // session of a hidden user -> anonymous events up to here are hidden too
}

type signIn struct {
	user string
	seq  int64
}

func newTraining(ctx context.Context, s *snapshot) (*training, error) {
	r := &training{s: s, item: s.layout.column("ITEM_ID"), kind: s.layout.column("EVENT_TYPE"), value: s.layout.column("EVENT_VALUE")}
	if r.item < 0 {
		r.item = s.layout.column("ACTION_ID")
	}
	if r.item < 0 {
		return nil, errors.New("the table has no items")
	}
	var ids eventCollector
	if err := s.eachPut(ctx, func(b *block, i int) {
		ids.add(b, i)
		r.noteSession(b, i)
	}); err != nil {
		return nil, err
	}
	r.sel = selection{bulk: true, put: true, distinct: true, unrepeated: true, repeated: ids.repeated()}
	return r, r.findUnseen(ctx)
}

// noteSession remembers the first user of each session.
func (r *training) noteSession(b *block, i int) {
	session, user := b.session(i), b.key(i)
	if session == "" || session == user {
		return
	}
	if r.signedIn == nil {
		r.signedIn = make(map[string]signIn)
	}
	if first, ok := r.signedIn[session]; !ok || b.seq(i) < first.seq {
		r.signedIn[strings.Clone(session)] = signIn{user: strings.Clone(user), seq: b.seq(i)}
	}
}

// findUnseen collects the sessions that hidden users signed in with: their anonymous events will be erased with the users.
func (r *training) findUnseen(ctx context.Context) error {
	r.unseen = make(map[string]int64)
	for _, m := range r.s.masks {
		if err := r.s.sessionsOf(ctx, m, func(session string) {
			r.unseen[strings.Clone(session)] = max(r.unseen[session], m.cut)
		}); err != nil {
			return err
		}
	}
	return nil
}

// part is what was read of one bucket. Codes are local to it.
type part struct {
	users []string
	ends  []int // of each user's events
	item  []int32
	kind  []uint16
	time  []int64
	value []float32
	items names
	kinds names
	moved []movedEvent // anonymous events that belong to somebody who may be in another bucket
}

type movedEvent struct {
	user, item, kind string
	from             string // the session
	time             int64
	value            float32
}

// names gives codes to strings in order of appearance.
type names struct {
	list  []string
	codes map[string]int32
}

func (n *names) code(s string) int32 {
	c, ok := n.codes[s]
	if !ok {
		if n.codes == nil {
			n.codes = make(map[string]int32)
		}
		c = int32(len(n.list))
		s = strings.Clone(s) // not the page that it stands in
		n.list = append(n.list, s)
		n.codes[s] = c
	}
	return c
}

// recoder turns the dictionary codes of blocks into codes of a part, looking each string up once for a block.
type recoder struct {
	last  *block
	codes []int32 // of last: 1 + code, 0 = not looked up
	open  map[*block][]int32
}

// openBlocks is how many blocks a recoder remembers: more than a merge usually has open at once.
const openBlocks = 64

func (r *recoder) code(b *block, v *vector, i int, n *names) int32 {
	if v.absent || v.code[i] == nullCode {
		return n.code("")
	}
	if r.last != b {
		if r.open == nil || len(r.open) > openBlocks {
			r.open = make(map[*block][]int32)
		}
		if r.open[b] == nil {
			r.open[b] = make([]int32, len(v.dict))
		}
		r.last, r.codes = b, r.open[b]
	}
	at := v.code[i]
	if r.codes[at] == 0 {
		r.codes[at] = 1 + n.code(v.dict[at])
	}
	return r.codes[at] - 1
}

func (r *training) readBucket(ctx context.Context, bucket int, mem *block) (*part, error) {
	p := &part{}
	var items, kinds recoder
	err := r.s.each(ctx, bucket, mem, r.sel, func(b *block, i int) error {
		key := b.key(i)
		item, kind := b.col(r.item), (*vector)(nil)
		if item.isNull(i) {
			return nil
		}
		if r.kind >= 0 {
			kind = b.col(r.kind)
		}
		value := float32(math.NaN())
		if r.value >= 0 {
			if v := b.col(r.value).value(i); v.Valid {
				value = float32(v.Float)
			}
		}
		if b.source == Put && b.session(i) == key {
			if b.seq(i) <= r.unseen[key] {
				return nil
			}
			if owner, ok := r.signedIn[key]; ok {
				m := movedEvent{user: owner.user, item: strings.Clone(item.str(i)), from: strings.Clone(key), time: b.timeOf(i), value: value}
				if kind != nil {
					m.kind = strings.Clone(kind.str(i))
				}
				p.moved = append(p.moved, m)
				return nil
			}
		}
		if n := len(p.users); n == 0 || p.users[n-1] != key {
			p.users = append(p.users, strings.Clone(key))
			p.ends = append(p.ends, len(p.item))
		}
		p.item = append(p.item, items.code(b, item, i, &p.items))
		code := int32(0)
		if kind != nil {
			code = kinds.code(b, kind, i, &p.kinds)
		} else if len(p.kinds.list) == 0 {
			p.kinds.code("")
		}
		if code > math.MaxUint16 {
			return errTypes
		}
		p.kind = append(p.kind, uint16(code))
		p.time = append(p.time, b.timeOf(i))
		p.value = append(p.value, value)
		p.ends[len(p.ends)-1] = len(p.item)
		return nil
	})
	return p, err
}

var errTypes = errors.New("more than 65536 event types")

// assemble puts the parts together in canonical form.
func assemble(parts []*part) (*Events, error) {
	var items, kinds names
	moved := make(map[string][]movedEvent)
	total := 0
	type owner struct {
		name string
		part *part // nil: only moved events
		at   int
	}
	var owners []owner
	for _, p := range parts {
		for _, s := range p.items.list {
			items.code(s)
		}
		for _, s := range p.kinds.list {
			kinds.code(s)
		}
		for _, m := range p.moved {
			items.code(m.item)
			kinds.code(m.kind)
			moved[m.user] = append(moved[m.user], m)
		}
		for at, u := range p.users {
			owners = append(owners, owner{u, p, at})
		}
		total += len(p.item) + len(p.moved)
	}
	if len(kinds.list) > math.MaxUint16+1 {
		return nil, errTypes
	}
	for user := range moved {
		owners = append(owners, owner{name: user})
	}
	// A user with events of his own stands before the entry for the moved ones.
	slices.SortFunc(owners, func(a, b owner) int {
		return cmp.Or(strings.Compare(a.name, b.name), boolInt(a.part == nil)-boolInt(b.part == nil))
	})
	ev := &Events{
		Item: make([]int32, 0, total), Type: make([]uint16, 0, total), Time: make([]int64, 0, total), Value: make([]float32, 0, total),
		Offsets: []int64{0},
	}
	var itemRank []int32
	var kindRank []uint16
	ev.Items, itemRank = rank[int32](items.list)
	ev.Types, kindRank = rank[uint16](kinds.list)
	local := make(map[*part][2][]int32)
	for _, p := range parts {
		local[p] = [2][]int32{p.items.in(&items), p.kinds.in(&kinds)}
	}
	for i, o := range owners {
		if i == 0 || owners[i-1].name != o.name {
			ev.Users = append(ev.Users, o.name)
			ev.Offsets = append(ev.Offsets, ev.Offsets[len(ev.Offsets)-1])
		}
		if o.part == nil {
			ev.insert(moved[o.name], &items, &kinds, itemRank, kindRank)
		} else {
			start := 0
			if o.at > 0 {
				start = o.part.ends[o.at-1]
			}
			codes := local[o.part]
			for k := start; k < o.part.ends[o.at]; k++ {
				ev.Item = append(ev.Item, itemRank[codes[0][o.part.item[k]]])
				ev.Type = append(ev.Type, kindRank[codes[1][o.part.kind[k]]])
			}
			ev.Time = append(ev.Time, o.part.time[start:o.part.ends[o.at]]...)
			ev.Value = append(ev.Value, o.part.value[start:o.part.ends[o.at]]...)
		}
		ev.Offsets[len(ev.Offsets)-1] = int64(len(ev.Item))
	}
	return ev, nil
}

// in translates the codes of n into codes of all.
func (n *names) in(all *names) []int32 {
	codes := make([]int32, len(n.list))
	for i, s := range n.list {
		codes[i] = all.codes[s]
	}
	return codes
}

// insert merges moved events into those of the last user.
func (ev *Events) insert(moved []movedEvent, items, kinds *names, itemRank []int32, kindRank []uint16) {
	type event struct {
		time  int64
		item  int32
		kind  uint16
		value float32
		from  string
	}
	var all []event
	start := int(ev.Offsets[len(ev.Offsets)-2])
	for i := start; i < len(ev.Item); i++ {
		all = append(all, event{ev.Time[i], ev.Item[i], ev.Type[i], ev.Value[i], ""})
	}
	for _, m := range moved {
		all = append(all, event{m.time, itemRank[items.codes[m.item]], kindRank[kinds.codes[m.kind]], m.value, m.from})
	}
	slices.SortStableFunc(all, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.item, b.item), cmp.Compare(a.kind, b.kind), strings.Compare(a.from, b.from))
	})
	ev.Item, ev.Type, ev.Time, ev.Value = ev.Item[:start], ev.Type[:start], ev.Time[:start], ev.Value[:start]
	for _, x := range all {
		ev.Item, ev.Type = append(ev.Item, x.item), append(ev.Type, x.kind)
		ev.Time, ev.Value = append(ev.Time, x.time), append(ev.Value, x.value)
	}
}
