package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/metrics"
)

// Compaction merges the small files of a bucket, so that imports of few rows and folds of the log do not add up for those who read. It runs in the background,
// by size, and in two ways:
//
//   - While rows keep coming in, it waits until many files are of like size. A file is rewritten only together with files that make the result several times as
//     large, so each row is written a few times in its life.
//   - When a table has come to rest, it merges what is left as long as that is not much smaller than what it would be merged into. A bucket then has one file
//     that holds nearly everything, and one or two of each source that hold the rest.
//
// It changes no row and holds no lock while it reads and writes. What it read may leave the table meanwhile: a FULL import, an erasure, a drop. Its result is
// then thrown away, because the commit, under the table's lock, replaces exactly the files that were read or does nothing. An erasure does more: it stops the
// compaction of its table first, so that when it begins no copy of an older state is left, or can still be written, in staging.

// compaction is one table's right to compact.
type compaction struct {
	mu     sync.Mutex
	paused int           // by how many
	stop   func()        // ends the run, nil if there is none
	ended  chan struct{} // closed when the run has ended and its staging is destroyed
}

// begin returns the context of a run, or false while compaction is paused. One run at a time.
func (c *compaction) begin(ctx context.Context) (context.Context, func(), bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused > 0 || c.stop != nil {
		return nil, nil, false
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	c.stop, c.ended = stop, ended
	return ctx, func() {
		stop()
		c.mu.Lock()
		c.stop = nil
		c.mu.Unlock()
		close(ended)
	}, true
}

// pause stops a run, waits until nothing is left of it and keeps others from beginning until resume is called. The caller does not hold t.write.
func (t *tableState) pauseCompaction() (resume func()) {
	c := &t.compaction
	c.mu.Lock()
	c.paused++
	stop, ended := c.stop, c.ended
	c.mu.Unlock()
	if stop != nil {
		stop()
		<-ended
	}
	return func() {
		c.mu.Lock()
		c.paused--
		c.mu.Unlock()
		t.g.e.wantCompaction()
	}
}

// wantCompaction asks for a look at all tables soon.
func (e *Engine) wantCompaction() {
	select {
	case e.compactions <- struct{}{}:
	default: // asked for already
	}
}

// grown notes that files have been added to the table, and asks for a look at it.
func (t *tableState) grown() {
	t.mu.Lock()
	t.changed = time.Now()
	t.mu.Unlock()
	t.g.e.wantCompaction()
}

// restsIn is how long it takes until the table counts as being at rest, if nothing is added to it. The caller holds t.mu.
func (t *tableState) restsIn() time.Duration { return t.g.e.limits.restAge - time.Since(t.changed) }

// compactLoop compacts tables in the background, one at a time: when files have been added, and once more when a table has come to rest.
func (e *Engine) compactLoop() {
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-e.compactions:
		case <-rest.C:
		}
		rest.Stop()
		for _, g := range e.allGroups() {
			for _, t := range g.allTables() {
				if err := t.compactAll(e.ctx); err != nil && e.ctx.Err() == nil {
					e.log.Warn("compact table", "group", g.id, "table", t.id, "error", err)
				}
			}
		}
		if next := e.nextRest(); next > 0 {
			rest.Reset(next)
		}
	}
}

// nextRest is how long it takes until the next table comes to rest, 0 if all have.
func (e *Engine) nextRest() (next time.Duration) {
	for _, g := range e.allGroups() {
		for _, t := range g.allTables() {
			t.mu.Lock()
			left := t.restsIn()
			t.mu.Unlock()
			if left > 0 && (next == 0 || left < next) {
				next = left
			}
		}
	}
	return next
}

func (e *Engine) allGroups() (all []*group) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, g := range e.groups {
		all = append(all, g)
	}
	return all
}

// compactAll compacts a table until nothing is due, or somebody pauses it.
func (t *tableState) compactAll(ctx context.Context) error {
	for {
		ctx, end, ok := t.compaction.begin(ctx)
		if !ok {
			return nil
		}
		more, err := t.compact(ctx)
		stopped := ctx.Err() != nil
		end()
		if stopped || t.gone() {
			return nil
		}
		if err != nil || !more {
			return err
		}
	}
}

// merger is some files of one bucket and source that become one.
type merger struct {
	in  []*dataFile
	out *dataFile
}

// compact merges what is due, as far as one commit should reach, and tells whether there was anything.
func (t *tableState) compact(ctx context.Context) (more bool, err error) {
	due, l, release := t.dueMergers()
	defer release()
	if len(due) == 0 || !t.roomFor(due) {
		return false, nil
	}
	dir, err := t.g.stage()
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, t.g.unstage(dir)) }()
	defer func(start time.Time) { metrics.Compactions.Observe(time.Since(start).Seconds()) }(time.Now())
	for i := range due {
		if due[i].out, err = mergeFiles(ctx, dir, l, due[i].in); err != nil {
			return false, fmt.Errorf("merge files: %w", err)
		}
	}
	crash.Point("compact/merged")
	if err := t.commitMergers(ctx, due); err != nil && !errors.Is(err, errOverlap) {
		return false, err
	}
	return true, nil
}

// roomFor tells whether the disk has room for the results beside what they replace. Where it has not, compaction waits: others need the rest.
func (t *tableState) roomFor(due []merger) bool {
	size := int64(blob.Reserve)
	for _, m := range due {
		for _, f := range m.in {
			size += f.size
		}
	}
	return blob.CheckRoom(t.g.dir, size) == nil
}

// commitMergers replaces the files of all mergers whose files are still there.
func (t *tableState) commitMergers(ctx context.Context, done []merger) error {
	defer t.reapLogged() // after the unlock
	t.write.Lock()
	defer t.write.Unlock()
	var c change
	for _, m := range done {
		if t.holds(m.in) {
			c.remove = append(c.remove, m.in...)
			c.add = append(c.add, m.out)
		}
	}
	if len(c.add) == 0 {
		return nil
	}
	return t.commit(ctx, c)
}

// holds tells whether all the files belong to the table. The caller holds t.write.
func (t *tableState) holds(files []*dataFile) bool {
	for _, f := range files {
		if !slices.Contains(t.files, f) {
			return false
		}
	}
	return true
}

// compactBytes is how much one commit of a compaction replaces: it bounds what is lost when a run is stopped.
const compactBytes = 256 << 20

// dueMergers finds the buckets that have files to merge, and pins these files until release.
func (t *tableState) dueMergers() (due []merger, l *layout, release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var pinned []*dataFile
	size, rests := int64(0), t.restsIn() <= 0
	for files := t.files; len(files) > 0 && size < compactBytes; { // sorted by bucket
		n := 1
		for n < len(files) && files[n].bucket == files[0].bucket {
			n++
		}
		for _, source := range []Source{Bulk, Put} {
			in := dueFiles(files[:n], source, t.g.e.limits.mergeFiles, rests)
			if in == nil {
				continue
			}
			due = append(due, merger{in: in})
			for _, f := range in {
				pinned = append(pinned, f)
				size += f.size
				t.pins[f]++
			}
		}
		files = files[n:]
	}
	return due, t.layout, func() { t.unpin(pinned) }
}

// dueFiles returns the files of one bucket and source that should be merged, the smallest first, or nil.
func dueFiles(bucket []*dataFile, source Source, enough int, rests bool) []*dataFile {
	var all []*dataFile
	for _, f := range bucket {
		if f.source == source {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b *dataFile) int { return cmp.Compare(a.size, b.size) })
	n := crowded(all, enough)
	if rests {
		n = max(n, unsettled(all))
	}
	if n == 0 {
		return nil
	}
	return all[:min(n, mergeAtOnce)]
}

// crowded is how many of the files, by size, are to be merged while a table grows: those of the largest size of which there are enough, and all smaller ones.
func crowded(files []*dataFile, enough int) (n int) {
	tier, alike := 0, 0
	for i, f := range files {
		if at := tierOf(f.size); at != tier {
			tier, alike = at, 0
		}
		if alike++; alike >= enough {
			n = i + 1
		}
	}
	return n
}

// restRatio bounds what merging at rest writes: a file is rewritten only for others that make it larger by more than a quarter.
const restRatio = 4

// unsettled is how many of the files, by size, are to be merged at rest: a file goes with the smaller ones if it is not restRatio times as large as all of them.
func unsettled(files []*dataFile) (n int) {
	smaller := int64(0)
	for i, f := range files {
		if i > 0 && f.size < restRatio*max(smaller, tierBytes) {
			n = i + 1
		}
		smaller += f.size
	}
	return n
}

// mergeAtOnce is how many files one merge opens.
const mergeAtOnce = 64

// tierBytes is the size below which files are all alike: opening one costs more than its rows.
const tierBytes = 32 << 10

// tierOf puts a file into a class with files at most four times its size.
func tierOf(size int64) (tier int) {
	for ; size > tierBytes; size /= 4 {
		tier++
	}
	return tier
}

// mergeFiles writes the rows of some files of one bucket and source into one.
func mergeFiles(ctx context.Context, dir string, l *layout, files []*dataFile) (*dataFile, error) {
	out, err := stageFile(dir, l, files[0].source, files[0].bucket)
	if err != nil {
		return nil, err
	}
	var w *builder
	begin := func() {
		w = newBuilder(l, files[0].source)
		w.shared = true // with blocks that end in the same row group or a little later
	}
	begin()
	flush := func() error {
		order := make([]int32, w.b.n)
		for i := range order {
			order[i] = int32(i)
		}
		err := out.w.writeBlock(w.b, order)
		begin()
		return err
	}
	err = mergeRuns(ctx, l, files, nil, func(b *block, from, to int) error {
		for from < to {
			from = w.addRows(b, from, min(to, from+groupRows-w.b.n), groupBytes)
			if w.b.n >= groupRows || w.bytes >= groupBytes {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		return b.err
	}, func() error {
		if w.b.n == 0 {
			return nil
		}
		return flush()
	})
	if err != nil {
		out.w.abort()
		return nil, err
	}
	return out.finish()
}
