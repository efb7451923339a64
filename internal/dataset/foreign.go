package dataset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
)

// Other engines write to our tables through the catalog: they put files into tables/T/incoming and move the pointer. Nothing of that becomes part of a table
// as it is. palate notices that the pointer is not where it left it (before each commit and each cut of an erasure, at start, and by asking the catalog once
// a second), looks through the commit, writes its rows anew as files of its own and moves the pointer to metadata of its own that is built on its own last
// metadata; then what stood in incoming is destroyed. A commit that cannot be taken over is undone: the pointer goes back.
//
// What is of no use afterwards is noted in incoming/.leftover before the pointer moves, and destroyed once the pointer is ours again.
//
// Until the pointer has moved to our metadata nothing of ours has changed, so that a crash at any point leaves the other engine's commit to be taken over at
// the next start. Whoever commits second, they or we, is told by the pointer and begins again; nobody's rows are lost.

// foreignCommit is what another engine has committed, as far as it has been looked through.
type foreignCommit struct {
	pointer  string          // where it has put the table's metadata
	files    []*foreignFile  // data files that it brought
	gone     []*dataFile     // files of ours that it took out of the table
	added    int64           // rows that came in
	leftover map[string]bool // paths in incoming that are of no use afterwards
}

// foreignFile is a data file of another engine.
type foreignFile struct {
	path string
	rows int64
}

// rewrites tells whether the commit replaced files, so that its rows may be old ones and keep their place in the order of arrival.
func (f *foreignCommit) rewrites() bool { return len(f.gone) > 0 }

func (f *foreignCommit) outcome() string {
	var gone int64
	for _, d := range f.gone {
		gone += d.rows
	}
	if n := f.added - gone; n < 0 {
		return fmt.Sprintf("taken over: %d rows fewer", -n)
	} else {
		return fmt.Sprintf("taken over: %d rows more", n)
	}
}

// refusal is why a commit of another engine is undone. Its text holds no value of a row, no file name and nothing else that the other engine has chosen.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// adopt takes over what other engines have committed to the table. The caller holds t.write.
func (t *tableState) adopt(ctx context.Context) error {
	for !t.gone() {
		own := t.ice.MetadataLocation()
		pointer, err := t.g.e.catalog.pointer(ctx, t.ident())
		if err != nil {
			return err
		}
		if pointer == own {
			return t.destroyLeftover()
		}
		err = t.adoptFrom(ctx, pointer)
		if err != nil && !errors.Is(err, errMoved) {
			return fmt.Errorf("take over the commit of another engine: %w", err)
		}
	}
	return nil
}

func (t *tableState) adoptFrom(ctx context.Context, pointer string) (err error) {
	f, err := t.inspect(ctx, pointer)
	if err != nil {
		return t.undo(ctx, f, err)
	}
	dir, err := t.g.stage()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.g.unstage(dir)) }()
	add, last, err := t.rewrite(ctx, dir, f)
	if err != nil {
		return t.undo(ctx, f, err)
	}
	if err := t.noteLeftover(f.leftover); err != nil {
		return err
	}
	c := change{add: add, remove: f.gone, props: t.highest(last), swap: func() { t.index = nil }, takes: f}
	if err := t.commit(ctx, c); err != nil {
		return err
	}
	t.g.e.log.Info("commit of another engine taken over", "table", t.id, "files", len(f.files), "rows", f.added, "replaced", len(f.gone))
	return nil
}

// undo moves the pointer back if the commit was refused; any other failure leaves everything to the next attempt.
func (t *tableState) undo(ctx context.Context, f *foreignCommit, failure error) error {
	var r *refusal
	if !errors.As(failure, &r) {
		return failure
	}
	if err := t.noteLeftover(f.leftover); err != nil {
		return err
	}
	if err := t.g.e.catalog.restore(ctx, t.ident(), f.pointer, t.ice.MetadataLocation(), "undone: "+r.reason); err != nil {
		return err
	}
	t.g.e.log.Error("commit of another engine undone", "table", t.id, "reason", r.reason)
	return nil
}

// errOverlap says that a commit of ours and one of another engine have replaced the same files. Ours has not happened and can be repeated.
var errOverlap = errors.New("another engine has changed the same files meanwhile")

// rebase prepares a commit that met one of another engine for another attempt. The caller holds t.write.
func (t *tableState) rebase(ctx context.Context, c *change) error {
	if err := t.adopt(ctx); err != nil {
		return err
	}
	for _, f := range c.remove {
		if !slices.Contains(t.files, f) {
			return errOverlap
		}
	}
	if text, ok := c.props[seqProperty]; ok {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		c.props[seqProperty] = t.highest(n)[seqProperty]
	}
	return nil
}

// adopt takes over what other engines have committed to the tables of the group by now.
func (g *group) adopt(ctx context.Context) error {
	moved, err := g.e.catalog.moved(ctx)
	if err != nil {
		return err
	}
	for _, id := range moved {
		if id[0] != g.id {
			continue
		}
		t, ok := g.table(id[1])
		if !ok {
			continue
		}
		t.write.Lock()
		err := t.adopt(ctx)
		t.write.Unlock()
		t.reapLogged()
		if err != nil {
			return fmt.Errorf("table %s: %w", t.id, err)
		}
	}
	return nil
}

const (
	adoptEvery = time.Second      // how often the catalog is asked for commits of other engines
	adoptRetry = 15 * time.Second // the pause after a failure
	tidyEvery  = time.Hour        // how often incoming is searched for what was never committed
)

// adoptLoop takes over commits of other engines in the background.
func (e *Engine) adoptLoop() {
	tick := time.NewTicker(adoptEvery)
	defer tick.Stop()
	var tidied, pause time.Time
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-tick.C:
			if now.Before(pause) {
				continue
			}
			err := e.adoptMoved()
			if now.Sub(tidied) >= tidyEvery {
				tidied = now
				err = errors.Join(err, e.tidyIncoming(e.ctx))
			}
			if err != nil && e.ctx.Err() == nil {
				e.log.Error("look for commits of other engines", "error", err)
				pause = now.Add(adoptRetry)
			}
		}
	}
}

func (e *Engine) adoptMoved() error {
	moved, err := e.catalog.moved(e.ctx)
	if err != nil {
		return err
	}
	var errs []error
	seen := make(map[string]bool)
	for _, id := range moved {
		if g, ok := e.group(id[0]); ok && !seen[g.id] {
			seen[g.id] = true
			errs = append(errs, g.adopt(e.ctx))
		}
	}
	return errors.Join(errs...)
}

// rewrite reads the rows that another engine has brought into staged files of ours. last is the greatest sequence number that it has given.
func (t *tableState) rewrite(ctx context.Context, dir string, f *foreignCommit) (add []*dataFile, last int64, err error) {
	rules := newForeignRules(t.layout, t.props[schemaProperty])
	w := &foreignWriter{t: t, dir: dir, open: make(map[foreignRun]*builder), known: t.intProperty(seqProperty), keep: f.rewrites()}
	for _, file := range f.files {
		f.added += file.rows
	}
	w.next = t.g.reserve(f.added)
	last = w.next + f.added - 1
	for i, file := range f.files {
		n, err := readForeign(ctx, file.path, rules, w.add)
		if err == nil && n != file.rows {
			err = refuse("a data file holds another number of rows than its manifest says")
		}
		var r *refusal
		if errors.As(err, &r) {
			err = refuse("data file %d of %d: %s", i+1, len(f.files), r.reason)
		}
		if err != nil {
			return nil, 0, err
		}
	}
	err = w.flush()
	return w.files, last, err
}

// foreignRun is where a row of another engine goes.
type foreignRun struct {
	source Source
	bucket int
}

// foreignWriter sorts rows into staged files, as many rows at a time as memory is meant for.
type foreignWriter struct {
	t     *tableState
	dir   string
	open  map[foreignRun]*builder
	files []*dataFile
	next  int64 // the sequence number of the next new row
	known int64 // no row in the table has a greater one
	keep  bool  // rows may have sequence numbers already
}

func (w *foreignWriter) add(r *foreignRow) error {
	seq := r.seq
	if !w.keep || seq <= 0 || seq > w.known {
		seq = w.next
		w.next++
	}
	run := foreignRun{r.source, w.t.layout.bucketOf(r.vals[w.t.layout.key].Str)}
	b := w.open[run]
	if b == nil {
		b = newBuilder(w.t.layout, r.source)
		w.open[run] = b
	}
	b.add(r.vals, seq, r.session, r.eventID)
	total := 0
	if b.b.n%1024 == 0 || b.bytes > w.t.g.e.limits.runBytes/len(w.open) {
		for _, b := range w.open {
			total += b.bytes
		}
	}
	if total > w.t.g.e.limits.runBytes {
		return w.flush()
	}
	return nil
}

// flush writes what has been collected, bucket after bucket in parallel.
func (w *foreignWriter) flush() error {
	runs := make([]foreignRun, 0, len(w.open))
	for run := range w.open {
		runs = append(runs, run)
	}
	var mu sync.Mutex
	err := inParallel(w.t.g.e.ctx, len(runs), func(i int) error {
		f, err := writeSorted(w.dir, w.open[runs[i]].b, runs[i].source, runs[i].bucket)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		w.files = append(w.files, f)
		return nil
	})
	w.open = make(map[foreignRun]*builder)
	return err
}

// sameSchema tells whether another engine has left the columns as they were.
func sameSchema(a, b *iceberg.Schema) bool {
	x, y := a.Fields(), b.Fields()
	return slices.EqualFunc(x, y, func(f, g iceberg.NestedField) bool {
		return f.ID == g.ID && f.Name == g.Name && f.Required == g.Required && f.Type.Equals(g.Type)
	})
}
