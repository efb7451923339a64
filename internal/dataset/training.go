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
	dictionaries := make(chan [2]*names, runtime.GOMAXPROCS(0)) // one pair for each core; which bucket gets which does not show in the result
	for range cap(dictionaries) {
		dictionaries <- [2]*names{newNames(), newNames()}
	}
	if err := inParallel(ctx, len(buckets), func(i int) (err error) {
		d := <-dictionaries
		defer func() { dictionaries <- d }()
		parts[i], err = r.readBucket(ctx, buckets[i], mem[buckets[i]], d)
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

// part is what was read of one bucket. Codes are those of its dictionaries, which it may share with other parts.
type part struct {
	users []string
	ends  []int // of each user's events
	item  []int32
	kind  []uint16
	time  []int64
	value []float32
	items *names
	kinds *names
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
	table *interner
}

func newNames() *names { return &names{table: newInterner()} }

func (n *names) code(s string) int32 {
	c, _ := n.table.code(&n.list, s, true) // a copy: not the page that it stands in
	return int32(c)
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

func newPart(rows int, d [2]*names) *part {
	return &part{
		items: d[0], kinds: d[1],
		item: make([]int32, 0, rows), kind: make([]uint16, 0, rows), time: make([]int64, 0, rows), value: make([]float32, 0, rows),
	}
}

// rowsOf is how many rows a bucket holds.
func (s *snapshot) rowsOf(bucket int, mem *block) (n int) {
	for _, f := range s.bucketFiles(bucket, true, true) {
		n += int(f.rows)
	}
	if mem != nil {
		n += mem.n
	}
	return n
}

func (r *training) readBucket(ctx context.Context, bucket int, mem *block, d [2]*names) (*part, error) {
	p := newPart(r.s.rowsOf(bucket, mem), d)
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
		p.item = append(p.item, items.code(b, item, i, p.items))
		code := int32(0)
		if kind != nil {
			code = kinds.code(b, kind, i, p.kinds)
		} else {
			code = p.kinds.code("")
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

// assembly puts parts together in canonical form.
type assembly struct {
	items, kinds *names
	itemRank     []int32  // code in items -> rank
	kindRank     []uint16 // code in kinds -> rank
	codes        map[*names][]int32
	moved        map[string][]movedEvent
	owners       []owner
	ev           *Events
}

// owner is a user's run of events in a part, or, with no part, the events that move to him.
type owner struct {
	name string
	part *part
	at   int
}

func assemble(parts []*part) (*Events, error) {
	a := &assembly{items: newNames(), kinds: newNames(), codes: make(map[*names][]int32), moved: make(map[string][]movedEvent)}
	total := 0
	for _, p := range parts {
		total += len(p.item) + len(p.moved)
		a.collect(p)
	}
	if len(a.kinds.list) > math.MaxUint16+1 {
		return nil, errTypes
	}
	for user := range a.moved {
		a.owners = append(a.owners, owner{name: user})
	}
	slices.SortFunc(a.owners, func(x, y owner) int { // a user's own events before those that move to him
		return cmp.Or(strings.Compare(x.name, y.name), boolInt(x.part == nil)-boolInt(y.part == nil))
	})
	a.ev = &Events{
		Item: make([]int32, 0, total), Type: make([]uint16, 0, total), Time: make([]int64, 0, total), Value: make([]float32, 0, total), Offsets: []int64{0},
	}
	a.ev.Items, a.itemRank = rank[int32](a.items.list)
	a.ev.Types, a.kindRank = rank[uint16](a.kinds.list)
	for i, o := range a.owners {
		if i == 0 || a.owners[i-1].name != o.name {
			a.ev.Users = append(a.ev.Users, o.name)
			a.ev.Offsets = append(a.ev.Offsets, a.ev.Offsets[len(a.ev.Offsets)-1])
		}
		if o.part != nil {
			a.copy(o)
		} else {
			a.insert(a.moved[o.name])
		}
		a.ev.Offsets[len(a.ev.Offsets)-1] = int64(len(a.ev.Item))
	}
	return a.ev, nil
}

// collect takes over the strings and users of a part.
func (a *assembly) collect(p *part) {
	for from, to := range map[*names]*names{p.items: a.items, p.kinds: a.kinds} {
		for _, s := range from.list[len(a.codes[from]):] { // parts share dictionaries
			a.codes[from] = append(a.codes[from], to.code(s))
		}
	}
	for _, m := range p.moved {
		a.items.code(m.item)
		a.kinds.code(m.kind)
		a.moved[m.user] = append(a.moved[m.user], m)
	}
	for at, u := range p.users {
		a.owners = append(a.owners, owner{u, p, at})
	}
}

// copy appends a run of a part.
func (a *assembly) copy(o owner) {
	start, end := 0, o.part.ends[o.at]
	if o.at > 0 {
		start = o.part.ends[o.at-1]
	}
	items, kinds := a.codes[o.part.items], a.codes[o.part.kinds]
	for k := start; k < end; k++ {
		a.ev.Item = append(a.ev.Item, a.itemRank[items[o.part.item[k]]])
		a.ev.Type = append(a.ev.Type, a.kindRank[kinds[o.part.kind[k]]])
	}
	a.ev.Time = append(a.ev.Time, o.part.time[start:end]...)
	a.ev.Value = append(a.ev.Value, o.part.value[start:end]...)
}

// insert merges moved events into those of the last user.
func (a *assembly) insert(moved []movedEvent) {
	type event struct {
		time  int64
		item  int32
		kind  uint16
		value float32
		from  string
	}
	ev := a.ev
	var all []event
	start := int(ev.Offsets[len(ev.Offsets)-2])
	for i := start; i < len(ev.Item); i++ {
		all = append(all, event{ev.Time[i], ev.Item[i], ev.Type[i], ev.Value[i], ""})
	}
	for _, m := range moved {
		all = append(all, event{m.time, a.itemRank[a.items.code(m.item)], a.kindRank[a.kinds.code(m.kind)], m.value, m.from})
	}
	slices.SortStableFunc(all, func(x, y event) int {
		return cmp.Or(cmp.Compare(x.time, y.time), cmp.Compare(x.item, y.item), cmp.Compare(x.kind, y.kind), strings.Compare(x.from, y.from))
	})
	ev.Item, ev.Type, ev.Time, ev.Value = ev.Item[:start], ev.Type[:start], ev.Time[:start], ev.Value[:start]
	for _, x := range all {
		ev.Item, ev.Type = append(ev.Item, x.item), append(ev.Type, x.kind)
		ev.Time, ev.Value = append(ev.Time, x.time), append(ev.Value, x.value)
	}
}
