package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/apache/iceberg-go"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/userset"
)

// Erase removes every row of the hidden users up to the cut, and the anonymous rows of the sessions that they signed in with, from the given tables of one
// group. It returns how many rows went, by table. Each table is one commit that carries its count, so the counts are the same after any number of crashes
// and repetitions. Other rows do not change. The old files are gone when Sweep has returned.
func (e *Engine) Erase(ctx context.Context, tables []Table, job string, progress func(ErasureProgress)) (removed map[string]int64, err error) {
	removed = make(map[string]int64)
	if len(tables) == 0 {
		return removed, nil
	}
	g, ok := e.group(tables[0].Group)
	if !ok {
		return nil, ErrNoTable
	}
	m, err := g.findSessions(ctx, job)
	if err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	if err := g.lateSessions(m); err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	tables = slices.Clone(tables)
	slices.SortFunc(tables, func(a, b Table) int { return strings.Compare(a.ID, b.ID) })
	var states []*tableState
	meter := &meter{report: progress, left: make(map[bucketOfTable]int)}
	for _, t := range tables {
		state, err := e.find(t)
		if err != nil {
			return nil, fmt.Errorf("erase: %w", err)
		}
		states = append(states, state)
		if state.kind.HoldsUsers() {
			meter.expect(state)
		}
	}
	for _, t := range states {
		if removed[t.id], err = t.erase(ctx, m, meter); err != nil {
			return nil, fmt.Errorf("erase: table %s: %w", t.id, err)
		}
	}
	for _, x := range []*liveIndex{g.live, g.acted} {
		x.erase(func(user string) bool { return m.users.Has(user) || m.sessions.Has(user) }, m.cut)
	}
	return removed, nil
}

// ErasureProgress is how far an erasure is in all tables together.
type ErasureProgress struct {
	Rows, TotalRows       int64
	Buckets, TotalBuckets int64
}

// meter adds up the progress of an erasure.
type meter struct {
	mu     sync.Mutex
	now    ErasureProgress
	left   map[bucketOfTable]int // files of each bucket that are not done yet
	report func(ErasureProgress)
}

type bucketOfTable struct {
	table  string
	bucket int
}

// expect adds what a table has. It may have other files when its turn comes; then the totals are a little off.
func (m *meter) expect(t *tableState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.files {
		b := bucketOfTable{t.id, f.bucket}
		if m.left[b]++; m.left[b] == 1 {
			m.now.TotalBuckets++
		}
		m.now.TotalRows += f.rows
	}
}

// did notes that a file is done.
func (m *meter) did(t *tableState, f *dataFile) {
	if m.report == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := bucketOfTable{t.id, f.bucket}
	if m.left[b]--; m.left[b] == 0 {
		m.now.Buckets++
	}
	m.now.Rows += f.rows
	m.now.TotalRows = max(m.now.TotalRows, m.now.Rows)
	m.report(m.now)
}

// findSessions moves the log into data files and collects the sessions of the hidden users, once for a job: after the first table has been erased they
// could not be found any more.
func (g *group) findSessions(ctx context.Context, job string) (*mask, error) {
	m := g.mask(job)
	if m == nil {
		return nil, errNotHidden
	}
	if m.sessions != nil {
		return m, nil
	}
	if err := g.fold(ctx); err != nil {
		return nil, err
	}
	found := userset.NewBuilder()
	for _, t := range g.allTables() {
		if !t.kind.IsLog() {
			continue
		}
		s := t.snapshot()
		err := s.sessionsOf(ctx, m, found.Add)
		s.release()
		if err != nil {
			return nil, fmt.Errorf("find sessions: %w", err)
		}
	}
	known := *m
	known.sessions = found.Set()
	text, err := known.sessions.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	crash.Point("erase/sessions")
	if err := blob.WriteFile(filepath.Join(g.dir, "erasing", job, sessionsFile), bytes.NewReader(text)); err != nil {
		return nil, err
	}
	g.mu.Lock()
	g.masks[job] = &known
	g.mu.Unlock()
	return &known, nil
}

// sessionsOf yields the sessions of the streamed rows that the mask removes.
func (s *snapshot) sessionsOf(ctx context.Context, m *mask, yield func(session string)) error {
	visit := func(b *block) error {
		for i := range b.n {
			if session := b.session(i); session != "" && b.seq(i) <= m.cut && m.users.Has(b.key(i)) {
				yield(session)
			}
		}
		return errors.Join(b.err, ctx.Err())
	}
	for _, f := range s.files {
		if f.source != Put {
			continue
		}
		if err := eachBlock(f, s.layout, visit); err != nil {
			return err
		}
	}
	w := newBuilder(s.layout, Put)
	if err := s.mem.each(s.layout, func(r *memRow) error {
		w.add(r.vals, r.seq, r.session, r.eventID)
		return nil
	}); err != nil {
		return err
	}
	return visit(w.b)
}

// erase removes what the mask covers from the table's files, in one commit.
func (t *tableState) erase(ctx context.Context, m *mask, progress *meter) (removed int64, err error) {
	if !t.kind.HoldsUsers() {
		return 0, nil
	}
	defer t.pauseCompaction()() // what it has read and written must not outlive the rows
	defer t.reapLogged()        // after the unlock
	t.write.Lock()
	defer t.write.Unlock()
	if err := t.adopt(ctx); err != nil {
		return 0, err
	}
	property := erasedPrefix + m.job
	if n, done := t.props[property]; done {
		return strconv.ParseInt(n, 10, 64)
	}
	dir, err := t.g.stage()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, t.g.unstage(dir)) }()
	c, removed, err := t.eraseFiles(ctx, dir, m, progress)
	if err != nil {
		return 0, err
	}
	crash.Point("erase/staged")
	c.props = iceberg.Properties{property: strconv.FormatInt(removed, 10)}
	c.unset = t.endedErasures()
	c.swap = func() { t.index = nil }
	return removed, t.commit(ctx, c)
}

// bucketsOf are the buckets in which rows that the mask removes can stand.
func (t *tableState) bucketsOf(m *mask) map[int]bool {
	buckets := make(map[int]bool)
	for _, set := range []*userset.Set{m.users, m.sessions} {
		for id := range set.All() {
			buckets[t.layout.bucketOf(id)] = true
		}
	}
	return buckets
}

// eraseFiles rewrites the files that hold rows to remove.
func (t *tableState) eraseFiles(ctx context.Context, dir string, m *mask, progress *meter) (c change, removed int64, err error) {
	buckets := t.bucketsOf(m)
	files := t.files
	if err := t.roomToErase(buckets); err != nil {
		return c, 0, err
	}
	outs, counts := make([]*dataFile, len(files)), make([]int64, len(files))
	err = inParallel(ctx, len(files), func(i int) (err error) {
		defer progress.did(t, files[i])
		if outs[i] = files[i]; !buckets[files[i].bucket] {
			return nil
		}
		outs[i], counts[i], err = eraseFile(ctx, dir, t.layout, files[i], m)
		return err
	})
	if err != nil {
		return c, 0, err
	}
	for i, f := range files {
		if counts[i] == 0 {
			continue
		}
		removed += counts[i]
		c.remove = append(c.remove, f)
		if outs[i] != nil {
			c.add = append(c.add, outs[i])
		}
	}
	return c, removed, nil
}

// metadataRoom is what one commit writes besides data files, with much to spare.
const metadataRoom = 1 << 20

// roomToErase fails unless the disk has room for all that an erasure may write: the old files stay until the commit, so each that it may have to rewrite is
// there twice. To begin without that would fill the disk up for everybody else and end in the same failure.
func (t *tableState) roomToErase(buckets map[int]bool) error {
	size := int64(0)
	for _, f := range t.files {
		if buckets[f.bucket] {
			size += f.size
		}
	}
	if size == 0 {
		return nil
	}
	return blob.CheckRoom(t.g.dir, size+metadataRoom)
}

// endedErasures lists the counts of jobs that are over and will not ask again.
func (t *tableState) endedErasures() (names []string) {
	for name := range t.props {
		for _, prefix := range []string{erasedPrefix, keptOutPrefix} {
			if job, ok := strings.CutPrefix(name, prefix); ok && t.g.mask(job) == nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// eraseFile writes a file without the rows that the mask removes and returns it, nil if nothing is left. A file without such rows is returned as it is.
// Row groups without them are copied byte for byte.
func eraseFile(ctx context.Context, dir string, l *layout, f *dataFile, m *mask) (out *dataFile, removed int64, err error) {
	r, err := openFile(f.path, l, f.source)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	kept := make([][]int32, r.groups()) // nil: the group stays as it is
	for g := range kept {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		var n int64
		if kept[g], n, err = m.survivors(r, g); err != nil {
			return nil, 0, err
		}
		removed += n
	}
	if removed == 0 {
		return f, 0, nil
	}
	if removed == f.rows {
		return nil, removed, nil
	}
	staged, err := stageFile(dir, l, f.source, f.bucket)
	if err != nil {
		return nil, 0, err
	}
	if err := staged.copyKept(ctx, r, kept); err != nil {
		staged.w.abort()
		return nil, 0, err
	}
	out, err = staged.finish()
	return out, removed, err
}

// survivors returns the rows of a row group that stay, or nil if all do.
func (m *mask) survivors(r *fileReader, g int) (kept []int32, removed int64, err error) {
	keys, err := r.keys(g)
	if err != nil {
		return nil, 0, err
	}
	listed, alone := make([]bool, len(keys)), make([]bool, len(keys))
	hit := false
	for code, key := range keys {
		listed[code], alone[code] = m.users.Has(key), m.sessions.Has(key)
		hit = hit || listed[code] || alone[code]
	}
	if !hit {
		return nil, 0, nil
	}
	b := r.group(g)
	codes := b.col(b.layout.key).code
	if b.err != nil {
		return nil, 0, b.err
	}
	for i, code := range codes {
		gone := b.seq(i) <= m.cut && (listed[code] || alone[code] && b.session(i) == keys[code])
		if gone {
			removed++
		} else {
			kept = append(kept, int32(i))
		}
	}
	if removed == 0 {
		return nil, 0, b.err
	}
	if kept == nil {
		kept = []int32{}
	}
	return kept, removed, b.err
}

// copyKept writes the kept rows of another file.
func (f *stagedFile) copyKept(ctx context.Context, r *fileReader, kept [][]int32) error {
	same := r.current()
	for g, rows := range kept {
		if err := ctx.Err(); err != nil {
			return err
		}
		if rows == nil && same {
			if err := f.w.copyGroup(r, g); err != nil {
				return err
			}
			continue
		}
		b := r.group(g)
		if rows == nil {
			rows = make([]int32, b.n)
			for i := range rows {
				rows[i] = int32(i)
			}
		}
		if len(rows) == 0 {
			continue
		}
		if err := f.w.writeGroup(b, rows); err != nil {
			return err
		}
	}
	return nil
}

// Sweep destroys whatever of the group has been superseded: log segments, data files, metadata; and what the tally says of few events. It waits for the readers that still hold such files, up to
// 15 minutes.
func (e *Engine) Sweep(ctx context.Context, group, job string) error {
	g, ok := e.group(group)
	if !ok {
		return nil
	}
	if err := g.fold(ctx); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if m := g.mask(job); m != nil {
		if err := g.tally.erase(m.users); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	ctx, stop := context.WithTimeout(ctx, e.limits.sweepWait)
	defer stop()
	crash.Point("sweep/files")
	for _, t := range g.allTables() {
		if err := errors.Join(t.sweep(ctx), t.sweepIncoming(ctx, g.mask(job))); err != nil {
			return fmt.Errorf("sweep: table %s: %w", t.id, err)
		}
	}
	return nil
}

var errReaders = errors.New("readers hold superseded files for too long")

func (t *tableState) sweep(ctx context.Context) error {
	for {
		t.mu.Lock()
		left := t.unpinned
		t.mu.Unlock()
		n, err := t.reap()
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		select {
		case <-left:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return errReaders
			}
			return ctx.Err()
		}
	}
	t.write.Lock()
	defer t.write.Unlock()
	t.reaping.Lock()
	defer t.reaping.Unlock()
	if t.gone() {
		return nil
	}
	return errors.Join(t.sweepData(), t.sweepMetadata())
}
