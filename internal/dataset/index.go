package dataset

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/palate-dev/palate/internal/schema"
)

// Lookup returns the newest record of an item, a user or an action. It is answered from memory: the first call after an import or an erasure reads the
// table, later ones and streamed records do not.
func (e *Engine) Lookup(ctx context.Context, t Table, key string) (Row, bool, error) {
	state, err := e.find(t)
	if err != nil {
		return Row{}, false, err
	}
	if t.Schema.Type.IsLog() {
		return Row{}, false, fmt.Errorf("look up: rows of %s have no key", t.Schema.Type)
	}
	x, err := state.lookupIndex(e.ctx)
	if err != nil {
		return Row{}, false, fmt.Errorf("look up: %w", err)
	}
	row, ok, err := x.get(t.Schema, key)
	if err != nil || !ok {
		return Row{}, false, err
	}
	if t.Schema.Type == schema.Users {
		if cut, hidden := e.Hidden(t.Group, key); hidden && row.Seq <= cut {
			return Row{}, false, nil
		}
	}
	return row, true, nil
}

// lookupIndex returns the index and fills it if nobody has. Streamed rows reach it from the moment it is set, so that filling misses none.
func (t *tableState) lookupIndex(ctx context.Context) (*index, error) {
	t.mu.Lock()
	if t.index == nil {
		t.index = newIndex(t.layout)
	}
	x := t.index
	t.mu.Unlock()
	x.fill.Do(func() { x.err = t.fillIndex(ctx, x) })
	if x.err != nil {
		t.mu.Lock()
		if t.index == x {
			t.index = nil // the next call tries again
		}
		t.mu.Unlock()
	}
	return x, x.err
}

func (t *tableState) fillIndex(ctx context.Context, x *index) error {
	s := t.snapshot()
	defer s.release()
	mem, err := s.mem.blocks(s.layout)
	if err != nil {
		return err
	}
	vals := make([]schema.Value, len(x.layout.cols))
	for _, bucket := range s.buckets(mem) {
		err := s.each(ctx, bucket, mem[bucket], selection{bulk: true, put: true, newest: true}, func(b *block, i int) error {
			for c := range vals {
				vals[c] = schema.Value{}
				if c < len(b.cols) {
					vals[c] = b.col(c).value(i)
				}
			}
			x.add(b.key(i), vals, b.seq(i), b.source)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// index holds the newest record of every key of a table, encoded.
type index struct {
	layout *layout
	kinds  []schema.Kind // of its columns
	fill   sync.Once
	err    error

	mu      sync.RWMutex
	records map[string]indexed
}

type indexed struct {
	seq  int64
	text string // source, then values by column of the layout
}

func newIndex(l *layout) *index {
	return &index{layout: l, kinds: l.kinds(), records: make(map[string]indexed)}
}

// add keeps the record if it is newer than the one that stands.
func (x *index) add(key string, vals []schema.Value, seq int64, source Source) {
	text := appendValues([]byte{byte(source)}, x.kinds, vals)
	x.mu.Lock()
	defer x.mu.Unlock()
	old, ok := x.records[key]
	if ok && old.seq >= seq {
		return
	}
	if !ok {
		key = strings.Clone(key)
	}
	x.records[key] = indexed{seq: seq, text: string(text)}
}

func (x *index) get(s *schema.Schema, key string) (Row, bool, error) {
	x.mu.RLock()
	rec, ok := x.records[key]
	x.mu.RUnlock()
	if !ok {
		return Row{}, false, nil
	}
	vals := make([]schema.Value, len(x.layout.cols))
	r := textReader{s: rec.text[1:]}
	if r.values(x.kinds, vals); r.err != nil {
		return Row{}, false, r.err
	}
	row := Row{Values: make([]schema.Value, len(s.Fields)), Source: Source(rec.text[0]), Seq: rec.seq}
	for f, c := range x.layout.fields(s) {
		if c >= 0 {
			row.Values[f] = vals[c]
		}
	}
	return row, true, nil
}
