package dataset

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
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
	var out []LiveEvent
	g.mu.Lock()
	for _, users := range g.live.tables {
		for _, ev := range users[user] {
			if ev.Seq > cut {
				out = append(out, ev)
			}
		}
	}
	g.mu.Unlock()
	slices.SortFunc(out, func(a, b LiveEvent) int { return cmp.Compare(a.Seq, b.Seq) })
	if len(out) > liveKept {
		out = slices.Delete(out, 0, len(out)-liveKept)
	}
	slices.SortStableFunc(out, func(a, b LiveEvent) int { return cmp.Compare(a.Time, b.Time) })
	return out
}

// liveIndex holds the newest streamed interactions of each user of a group. The group's mutex guards it.
type liveIndex struct {
	tables map[string]map[string][]LiveEvent // by table, by user
	names  map[string]string                 // items and types, so that equal ones are one string
}

// maxLiveNames bounds the names that are shared; with more, sharing begins anew.
const maxLiveNames = 1 << 20

// rebuildLive reads the streamed rows of all interactions tables.
func (g *group) rebuildLive() error {
	g.live = &liveIndex{tables: make(map[string]map[string][]LiveEvent)}
	for _, t := range g.allTables() {
		if t.kind != Interactions {
			continue
		}
		s := t.snapshot()
		err := g.live.fill(t.id, s)
		s.release()
		if err != nil {
			return err
		}
	}
	return nil
}

// fill takes the streamed rows of a snapshot that are not hidden.
func (x *liveIndex) fill(table string, s *snapshot) error {
	at := liveColumnsOf(s.layout)
	var mu sync.Mutex
	err := s.eachPutBlock(context.Background(), nil, func(b *block) error {
		mu.Lock()
		defer mu.Unlock()
		hidden := s.hider()
		for i := range b.n {
			if !hidden.hides(b, i) {
				x.insert(table, b.key(i), at.event(func(c int) Value { return b.col(c).value(i) }, b.seq(i)))
			}
		}
		return b.err
	})
	if err != nil {
		return err
	}
	hidden := s.hider()
	for i := range s.mem { // as they are: to make blocks of a long log would be the longest part of a start
		if r := &s.mem[i]; !hidden.hidesRow(r.vals[s.layout.key].Str, r.seq, r.session) {
			x.add(table, s.layout, s.mem[i:i+1])
		}
	}
	return nil
}

// add takes new rows of the log.
func (x *liveIndex) add(table string, l *layout, rows []memRow) {
	at := liveColumnsOf(l)
	for i := range rows {
		r := &rows[i]
		ev := at.event(func(c int) Value {
			if c < len(r.vals) {
				return r.vals[c]
			}
			return Value{}
		}, r.seq)
		x.insert(table, r.vals[l.key].Str, ev)
	}
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

// name returns a copy of an item or a type that all events share: the row that it came with is in the memory of a whole request.
func (x *liveIndex) name(s string) string {
	if kept, ok := x.names[s]; ok {
		return kept
	}
	if x.names == nil || len(x.names) >= maxLiveNames {
		x.names = make(map[string]string)
	}
	s = strings.Clone(s)
	x.names[s] = s
	return s
}

// insert keeps the newest events of a user. It lets the list grow to twice its size, so that trimming costs little.
func (x *liveIndex) insert(table, user string, ev LiveEvent) {
	users := x.tables[table]
	if users == nil {
		users = make(map[string][]LiveEvent)
		x.tables[table] = users
	}
	list, known := users[user]
	if !known {
		user = strings.Clone(user)
	}
	ev.Item, ev.Type = x.name(ev.Item), x.name(ev.Type)
	list = append(list, ev)
	if len(list) >= 2*liveKept {
		slices.SortFunc(list, func(a, b LiveEvent) int { return cmp.Compare(a.Seq, b.Seq) })
		list = slices.Clone(list[len(list)-liveKept:])
	}
	users[user] = list
}

func (x *liveIndex) drop(table string) { delete(x.tables, table) }

// erase forgets the events of users up to a cut.
func (x *liveIndex) erase(gone func(user string) bool, cut int64) {
	for _, users := range x.tables {
		for user, list := range users {
			if !gone(user) {
				continue
			}
			list = slices.DeleteFunc(list, func(ev LiveEvent) bool { return ev.Seq <= cut })
			if len(list) == 0 {
				delete(users, user)
				continue
			}
			users[user] = slices.Clone(list)
		}
	}
}
