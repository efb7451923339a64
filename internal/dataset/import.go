package dataset

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/pace"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/spill"
)

// Import is one bulk import.
type Import struct {
	Job         string // unique id: a job that has already committed returns its count again
	Incremental bool   // append; otherwise replace all bulk rows
	Objects     []rowtext.Object
	MinRows     int64
	Progress    func(rows, bytes, totalBytes int64)
	// Erasures names the running erasures that took effect, or are about to, since the import was accepted: it may be older than their cut although it began
	// after it. Asked when all rows have been read. nil: none.
	Erasures func(ctx context.Context) ([]string, error)
}

// importRun is an import that has begun and not committed.
type importRun struct {
	base  int64   // all its rows have this sequence number or a greater one: an import arrives when it begins
	masks []*mask // erasures that began after it; the group's mutex guards them
}

// keptImports is how many committed imports a table remembers.
const keptImports = 64

// Import replaces or extends the bulk rows of a table, all or nothing. An *rowtext.InputError is the customer's fault and leaves the table as it was.
func (e *Engine) Import(ctx context.Context, t Table, imp Import) (rows int64, err error) {
	state, err := e.find(t)
	if err != nil {
		return 0, err
	}
	if strings.ContainsAny(imp.Job, ":;") || imp.Job == "" {
		return 0, errors.New("import: the job's name must not hold : or ;")
	}
	if rows, ok := state.imported(imp.Job); ok {
		return rows, nil
	}
	dir, err := state.g.stage()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, state.g.unstage(dir)) }()
	run := state.g.begin(imp.Objects)
	defer state.g.end(run)

	in := &importer{t: state, run: run, imp: imp, schema: t.Schema, dir: dir}
	if err := in.read(ctx); err != nil {
		return 0, err
	}
	if in.rows < imp.MinRows {
		return 0, errors.Join(&rowtext.InputError{Reason: fmt.Sprintf("Input CSV has fewer than %d interactions.", imp.MinRows)}, in.spill.Close())
	}
	files, err := in.write(ctx)
	if err = errors.Join(err, in.spill.Close()); err != nil {
		return 0, fmt.Errorf("import: %w", err)
	}
	crash.Point("import/staged")
	if err := in.findOlder(ctx); err != nil {
		return 0, err
	}
	return state.commitImport(ctx, in, files)
}

// HasBulk tells whether a bulk import has committed.
func (e *Engine) HasBulk(ctx context.Context, t Table) (bool, error) {
	state, err := e.find(t)
	if err != nil {
		return false, err
	}
	state.mu.Lock()
	defer state.mu.Unlock()
	return state.props[bulkProperty] == "true", nil
}

// begin takes sequence numbers for all lines that the objects can have and makes the import known to erasures.
func (g *group) begin(objects []rowtext.Object) *importRun {
	n := int64(1)
	for _, o := range objects {
		n += linesOf(o)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	run := &importRun{base: g.reserve(n)}
	g.imports[run] = true
	return run
}

func (g *group) end(run *importRun) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.imports, run)
}

// linesOf bounds the number of an object's last line.
func linesOf(o rowtext.Object) int64 { return o.Size() + 2 }

// importer carries one import from CSV to staged files.
type importer struct {
	t      *tableState
	run    *importRun
	imp    Import
	schema *schema.Schema
	layout *layout
	dir    string
	key    int // the field of the schema that is the key
	cols   []importColumn
	dicts  int // how many of them are strings
	spill  *spill.Spill
	rows   int64
	older  []*mask // erasures whose cut covers the import although it began later
	last   int64   // the greatest sequence number that it may have given

	longest    []int        // by dictionary: the longest of its strings
	dictionary [][]string   // by dictionary: the strings that have a code, sorted
	ranks      [][][]uint32 // by dictionary, worker and the worker's code
}

// sortBytes is how much memory the runs being sorted and written may take, over all cores.
const sortBytes = 160 << 20

// read parses all objects into the spill.
func (in *importer) read(ctx context.Context) (err error) {
	if len(in.imp.Objects) == 0 {
		return &rowtext.InputError{Reason: "The specified Amazon S3 location does not contain any CSV files."}
	}
	in.layout = in.t.current()
	if in.key, in.cols, in.dicts, err = importColumns(in.layout, in.schema); err != nil {
		return err
	}
	workers := make([]*importWorker, pace.Cores())
	if in.spill, err = spill.New(in.dir, in.layout.buckets, len(workers), in.t.g.e.limits.spillBytes); err != nil {
		return err
	}
	for i := range workers {
		workers[i] = newImportWorker(in, i, in.t.g.e.limits.codesBytes/len(workers))
	}
	if err := in.readObjects(ctx, workers); err != nil {
		return errors.Join(err, in.spill.Close())
	}
	in.mergeCodes(workers)
	return nil
}

func (in *importer) readObjects(ctx context.Context, workers []*importWorker) error {
	total, done := int64(0), int64(0)
	for _, o := range in.imp.Objects {
		total += o.Size()
	}
	base := in.run.base
	var header []string
	for _, o := range in.imp.Objects {
		progress := func(rows, bytes int64) {
			if in.imp.Progress != nil {
				in.imp.Progress(in.rows+rows, done+bytes, total)
			}
		}
		for _, w := range workers {
			w.begin(o, base, done)
		}
		rows, seen, err := in.readObject(ctx, o, header, workers, progress)
		if err != nil {
			return err
		}
		in.rows += rows
		done += o.Size()
		base += linesOf(o)
		header = seen
	}
	in.last = base
	for _, w := range workers {
		if err := w.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (in *importer) readObject(ctx context.Context, o rowtext.Object, header []string, workers []*importWorker, progress func(rows, bytes int64)) (rows int64, seen []string, err error) {
	r, err := o.Open(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("open %s: %w", o.Name(), err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	opts := rowtext.CSVOptions{Name: o.Name(), Workers: len(workers), Header: header, Progress: progress}
	seen, rows, err = rowtext.ReadBatches(ctx, r, in.schema, opts, func(w int) rowtext.Sink { return workers[w] })
	return rows, seen, err
}

func (in *importer) mergeCodes(workers []*importWorker) {
	in.dictionary, in.ranks = make([][]string, in.dicts), make([][][]uint32, in.dicts)
	for i := range in.dicts {
		var codes []*textCodes
		for _, w := range workers {
			codes = append(codes, w.codes[i])
		}
		in.dictionary[i], in.ranks[i] = mergeCodes(codes)
		in.longest = append(in.longest, longestOf(in.dictionary[i]))
	}
}

// write sorts each run into a staged file.
func (in *importer) write(ctx context.Context) ([]*dataFile, error) {
	runs := in.spill.Runs(in.t.g.e.limits.runBytes)
	files := make([]*dataFile, len(runs))
	memory := semaphore.NewWeighted(sortBytes)
	idle := make(chan *runWriter, pace.Cores())
	err := inParallel(ctx, len(runs), func(i int) (err error) {
		weight := min(int64(runs[i].Weight), sortBytes)
		if err := memory.Acquire(ctx, weight); err != nil {
			return err
		}
		defer memory.Release(weight)
		var w *runWriter
		select {
		case w = <-idle:
		default:
			w = &runWriter{decoder: newRunDecoder(in)}
		}
		files[i], err = w.write(runs[i])
		select {
		case idle <- w:
		default:
		}
		return err
	})
	return files, err
}

// runWriter turns runs into files, one at a time.
type runWriter struct {
	decoder *runDecoder
	sorter  rowSorter
}

func (w *runWriter) write(run spill.Run) (*dataFile, error) {
	if err := blob.CheckRoom(w.decoder.in.dir, blob.Reserve); err != nil {
		return nil, err
	}
	b, err := w.decoder.decode(run)
	if err != nil {
		return nil, err
	}
	return writeOrdered(w.decoder.in.dir, b, w.sorter.sort(b), Bulk, run.Bucket)
}

// commitImport makes the staged files the table's bulk rows, or adds them. What erasures have hidden since the import began is left out.
func (t *tableState) commitImport(ctx context.Context, in *importer, files []*dataFile) (int64, error) {
	t.write.Lock()
	defer t.reapLogged() // after the unlock
	defer t.write.Unlock()
	if rows, ok := t.imported(in.imp.Job); ok {
		return rows, nil
	}
	if err := t.adopt(ctx); err != nil {
		return 0, fmt.Errorf("import: %w", err)
	}
	files, kept, err := t.dropHidden(ctx, in, files)
	if err != nil {
		return 0, fmt.Errorf("import: %w", err)
	}
	c := change{add: files, props: t.highest(in.last), swap: func() { t.index = nil }}
	for job, n := range kept {
		if n == 0 {
			continue
		}
		c.props[keptOutPrefix+job] = strconv.FormatInt(n+t.intProperty(keptOutPrefix+job), 10)
	}
	c.props[bulkProperty] = "true"
	c.props[importsProperty] = t.noteImport(in.imp.Job, in.rows)
	if !in.imp.Incremental {
		for _, f := range t.files {
			if f.source == Bulk {
				c.remove = append(c.remove, f)
			}
		}
	}
	if err := t.commit(ctx, c); err != nil {
		return 0, err
	}
	t.grown()
	return in.rows, nil
}

// dropHidden rewrites staged files without the rows of users that are being erased, and counts these rows by erasure.
func (t *tableState) dropHidden(ctx context.Context, in *importer, files []*dataFile) ([]*dataFile, map[string]int64, error) {
	t.g.mu.Lock()
	masks := in.run.masks
	t.g.mu.Unlock()
	counts := make(map[string]int64)
	if !t.kind.HoldsUsers() {
		return files, counts, nil
	}
	for _, m := range slices.Concat(masks, in.older) {
		if _, done := counts[m.job]; done {
			continue
		}
		all := *m
		all.cut = math.MaxInt64 // the import is older than the cut, whatever numbers its rows have
		counts[m.job] = 0
		var kept []*dataFile
		for _, f := range files {
			out, n, err := eraseFile(ctx, in.dir, in.layout, f, &all)
			if err != nil {
				return nil, nil, err
			}
			counts[m.job] += n
			if out != nil {
				kept = append(kept, out)
			}
		}
		files = kept
	}
	return files, counts, nil
}

// findOlder waits until the masks of all erasures are in force that took effect since the import was accepted. Some may be about to: they have told that they
// will cover this import, but not taken their cut yet.
func (in *importer) findOlder(ctx context.Context) error {
	for in.imp.Erasures != nil {
		jobs, err := in.imp.Erasures(ctx)
		if err != nil {
			return fmt.Errorf("import: %w", err)
		}
		in.older = in.older[:0]
		for _, job := range jobs {
			if m := in.t.g.mask(job); m != nil {
				in.older = append(in.older, m)
			}
		}
		if len(in.older) == len(jobs) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// KeptOut returns how many rows of imports older than the cut were left out for a running erasure, by table.
func (e *Engine) KeptOut(tables []Table, job string) (map[string]int64, error) {
	kept := make(map[string]int64)
	for _, t := range tables {
		state, err := e.find(t)
		if err != nil {
			return nil, fmt.Errorf("count what was kept out: %w", err)
		}
		state.mu.Lock()
		kept[t.ID] = state.intProperty(keptOutPrefix + job)
		state.mu.Unlock()
	}
	return kept, nil
}

// imported returns the count of an import that has committed.
func (t *tableState) imported(job string) (rows int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for entry := range strings.SplitSeq(t.props[importsProperty], ";") {
		if name, n, found := strings.Cut(entry, ":"); found && name == job {
			rows, err := strconv.ParseInt(n, 10, 64)
			return rows, err == nil
		}
	}
	return 0, false
}

// noteImport returns the list of committed imports with one more, and without the oldest if there are many.
func (t *tableState) noteImport(job string, rows int64) string {
	entries := strings.Split(t.props[importsProperty], ";")
	if entries[0] == "" {
		entries = nil
	}
	entries = append(entries, fmt.Sprintf("%s:%d", job, rows))
	return strings.Join(entries[max(0, len(entries)-keptImports):], ";")
}
