package dataset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/metrics"
)

// Put stores streamed rows: durable when it returns, and visible to every read that starts after. Source and Seq are set here.
// What they add to the tally of the group is counted if and only if they are stored. ErrBusy and ErrFull mean that nothing was, and the caller may try again.
func (e *Engine) Put(ctx context.Context, t Table, rows []Row, counts ...Count) error {
	state, err := e.find(t)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return nil
	}
	l := state.current()
	body, err := encodePut(state.id, l, l.fields(t.Schema), rows)
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	err = state.g.log.submit(ctx, &logRequest{kind: putRecord, table: state, rows: len(rows), body: body, counts: counts}, true)
	if blob.IsFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// Fence returns a cut through the order of arrival: every Put that was acknowledged before the call has a smaller or equal sequence number, every Put
// that begins after it a greater one. It is durable: the numbers do not go back after a crash.
func (e *Engine) Fence(ctx context.Context, group string) (cut int64, err error) {
	if !isOpaque(group) {
		return 0, errors.New("fence: the group's name is not of [a-z0-9-]")
	}
	g, err := e.makeGroup(group)
	if err != nil {
		return 0, fmt.Errorf("fence: %w", err)
	}
	if err := g.adopt(ctx); err != nil { // what other engines committed before the call comes before the cut
		return 0, fmt.Errorf("fence: %w", err)
	}
	r := &logRequest{kind: fenceRecord}
	if err := g.log.submit(ctx, r, false); err != nil {
		return 0, fmt.Errorf("fence: %w", err)
	}
	return r.seq, nil
}

// receive shows the rows of a put to readers.
func (t *tableState) receive(p memPut) {
	t.mu.Lock()
	if t.dropped {
		t.mu.Unlock()
		return
	}
	t.mem.add(p)
	l, records := t.layout, t.index
	t.mu.Unlock()
	if !t.kind.IsLog() && records == nil {
		return
	}
	at, d, live := liveColumnsOf(l), memReader{layout: l}, t.g.liveOf(t.kind).inserter(t.id)
	defer live.close()
	err := d.put(&p, func(r *memRow) error {
		if records != nil {
			records.add(r.key(l), r.vals, r.seq, Put, true)
		}
		if t.kind.IsLog() {
			live.insert(r.key(l), at.of(r))
		}
		return nil
	})
	if err != nil { // it was encoded a moment ago
		t.g.e.fatal(fmt.Errorf("decode rows of table %s: %w", t.id, err))
	}
}

// wantFold asks for a fold soon.
func (g *group) wantFold() {
	select {
	case g.e.folds <- g:
	default: // one is asked for already, or the ticker will see the group
	}
}

// foldLoop folds logs in the background: those that have grown, and those whose oldest row has waited long.
func (e *Engine) foldLoop() {
	tick := time.NewTicker(max(e.limits.foldAge/10, time.Second))
	defer tick.Stop()
	for {
		var due []*group
		select {
		case <-e.ctx.Done():
			return
		case g := <-e.folds:
			due = []*group{g}
		case <-tick.C:
			due = e.aged()
			e.expireLate()
		}
		for _, g := range due {
			if err := g.fold(e.ctx); err != nil && !errors.Is(err, errClosed) && e.ctx.Err() == nil {
				e.log.Error("fold event log", "group", g.id, "error", err)
			}
		}
	}
}

// aged returns the groups whose log is due by age.
func (e *Engine) aged() (due []*group) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, g := range e.groups {
		g.log.mu.Lock()
		if !g.log.activeAt.IsZero() && time.Since(g.log.activeAt) >= e.limits.foldAge || len(g.log.closed) > 0 {
			due = append(due, g)
		}
		g.log.mu.Unlock()
	}
	return due
}

// fold moves every row of the log into data files and destroys the segments. Each table notes in the same commit how far it is folded, so that a crash
// neither loses a row nor stores it twice.
func (g *group) fold(ctx context.Context) error {
	g.folding.Lock()
	defer g.folding.Unlock()
	r := &logRequest{kind: rotateLog}
	if err := g.log.submit(ctx, r, false); err != nil {
		return err
	}
	if len(r.segments) == 0 {
		return nil
	}
	defer func(start time.Time) { metrics.Folds.Observe(time.Since(start).Seconds()) }(time.Now())
	for _, t := range g.allTables() {
		if err := t.fold(ctx, r.seq); err != nil {
			return fmt.Errorf("fold table %s: %w", t.id, err)
		}
	}
	crash.Point("fold/tally")
	if err := g.tally.fold(r.seq, g.e.limits.now()); err != nil {
		return err
	}
	crash.Point("fold/forget")
	return g.log.forget(r.segments)
}

// fold writes the rows up to a sequence number into data files.
func (t *tableState) fold(ctx context.Context, upto int64) error {
	t.write.Lock()
	defer t.write.Unlock()
	t.mu.Lock()
	rows, _ := t.mem.split(upto)
	l, dropped := t.layout, t.dropped
	t.mu.Unlock()
	if rows.rows == 0 || dropped {
		return nil
	}
	dir, err := t.g.stage()
	if err != nil {
		return err
	}
	add, err := writeMemory(dir, l, rows)
	if err == nil {
		crash.Point("fold/staged")
		props := t.highest(rows.last())
		props[foldedProperty] = strconv.FormatInt(upto, 10)
		err = t.commit(ctx, change{add: add, props: props, swap: func() { _, t.mem = t.mem.split(upto) }})
	}
	if err == nil {
		metrics.FoldRows.Add(float64(rows.rows))
	}
	t.grown()
	return errors.Join(err, t.g.unstage(dir))
}

// writeMemory writes rows into one file for each bucket that has any.
func writeMemory(dir string, l *layout, rows memory) (add []*dataFile, err error) {
	blocks, err := rows.blocks(l)
	if err != nil {
		return nil, err
	}
	for _, bucket := range slices.Sorted(maps.Keys(blocks)) {
		f, err := writeSorted(dir, blocks[bucket], Put, bucket)
		if err != nil {
			return nil, err
		}
		add = append(add, f)
	}
	return add, nil
}

// writeSorted sorts a block into a new staged file.
func writeSorted(dir string, b *block, source Source, bucket int) (*dataFile, error) {
	return writeOrdered(dir, b, b.sorted(), source, bucket)
}

// writeOrdered writes the rows of a block in the given order into a new staged file.
func writeOrdered(dir string, b *block, order []int32, source Source, bucket int) (*dataFile, error) {
	f, err := stageFile(dir, b.layout, source, bucket)
	if err != nil {
		return nil, err
	}
	if err := f.w.writeBlock(b, order); err != nil {
		f.w.abort()
		return nil, err
	}
	return f.finish()
}

// stagedFile is a data file under construction.
type stagedFile struct {
	w      *fileWriter
	path   string
	bucket int
}

func stageFile(dir string, l *layout, source Source, bucket int) (*stagedFile, error) {
	path := filepath.Join(dir, randomName()+".parquet")
	w, err := createFile(path, l, source)
	if err != nil {
		return nil, err
	}
	return &stagedFile{w: w, path: path, bucket: bucket}, nil
}

// finish makes the file durable.
func (f *stagedFile) finish() (*dataFile, error) {
	size, err := f.w.close()
	if err != nil {
		return nil, err
	}
	return &dataFile{path: f.path, source: f.w.source, bucket: f.bucket, rows: f.w.rows, size: size, footer: f.w.sum}, nil
}
