package dataset

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

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
	row, ok, err := x.get(x.layout.fields(t.Schema), key)
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
	x.fill.Do(func() {
		x.err = t.fillIndex(ctx, x)
		x.filled.Store(x.err == nil)
	})
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
			x.add(b.key(i), vals, b.seq(i), b.source, false)
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
	filled atomic.Bool // without an error
	err    error

	mu      sync.RWMutex
	records map[string]indexed
	changed []string // keys of the records that were streamed last, the oldest first
	changes int64    // how many there were before the first of changed

	noted atomic.Int64 // how many there were at all
}

// indexChanges bounds the changes of which an index knows the keys: twice so many at most.
const indexChanges = 1 << 15

type indexed struct {
	seq  int64
	text string // source, then values by column of the layout
}

func newIndex(l *layout) *index {
	return &index{layout: l, kinds: l.kinds(), records: make(map[string]indexed)}
}

// add keeps the record if it is newer than the one that stands. note tells readers of the changes.
func (x *index) add(key string, vals []schema.Value, seq int64, source Source, note bool) {
	text := appendValues([]byte{byte(source)}, x.kinds, vals)
	x.mu.Lock()
	defer x.mu.Unlock()
	old, ok := x.records[key]
	if ok && old.seq >= seq {
		return
	}
	if !ok || note {
		key = strings.Clone(key)
	}
	x.records[key] = indexed{seq: seq, text: string(text)}
	if !note {
		return
	}
	if len(x.changed) == 2*indexChanges {
		x.changes += indexChanges
		x.changed = append([]string(nil), x.changed[indexChanges:]...)
	}
	x.changed = append(x.changed, key)
	x.noted.Add(1)
}

// Records are the newest records of a table of items or actions, for a reader that keeps something of its own made of them. They follow PutItems and its like; an
// import makes new ones.
type Records struct {
	index  *index
	fields []int // column of each field of the schema
}

// Records returns the newest records of a table whose keys are no users. After an import it reads them first; with wait = false it returns nil then.
func (e *Engine) Records(t Table, wait bool) (*Records, error) {
	state, err := e.find(t)
	if err != nil {
		return nil, err
	}
	if t.Schema.Type.IsLog() || t.Schema.Type.HoldsUsers() {
		return nil, fmt.Errorf("read records: those of %s are not for keeping", t.Schema.Type)
	}
	var x *index
	if wait {
		if x, err = state.lookupIndex(e.ctx); err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
	} else {
		state.mu.Lock()
		x = state.index
		state.mu.Unlock()
		if x == nil || !x.filled.Load() {
			return nil, nil
		}
	}
	return &Records{index: x, fields: x.layout.fields(t.Schema)}, nil
}

// Same reports whether both are of one import, so that what changed from one to the other is known by Changes.
func (r *Records) Same(other *Records) bool { return r.index == other.index }

// Get returns the record of a key.
func (r *Records) Get(key string) (Row, bool, error) { return r.index.get(r.fields, key) }

// Noted is how many records have been streamed since the import.
func (r *Records) Noted() int64 { return r.index.noted.Load() }

// Changes returns the keys of the records that were streamed after the first n, some perhaps several times, and how many there are now. ok is false if they are not
// known any more.
func (r *Records) Changes(n int64) (keys []string, noted int64, ok bool) {
	x := r.index
	x.mu.RLock()
	defer x.mu.RUnlock()
	if n < x.changes {
		return nil, 0, false
	}
	return append([]string(nil), x.changed[n-x.changes:]...), x.changes + int64(len(x.changed)), true
}

func (x *index) get(fields []int, key string) (Row, bool, error) {
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
	row := Row{Values: make([]schema.Value, len(fields)), Source: Source(rec.text[0]), Seq: rec.seq}
	for f, c := range fields {
		if c >= 0 {
			row.Values[f] = vals[c]
		}
	}
	return row, true, nil
}
