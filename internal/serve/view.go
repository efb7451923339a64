package serve

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/schema"
)

// view is the Items dataset by the codes of a model, as filters read it. PutItems shows in it at once. After an import it is made anew beside the requests, which go on
// with the old one until then; requests that find none read each record for itself.
type view struct {
	table   dataset.Table
	held    map[string]bool // names of the fields that are held, in upper case
	records *dataset.Records
	columns *filter.Columns

	mu    sync.Mutex   // one update at a time
	noted atomic.Int64 // how many of the streamed records are in the columns
}

// serves reports whether the view holds the fields of a table.
func (v *view) serves(t dataset.Table, fields []string) bool {
	return v.table.ID == t.ID && slices.EqualFunc(v.table.Schema.Fields, t.Schema.Fields, func(a, b schema.Field) bool { return a.Name == b.Name && a.Kind == b.Kind }) &&
		!slices.ContainsFunc(fields, func(name string) bool { return !v.held[name] })
}

// view returns the view of a model that serves a filter of items, nil if there is none now.
func (s *Service) view(m *model, f *namedFilter) (*view, error) {
	t, ok := f.tables[schema.Items]
	if !ok {
		return nil, nil
	}
	v := m.view.Load()
	if v == nil || !v.serves(t, f.itemFields) {
		s.build(m, t, f.itemFields)
		return nil, nil
	}
	now, err := s.engine.Records(t, false)
	if err != nil {
		return nil, err
	}
	if now == nil || !now.Same(v.records) {
		s.build(m, t, f.itemFields)
		return v, nil
	}
	if v.records.Noted() == v.noted.Load() {
		return v, nil
	}
	current, err := v.update(m)
	if err != nil {
		return nil, err
	}
	if !current {
		s.build(m, t, f.itemFields)
		return nil, nil
	}
	return v, nil
}

// update takes the records in that have been streamed since. It reports false if they are not known any more.
func (v *view) update(m *model) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	keys, noted, ok := v.records.Changes(v.noted.Load())
	if !ok {
		return false, nil
	}
	for _, id := range keys {
		if code, known := m.Code(id); known {
			if err := v.take(id, code); err != nil {
				return false, err
			}
		}
	}
	v.noted.Store(noted)
	return true, nil
}

func (v *view) take(id string, code int32) error {
	row, ok, err := v.records.Get(id)
	if err != nil {
		return fmt.Errorf("read a record for filters: %w", err)
	}
	if ok {
		v.columns.Set(code, row.Values)
	}
	return nil
}

// build makes the view of a model in the background, with the fields that it has and these.
func (s *Service) build(m *model, t dataset.Table, fields []string) {
	if !m.building.CompareAndSwap(false, true) {
		return
	}
	s.builds.start(func() {
		defer m.building.Store(false)
		v, err := newView(s.engine, m, t, fields)
		if err != nil {
			s.models.log.Error("the items cannot be read for filters", "model", m.name, "error", err)
			return
		}
		m.view.Store(v)
	})
}

// inherit makes the view of a model that nobody asks yet, with the fields of the view of the model before it. Without one, or if it cannot be made, the first request
// with a filter will see to it.
func (s *Service) inherit(m, before *model) {
	old := before.view.Load()
	if old == nil || m.view.Load() != nil || !m.building.CompareAndSwap(false, true) {
		return
	}
	defer m.building.Store(false)
	if v, err := newView(s.engine, m, old.table, slices.Collect(maps.Keys(old.held))); err == nil {
		m.view.Store(v)
	}
}

func newView(engine *dataset.Engine, m *model, t dataset.Table, fields []string) (*view, error) {
	v := &view{table: t, held: map[string]bool{}}
	if old := m.view.Load(); old != nil && old.table.ID == t.ID {
		for name := range old.held {
			v.held[name] = true
		}
	}
	for _, name := range fields {
		v.held[name] = true
	}
	var err error
	if v.records, err = engine.Records(t, true); err != nil {
		return nil, err
	}
	v.noted.Store(v.records.Noted()) // before the records: they may be newer than it says, never older
	v.columns = filter.NewColumns(t.Schema, func(name string) bool { return v.held[strings.ToUpper(name)] }, m.Items())
	if len(v.held) == 0 {
		return v, nil
	}
	for code := range int32(m.Items()) {
		if err := v.take(m.Item(code), code); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// background runs what requests have started but do not wait for.
type background struct {
	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
}

func (b *background) start(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.work.Go(f)
	}
}

// close waits for what runs. Nothing starts any more.
func (b *background) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.work.Wait()
}
