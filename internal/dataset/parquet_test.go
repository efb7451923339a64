package dataset

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/palate-dev/palate/internal/schema"
)

// everyKind is a schema with a field of each kind, nullable and not.
func everyKind(t schema.Type) *schema.Schema {
	s := &schema.Schema{Type: t}
	switch t {
	case schema.Interactions:
		s.Fields = []schema.Field{{Name: "USER_ID"}, {Name: "ITEM_ID"}, {Name: "TIMESTAMP", Kind: schema.Long}, {Name: "EVENT_TYPE", Nullable: true}}
	case schema.Users:
		s.Fields = []schema.Field{{Name: "USER_ID"}}
	case schema.Items:
		s.Fields = []schema.Field{{Name: "ITEM_ID"}}
	}
	s.Fields = append(s.Fields,
		schema.Field{Name: "TEXT", Nullable: true}, schema.Field{Name: "AGE", Kind: schema.Int, Nullable: true}, schema.Field{Name: "BORN", Kind: schema.Long, Nullable: true},
		schema.Field{Name: "EVENT_VALUE", Kind: schema.Float, Nullable: true}, schema.Field{Name: "SCORE", Kind: schema.Double}, schema.Field{Name: "OK", Kind: schema.Boolean, Nullable: true})
	return s
}

func testLayout(t interface {
	Helper()
	Fatal(args ...any)
}, s *schema.Schema) *layout {
	t.Helper()
	sc, err := icebergSchema(s)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLayout(s.Type, 4, sc)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// drawValues draws a row of a schema; ids come from small sets, so that rows collide.
func drawValues(t *rapid.T, s *schema.Schema) []schema.Value {
	vals := make([]schema.Value, len(s.Fields))
	for i, f := range s.Fields {
		if f.Nullable && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
			continue
		}
		v := schema.Value{Valid: true}
		switch f.Kind {
		case schema.String:
			v.Str = fmt.Sprintf("%s-%d", f.Name, rapid.IntRange(0, 5).Draw(t, f.Name))
		case schema.Int, schema.Long:
			v.Int = int64(rapid.IntRange(-3, 3).Draw(t, f.Name)) * 1_000_003
		case schema.Boolean:
			v.Int = int64(rapid.IntRange(0, 1).Draw(t, f.Name))
		default:
			v.Float = float64(rapid.IntRange(-3, 3).Draw(t, f.Name)) / 8
		}
		vals[i] = v
	}
	return vals
}

func TestDataFileKeepsEveryRowInSortOrder(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		s := everyKind(rapid.SampledFrom([]schema.Type{schema.Interactions, schema.Users, schema.Items}).Draw(rt, "type"))
		l := testLayout(t, s)
		bld := newBuilder(l, Put)
		rows := rapid.IntRange(1, 200).Draw(rt, "rows")
		var want []Row
		for i := range rows {
			vals := drawValues(rt, s)
			session := rapid.SampledFrom([]string{"", "s1", "s2"}).Draw(rt, "session")
			bld.add(vals, int64(i*7), session, "")
			want = append(want, Row{Values: vals, Source: Put, Seq: int64(i * 7), Session: session})
		}
		n++
		path := filepath.Join(dir, fmt.Sprint(n))
		w, err := createFile(path, l, Put)
		if err != nil {
			rt.Fatal(err)
		}
		order := bld.b.sorted()
		for len(order) > 0 { // several row groups
			k := min(len(order), rapid.IntRange(1, 64).Draw(rt, "group"))
			if err := w.writeGroup(bld.b, order[:k]); err != nil {
				rt.Fatal(err)
			}
			order = order[k:]
		}
		if _, err := w.close(); err != nil {
			rt.Fatal(err)
		}
		got := readRows(rt, path, l, s)
		less := func(a, b Row) bool { return a.Seq < b.Seq }
		if diff := cmp.Diff(want, got, cmpopts.SortSlices(less)); diff != "" {
			rt.Fatalf("rows read differ from rows written:\n%s", diff)
		}
		checkWithLibrary(rt, path, s, want)
	})
}

// Footer and page headers have no checksum of their own, so no byte of theirs may be trusted.
func TestDamagedDataFileIsAnErrorAndNoPanic(t *testing.T) {
	s := everyKind(schema.Interactions)
	l := testLayout(t, s)
	w := newBuilder(l, Put)
	for i := range 20 {
		vals := []schema.Value{str(fmt.Sprint("user-", i%3)), str("item"), num(int64(i)), {}, str("text"), num(1), {}, {}, {Valid: true, Float: 0.5}, {}}
		w.add(vals, int64(i+1), "session", "")
	}
	dir := t.TempDir()
	f, err := writeSorted(dir, w.b, Put, 0)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "damaged")
	flips := []byte{0x01, 0x40, 0x80, 0xff}
	for at := range data {
		damaged := bytes.Clone(data)
		damaged[at] ^= flips[at%len(flips)]
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		readWhatCanBeRead(path, l)
	}
}

func readWhatCanBeRead(path string, l *layout) {
	r, err := openFile(path, l, Put)
	if err != nil {
		return
	}
	defer r.close()
	for g := range r.groups() {
		r.keys(g)
		for c := eventVector; c < len(l.cols); c++ {
			r.read(g, c)
		}
	}
}

func readRows(t *rapid.T, path string, l *layout, s *schema.Schema) (rows []Row) {
	r, err := openFile(path, l, Put)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	fields := l.fields(s)
	var last *block
	at := 0
	for g := range r.groups() {
		b := r.group(g)
		for i := range b.n {
			if last != nil && compareRows(last, at, b, i) > 0 {
				t.Fatal("rows out of order")
			}
			last, at = b, i
			rows = append(rows, b.row(i, fields, make([]schema.Value, len(fields))))
		}
		if b.err != nil {
			t.Fatal(b.err)
		}
	}
	return rows
}

// checkWithLibrary reads the file with parquet-go: what we write must be Parquet to others.
// checkWithLibrary reads a file with another reader and compares it with the rows of a schema that were written, in any order.
func checkWithLibrary(t *rapid.T, path string, s *schema.Schema, want []Row) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	pf, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	var got []Row
	for _, g := range pf.RowGroups() {
		in := g.Rows()
		buf := make([]parquet.Row, 16)
		for {
			k, err := in.ReadRows(buf)
			for _, r := range buf[:k] {
				got = append(got, rowOfLibrary(pf.Schema(), s, r))
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("library cannot read the rows: %v", err)
			}
		}
		in.Close()
	}
	less := func(a, b Row) bool { return a.Seq < b.Seq }
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(less)); diff != "" {
		t.Fatalf("the library reads other rows than were written:\n%s", diff)
	}
}

func rowOfLibrary(ps *parquet.Schema, s *schema.Schema, r parquet.Row) Row {
	cell := make(map[string]parquet.Value)
	for _, v := range r {
		cell[ps.Columns()[v.Column()][0]] = v.Clone()
	}
	row := Row{Values: make([]schema.Value, len(s.Fields)), Seq: cell[seqColumn].Int64()}
	if cell[sourceColumn].String() == sourceName(Put) {
		row.Source = Put
	}
	if v := cell[sessionColumn]; !v.IsNull() {
		row.Session = v.String()
	}
	for i, f := range s.Fields {
		v := cell[f.Name]
		if v.IsNull() {
			continue
		}
		row.Values[i].Valid = true
		switch f.Kind {
		case schema.String:
			row.Values[i].Str = v.String()
		case schema.Int:
			row.Values[i].Int = int64(v.Int32())
		case schema.Long:
			row.Values[i].Int = v.Int64()
		case schema.Boolean:
			row.Values[i].Int = int64(boolInt(v.Boolean()))
		default:
			row.Values[i].Float = v.Double()
		}
	}
	return row
}
