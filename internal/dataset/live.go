package dataset

import (
	"cmp"
	"context"
	"hash/maphash"
	"math"
	"slices"
	"sync"
)

// liveKept is how many events of a user serving looks at.
const liveKept = 200

// LiveEvent is one streamed interaction.
type LiveEvent struct {
	Seq, Time  int64
	Item, Type string
	Value      float64 // NaN = none
}

// Live returns the streamed interactions of a user, or of an anonymous session, oldest first and at most the last 200. What an erasure hides is not among
// them. It is answered from memory.
func (e *Engine) Live(group, user string) []LiveEvent {
	g, ok := e.group(group)
	if !ok {
		return nil
	}
	cut := int64(0)
	for _, m := range g.activeMasks() {
		if m.users.Has(user) || m.sessions.Has(user) {
			cut = max(cut, m.cut)
		}
	}
	out := g.live.of(user, cut)
	slices.SortFunc(out, func(a, b LiveEvent) int { return cmp.Compare(a.Seq, b.Seq) })
	if len(out) > liveKept {
		out = slices.Delete(out, 0, len(out)-liveKept)
	}
	slices.SortStableFunc(out, func(a, b LiveEvent) int { return cmp.Compare(a.Time, b.Time) })
	return out
}

// liveIndex holds the newest streamed interactions of each user of a group, without pointers but for one of each user: there are as many events as users times
// liveKept, and the garbage collector would look at each.
//
// Users are spread over shards, each with a mutex of its own: a start fills them from all processors at once, and a request waits for no other user's.
type liveIndex struct {
	seed   maphash.Seed
	shards [liveShards]liveShard
	names  [liveShards]liveNames
}

const liveShards = 64

type liveShard struct {
	mu     sync.Mutex
	tables map[string]*liveUsers
}

// liveUsers are the users of one table in one shard.
type liveUsers struct {
	codes *interner
	users []string      // by code
	lists [][]liveEvent // by code
}

// liveEvent is a LiveEvent with names as codes.
type liveEvent struct {
	seq, time  int64
	value      float64
	item, kind uint32
}

// liveNames are some of the items and types, which many events share. They are never forgotten: there are few of them beside events.
type liveNames struct {
	mu    sync.RWMutex
	codes *interner
	dict  []string
}

func newLiveIndex() *liveIndex {
	x := &liveIndex{seed: maphash.MakeSeed()}
	for i := range liveShards {
		x.shards[i].tables, x.names[i].codes = make(map[string]*liveUsers), newInterner()
	}
	return x
}

func (x *liveIndex) shard(user string) *liveShard {
	return &x.shards[maphash.String(x.seed, user)%liveShards]
}

// code returns the code of an item or a type.
func (x *liveIndex) code(name string) uint32 {
	shard := uint32(maphash.String(x.seed, name) % liveShards)
	n := &x.names[shard]
	n.mu.Lock()
	defer n.mu.Unlock()
	code, _ := n.codes.code(&n.dict, name, true)
	return code*liveShards + shard
}

func (x *liveIndex) name(code uint32) string {
	n := &x.names[code%liveShards]
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.dict[code/liveShards]
}

// fillLive reads the streamed rows of the data files of all interactions tables, but for those that are hidden. What is in the log is there already.
func (g *group) fillLive() error {
	for _, t := range g.allTables() {
		if t.kind != Interactions {
			continue
		}
		s := t.snapshot()
		at := liveColumnsOf(s.layout)
		err := s.eachPutBlock(context.Background(), nil, func(b *block) error {
			hidden, live := s.hider(), g.live.inserter(t.id)
			for i := range b.n {
				if !hidden.hides(b, i) {
					live.insert(b.key(i), at.event(func(c int) Value { return b.col(c).value(i) }, b.seq(i)))
				}
			}
			return b.err
		})
		s.release()
		if err != nil {
			return err
		}
	}
	return nil
}

// liveColumns are the columns that serving looks at; -1 where a table has none.
type liveColumns struct{ time, item, kind, value int }

func liveColumnsOf(l *layout) liveColumns {
	return liveColumns{time: l.time, item: l.column("ITEM_ID"), kind: l.column("EVENT_TYPE"), value: l.column("EVENT_VALUE")}
}

// event reads a row, whose memory it may share.
func (at liveColumns) event(value func(c int) Value, seq int64) LiveEvent {
	ev := LiveEvent{Seq: seq, Time: value(at.time).Int, Value: math.NaN()}
	if at.item >= 0 {
		ev.Item = value(at.item).Str
	}
	if at.kind >= 0 {
		ev.Type = value(at.kind).Str
	}
	if at.value >= 0 {
		if v := value(at.value); v.Valid {
			ev.Value = v.Float
		}
	}
	return ev
}

// of reads a row of a memory.
func (at liveColumns) of(r *memRow) LiveEvent {
	return at.event(func(c int) Value { return r.vals[c] }, r.seq)
}

// liveInserter inserts the events of one table. It is for one goroutine, which it spares most of the look-ups of a type: there are few.
type liveInserter struct {
	x     *liveIndex
	table string
	known bool
	kind  string // the last type
	code  uint32
}

func (x *liveIndex) inserter(table string) *liveInserter { return &liveInserter{x: x, table: table} }

// insert keeps the newest events of a user, in whatever order they come. It lets the list grow to twice its size, so that trimming costs little.
func (in *liveInserter) insert(user string, ev LiveEvent) {
	if !in.known || in.kind != ev.Type {
		in.known, in.kind, in.code = true, ev.Type, in.x.code(ev.Type)
	}
	x, table := in.x, in.table
	shard := x.shard(user)
	coded := liveEvent{seq: ev.Seq, time: ev.Time, value: ev.Value, item: x.code(ev.Item), kind: in.code}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	u := shard.tables[table]
	if u == nil {
		u = &liveUsers{codes: newInterner()}
		shard.tables[table] = u
	}
	code, fresh := u.codes.code(&u.users, user, true)
	if fresh {
		u.lists = append(u.lists, nil)
	}
	list := append(u.lists[code], coded)
	if len(list) >= 2*liveKept {
		slices.SortFunc(list, func(a, b liveEvent) int { return cmp.Compare(a.seq, b.seq) })
		list = slices.Clone(list[len(list)-liveKept:])
	}
	u.lists[code] = list
}

// of returns the events of a user after a cut, in no order.
func (x *liveIndex) of(user string, cut int64) (out []LiveEvent) {
	shard := x.shard(user)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	for _, u := range shard.tables {
		code, ok := u.codes.find(u.users, user)
		if !ok {
			continue
		}
		for _, ev := range u.lists[code] {
			if ev.seq > cut {
				out = append(out, LiveEvent{Seq: ev.seq, Time: ev.time, Item: x.name(ev.item), Type: x.name(ev.kind), Value: ev.value})
			}
		}
	}
	return out
}

// locked calls f with each shard, whose mutex it holds.
func (x *liveIndex) locked(f func(*liveShard)) {
	for i := range x.shards {
		shard := &x.shards[i]
		shard.mu.Lock()
		f(shard)
		shard.mu.Unlock()
	}
}

// each yields the sequence number of every event.
func (x *liveIndex) each(yield func(user string, seq int64)) {
	x.locked(func(shard *liveShard) {
		for _, u := range shard.tables {
			for code, list := range u.lists {
				for _, ev := range list {
					yield(u.users[code], ev.seq)
				}
			}
		}
	})
}

func (x *liveIndex) drop(table string) {
	x.locked(func(shard *liveShard) { delete(shard.tables, table) })
}

// erase forgets the events of users up to a cut, and the names of those who have no others.
func (x *liveIndex) erase(gone func(user string) bool, cut int64) {
	x.locked(func(shard *liveShard) {
		for table, u := range shard.tables {
			if slices.ContainsFunc(u.users, gone) {
				shard.tables[table] = u.without(gone, cut)
			}
		}
	})
}

// without builds the shard anew, so that nothing is left of who is gone.
func (u *liveUsers) without(gone func(user string) bool, cut int64) *liveUsers {
	left := &liveUsers{codes: newInterner()}
	for code, user := range u.users {
		list := u.lists[code]
		if gone(user) {
			list = slices.Clone(slices.DeleteFunc(list, func(ev liveEvent) bool { return ev.seq <= cut }))
		}
		if len(list) > 0 {
			left.codes.code(&left.users, user, false)
			left.lists = append(left.lists, list)
		}
	}
	return left
}
