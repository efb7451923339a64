package dataset

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/palate-dev/palate/internal/rowtext"
)

// otherEngine commits to a table as another engine does: it knows the catalog's tables and Iceberg, and nothing of ours.
type otherEngine struct {
	s  *testStore
	id table.Identifier
}

func (s *testStore) other(t Table) otherEngine {
	return otherEngine{s, table.Identifier{t.Group, t.ID}}
}

func (o otherEngine) LoadTable(ctx context.Context, id table.Identifier) (*table.Table, error) {
	location, err := o.s.catalog.pointer(ctx, id)
	if err != nil {
		return nil, err
	}
	return table.NewFromLocation(ctx, id, location, o.s.catalog.fs.open, o)
}

func (o otherEngine) CommitTable(ctx context.Context, id table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	current, err := o.LoadTable(ctx, id)
	if err != nil {
		return nil, "", err
	}
	for _, r := range reqs {
		if err := r.Validate(current.Metadata()); err != nil {
			return nil, "", errors.Join(errMoved, err)
		}
	}
	meta, err := table.UpdateTableMetadata(current.Metadata(), updates, current.MetadataLocation())
	if err != nil {
		return nil, "", err
	}
	location, err := o.point(ctx, meta, current.MetadataLocation())
	return meta, location, err
}

// point writes metadata and moves the pointer from where it was.
func (o otherEngine) point(ctx context.Context, meta table.Metadata, from string) (location string, err error) {
	text, err := meta.(interface{ MarshalJSON() ([]byte, error) }).MarshalJSON()
	if err != nil {
		return "", err
	}
	location = o.uri("00099-" + randomName() + ".metadata.json")
	if err := o.s.catalog.fs.WriteFile(location, text); err != nil {
		return "", err
	}
	return location, o.move(ctx, from, location)
}

func (o otherEngine) move(ctx context.Context, from, to string) error {
	res, err := o.s.db.ExecContext(ctx, `UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ?
		WHERE catalog_name = 'palate' AND table_namespace = ? AND table_name = ? AND metadata_location = ?`, to, from, o.id[0], o.id[1], from)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(errMoved, err)
	}
	return nil
}

// add appends rows, and begins again when palate commits meanwhile: then the pointer has moved, and what it led to is gone, or half overwritten.
func (o otherEngine) add(rows ...otherRow) error {
	for {
		before, err := o.s.catalog.location(context.Background(), o.id)
		if err != nil {
			return err
		}
		err = o.commit([]iceberg.DataFile{o.file(rows...)}, nil)
		if err == nil {
			return nil
		}
		if after, locationErr := o.s.catalog.location(context.Background(), o.id); locationErr != nil || after == before {
			return errors.Join(err, locationErr)
		}
	}
}

func (o otherEngine) uri(name string) string {
	return o.s.catalog.fs.uri(o.id[0], o.id[1], "incoming", name)
}

func (o otherEngine) dir() string {
	return filepath.Join(o.s.dir, "store", "groups", o.id[0], "tables", o.id[1], "incoming")
}

// otherRow is a row by column name; what is missing is null.
type otherRow map[string]any

// file writes a Parquet file into incoming and describes it.
func (o otherEngine) file(rows ...otherRow) iceberg.DataFile {
	o.s.t.Helper()
	name := randomName() + ".parquet"
	o.write(name, nil, rows...)
	return o.describe(o.uri(name), len(rows), iceberg.EntryContentData)
}

// write writes a Parquet file with the columns of the table, changed by alter.
func (o otherEngine) write(name string, alter func(parquet.Group), rows ...otherRow) {
	o.s.t.Helper()
	ice, err := o.LoadTable(o.s.t.Context(), o.id)
	if err != nil {
		o.s.t.Fatal(err)
	}
	group := parquet.Group{}
	for _, f := range ice.Schema().Fields() {
		var n parquet.Node
		switch f.Type {
		case iceberg.PrimitiveTypes.Int32:
			n = parquet.Int(32)
		case iceberg.PrimitiveTypes.Int64:
			n = parquet.Int(64)
		case iceberg.PrimitiveTypes.Float64:
			n = parquet.Leaf(parquet.DoubleType)
		case iceberg.PrimitiveTypes.Bool:
			n = parquet.Leaf(parquet.BooleanType)
		default:
			n = parquet.String()
		}
		group[f.Name] = parquet.FieldID(parquet.Optional(n), f.ID)
	}
	if alter != nil {
		alter(group)
	}
	schema := parquet.NewSchema("table", group)
	f, err := os.Create(filepath.Join(o.dir(), name))
	if err != nil {
		o.s.t.Fatal(err)
	}
	w := parquet.NewWriter(f, schema, parquet.Compression(&parquet.Zstd))
	for _, r := range rows {
		row := make(parquet.Row, len(schema.Columns()))
		for i, path := range schema.Columns() {
			v, level := parquet.NullValue(), 0
			if x, ok := r[path[0]]; ok {
				v, level = parquet.ValueOf(x), 1
			}
			row[i] = v.Level(0, level, i)
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			o.s.t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		o.s.t.Fatal(err)
	}
}

func (o otherEngine) describe(uri string, rows int, content iceberg.ManifestEntryContent) iceberg.DataFile {
	o.s.t.Helper()
	ice, err := o.LoadTable(o.s.t.Context(), o.id)
	if err != nil {
		o.s.t.Fatal(err)
	}
	b, err := iceberg.NewDataFileBuilder(ice.Spec(), content, uri, iceberg.ParquetFile, map[int]any{partitionField: int32(0)}, nil, nil, int64(rows), 1)
	if err != nil {
		o.s.t.Fatal(err)
	}
	return b.Build()
}

// commit adds files and takes the files of ours away that pick chooses.
func (o otherEngine) commit(add []iceberg.DataFile, pick func(*dataFile) bool) error {
	ctx := o.s.t.Context()
	ice, err := o.LoadTable(ctx, o.id)
	if err != nil {
		return err
	}
	var remove []iceberg.DataFile
	var files []*dataFile
	if pick != nil {
		if files, err = o.s.listFiles(ice); err != nil {
			return err
		}
	}
	for _, f := range files {
		if pick(f) {
			remove = append(remove, o.describe(f.uri, int(f.rows), iceberg.EntryContentData))
		}
	}
	tx := ice.NewTransaction()
	if err := tx.ReplaceDataFilesWithDataFiles(ctx, remove, add, nil, table.WithoutAutoNameMapping()); err != nil {
		return err
	}
	_, err = tx.Commit(ctx)
	return err
}

func (o otherEngine) must(add []iceberg.DataFile, pick func(*dataFile) bool) {
	o.s.t.Helper()
	if err := o.commit(add, pick); err != nil {
		o.s.t.Fatal(err)
	}
}

// takeOver makes the engine look for commits now.
func (s *testStore) takeOver() {
	s.t.Helper()
	if err := s.adoptMoved(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *testStore) outcome(t Table) (text string) {
	s.t.Helper()
	if err := s.db.QueryRow(`SELECT coalesce(outcome, '') FROM palate_tables WHERE table_name = ?`, t.ID).Scan(&text); err != nil {
		s.t.Fatal(err)
	}
	return text
}

// incomingIsEmpty asserts that nothing of another engine is left, and that the pointer is ours.
func (o otherEngine) incomingIsEmpty() {
	o.s.t.Helper()
	left, err := filepath.Glob(filepath.Join(o.dir(), "*"))
	if err != nil || len(left) > 0 {
		o.s.t.Errorf("left in incoming: %v %v", left, err)
	}
	if moved, err := o.s.catalog.moved(o.s.t.Context()); err != nil || len(moved) > 0 {
		o.s.t.Errorf("pointers that are not ours: %v %v", moved, err)
	}
}

func view(user, item string, at int64) otherRow {
	return otherRow{"USER_ID": user, "ITEM_ID": item, "TIMESTAMP": at, "EVENT_TYPE": "view"}
}

func TestRowsOfAnotherEngineAreTakenOverAndErased(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	s.imp(tab, false, "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\nu1,i1,1,view,\nu2,i2,2,view,\n")
	s.put(tab, event("u3", "i3", 3, "view"))
	o := s.other(tab)
	o.must([]iceberg.DataFile{o.file(view("u1", "x", 10), view("new", "y", 11)), o.file(view("u2", "z", 12))}, nil)
	s.put(tab, event("u4", "i4", 4, "view"))
	s.foldNow("g1") // its commit meets the other engine's
	want := []string{"new,y,11,view,", "u1,i1,1,view,", "u1,x,10,view,", "u2,i2,2,view,", "u2,z,12,view,", "u3,i3,3,view,", "u4,i4,4,view,"}
	check := func() {
		t.Helper()
		if diff := cmp.Diff(want, s.export(tab, ExportAll)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		o.incomingIsEmpty()
	}
	check()
	if got := s.outcome(tab); got != "taken over: 3 rows more" {
		t.Errorf("outcome %q", got)
	}
	s.reopen()
	o.s = s
	check()
	// What the other engine committed before the cut is erased, although nobody has looked at it yet.
	o.must([]iceberg.DataFile{o.file(view("u1", "late", 20), view("u5", "late", 21))}, nil)
	if n := s.erase("e1", []Table{tab}, "u1", "new"); n != 4 {
		t.Errorf("%d rows erased, want 4", n)
	}
	want = []string{"u2,i2,2,view,", "u2,z,12,view,", "u3,i3,3,view,", "u4,i4,4,view,", "u5,late,21,view,"}
	check()
}

func TestFilesThatAnotherEngineRewritesKeepTheirPlaceInTheOrderOfArrival(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	s.imp(tab, false, "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\nu1,i1,1,view,\nu1,i2,2,view,\n")
	r := event("u1", "i3", 3, "view")
	r.Session, r.EventID = "s1", "e1"
	s.put(tab, r, event("u1", "i4", 4, "view"))
	s.foldNow("g1")
	before := map[string]Row{}
	read := func() (rows []Row) {
		if err := s.Rows(t.Context(), tab, func(r Row) error {
			r.Values = slices.Clone(r.Values)
			rows = append(rows, r)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	for _, r := range read() {
		before[r.Values[1].Str] = r
	}
	// DELETE FROM t WHERE ITEM_ID IN ('i2', 'i4'), copy on write.
	var kept []otherRow
	for _, item := range []string{"i1", "i3"} {
		r := before[item]
		row := view("u1", item, r.Values[2].Int)
		row["_seq"], row["_source"] = r.Seq, sourceName(r.Source)
		if r.Source == Put {
			row["_session"], row["_event_id"] = r.Session, r.EventID
		}
		kept = append(kept, row)
	}
	o := s.other(tab)
	o.must([]iceberg.DataFile{o.file(kept...)}, func(*dataFile) bool { return true })
	s.takeOver()
	after := read()
	if len(after) != 2 {
		t.Fatalf("%d rows are left, want 2", len(after))
	}
	for _, r := range after {
		if diff := cmp.Diff(before[r.Values[1].Str], r); diff != "" {
			t.Errorf("row has changed (-before +after):\n%s", diff)
		}
	}
	if got := s.outcome(tab); got != "taken over: 2 rows fewer" {
		t.Errorf("outcome %q", got)
	}
	o.incomingIsEmpty()
	// A plain append cannot pretend to be old.
	row := view("u9", "i9", 9)
	row["_seq"], row["_source"] = int64(1), "PUT"
	o.must([]iceberg.DataFile{o.file(row)}, nil)
	s.takeOver()
	for _, r := range read() {
		if r.Values[0].Str == "u9" && (r.Seq <= before["i3"].Seq || r.Source != Put) {
			t.Errorf("an appended row has number %d and source %v", r.Seq, r.Source)
		}
	}
}

// Commits that are undone. Each leaves the table, and everything outside of incoming, as it was.
func TestCommitsThatCannotBeTakenOverAreUndone(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.parquet")
	cases := map[string]func(o otherEngine) error{
		"a file outside of the table": func(o otherEngine) error {
			return o.commit([]iceberg.DataFile{o.describe("file://"+outside, 1, iceberg.EntryContentData)}, nil)
		},
		"a way out of incoming": func(o otherEngine) error {
			return o.commit([]iceberg.DataFile{o.describe(o.uri("a/../../../../../../meta.db"), 1, iceberg.EntryContentData)}, nil)
		},
		"an encoded way out of incoming": func(o otherEngine) error {
			uri := "file://" + o.dir() + "/%2e%2e/data/x.parquet"
			return o.commit([]iceberg.DataFile{o.describe(uri, 1, iceberg.EntryContentData)}, nil)
		},
		"a symbolic link": func(o otherEngine) error {
			os.Symlink(outside, filepath.Join(o.dir(), "link.parquet"))
			return o.commit([]iceberg.DataFile{o.describe(o.uri("link.parquet"), 1, iceberg.EntryContentData)}, nil)
		},
		"a hard link": func(o otherEngine) error {
			os.Link(outside, filepath.Join(o.dir(), "link.parquet"))
			return o.commit([]iceberg.DataFile{o.describe(o.uri("link.parquet"), 1, iceberg.EntryContentData)}, nil)
		},
		"a linked directory": func(o otherEngine) error {
			os.Symlink(filepath.Dir(outside), filepath.Join(o.dir(), "linked"))
			return o.commit([]iceberg.DataFile{o.describe("file://"+filepath.Join(o.dir(), "linked", "outside.parquet"), 1, iceberg.EntryContentData)}, nil)
		},
		"a file of ours that is not in the table": func(o otherEngine) error {
			return o.commit([]iceberg.DataFile{o.describe(o.s.catalog.fs.uri(o.id[0], o.id[1], "data", "bulk-0000-0000000000000000.parquet"), 1, iceberg.EntryContentData)}, nil)
		},
		"a missing file": func(o otherEngine) error {
			return o.commit([]iceberg.DataFile{o.describe(o.uri("nothing.parquet"), 1, iceberg.EntryContentData)}, nil)
		},
		"more rows than there are": func(o otherEngine) error {
			o.write("a.parquet", nil, view("canary", "i", 1))
			return o.commit([]iceberg.DataFile{o.describe(o.uri("a.parquet"), 2, iceberg.EntryContentData)}, nil)
		},
		"bytes that are not Parquet": func(o otherEngine) error {
			os.WriteFile(filepath.Join(o.dir(), "a.parquet"), []byte("PAR1 canary canary canary canary PAR1"), 0o600)
			return o.commit([]iceberg.DataFile{o.describe(o.uri("a.parquet"), 1, iceberg.EntryContentData)}, nil)
		},
		"a damaged page": func(o otherEngine) error {
			o.write("a.parquet", nil, view("canary", "i", 1))
			text, err := os.ReadFile(filepath.Join(o.dir(), "a.parquet"))
			if err != nil {
				return err
			}
			for i := 4; i < 60; i++ {
				text[i] ^= 0x55
			}
			os.WriteFile(filepath.Join(o.dir(), "a.parquet"), text, 0o600)
			return o.commit([]iceberg.DataFile{o.describe(o.uri("a.parquet"), 1, iceberg.EntryContentData)}, nil)
		},
		"no user":          rows(otherRow{"ITEM_ID": "i", "TIMESTAMP": int64(1)}),
		"no item":          rows(otherRow{"USER_ID": "canary", "TIMESTAMP": int64(1)}),
		"no time":          rows(otherRow{"USER_ID": "canary", "ITEM_ID": "i"}),
		"an empty user":    rows(otherRow{"USER_ID": "", "ITEM_ID": "i", "TIMESTAMP": int64(1)}),
		"a long user":      rows(view(strings.Repeat("canary", 50), "i", 1)),
		"not UTF-8":        rows(view("canary\xff", "i", 1)),
		"a NUL":            rows(view("canary\x00", "i", 1)),
		"an odd source":    rows(otherRow{"USER_ID": "canary", "ITEM_ID": "i", "TIMESTAMP": int64(1), "_source": "canary"}),
		"a bulk session":   rows(otherRow{"USER_ID": "canary", "ITEM_ID": "i", "TIMESTAMP": int64(1), "_session": "canary"}),
		"no finite number": rows(otherRow{"USER_ID": "canary", "ITEM_ID": "i", "TIMESTAMP": int64(1), "EVENT_VALUE": nan()}),
		"a column of another type": altered(func(g parquet.Group) {
			g["TIMESTAMP"] = parquet.FieldID(parquet.Optional(parquet.String()), 3)
		}, otherRow{"USER_ID": "canary", "ITEM_ID": "i", "TIMESTAMP": "1"}),
		"a column without an id": altered(func(g parquet.Group) { g["EVENT_TYPE"] = parquet.Optional(parquet.String()) }, view("canary", "i", 1)),
		"another column":         altered(func(g parquet.Group) { g["X"] = parquet.FieldID(parquet.Optional(parquet.String()), 77) }, view("canary", "i", 1)),
		"deletes by equality": func(o otherEngine) error {
			return o.rowDelta(iceberg.EntryContentEqDeletes)
		},
		"deletes by position": func(o otherEngine) error {
			return o.rowDelta(iceberg.EntryContentPosDeletes)
		},
		"a new column": func(o otherEngine) error {
			return o.change(func(tx *table.Transaction) error {
				return tx.UpdateSchema(true, false).AddColumn([]string{"canary"}, iceberg.PrimitiveTypes.String, "", false, nil).Commit()
			})
		},
		"a property": func(o otherEngine) error {
			return o.change(func(tx *table.Transaction) error { return tx.SetProperties(iceberg.Properties{"palate.seq": "1"}) })
		},
		"no metadata":            func(o otherEngine) error { return o.moveTo(o.uri("nothing.metadata.json")) },
		"metadata elsewhere":     func(o otherEngine) error { return o.moveTo("file://" + outside) },
		"metadata on the moon":   func(o otherEngine) error { return o.moveTo("s3://canary/metadata.json") },
		"metadata that is noise": func(o otherEngine) error { return o.noise("canary") },
		"metadata that is empty": func(o otherEngine) error { return o.noise("{}") },
		"a dropped table": func(o otherEngine) error {
			_, err := o.s.db.Exec(`DELETE FROM iceberg_tables WHERE table_name = ?`, o.id[1])
			return err
		},
		"a renamed table": func(o otherEngine) error {
			_, err := o.s.db.Exec(`UPDATE iceberg_tables SET table_name = 'canary' WHERE table_name = ?`, o.id[1])
			return err
		},
	}
	s := newStore(t)
	if err := os.WriteFile(outside, []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range sortedKeys(cases) {
		t.Run(name, func(t *testing.T) {
			s := &testStore{Engine: s.Engine, t: t, dir: s.dir, db: s.db, lim: s.lim}
			n++
			tab := s.create(fmt.Sprint("t", n), interactionsSchema())
			s.imp(tab, false, "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\nu1,i1,1,view,\nu2,i2,2,view,\n")
			before, files := s.export(tab, ExportAll), s.files()
			o := s.other(tab)
			if err := cases[name](o); err != nil {
				t.Fatal(err)
			}
			s.takeOver()
			if diff := cmp.Diff(before, s.export(tab, ExportAll)); diff != "" {
				t.Errorf("rows (-before +after):\n%s", diff)
			}
			outcome := s.outcome(tab)
			if !strings.HasPrefix(outcome, "undone: ") || strings.Contains(outcome, "canary") {
				t.Errorf("outcome %q", outcome)
			}
			if text, err := os.ReadFile(outside); err != nil || string(text) != "not ours" {
				t.Errorf("a file outside of the store has changed: %q %v", text, err)
			}
			if moved, err := s.catalog.moved(t.Context()); err != nil || len(moved) > 0 {
				t.Errorf("pointers that are not ours: %v %v", moved, err)
			}
			var strange int
			if err := s.db.QueryRow(`SELECT count(*) FROM iceberg_tables WHERE table_name = 'canary'`).Scan(&strange); err != nil || strange > 0 {
				t.Errorf("%d tables under a strange name (%v)", strange, err)
			}
			if len(files) != len(s.files()) && name != "a linked directory" {
				t.Errorf("%d files, before %d", len(s.files()), len(files))
			}
			// The table still takes rows.
			o.must([]iceberg.DataFile{o.file(view("later", "i", 5))}, nil)
			s.takeOver()
			if got := s.outcome(tab); got != "taken over: 1 rows more" {
				t.Errorf("outcome of a good commit afterwards: %q", got)
			}
		})
	}
}

func rows(rows ...otherRow) func(otherEngine) error { return altered(nil, rows...) }

func altered(alter func(parquet.Group), rows ...otherRow) func(otherEngine) error {
	return func(o otherEngine) error {
		o.write("a.parquet", alter, rows...)
		return o.commit([]iceberg.DataFile{o.describe(o.uri("a.parquet"), len(rows), iceberg.EntryContentData)}, nil)
	}
}

func nan() float64 {
	zero := 0.0
	return zero / zero
}

func sortedKeys[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (o otherEngine) change(f func(tx *table.Transaction) error) error {
	ice, err := o.LoadTable(o.s.t.Context(), o.id)
	if err != nil {
		return err
	}
	tx := ice.NewTransaction()
	if err := f(tx); err != nil {
		return err
	}
	_, err = tx.Commit(o.s.t.Context())
	return err
}

func (o otherEngine) rowDelta(content iceberg.ManifestEntryContent) error {
	return o.change(func(tx *table.Transaction) error {
		ice, err := o.LoadTable(o.s.t.Context(), o.id)
		if err != nil {
			return err
		}
		o.write("d.parquet", nil, view("canary", "i", 1))
		b, err := iceberg.NewDataFileBuilder(ice.Spec(), content, o.uri("d.parquet"), iceberg.ParquetFile, map[int]any{partitionField: int32(0)}, nil, nil, 1, 1)
		if err != nil {
			return err
		}
		if content == iceberg.EntryContentEqDeletes {
			b.EqualityFieldIDs([]int{1})
		}
		return tx.NewRowDelta(nil).AddDeletes(b.Build()).Commit(o.s.t.Context())
	})
}

func (o otherEngine) moveTo(location string) error {
	from, err := o.s.catalog.pointer(o.s.t.Context(), o.id)
	if err != nil {
		return err
	}
	return o.move(o.s.t.Context(), from, location)
}

func (o otherEngine) noise(text string) error {
	if err := os.WriteFile(filepath.Join(o.dir(), "a.metadata.json"), []byte(text), 0o600); err != nil {
		return err
	}
	return o.moveTo(o.uri("a.metadata.json"))
}

// Imports, events, folds, erasures and another engine's appends at the same time: every row that was acknowledged is there once.
func TestNeitherSideLosesRows(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	s.imp(tab, false, "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\nu1,i1,1,view,\n")
	const rounds = 12
	var work sync.WaitGroup
	var want []string
	want = append(want, "u1,i1,1,view,")
	for n := range rounds {
		want = append(want, fmt.Sprintf("u%d,other,%d,view,", n, n), fmt.Sprintf("u%d,event,%d,view,", n, n), fmt.Sprintf("u%d,bulk,%d,view,", n, n))
	}
	work.Go(func() {
		o := s.other(tab)
		for n := range rounds {
			if err := o.add(view(fmt.Sprint("u", n), "other", int64(n))); err != nil {
				t.Error(err)
				return
			}
		}
	})
	work.Go(func() {
		for n := range rounds {
			if err := s.Put(t.Context(), tab, []Row{event(fmt.Sprint("u", n), "event", int64(n), "view")}); err != nil {
				t.Error(err)
			}
			g, _ := s.group("g1")
			if err := g.fold(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	work.Go(func() {
		for n := range rounds {
			body := fmt.Sprintf("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\nu%d,bulk,%d,view,\n", n, n)
			if _, err := s.Import(t.Context(), tab, Import{Job: fmt.Sprint("race-", n), Incremental: true, Objects: []rowtext.Object{text{"a.csv", body}}}); err != nil {
				t.Error(err)
			}
		}
	})
	work.Wait()
	s.takeOver()
	slices.Sort(want)
	if diff := cmp.Diff(want, s.export(tab, ExportAll)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	s.reopen()
	if diff := cmp.Diff(want, s.export(tab, ExportAll)); diff != "" {
		t.Errorf("rows after a start (-want +got):\n%s", diff)
	}
}

// crashAdopt is another engine that commits without an end, and palate that takes over: in one process, which is killed.
func crashAdopt(t *testing.T, s *testStore) {
	o := s.other(Table{Group: "g1", ID: "t1", Schema: interactionsSchema()})
	for n := 0; ; n++ {
		var rows []otherRow
		for _, r := range batch(n) {
			rows = append(rows, view(r.Values[0].Str, r.Values[1].Str, r.Values[2].Int))
		}
		if err := o.add(rows...); err != nil {
			t.Fatal(err)
		}
		fmt.Println("ack", n)
		s.takeOver()
	}
}

func TestKilledWhileTakingOverLosesNothingAndTakesNothingTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes")
	}
	for range crashRuns / 2 {
		s := openStore(t, t.TempDir(), testLimits())
		tab := s.create("t1", interactionsSchema())
		s.stop()
		c := startChild(t, "adopt", s.dir)
		acked := -1
		note := func(line string) {
			if n, err := strconv.Atoi(strings.TrimPrefix(line, "ack ")); err == nil {
				acked = n
			}
		}
		for range rand.IntN(20) {
			note(c.next())
		}
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) // the moment of the kill is what is random, nothing is waited for
		c.cmd.Process.Kill()
		for line := c.next(); line != ""; line = c.next() {
			note(line)
		}
		c.cmd.Wait()
		s.start()
		got := s.lines(tab, s.Rows)
		if stored := len(got) / 3; len(got)%3 != 0 || stored < acked+1 || stored > acked+2 {
			t.Fatalf("%d commits acknowledged, %d rows stored", acked+1, len(got))
		}
		if files := glob(t, filepath.Join(s.other(tab).dir(), leftoverFile)); len(files) > 0 {
			t.Errorf("a start left %v", files)
		}
		if acked >= 0 {
			s.erase("e1", []Table{tab}, "user-0")
		}
		s.stop()
	}
}

// A crash while the list of leftover files is written or destroyed leaves a file that no erasure may find.
func TestAStartSweepsTheUnfinishedListOfLeftovers(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	path := filepath.Join(s.other(tab).dir(), ".tmp-"+leftoverFile)
	if err := os.WriteFile(path, []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	if left := glob(t, path); len(left) > 0 {
		t.Errorf("a start left %v", left)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
