// Package dataset keeps the rows of dataset groups: imports and exports, individual records, reads for training and serving, and erasure.
//
// Rows stand in Parquet files under Apache Iceberg tables, so that other engines can read the very same tables; FORMAT.md has every byte. Four ideas carry it:
//
//   - One order of arrival (Row.Seq) over a dataset group decides which record of a key is the newest and what an erasure covers.
//   - A data file has rows of one source only, sorted by key, time and all other columns. A FULL import is therefore an exchange of files, equal rows are
//     neighbours in a merge, and a user is a few row groups of a few files.
//   - Streamed rows go to a log first, one fsync for many callers, and are folded into data files later; a table notes how far in the commit that adds them.
//   - Nothing is changed in place. A commit is one durable move of one pointer; readers pin the files that they began with; what is superseded is destroyed
//     (overwritten, then unlinked) when the last of them has left.
//
// User ids stand in data files, in the log, in spill files (encrypted, package spill) and in the lists of running erasures, and nowhere else: not in manifests, file names,
// errors or log lines.
package dataset

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/schema"
)

var (
	ErrBusy    = errors.New("the event queue of the dataset group is full") // Put: try again later
	ErrFull    = errors.New("the disk is full")                             // Put: nothing was stored
	ErrNoTable = errors.New("no such table")
	errClosed  = errors.New("the dataset engine is closed")
)

// Table names one dataset. Group and ID are opaque random names of [a-z0-9-], never derived from what a customer chose: they become file names.
type Table struct {
	Group  string
	ID     string
	Schema *schema.Schema
}

// Engine stores the tables of all dataset groups below one directory. It is safe for concurrent use.
//
//	groups/G/log/                    segments of the event log
//	groups/G/tables/T/data/          Parquet files
//	groups/G/tables/T/metadata/      Iceberg metadata and manifests
//	groups/G/tables/T/incoming/      what other engines write, until it is taken over
//	groups/G/staging/                files of imports and rewrites that have not committed; destroyed at Open
//	groups/G/erasing/J/              the pinned user list of a running erasure, and the sessions it found
//	groups/G/late/J                  keyed hashes of the users of an erasure, for a day: what keeps late events out
//
// What it promises: Put and Import are durable when they return, and all or nothing. Readers see a table before or after a change, never half of one.
// What an erasure removed stands in no file and in no log when Sweep has returned. A failed fsync ends the process: nothing later could be trusted.
type Engine struct {
	dir     string
	log     *slog.Logger
	catalog *catalog
	fatal   func(error)
	limits  limits
	clock   *clock
	ctx     context.Context // of background work
	stop    context.CancelFunc
	work    sync.WaitGroup
	folds   chan *group // groups whose log has grown enough

	compactions chan struct{} // somebody has added files

	making sync.Mutex // one group at a time; before mu
	mu     sync.RWMutex
	groups map[string]*group
}

// limits are the sizes at which the engine does background work; tests make them small.
type limits struct {
	foldBytes  int64         // a log segment of this size is closed and folded
	foldAge    time.Duration // and one of this age
	logBytes   int64         // Put answers ErrBusy while more than this waits to be folded
	spillBytes int64         // an import keeps this much in memory before it spills
	codesBytes int           // and so much of the strings that repeat
	spanBytes  int64         // what is sorted at once are the rows of one or more such spans of the input
	runBytes   int           // and takes this much memory
	mergeFiles int           // a bucket with this many files of like size is compacted
	restAge    time.Duration // a table to which nothing was added for so long is compacted further
	noCompact  bool          // not in the background: tests say when
	sweepWait  time.Duration // how long Sweep waits for readers
	buckets    int           // the most that a new table gets
	now        func() time.Time
	elapsed    func() time.Duration
}

func defaultLimits() limits {
	return limits{
		foldBytes: 16 << 20, foldAge: 10 * time.Minute, logBytes: 256 << 20, spillBytes: 64 << 20, codesBytes: 40 << 20, spanBytes: 16 << 20, runBytes: 64 << 20, mergeFiles: 8,
		restAge: 5 * time.Second, sweepWait: 15 * time.Minute, buckets: math.MaxInt, now: time.Now, elapsed: sinceBegan,
	}
}

// Open opens the store in dir: it recovers the logs and destroys what unfinished work has left. catalog must be durable when a statement returns.
func Open(dir string, catalog *sql.DB, log *slog.Logger) (*Engine, error) {
	return open(dir, catalog, log, defaultLimits())
}

func open(dir string, db *sql.DB, log *slog.Logger, lim limits) (*Engine, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open dataset store: %w", err)
	}
	e := &Engine{dir: root, log: log, limits: lim, groups: make(map[string]*group), folds: make(chan *group, 64), compactions: make(chan struct{}, 1)}
	e.clock = &clock{wall: lim.now, elapsed: lim.elapsed}
	e.ctx, e.stop = context.WithCancel(context.Background())
	e.fatal = func(err error) {
		log.Error("storage failed; the process ends because nothing later could be trusted", "error", err)
		os.Exit(70)
	}
	if err := blob.MkdirAll(filepath.Join(root, "groups")); err != nil {
		return nil, fmt.Errorf("open dataset store: %w", err)
	}
	e.catalog, err = openCatalog(db, storeIO{root: root, fatal: func(err error) { e.fatal(err) }})
	if err != nil {
		return nil, fmt.Errorf("open dataset store: %w", err)
	}
	if err := e.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open dataset store: %w", err), e.Close())
	}
	e.work.Go(e.foldLoop)
	e.work.Go(e.adoptLoop)
	if !lim.noCompact {
		e.work.Go(e.compactLoop)
		e.wantCompaction() // what a crash or a stop has cut off
	}
	return e, nil
}

// recover opens every group: those that have a directory, and those that the catalog knows.
func (e *Engine) recover() error {
	ids, err := e.catalog.tables(e.ctx)
	if err != nil {
		return err
	}
	tables := make(map[string][]string)
	for _, id := range ids {
		tables[id[0]] = append(tables[id[0]], id[1])
	}
	entries, err := os.ReadDir(filepath.Join(e.dir, "groups"))
	if err != nil {
		return err
	}
	for _, d := range entries {
		if strings.HasPrefix(d.Name(), droppedPrefix) {
			if err := blob.DestroyAll(filepath.Join(e.dir, "groups", d.Name())); err != nil {
				return err
			}
			continue
		}
		if _, ok := tables[d.Name()]; !ok {
			tables[d.Name()] = nil
		}
	}
	for id, names := range tables {
		g, err := e.openGroup(id, names)
		if err != nil {
			return fmt.Errorf("group %s: %w", id, err)
		}
		e.groups[id] = g
	}
	return nil
}

// Close stops background work and the logs. Calls that are still running fail.
func (e *Engine) Close() error {
	e.stop()
	e.mu.Lock()
	groups := e.groups
	e.groups = nil
	e.mu.Unlock()
	e.work.Wait()
	var err error
	for _, g := range groups {
		err = errors.Join(err, g.log.close())
	}
	return err
}

// CreateTable makes an empty table; one that exists is left as it is.
func (e *Engine) CreateTable(ctx context.Context, t Table) error {
	if !isOpaque(t.Group) || !isOpaque(t.ID) {
		return errors.New("create table: the name is not of [a-z0-9-]")
	}
	g, err := e.makeGroup(t.Group)
	if err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	g.create.Lock()
	defer g.create.Unlock()
	if _, ok := g.table(t.ID); ok {
		return nil
	}
	meta, err := newMetadata(t, min(bucketsOf(t.Schema.Type), e.limits.buckets), strings.TrimSuffix(e.catalog.fs.uri(t.Group, t.ID, "", ""), "/"))
	if err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	dir := filepath.Join(g.dir, "tables", t.ID)
	for _, sub := range []string{"data", "metadata", "incoming"} {
		if err := blob.MkdirAll(filepath.Join(dir, sub)); err != nil {
			return fmt.Errorf("create table: %w", err)
		}
	}
	if err := e.catalog.create(ctx, table.Identifier{t.Group, t.ID}, meta); err != nil {
		return err
	}
	state, err := e.loadTable(ctx, g, t.ID)
	if err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	g.mu.Lock()
	g.tables[t.ID] = state
	g.mu.Unlock()
	return nil
}

// AlterTable adds the columns of t.Schema that the table does not have; rows stored before read null there.
func (e *Engine) AlterTable(ctx context.Context, t Table) error {
	state, err := e.find(t)
	if err != nil {
		return err
	}
	state.write.Lock()
	defer state.write.Unlock()
	if state.gone() {
		return ErrNoTable
	}
	if err := state.adopt(ctx); err != nil {
		return fmt.Errorf("alter table: %w", err)
	}
	tx := state.ice.NewTransaction()
	update := tx.UpdateSchema(true, false)
	changed := false
	for _, f := range t.Schema.Fields {
		if schema.IsSystemColumn(f.Name) {
			return fmt.Errorf("alter table: field name %s is reserved", f.Name)
		}
		if state.layout.column(f.Name) < 0 {
			update = update.AddColumn([]string{f.Name}, icebergType(f.Kind), "", false, nil)
			changed = true
		}
	}
	if changed {
		if err := update.Commit(); err != nil {
			return fmt.Errorf("alter table: %w", err)
		}
	}
	if text := schemaText(t.Schema); state.props[schemaProperty] != text {
		if err := tx.SetProperties(iceberg.Properties{schemaProperty: text}); err != nil {
			return fmt.Errorf("alter table: %w", err)
		}
		changed = true
	}
	if !changed {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // as in commit
	ice, err := tx.Commit(ctx)
	if err != nil {
		if ice, err = state.outcome(ctx, err); err != nil {
			return fmt.Errorf("alter table: %w", err)
		}
	}
	l, err := layoutOf(ice)
	if err != nil {
		return fmt.Errorf("alter table: %w", err)
	}
	state.ice = ice
	state.mu.Lock()
	state.layout, state.props = l, ice.Properties()
	state.index = nil
	state.mu.Unlock()
	return state.sweepMetadata()
}

// DropTable destroys a table: its files, and its records in the log.
func (e *Engine) DropTable(ctx context.Context, t Table) error {
	g, ok := e.group(t.Group)
	if !ok {
		return nil
	}
	if state, ok := g.table(t.ID); ok {
		state.pauseCompaction() // for ever
		state.write.Lock()
		state.mu.Lock()
		state.dropped, state.mem, state.index = true, memory{}, nil
		state.mu.Unlock()
		state.write.Unlock() // before the fold, which takes it while it holds folding
	}
	if err := e.catalog.drop(ctx, table.Identifier{t.Group, t.ID}); err != nil {
		return err
	}
	g.mu.Lock()
	delete(g.tables, t.ID)
	g.live.drop(t.ID)
	g.acted.drop(t.ID)
	g.mu.Unlock()
	if err := g.fold(ctx); err != nil { // the other tables' rows leave the log, then the log goes
		return fmt.Errorf("drop table: %w", err)
	}
	if err := blob.DestroyAll(filepath.Join(g.dir, "tables", t.ID)); err != nil {
		return fmt.Errorf("drop table: %w", err)
	}
	return nil
}

// droppedPrefix begins the name of a group's directory while it is being destroyed: a half overwritten log must not be opened as one.
const droppedPrefix = ".dropped-"

// DropGroup destroys everything of a group.
func (e *Engine) DropGroup(ctx context.Context, id string) error {
	if !isOpaque(id) {
		return errors.New("drop group: the name is not of [a-z0-9-]")
	}
	e.mu.Lock()
	g := e.groups[id]
	delete(e.groups, id)
	e.mu.Unlock()
	if g != nil {
		if err := g.log.close(); err != nil {
			return fmt.Errorf("drop group: %w", err)
		}
		g.folding.Lock()
		defer g.folding.Unlock()
		for _, t := range g.allTables() {
			t.pauseCompaction() // for ever
			t.write.Lock()
			defer t.write.Unlock()
			t.mu.Lock()
			t.dropped, t.mem, t.index = true, memory{}, nil
			t.mu.Unlock()
		}
	}
	ids, err := e.catalog.tables(ctx)
	if err != nil {
		return fmt.Errorf("drop group: %w", err)
	}
	for _, ident := range ids {
		if ident[0] == id {
			if err := e.catalog.drop(ctx, ident); err != nil {
				return err
			}
		}
	}
	if err := destroyGroup(filepath.Join(e.dir, "groups"), id); err != nil {
		return fmt.Errorf("drop group: %w", err)
	}
	return nil
}

// destroyGroup takes a group's directory away at one instant, then destroys its files.
func destroyGroup(dir, id string) error {
	dropped := filepath.Join(dir, droppedPrefix+id)
	if err := os.Rename(filepath.Join(dir, id), dropped); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := blob.SyncDir(dir); err != nil {
		return err
	}
	return blob.DestroyAll(dropped)
}

func isOpaque(name string) bool {
	return name != "" && len(name) <= 128 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func (e *Engine) group(id string) (*group, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	g, ok := e.groups[id]
	return g, ok
}

// makeGroup returns a group, which begins to exist with its first table. Its files are made while requests to others go on.
func (e *Engine) makeGroup(id string) (*group, error) {
	e.making.Lock()
	defer e.making.Unlock()
	if g, ok := e.group(id); ok {
		return g, nil
	}
	if e.ctx.Err() != nil {
		return nil, errClosed
	}
	g, err := e.openGroup(id, nil)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.groups == nil { // closed meanwhile
		return nil, errors.Join(errClosed, g.log.close())
	}
	e.groups[id] = g
	return g, nil
}

// find returns the open table that t names.
func (e *Engine) find(t Table) (*tableState, error) {
	if g, ok := e.group(t.Group); ok {
		if state, ok := g.table(t.ID); ok {
			return state, nil
		}
	}
	return nil, ErrNoTable
}

// group is one dataset group: its tables, its log, and the order of arrival over both.
type group struct {
	e     *Engine
	id    string
	dir   string
	log   *eventLog
	tally *tally

	create  sync.Mutex // one CreateTable at a time
	folding sync.Mutex // one fold at a time

	mu      sync.Mutex // guards the members below
	tables  map[string]*tableState
	masks   map[string]*mask
	imports map[*importRun]bool
	staged  map[string]bool // staging directories in use
	late    []*lateFilter   // replaced, never changed
	live    *liveIndex      // of Interactions
	acted   *liveIndex      // of Action_Interactions

	seqMu     sync.Mutex
	next      int64 // the next sequence number
	published int64 // log records up to this are visible
	inFlight  int64 // the first number of the batch that is being written, 0 if none
}

// openGroup opens a group with the tables that the catalog lists.
func (e *Engine) openGroup(id string, tables []string) (*group, error) {
	g := &group{
		e: e, id: id, dir: filepath.Join(e.dir, "groups", id), next: 1,
		tables: make(map[string]*tableState), masks: make(map[string]*mask), imports: make(map[*importRun]bool), staged: make(map[string]bool),
		live: newLiveIndex(liveInteractions), acted: newLiveIndex(liveActions),
	}
	for _, sub := range []string{"log", "tables", "staging", "erasing", "late", "tally"} {
		if err := blob.MkdirAll(filepath.Join(g.dir, sub)); err != nil {
			return nil, err
		}
	}
	if err := g.sweepStaging(tables); err != nil {
		return nil, err
	}
	for _, name := range tables {
		t, err := e.loadTable(e.ctx, g, name)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", name, err)
		}
		g.tables[name] = t
		g.next = max(g.next, t.intProperty(seqProperty)+1)
	}
	if err := g.loadMasks(); err != nil {
		return nil, err
	}
	if err := g.loadLate(); err != nil {
		return nil, err
	}
	var err error
	if g.tally, err = openTally(filepath.Join(g.dir, "tally")); err != nil {
		return nil, err
	}
	if g.log, err = openLog(g); err != nil {
		return nil, err
	}
	g.published = g.next - 1
	for _, t := range g.allTables() {
		t.write.Lock()
		err := t.adopt(e.ctx)
		t.write.Unlock()
		if err != nil { // it stays where it is and is tried again
			e.log.Error("take over the commit of another engine", "table", t.id, "error", err)
		}
	}
	if err := g.fillLive(); err != nil {
		return nil, errors.Join(err, g.log.close())
	}
	return g, nil
}

// sweepStaging destroys the files of unfinished work, and the directories of tables whose creation or removal was cut off.
func (g *group) sweepStaging(tables []string) error {
	staging := filepath.Join(g.dir, "staging")
	entries, err := os.ReadDir(staging)
	if err != nil {
		return fmt.Errorf("sweep staging: %w", err)
	}
	for _, d := range entries {
		if err := blob.DestroyAll(filepath.Join(staging, d.Name())); err != nil {
			return err
		}
	}
	dirs, err := os.ReadDir(filepath.Join(g.dir, "tables"))
	if err != nil {
		return fmt.Errorf("sweep tables: %w", err)
	}
	for _, d := range dirs {
		if slices.Contains(tables, d.Name()) {
			continue
		}
		if err := blob.DestroyAll(filepath.Join(g.dir, "tables", d.Name())); err != nil {
			return err
		}
	}
	return nil
}

// stage makes a directory for files that are not yet part of a table.
func (g *group) stage() (dir string, err error) {
	dir = filepath.Join(g.dir, "staging", randomName())
	g.mu.Lock()
	g.staged[dir] = true
	g.mu.Unlock()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", errors.Join(fmt.Errorf("make staging directory: %w", err), g.unstage(dir))
	}
	return dir, nil
}

// unstage destroys a staging directory and what is left in it.
func (g *group) unstage(dir string) error {
	err := blob.DestroyAll(dir)
	g.mu.Lock()
	delete(g.staged, dir)
	g.mu.Unlock()
	return err
}

func (g *group) table(id string) (*tableState, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, ok := g.tables[id]
	return t, ok
}

// allTables returns the tables by id.
func (g *group) allTables() []*tableState {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []*tableState
	for _, t := range g.tables {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *tableState) int { return strings.Compare(a.id, b.id) })
	return all
}

// reserve takes n sequence numbers and returns the first.
func (g *group) reserve(n int64) int64 {
	g.seqMu.Lock()
	defer g.seqMu.Unlock()
	first := g.next
	g.next += n
	return first
}

// progress returns how far the log is visible and where the batch in flight begins.
func (g *group) progress() (published, inFlight int64) {
	g.seqMu.Lock()
	defer g.seqMu.Unlock()
	return g.published, g.inFlight
}
