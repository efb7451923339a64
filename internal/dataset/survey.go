package dataset

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/apache/iceberg-go/table"

	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
)

// A Survey is what an erasure would change in the tables and the log of a group.
type Survey struct {
	Tables      []TableSurvey
	LogRows     int64        // rows of the log that are in no data file yet
	LogMatching int64        // of them to remove
	LogBytes    int64        // of all segments: they are folded and destroyed
	Staging     int64        // bytes of running imports and rewrites
	Erased      *userset.Set // the users and the sessions that they signed in with
}

// TableSurvey is one table.
type TableSurvey struct {
	ID           string
	Type         schema.Type
	Files        int
	Bytes, Rows  int64
	Matching     int64 // rows to remove from files; those of the log are not among them
	RewriteFiles int   // files that hold some of them
	RewriteBytes int64
	RewriteRows  int64
}

// surveyAttempts is how often Look begins again when the tables change under it.
const surveyAttempts = 20

// Look finds out what an erasure of users would change in a group of the store in dir. It opens no engine and writes nothing, so that it can run beside the process
// that uses the store: db may be read-only. If that process commits something meanwhile, Look begins again.
func Look(ctx context.Context, dir string, db *sql.DB, group string, users *userset.Set) (*Survey, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("survey: %w", err)
	}
	e := &Engine{dir: root, catalog: &catalog{db: db, fs: storeIO{root: root, fatal: func(error) {}}}}
	for attempt := 1; ; attempt++ {
		before, err := e.locations(ctx, group)
		if err != nil {
			return nil, fmt.Errorf("survey: %w", err)
		}
		s, lookErr := e.look(ctx, group, before, users)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		after, err := e.locations(ctx, group)
		if err != nil {
			return nil, fmt.Errorf("survey: %w", err)
		}
		switch {
		case lookErr == nil && slices.Equal(before, after):
			return s, nil
		case attempt == surveyAttempts && lookErr == nil:
			return nil, errors.New("survey: the tables change all the time; try again when fewer imports run")
		case attempt == surveyAttempts:
			return nil, fmt.Errorf("survey: %w", lookErr)
		}
	}
}

// tableAt is a table and the metadata that it has at a moment.
type tableAt struct{ id, location string }

func (e *Engine) locations(ctx context.Context, group string) (all []tableAt, err error) {
	idents, err := e.catalog.tables(ctx)
	if err != nil {
		return nil, err
	}
	for _, ident := range idents {
		if ident[0] != group {
			continue
		}
		location, err := e.catalog.location(ctx, ident)
		if err != nil {
			return nil, err
		}
		all = append(all, tableAt{ident[1], location})
	}
	return all, nil
}

// look is one attempt. A file that is destroyed while it is read cannot be understood, which is an error like any other: Look tries again.
func (e *Engine) look(ctx context.Context, groupID string, at []tableAt, users *userset.Set) (*Survey, error) {
	g := &group{e: e, id: groupID, dir: filepath.Join(e.dir, "groups", groupID), tables: make(map[string]*tableState)}
	for _, t := range at {
		ice, err := e.catalog.LoadTable(ctx, table.Identifier{groupID, t.id})
		if err != nil {
			return nil, err
		}
		state := &tableState{g: g, id: t.id, ice: ice, props: ice.Properties()}
		if state.layout, err = layoutOf(ice); err != nil {
			return nil, err
		}
		state.kind = state.layout.kind
		if state.files, err = e.listFiles(ice); err != nil {
			return nil, err
		}
		g.tables[t.id] = state
	}
	s := &Survey{}
	var err error
	if s.LogBytes, err = g.readLog(); err != nil {
		return nil, err
	}
	if s.Staging, err = treeBytes(filepath.Join(g.dir, "staging")); err != nil {
		return nil, err
	}
	m := &mask{users: users, cut: math.MaxInt64}
	if err := g.surveySessions(ctx, m); err != nil {
		return nil, err
	}
	ids := userset.NewBuilder()
	for _, set := range []*userset.Set{m.users, m.sessions} {
		for id := range set.All() {
			ids.Add(id)
		}
	}
	s.Erased = ids.Set()
	for _, t := range at {
		state := g.tables[t.id]
		found, err := state.survey(ctx, m)
		if err != nil {
			return nil, err
		}
		s.Tables = append(s.Tables, found)
		if err := state.mem.each(state.layout, func(r *memRow) error {
			s.LogRows++
			if key := r.key(state.layout); state.kind.HoldsUsers() && (m.users.Has(key) || m.sessions.Has(key) && r.session == key) {
				s.LogMatching++
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// surveySessions finds the sessions that the users signed in with, as an erasure would.
func (g *group) surveySessions(ctx context.Context, m *mask) error {
	found := userset.NewBuilder()
	for _, t := range g.tables {
		if t.kind.IsLog() {
			s := &snapshot{t: t, layout: t.layout, files: t.files, mem: t.mem}
			if err := s.sessionsOf(ctx, m, found.Add); err != nil {
				return err
			}
		}
	}
	m.sessions = found.Set()
	return nil
}

// readLog puts the rows that are not in data files yet into the memory of the tables. The last frame of the last segment may be half written.
func (g *group) readLog() (bytes int64, err error) {
	dir := filepath.Join(g.dir, "log")
	names, err := segmentNames(dir)
	if err != nil {
		return 0, err
	}
	l := &eventLog{g: g, dir: dir}
	for i, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return 0, err
		}
		bytes += int64(len(data))
		if len(data) < segmentHeader || string(data[:8]) != segmentMagic || castagnoli(data[:16]) != binary.LittleEndian.Uint32(data[16:]) {
			return 0, errors.New("segment with a damaged header")
		}
		for at := segmentHeader; at < len(data); {
			f, err := parseFrame(data[at:])
			if err != nil && i == len(names)-1 && !laterFrame(data[at+1:]) {
				break
			}
			if err == nil {
				err = l.replay(f)
			}
			if err != nil {
				return 0, fmt.Errorf("event log: %w", err)
			}
			at += frameHeader + len(f.payload)
		}
	}
	return bytes, nil
}

// survey counts what the mask would remove from the table's files, by the code that removes it.
func (t *tableState) survey(ctx context.Context, m *mask) (TableSurvey, error) {
	s := TableSurvey{ID: t.id, Type: t.kind, Files: len(t.files)}
	counts := make([]int64, len(t.files))
	if t.kind.HoldsUsers() {
		buckets := t.bucketsOf(m)
		err := inParallel(ctx, len(t.files), func(i int) (err error) {
			if buckets[t.files[i].bucket] {
				counts[i], err = countErased(ctx, t.layout, t.files[i], m)
			}
			return err
		})
		if err != nil {
			return s, err
		}
	}
	for i, f := range t.files {
		s.Rows += f.rows
		s.Bytes += f.size
		if counts[i] > 0 {
			s.Matching += counts[i]
			s.RewriteFiles++
			s.RewriteBytes += f.size
			s.RewriteRows += f.rows
		}
	}
	return s, nil
}

func countErased(ctx context.Context, l *layout, f *dataFile, m *mask) (n int64, err error) {
	r, err := openFile(f.path, l, f.source)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for g := range r.groups() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		_, removed, err := m.survivors(r, g)
		if err != nil {
			return 0, err
		}
		n += removed
	}
	return n, nil
}

// treeBytes adds up the files below a directory; those that go away meanwhile do not count.
func treeBytes(dir string) (n int64, err error) {
	err = eachFile(dir, func(_ string, info fs.FileInfo) error {
		n += info.Size()
		return nil
	})
	return n, err
}
