package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/palate-dev/palate/internal/schema"
)

// Imported returns the interactions of a user that came in by imports, oldest first, without exact duplicates and without what an erasure hides; Since has the
// streamed ones. It reads a few pages of each file of the user's bucket, unless it has done so lately and no import came since. The events must not be changed.
func (e *Engine) Imported(ctx context.Context, t Table, user string) ([]LiveEvent, error) {
	state, err := e.find(t)
	if err != nil {
		return nil, err
	}
	if !t.Schema.Type.IsLog() {
		return nil, fmt.Errorf("read the events of a user: %s is not an event log", t.Schema.Type)
	}
	events, known, epoch := state.recall.get(user)
	if known {
		return events, nil
	}
	s := state.snapshot()
	defer s.release()
	for _, f := range s.bucketFiles(s.layout.bucketOf(user), true, false) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if events, err = s.eventsOf(user, f, t.Schema, events); err != nil {
			return nil, fmt.Errorf("read the events of a user: %w", err)
		}
	}
	slices.SortFunc(events, func(a, b LiveEvent) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.Item, b.Item), strings.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value))
	})
	events = slices.CompactFunc(events, func(a, b LiveEvent) bool {
		return a.Time == b.Time && a.Item == b.Item && a.Type == b.Type && cmp.Compare(a.Value, b.Value) == 0
	})
	if len(s.masks) == 0 {
		state.recall.set(user, events, epoch)
	}
	return events, nil
}

// eventsOf appends the events of a user in one file, whose rows are sorted by user. Row groups are found by their last rows.
func (s *snapshot) eventsOf(user string, f *dataFile, sc *schema.Schema, events []LiveEvent) (out []LiveEvent, err error) {
	r, err := openFile(f.path, s.layout, f.source)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	fields, hidden := s.layout.fields(sc), s.hider()
	values := make([]schema.Value, len(fields))
	item, kind, value := sc.Index("ITEM_ID"), sc.Index("EVENT_TYPE"), sc.Index("EVENT_VALUE")
	if sc.Type == schema.ActionInteractions {
		item = sc.Index("ACTION_ID")
	}
	first := sort.Search(r.groups(), func(g int) bool {
		b := r.group(g)
		after := b.n > 0 && b.key(b.n-1) >= user
		err = cmp.Or(err, b.err)
		return after
	})
	for g := first; g < r.groups() && err == nil; g++ {
		b := r.group(g)
		i := sort.Search(b.n, func(i int) bool { return b.key(i) >= user })
		for ; i < b.n && b.key(i) == user; i++ {
			if hidden.hides(b, i) {
				continue
			}
			row := b.row(i, fields, values)
			ev := LiveEvent{Seq: row.Seq, Time: b.timeOf(i), Item: strings.Clone(row.Values[item].Str), Value: math.NaN()}
			if kind >= 0 {
				ev.Type = strings.Clone(row.Values[kind].Str)
			}
			if value >= 0 && row.Values[value].Valid {
				ev.Value = row.Values[value].Float
			}
			events = append(events, ev)
		}
		err = b.err
		if i < b.n {
			break
		}
	}
	return events, err
}
