package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/twmb/murmur3"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/schema"
)

// Properties of our tables. They change in the same Iceberg commit as the files, which is what makes imports, folds and erasures exactly-once.
const (
	typeProperty    = "palate.type"
	bulkProperty    = "palate.bulk"     // "true" after the first bulk import
	importsProperty = "palate.imports"  // "job:rows;job:rows": the last imports that committed, newest last
	foldedProperty  = "palate.folded"   // log records up to this sequence number are in data files
	seqProperty     = "palate.seq"      // the highest sequence number that a row in a data file has or had
	schemaProperty  = "palate.schema"   // JSON of the Schema in force: what rows of other engines must be
	erasedPrefix    = "palate.erased."  // + job: how many rows that job removed
	keptOutPrefix   = "palate.keptout." // + job: how many rows of imports older than its cut were left out for it
)

// dataFile is one immutable Parquet file. All its rows have one source.
type dataFile struct {
	uri    string // as the manifests spell it
	path   string
	source Source
	bucket int
	rows   int64
	size   int64
	footer uint32 // of a new file: CRC-32C of its footer, which becomes part of its name
}

// tableState is one open table.
type tableState struct {
	g    *group
	id   string
	kind schema.Type

	// write is held while the table's files change: by the commit of an import, a fold, a compaction, an erasure, a change of schema.
	write sync.Mutex
	ice   *table.Table // by write

	mu       sync.Mutex // guards the rest
	layout   *layout
	props    iceberg.Properties
	files    []*dataFile
	mem      memory            // all above folded
	pins     map[*dataFile]int // readers
	garbage  []*dataFile       // left the table, not yet destroyed
	unpinned chan struct{}     // closed and replaced whenever a reader leaves
	index    *index
	recall   recall // has a mutex of its own
	dropped  bool
	changed  time.Time // when files were added last, or when the table was opened

	compaction compaction

	reaping sync.Mutex // after write. Held while garbage is destroyed, so that whoever finds none left knows that it is gone
}

func (t *tableState) dir() string { return filepath.Join(t.g.dir, "tables", t.id) }

func (t *tableState) dataDir() string     { return filepath.Join(t.dir(), "data") }
func (t *tableState) metadataDir() string { return filepath.Join(t.dir(), "metadata") }
func (t *tableState) incomingDir() string { return filepath.Join(t.dir(), "incoming") }

func (t *tableState) ident() table.Identifier { return table.Identifier{t.g.id, t.id} }

// loadTable opens a table from the catalog and destroys what a crash has left beside its files.
func (e *Engine) loadTable(ctx context.Context, g *group, id string) (*tableState, error) {
	ice, err := e.catalog.LoadTable(ctx, table.Identifier{g.id, id})
	if err != nil {
		return nil, err
	}
	t := &tableState{g: g, id: id, ice: ice, props: ice.Properties(), pins: make(map[*dataFile]int), unpinned: make(chan struct{}), changed: time.Now()}
	if t.layout, err = layoutOf(ice); err != nil {
		return nil, err
	}
	t.kind = t.layout.kind
	if t.files, err = e.listFiles(ice); err != nil {
		return nil, err
	}
	for _, dir := range []string{t.dataDir(), t.metadataDir(), t.incomingDir()} {
		if err := blob.MkdirAll(dir); err != nil {
			return nil, err
		}
	}
	if err := t.sweepData(); err != nil {
		return nil, err
	}
	if err := t.sweepUnfinished(); err != nil {
		return nil, err
	}
	return t, t.sweepMetadata()
}

func layoutOf(ice *table.Table) (*layout, error) {
	spec := ice.Spec()
	bucket, ok := spec.Field(0).Transform.(iceberg.BucketTransform)
	if !ok {
		return nil, errors.New("table is not partitioned by bucket")
	}
	return newLayout(schema.Type(ice.Properties()[typeProperty]), bucket.NumBuckets, ice.Schema())
}

// listFiles reads the manifests of the current snapshot.
func (e *Engine) listFiles(ice *table.Table) (files []*dataFile, err error) {
	snap := ice.CurrentSnapshot()
	if snap == nil {
		return nil, nil
	}
	manifests, err := snap.Manifests(e.catalog.fs)
	if err != nil {
		return nil, fmt.Errorf("read manifest list: %w", err)
	}
	for _, m := range manifests {
		for entry, err := range m.Entries(e.catalog.fs, true) {
			if err != nil {
				return nil, fmt.Errorf("read manifest: %w", err)
			}
			f, err := e.dataFileOf(entry.DataFile())
			if err != nil {
				return nil, err
			}
			files = append(files, f)
		}
	}
	sortFiles(files)
	return files, nil
}

// dataFileOf reads source and bucket off the name: bulk-0012-x0123456789abcdef01234567.parquet.
func (e *Engine) dataFileOf(d iceberg.DataFile) (*dataFile, error) {
	p, err := e.catalog.fs.local(d.FilePath())
	if err != nil {
		return nil, err
	}
	f := &dataFile{uri: d.FilePath(), path: p, rows: d.Count(), size: d.FileSizeBytes()}
	parts := strings.Split(filepath.Base(p), "-")
	if len(parts) != 3 {
		return nil, errors.New("data file with a foreign name")
	}
	if parts[0] == "put" {
		f.source = Put
	}
	if f.bucket, err = strconv.Atoi(parts[1]); err != nil {
		return nil, errors.New("data file with a foreign name")
	}
	return f, nil
}

// sortFiles puts files in the order in which they are read: by bucket, then by name, so that results do not depend on the order of commits in a manifest.
func sortFiles(files []*dataFile) {
	slices.SortFunc(files, func(a, b *dataFile) int {
		return cmp.Or(cmp.Compare(a.bucket, b.bucket), strings.Compare(filepath.Base(a.path), filepath.Base(b.path)))
	})
}

// dataFileName names a new file. Parquet has no place for a checksum of the footer, which says where everything is: so the name has it.
func dataFileName(f *dataFile) string {
	return fmt.Sprintf("%s-%04d-x%08x%s.parquet", strings.ToLower(sourceName(f.source)), f.bucket, f.footer, randomName())
}

// footerSum reads the checksum of the footer off a name; ok is false if it has none, as a file in staging, or one of an older build.
func footerSum(path string) (sum uint32, ok bool) {
	_, rest, found := strings.Cut(filepath.Base(path), "-x")
	if !found || len(rest) < 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(rest[:8], 16, 32)
	return uint32(n), err == nil
}

// bucketOf is Iceberg's bucket transform of a string.
func (l *layout) bucketOf(key string) int {
	return int(murmur3.StringSum32(key)&0x7fffffff) % l.buckets
}

// change is what one commit does to a table. Files to add stand in a staging directory until then.
type change struct {
	add    []*dataFile
	remove []*dataFile
	props  iceberg.Properties
	unset  []string
	// swap runs under the table's mutex together with the switch to the new files.
	swap func()
	// takes is the commit of another engine that this one replaces.
	takes *foreignCommit
}

// commit makes a change durable and visible, at once and as a whole. The caller holds t.write.
func (t *tableState) commit(ctx context.Context, c change) error {
	if t.gone() {
		return ErrNoTable
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // a commit that has begun is not worth cutting off
	err := t.publish(c.add)
	var ice *table.Table
	if err == nil {
		ice, err = t.commitIceberg(ctx, c)
	}
	for errors.Is(err, errMoved) && c.takes == nil {
		if err = t.rebase(ctx, &c); err == nil {
			ice, err = t.commitIceberg(ctx, c)
		}
	}
	if err != nil {
		if ice, err = t.outcome(ctx, err); err != nil {
			return fmt.Errorf("commit table: %w", errors.Join(err, blob.Destroy(pathsOf(c.add)...)))
		}
	}
	crash.Point("commit/pointer moved")
	t.ice = ice
	t.mu.Lock()
	t.props = ice.Properties()
	t.files = slices.DeleteFunc(slices.Clone(t.files), func(f *dataFile) bool { return slices.Contains(c.remove, f) })
	t.files = append(t.files, c.add...)
	sortFiles(t.files)
	t.garbage = append(t.garbage, c.remove...)
	if c.swap != nil {
		c.swap()
	}
	t.mu.Unlock()
	if bulk := func(f *dataFile) bool { return f.source == Bulk }; slices.ContainsFunc(c.remove, bulk) || slices.ContainsFunc(c.add, bulk) {
		t.recall.empty()
	}
	return t.sweepMetadata()
}

// outcome finds out whether a commit that returned an error has happened all the same: the pointer decides. If it cannot be read we must not go on guessing.
func (t *tableState) outcome(ctx context.Context, failure error) (*table.Table, error) {
	ice, err := t.g.e.catalog.LoadTable(ctx, table.Identifier{t.g.id, t.id})
	switch {
	case err != nil:
		t.g.e.fatal(fmt.Errorf("commit of a table ended in the unknown: %w", errors.Join(failure, err)))
		return nil, failure
	case ice.MetadataLocation() == t.ice.MetadataLocation():
		return nil, failure
	}
	return ice, nil
}

// gone tells whether the table has been dropped.
func (t *tableState) gone() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// current returns the layout for work that does not hold t.write.
func (t *tableState) current() *layout {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.layout
}

// publish moves staged files to their place and gives them their names.
func (t *tableState) publish(add []*dataFile) error {
	crash.Point("commit/publish")
	for _, f := range add {
		name := dataFileName(f)
		to := filepath.Join(t.dataDir(), name)
		if err := os.Rename(f.path, to); err != nil {
			return fmt.Errorf("publish data file: %w", err)
		}
		f.path, f.uri = to, t.g.e.catalog.fs.uri(t.g.id, t.id, "data", name)
	}
	if len(add) == 0 {
		return nil
	}
	crash.Point("commit/published")
	return blob.SyncDir(t.dataDir())
}

func (t *tableState) commitIceberg(ctx context.Context, c change) (*table.Table, error) {
	ice, catalog := t.ice, t.g.e.catalog
	if c.takes != nil {
		ice = catalog.bind(t.ident(), ice.Metadata(), ice.MetadataLocation(), adoption{catalog, c.takes.pointer, c.takes.outcome()})
	}
	tx := ice.NewTransaction()
	if len(c.unset) > 0 {
		if err := tx.RemoveProperties(c.unset); err != nil {
			return nil, err
		}
	}
	if len(c.props) > 0 {
		if err := tx.SetProperties(c.props); err != nil {
			return nil, err
		}
	}
	remove, err := t.icebergFiles(c.remove)
	if err != nil {
		return nil, err
	}
	add, err := t.icebergFiles(c.add)
	if err != nil {
		return nil, err
	}
	if err := tx.ReplaceDataFilesWithDataFiles(ctx, remove, add, nil, table.WithoutAutoNameMapping()); err != nil {
		return nil, err
	}
	ice, err = tx.Commit(ctx)
	if err == nil && c.takes != nil {
		ice = catalog.bind(t.ident(), ice.Metadata(), ice.MetadataLocation(), catalog)
	}
	return ice, err
}

func (t *tableState) icebergFiles(files []*dataFile) (out []iceberg.DataFile, err error) {
	for _, f := range files {
		b, err := iceberg.NewDataFileBuilder(t.ice.Spec(), iceberg.EntryContentData, f.uri, iceberg.ParquetFile,
			map[int]any{partitionField: int32(f.bucket)}, nil, nil, f.rows, f.size)
		if err != nil {
			return nil, err
		}
		out = append(out, b.Build())
	}
	return out, nil
}

// sweepData destroys data files that no snapshot knows: a crash came between their publication and the commit, or between a commit and their end.
func (t *tableState) sweepData() error {
	known := make(map[string]bool)
	t.mu.Lock()
	for _, f := range slices.Concat(t.files, t.garbage) {
		known[filepath.Base(f.path)] = true
	}
	t.mu.Unlock()
	return destroyUnknown(t.dataDir(), known)
}

// sweepMetadata removes metadata that the current pointer does not lead to.
func (t *tableState) sweepMetadata() error {
	known := map[string]bool{filepath.Base(t.ice.MetadataLocation()): true}
	if snap := t.ice.CurrentSnapshot(); snap != nil {
		known[filepath.Base(snap.ManifestList)] = true
		manifests, err := snap.Manifests(t.g.e.catalog.fs)
		if err != nil {
			return fmt.Errorf("read manifest list: %w", err)
		}
		for _, m := range manifests {
			known[filepath.Base(m.FilePath())] = true
		}
	}
	return destroyUnknown(t.metadataDir(), known)
}

func destroyUnknown(dir string, known map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	var unknown []string
	for _, d := range entries {
		if !known[d.Name()] {
			unknown = append(unknown, filepath.Join(dir, d.Name()))
		}
	}
	return blob.Destroy(unknown...)
}

// snapshot is a pinned state of a table: its files stay until release.
type snapshot struct {
	t      *tableState
	layout *layout
	files  []*dataFile
	mem    memory
	masks  []*mask
	seq    int64 // all rows with a smaller or equal number are in
}

func (t *tableState) snapshot() *snapshot {
	s := &snapshot{t: t, masks: t.g.activeMasks()}
	published, inFlight := t.g.progress() // before the rows are taken: what it covers is among them
	t.mu.Lock()
	defer t.mu.Unlock()
	s.seq = max(published, t.intProperty(seqProperty))
	if inFlight > 0 {
		s.seq = min(s.seq, inFlight-1)
	}
	s.layout, s.files, s.mem = t.layout, slices.Clone(t.files), t.mem.clone()
	for _, f := range s.files {
		t.pins[f]++
	}
	return s
}

func (s *snapshot) release() { s.t.unpin(s.files) }

// unpin lets go of files; those that have left the table meanwhile are destroyed.
func (t *tableState) unpin(files []*dataFile) {
	t.mu.Lock()
	for _, f := range files {
		if t.pins[f]--; t.pins[f] == 0 {
			delete(t.pins, f)
		}
	}
	close(t.unpinned)
	t.unpinned = make(chan struct{})
	pending := len(t.garbage) > 0
	t.mu.Unlock()
	if pending {
		t.reapLogged()
	}
}

// reap destroys the files that have left the table and that nobody reads; it returns how many are left.
func (t *tableState) reap() (left int, err error) {
	t.reaping.Lock()
	defer t.reaping.Unlock()
	t.mu.Lock()
	var dead []*dataFile
	t.garbage = slices.DeleteFunc(t.garbage, func(f *dataFile) bool {
		if t.pins[f] > 0 {
			return false
		}
		dead = append(dead, f)
		return true
	})
	left = len(t.garbage)
	t.mu.Unlock()
	if err := blob.Destroy(pathsOf(dead)...); err != nil {
		t.mu.Lock()
		t.garbage = append(t.garbage, dead...) // also those that are gone, which does no harm
		t.mu.Unlock()
		return left, err
	}
	return left, nil
}

func pathsOf(files []*dataFile) (paths []string) {
	for _, f := range files {
		paths = append(paths, f.path)
	}
	return paths
}

// reapLogged is reap where nobody waits for the outcome; a sweep meets the same error again.
func (t *tableState) reapLogged() {
	if _, err := t.reap(); err != nil {
		t.g.e.log.Error("destroy superseded data file", "table", t.id, "error", err)
	}
}

// intProperty reads a numeric property, 0 if it is not there. The caller holds t.mu or t.write.
func (t *tableState) intProperty(name string) int64 {
	n, _ := strconv.ParseInt(t.props[name], 10, 64)
	return n
}

// highest is the property change that notes rows up to n. The caller holds t.write.
func (t *tableState) highest(n int64) iceberg.Properties {
	return iceberg.Properties{seqProperty: strconv.FormatInt(max(n, t.intProperty(seqProperty)), 10)}
}
