package dataset

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
	"github.com/palate-dev/palate/internal/verify"
)

// testLimits make every mechanism work on a few rows.
func testLimits() limits {
	return limits{
		foldBytes: 1 << 20, foldAge: time.Hour, logBytes: 64 << 20, spillBytes: 1 << 10, codesBytes: 8 << 10, spanBytes: 1, runBytes: 4 << 10, mergeFiles: 3, sweepWait: 10 * time.Second, buckets: 4,
		restAge: time.Hour, now: time.Now, elapsed: sinceBegan, noCompact: true,
	}
}

// testStore is an engine that can be closed and opened again.
type testStore struct {
	*Engine
	t   testing.TB
	dir string
	db  *sql.DB
	lim limits
}

func openStore(t testing.TB, dir string, lim limits) *testStore {
	t.Helper()
	s := &testStore{t: t, dir: dir, lim: lim}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func newStore(t testing.TB) *testStore {
	t.Helper()
	return openStore(t, t.TempDir(), testLimits())
}

func (s *testStore) start() {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "meta.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)")
	if err != nil {
		s.t.Fatal(err)
	}
	s.db = db
	e, err := open(filepath.Join(s.dir, "store"), db, slog.New(slog.NewTextHandler(io.Discard, nil)), s.lim)
	if err != nil {
		db.Close()
		s.t.Fatal(err)
	}
	s.Engine = e
}

func (s *testStore) stop() {
	if s.Engine != nil {
		s.Engine.Close()
		s.db.Close()
		s.Engine = nil
	}
}

func (s *testStore) reopen() {
	s.t.Helper()
	s.stop()
	s.start()
}

func (s *testStore) foldNow(group string) {
	s.t.Helper()
	g, ok := s.group(group)
	if !ok {
		s.t.Fatal("no such group")
	}
	if err := g.fold(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// compactNow does what is due in the background.
func (s *testStore) compactNow(group string) {
	s.t.Helper()
	g, ok := s.group(group)
	if !ok {
		s.t.Fatal("no such group")
	}
	for _, t := range g.allTables() {
		if err := t.compactAll(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// text is an Object in memory.
type text struct{ name, body string }

func (o text) Name() string { return o.name }
func (o text) Size() int64  { return int64(len(o.body)) }
func (o text) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(o.body)), nil
}

func interactionsSchema() *schema.Schema {
	return &schema.Schema{Type: schema.Interactions, Fields: []schema.Field{
		{Name: "USER_ID"}, {Name: "ITEM_ID"}, {Name: "TIMESTAMP", Kind: schema.Long}, {Name: "EVENT_TYPE", Nullable: true}, {Name: "EVENT_VALUE", Kind: schema.Float, Nullable: true},
	}}
}

func usersSchema() *schema.Schema {
	return &schema.Schema{Type: schema.Users, Fields: []schema.Field{{Name: "USER_ID"}, {Name: "AGE", Kind: schema.Int, Nullable: true}, {Name: "CITY", Nullable: true, Categorical: true}}}
}

func itemsSchema() *schema.Schema {
	return &schema.Schema{Type: schema.Items, Fields: []schema.Field{{Name: "ITEM_ID"}, {Name: "GENRE", Nullable: true, Categorical: true}, {Name: "PRICE", Kind: schema.Float, Nullable: true}}}
}

func (s *testStore) create(id string, schema *schema.Schema) Table {
	s.t.Helper()
	t := Table{Group: "g1", ID: id, Schema: schema}
	if err := s.CreateTable(s.t.Context(), t); err != nil {
		s.t.Fatal(err)
	}
	return t
}

func str(s string) schema.Value {
	if s == "" {
		return schema.Value{}
	}
	return schema.Value{Valid: true, Str: s}
}
func num(n int64) schema.Value   { return schema.Value{Valid: true, Int: n} }
func dec(f float64) schema.Value { return schema.Value{Valid: true, Float: f} }

// event is a row of interactionsSchema.
func event(user, item string, at int64, kind string) Row {
	return Row{Values: []schema.Value{str(user), str(item), num(at), str(kind), {}}}
}

func (s *testStore) put(t Table, rows ...Row) {
	s.t.Helper()
	if err := s.Put(s.t.Context(), t, rows); err != nil {
		s.t.Fatal(err)
	}
}

var jobs int

func (s *testStore) imp(t Table, incremental bool, body string) int64 {
	s.t.Helper()
	jobs++
	n, err := s.Import(s.t.Context(), t, Import{Job: fmt.Sprint("job-", jobs), Incremental: incremental, Objects: []rowtext.Object{text{"a.csv", body}}})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// lines returns what read yields, as sorted CSV lines.
func (s *testStore) lines(t Table, read func(context.Context, Table, func(Row) error) error) []string {
	s.t.Helper()
	var out []string
	err := read(s.t.Context(), t, func(r Row) error {
		out = append(out, strings.TrimSuffix(string(rowtext.AppendCSVRow(nil, t.Schema, r.Values)), "\n"))
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func (s *testStore) export(t Table, mode Ingestion) []string {
	s.t.Helper()
	var out []string
	n, err := s.Export(s.t.Context(), t, mode, nil, func(part int, r io.Reader) error {
		b, err := io.ReadAll(r)
		lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		out = append(out, lines[1:]...)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if int(n) != len(out) {
		s.t.Fatalf("export says %d rows, wrote %d", n, len(out))
	}
	slices.Sort(out)
	return out
}

// erase runs a whole erasure and returns the number of rows removed.
func (s *testStore) erase(job string, tables []Table, users ...string) (n int64) {
	s.t.Helper()
	ctx := s.t.Context()
	cut, err := s.Fence(ctx, "g1")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.Hide(ctx, "g1", job, userset.New(users), cut); err != nil {
		s.t.Fatal(err)
	}
	removed, err := s.Erase(ctx, tables, job, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, k := range removed {
		n += k
	}
	if err := s.Sweep(ctx, "g1", job); err != nil {
		s.t.Fatal(err)
	}
	if err := s.verify(job); err != nil {
		s.t.Fatal(err)
	}
	if err := s.Unhide(ctx, "g1", job); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// verify searches the store for the users of a running erasure.
func (s *testStore) verify(job string) error {
	s.t.Helper()
	users, cut, err := s.HiddenUsers("g1", job)
	if err != nil {
		return err
	}
	sessions, err := s.ErasedSessions("g1", job)
	if err != nil {
		return err
	}
	return verify.Run(s.t.Context(), verify.Search{Data: s.dir, Group: "g1", Users: users, Sessions: sessions, Cut: cut, Store: s.Engine})
}

// files lists all files of the store.
func (s *testStore) files() (paths []string) {
	s.t.Helper()
	err := filepath.WalkDir(filepath.Join(s.dir, "store"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return paths
}

func sortStrings(s []string) { slices.Sort(s) }
