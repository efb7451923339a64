package dataset

import (
	"cmp"
	"context"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/palate-dev/palate/internal/schema"
)

// What serving looks at of a user's streamed events: the newest of each type, as many as filters look at in the service, and of all types together no more than
// ten times as many interactions, because a training admits ten types.
const (
	liveInteractions = 100  // of a type
	liveActions      = 300  // of a type, with actions
	liveEvents       = 1000 // of all types
)

// LiveEvent is one streamed interaction.
type LiveEvent struct {
	Seq, Time  int64
	Item, Type string
	Value      float64 // NaN = none
}

// Since returns what a model that knows everything up to a sequence number does not know of a user, or of an anonymous session: the streamed interactions after
// it, oldest first, as far as they are among the last 100 of their type and the last 1,000 of all. It is answered from memory.
//
// known tells whether what the model does know of the user may be used. It may not while an erasure hides the user, whatever the model's age: the snapshot of a
// training that began just before the mask may hold the erased rows until the erasure has rebuilt the model. Of the events those after the erasure's cut are
// left. With strict nobody is known, and nobody has events, while any erasure runs in the group.
func (e *Engine) Since(group, user string, seq int64, strict bool) (events []LiveEvent, known bool) {
	return e.since(schema.Interactions, group, user, seq, strict)
}

// ActionsSince is Since for what the user did with actions, which are the Items of the events, and of which the last 300 of each type are looked at.
func (e *Engine) ActionsSince(group, user string, seq int64, strict bool) (events []LiveEvent, known bool) {
	return e.since(schema.ActionInteractions, group, user, seq, strict)
}

// Forgetting reports whether an erasure runs in a group, which with strict serving knows nobody meanwhile.
func (e *Engine) Forgetting(group string) bool {
	g, ok := e.group(group)
	return ok && len(g.activeMasks()) > 0
}

// liveOf is the index of the event logs of a kind; tables that are not logs have nothing to put into one.
func (g *group) liveOf(kind schema.Type) *liveIndex {
	if kind == schema.ActionInteractions {
		return g.acted
	}
	return g.live
}

func (e *Engine) since(kind schema.Type, group, user string, seq int64, strict bool) (events []LiveEvent, known bool) {
	g, ok := e.group(group)
	if !ok {
		return nil, true
	}
	masks, cut := g.activeMasks(), int64(0)
	if strict && len(masks) > 0 {
		return nil, false
	}
	known = true
	for _, m := range masks {
		if m.users.Has(user) || m.sessions.Has(user) {
			cut, known = max(cut, m.cut), false
		}
	}
	live := g.liveOf(kind)
	if events = live.of(user, cut); len(events) == 0 {
		return nil, known
	}
	slices.SortFunc(events, func(a, b LiveEvent) int { return cmp.Compare(a.Seq, b.Seq) })
	events = events[newest(events, live.perType, func(ev LiveEvent) string { return ev.Type }):]
	events = slices.DeleteFunc(events, func(ev LiveEvent) bool { return ev.Seq <= seq })
	slices.SortStableFunc(events, func(a, b LiveEvent) int { return cmp.Compare(a.Time, b.Time) })
	return events, known
}

// newest moves the events that are kept, the last perType of each type and the last liveEvents of all, to the end of a list from the oldest to the newest, in order.
// What is kept begins at the returned index; the others are before it, in no order.
func newest[T any, K comparable](events []T, perType int, kind func(T) K) (at int) {
	counts := make(map[K]int)
	at = len(events)
	for i, ev := range slices.Backward(events) {
		k := kind(ev)
		if counts[k] == perType || len(events)-at == liveEvents {
			continue
		}
		counts[k]++
		at--
		events[at], events[i] = ev, events[at]
	}
	return at
}

// liveIndex holds the newest streamed interactions of each user of a group, without pointers but for one of each user: a user has up to liveEvents, and the garbage
// collector would look at each.
//
// Users are spread over shards, each with a mutex of its own: a start fills them from all processors at once, and a request waits for no other user's.
type liveIndex struct {
	perType int // how many events of a user and a type are kept

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

// liveNames are some of the items and types, which many events share. Each counts the events that have it, and is forgotten with the last: months of new items
// leave no more names than events.
type liveNames struct {
	mu    sync.RWMutex
	codes map[string]uint32
	names []liveName // by code
	free  []uint32   // codes that may be given again
}

type liveName struct {
	text string
	uses int
}

func newLiveIndex(perType int) *liveIndex {
	x := &liveIndex{perType: perType, seed: maphash.MakeSeed()}
	for i := range liveShards {
		x.shards[i].tables, x.names[i].codes = make(map[string]*liveUsers), make(map[string]uint32)
	}
	return x
}

func (x *liveIndex) shard(user string) *liveShard {
	return &x.shards[maphash.String(x.seed, user)%liveShards]
}

// take returns the code of an item or a type, for so many uses more.
func (x *liveIndex) take(name string, uses int) uint32 {
	shard := uint32(maphash.String(x.seed, name) % liveShards)
	n := &x.names[shard]
	n.mu.Lock()
	defer n.mu.Unlock()
	code, known := n.codes[name]
	if !known {
		if last := len(n.free) - 1; last >= 0 {
			code, n.free = n.free[last], n.free[:last]
		} else {
			code = uint32(len(n.names))
			n.names = append(n.names, liveName{})
		}
		name = strings.Clone(name)
		n.codes[name], n.names[code].text = code, name
	}
	n.names[code].uses += uses
	return code*liveShards + shard
}

// giveBack ends uses of a code.
func (x *liveIndex) giveBack(code uint32, uses int) {
	n := &x.names[code%liveShards]
	n.mu.Lock()
	defer n.mu.Unlock()
	name := &n.names[code/liveShards]
	if name.uses -= uses; name.uses == 0 {
		delete(n.codes, name.text)
		name.text = ""
		n.free = append(n.free, code/liveShards)
	}
}

// forget ends the uses of events that nobody can see any more.
func (x *liveIndex) forget(events []liveEvent) {
	for _, ev := range events {
		x.giveBack(ev.item, 1)
		x.giveBack(ev.kind, 1)
	}
}

func (x *liveIndex) name(code uint32) string {
	n := &x.names[code%liveShards]
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.names[code/liveShards].text
}

// fillLive reads the streamed rows of the data files of all event logs, but for those that are hidden. What is in the log is there already.
func (g *group) fillLive() error {
	for _, t := range g.allTables() {
		if !t.kind.IsLog() {
			continue
		}
		s := t.snapshot()
		at := liveColumnsOf(s.layout)
		err := s.eachPutBlock(context.Background(), nil, func(b *block) error {
			hidden, live := s.hider(), g.liveOf(t.kind).inserter(t.id)
			defer live.close()
			for i := range b.n {
				if !hidden.hides(b, i) {
					live.insert(b.key(i), at.event(func(c int) schema.Value { return b.col(c).value(i) }, b.seq(i)))
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
	item := l.column("ITEM_ID")
	if item < 0 {
		item = l.column("ACTION_ID")
	}
	return liveColumns{time: l.time, item: item, kind: l.column("EVENT_TYPE"), value: l.column("EVENT_VALUE")}
}

// event reads a row, whose memory it may share.
func (at liveColumns) event(value func(c int) schema.Value, seq int64) LiveEvent {
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
	return at.event(func(c int) schema.Value { return r.vals[c] }, r.seq)
}

// liveInserter inserts the events of one table. It is for one goroutine, which it spares most of the look-ups of a type: there are few.
type liveInserter struct {
	x     *liveIndex
	table string
	kind  string // the last type ...
	code  uint32
	uses  int // ... of which so many uses are taken and not spent
}

// kindUses is how many uses of a type an inserter takes at once.
const kindUses = 256

// inserter returns an inserter, which must be closed.
func (x *liveIndex) inserter(table string) *liveInserter { return &liveInserter{x: x, table: table} }

// close gives back what was not spent.
func (in *liveInserter) close() {
	if in.uses > 0 {
		in.x.giveBack(in.code, in.uses)
		in.uses = 0
	}
}

// insert keeps the newest events of a user, in whatever order they come. It trims a list only where the list would have to be moved anyway and leaves room for as many
// events again, so that trimming costs little.
func (in *liveInserter) insert(user string, ev LiveEvent) {
	if in.uses == 0 || in.kind != ev.Type {
		in.close()
		in.kind, in.code, in.uses = ev.Type, in.x.take(ev.Type, kindUses), kindUses
	}
	in.uses--
	x, table := in.x, in.table
	shard := x.shard(user)
	coded := liveEvent{seq: ev.Seq, time: ev.Time, value: ev.Value, item: x.take(ev.Item, 1), kind: in.code}
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
	list := u.lists[code]
	if len(list) == cap(list) && len(list) > x.perType {
		slices.SortFunc(list, func(a, b liveEvent) int { return cmp.Compare(a.seq, b.seq) })
		at := newest(list, x.perType, func(ev liveEvent) uint32 { return ev.kind })
		x.forget(list[:at])
		list = append(make([]liveEvent, 0, 2*(len(list)-at)), list[at:]...)
	}
	u.lists[code] = append(list, coded)
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
	x.locked(func(shard *liveShard) {
		if u := shard.tables[table]; u != nil {
			for _, list := range u.lists {
				x.forget(list)
			}
			delete(shard.tables, table)
		}
	})
}

// erase forgets the events of users up to a cut, and the names of those who have no others.
func (x *liveIndex) erase(gone func(user string) bool, cut int64) {
	x.locked(func(shard *liveShard) {
		for table, u := range shard.tables {
			if slices.ContainsFunc(u.users, gone) {
				shard.tables[table] = x.without(u, gone, cut)
			}
		}
	})
}

// without builds users anew, so that nothing is left of who is gone.
func (x *liveIndex) without(u *liveUsers, gone func(user string) bool, cut int64) *liveUsers {
	left := &liveUsers{codes: newInterner()}
	for code, user := range u.users {
		list := u.lists[code]
		if gone(user) {
			var kept []liveEvent
			for i, ev := range list {
				if ev.seq > cut {
					kept = append(kept, ev)
				} else {
					x.forget(list[i : i+1])
				}
			}
			list = kept
		}
		if len(list) > 0 {
			left.codes.code(&left.users, user, false)
			left.lists = append(left.lists, list)
		}
	}
	return left
}
