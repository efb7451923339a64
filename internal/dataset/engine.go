package dataset

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
)

var (
	ErrBusy    = errors.New("the event queue of the dataset group is full") // Put: try again later
	ErrNoTable = errors.New("no such table")
)

// Table names one dataset. Group and ID are opaque random names of [a-z0-9-], never derived from what a customer chose: they become file names.
type Table struct {
	Group  string
	ID     string
	Schema *Schema
}

// Engine stores the tables of all dataset groups below one directory. It is safe for concurrent use.
type Engine struct{}

// Object is one source of an import.
type Object interface {
	Name() string
	Size() int64
	Open(ctx context.Context) (io.ReadCloser, error)
}

// Import is one bulk import.
type Import struct {
	Job         string // unique id: a job that has already committed returns its count again
	Incremental bool   // append; otherwise replace all bulk rows
	Objects     []Object
	MinRows     int64
	Progress    func(rows, bytes, totalBytes int64)
}

// Ingestion selects rows for an export.
type Ingestion uint8

const (
	ExportBulk Ingestion = iota
	ExportPut
	ExportAll
)

// LiveEvent is one streamed interaction.
type LiveEvent struct {
	Seq, Time  int64
	Item, Type string
	Value      float64 // NaN = none
}

var errNotBuilt = errors.New("dataset: not built yet")

// Open opens the store in dir and recovers it.
func Open(dir string, catalog *sql.DB, log *slog.Logger) (*Engine, error) { return nil, errNotBuilt }

func (e *Engine) Close() error                                      { return errNotBuilt }
func (e *Engine) CreateTable(ctx context.Context, t Table) error    { return errNotBuilt }
func (e *Engine) AlterTable(ctx context.Context, t Table) error     { return errNotBuilt }
func (e *Engine) DropTable(ctx context.Context, t Table) error      { return errNotBuilt }
func (e *Engine) DropGroup(ctx context.Context, group string) error { return errNotBuilt }
func (e *Engine) Import(ctx context.Context, t Table, imp Import) (rows int64, err error) {
	return 0, errNotBuilt
}
func (e *Engine) HasBulk(ctx context.Context, t Table) (bool, error) { return false, errNotBuilt }
func (e *Engine) Put(ctx context.Context, t Table, rows []Row) error { return errNotBuilt }
func (e *Engine) Export(ctx context.Context, t Table, mode Ingestion, progress func(rows int64), write func(part int, r io.Reader) error) (rows int64, err error) {
	return 0, errNotBuilt
}
func (e *Engine) Rows(ctx context.Context, t Table, yield func(Row) error) error { return errNotBuilt }
func (e *Engine) Effective(ctx context.Context, t Table, yield func(Row) error) error {
	return errNotBuilt
}
func (e *Engine) Events(ctx context.Context, t Table) (*Events, error) { return nil, errNotBuilt }
func (e *Engine) Lookup(ctx context.Context, t Table, key string) (Row, bool, error) {
	return Row{}, false, errNotBuilt
}
func (e *Engine) Count(ctx context.Context, t Table) (int64, error) { return 0, errNotBuilt }
func (e *Engine) Live(group, user string) []LiveEvent               { return nil }
func (e *Engine) Fence(ctx context.Context, group string) (cut int64, err error) {
	return 0, errNotBuilt
}
func (e *Engine) Hide(ctx context.Context, group, job string, users *UserSet, cut int64) error {
	return errNotBuilt
}
func (e *Engine) Hidden(group, user string) (cut int64, ok bool) { return 0, false }
func (e *Engine) HiddenUsers(group, job string) (*UserSet, int64, error) {
	return nil, 0, errNotBuilt
}
func (e *Engine) Erase(ctx context.Context, tables []Table, job string, progress func(done, total int64)) (removed map[string]int64, err error) {
	return nil, errNotBuilt
}
func (e *Engine) Sweep(ctx context.Context, group, job string) error           { return errNotBuilt }
func (e *Engine) Verify(ctx context.Context, tables []Table, job string) error { return errNotBuilt }
func (e *Engine) Unhide(ctx context.Context, group, job string) error          { return errNotBuilt }
