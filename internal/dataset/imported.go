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
	files := s.bucketFiles(s.layout.bucketOf(user), true, false)
	var others func(user string, events []LiveEvent)
	if len(s.masks) == 0 && len(files) == 1 {
		others = func(user string, events []LiveEvent) { state.recall.set(user, tidy(events), epoch) }
	}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if events, err = s.eventsOf(user, f, t.Schema, events, others); err != nil {
			return nil, fmt.Errorf("read the events of a user: %w", err)
		}
	}
	events = tidy(events)
	if len(s.masks) == 0 {
		state.recall.set(user, events, epoch)
	}
	return events, nil
}

// tidy brings the events of a user in order and drops exact duplicates.
func tidy(events []LiveEvent) []LiveEvent {
	slices.SortFunc(events, func(a, b LiveEvent) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.Item, b.Item), strings.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value))
	})
	return slices.CompactFunc(events, func(a, b LiveEvent) bool {
		return a.Time == b.Time && a.Item == b.Item && a.Type == b.Type && cmp.Compare(a.Value, b.Value) == 0
	})
}

// eventsOf appends the events of a user in one file, whose rows are sorted by user. Row groups are found by their last rows. What it decodes on the way of other users, as
// far as it is all that the file has of them, it tells others, unless that is nil: a row group costs the same for one user as for all.
func (s *snapshot) eventsOf(user string, f *dataFile, sc *schema.Schema, events []LiveEvent, others func(user string, events []LiveEvent)) (out []LiveEvent, err error) {
	r, err := openFile(f.path, s.layout, f.source)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	d := eventDecoder{fields: s.layout.fields(sc), hidden: s.hider(), item: sc.Index("ITEM_ID"), kind: sc.Index("EVENT_TYPE"), value: sc.Index("EVENT_VALUE"), texts: map[string]string{}}
	d.values = make([]schema.Value, len(d.fields))
	if sc.Type == schema.ActionInteractions {
		d.item = sc.Index("ACTION_ID")
	}
	first := sort.Search(r.groups(), func(g int) bool {
		b := r.group(g)
		after := b.n > 0 && b.key(b.n-1) >= user
		err = cmp.Or(err, b.err)
		return after
	})
	for g := first; g < r.groups() && err == nil; g++ {
		b := r.group(g)
		from := sort.Search(b.n, func(i int) bool { return b.key(i) >= user })
		to := from
		events, to = d.run(b, from, user, events)
		if err = b.err; err == nil && others != nil && g == first {
			d.others(b, user, g > 0, g < r.groups()-1, others)
			err = b.err
		}
		if to < b.n {
			break
		}
	}
	return events, err
}

// eventDecoder makes events of rows.
type eventDecoder struct {
	fields            []int
	hidden            *hider
	values            []schema.Value
	item, kind, value int               // fields
	texts             map[string]string // one copy of each
}

// run appends the events of a user, whose rows begin at one place of a block, and returns where they end.
func (d *eventDecoder) run(b *block, i int, user string, events []LiveEvent) ([]LiveEvent, int) {
	for ; i < b.n && b.key(i) == user; i++ {
		if d.hidden.hides(b, i) {
			continue
		}
		row := b.row(i, d.fields, d.values)
		ev := LiveEvent{Seq: row.Seq, Time: b.timeOf(i), Item: d.text(row.Values[d.item].Str), Value: math.NaN()}
		if d.kind >= 0 {
			ev.Type = d.text(row.Values[d.kind].Str)
		}
		if d.value >= 0 && row.Values[d.value].Valid {
			ev.Value = row.Values[d.value].Float
		}
		events = append(events, ev)
	}
	return events, i
}

// others yields all users of a block but one, and but those at its ends that other blocks may have rows of.
func (d *eventDecoder) others(b *block, but string, before, after bool, yield func(user string, events []LiveEvent)) {
	for i := 0; i < b.n; {
		user, from := strings.Clone(b.key(i)), i
		var events []LiveEvent
		events, i = d.run(b, i, user, nil)
		if user != but && (from > 0 || !before) && (i < b.n || !after) {
			yield(user, events)
		}
	}
}

func (d *eventDecoder) text(s string) string {
	known, ok := d.texts[s]
	if !ok {
		known = strings.Clone(s)
		d.texts[known] = known
	}
	return known
}
