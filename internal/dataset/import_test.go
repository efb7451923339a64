package dataset

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

const interactionsHeader = "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\n"

func TestFullImportReplacesBulkRowsAndKeepsStreamedOnes(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	if n := s.imp(tab, false, interactionsHeader+"u1,i1,1,view,\nu2,i2,2,buy,1.5\n"); n != 2 {
		t.Fatalf("import counted %d rows", n)
	}
	s.put(tab, event("u3", "i3", 3, "view"))
	s.imp(tab, false, interactionsHeader+"u4,i4,4,,\n")
	want := []string{"u3,i3,3,view,", "u4,i4,4,,"}
	if diff := cmp.Diff(want, s.lines(tab, s.Rows)); diff != "" {
		t.Fatal(diff)
	}
	s.reopen()
	if diff := cmp.Diff(want, s.lines(tab, s.Rows)); diff != "" {
		t.Fatalf("after a restart: %s", diff)
	}
	if n := len(s.files()); n > 8 {
		t.Errorf("%d files are left, more than two data files and their metadata:\n%s", n, strings.Join(s.files(), "\n"))
	}
}

func TestIncrementalImportAppendsAndNewestRecordWins(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", itemsSchema())
	s.imp(tab, false, "ITEM_ID,GENRE,PRICE\na,old,1\nb,x,2\na,new,3\n")
	s.imp(tab, true, "ITEM_ID,GENRE,PRICE\nb,y,\nc,z,9\n")
	if diff := cmp.Diff([]string{"a,new,3", "b,y,", "c,z,9"}, s.lines(tab, s.Effective)); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff([]string{"a,new,3", "a,old,1", "b,x,2", "b,y,", "c,z,9"}, s.export(tab, ExportBulk)); diff != "" {
		t.Fatal(diff)
	}
	row, ok, err := s.Lookup(t.Context(), tab, "b")
	if err != nil || !ok || row.Values[1].Str != "y" {
		t.Fatalf("lookup: %v %v %v", row, ok, err)
	}
	s.put(tab, Row{Values: []schema.Value{str("b"), str("streamed"), {}}})
	if row, _, _ := s.Lookup(t.Context(), tab, "b"); row.Values[1].Str != "streamed" || row.Source != Put {
		t.Fatalf("lookup after put: %v", row)
	}
	if diff := cmp.Diff([]string{"a,new,3", "b,streamed,", "c,z,9"}, s.export(tab, ExportAll)); diff != "" {
		t.Fatal(diff)
	}
}

func TestImportThatCommittedAnswersItsCountAgain(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	imp := Import{Job: "j", Incremental: true, Objects: []rowtext.Object{text{"a.csv", interactionsHeader + "u,i,1,,\n"}}}
	for range 2 {
		if n, err := s.Import(t.Context(), tab, imp); n != 1 || err != nil {
			t.Fatalf("import: %d, %v", n, err)
		}
		s.reopen()
	}
	if n, _ := s.Count(t.Context(), tab); n != 1 {
		t.Fatalf("%d rows, want 1", n)
	}
	if ok, err := s.HasBulk(t.Context(), tab); !ok || err != nil {
		t.Fatalf("HasBulk: %v %v", ok, err)
	}
}

func TestFailedImportLeavesTheTableAsItWas(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	s.imp(tab, false, interactionsHeader+"u1,i1,1,,\n")
	before := s.files()
	for name, objects := range map[string][]rowtext.Object{
		"bad row":     {text{"a.csv", interactionsHeader + strings.Repeat("u,i,1,,\n", 1000) + "u,i,x,,\n"}},
		"too few":     {text{"a.csv", interactionsHeader + "u,i,1,,\n"}},
		"two headers": {text{"a.csv", interactionsHeader + strings.Repeat("u,i,1,,\n", 20)}, text{"b.csv", "ITEM_ID,USER_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\ni,u,1,,\n"}},
		"no objects":  nil,
	} {
		_, err := s.Import(t.Context(), tab, Import{Job: "j", Objects: objects, MinRows: 10})
		var in *rowtext.InputError
		if !errors.As(err, &in) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "too few" && err.Error() != "Input CSV has fewer than 10 interactions." {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(before, s.files()); diff != "" {
			t.Errorf("%s: files changed: %s", name, diff)
		}
	}
	if diff := cmp.Diff([]string{"u1,i1,1,,"}, s.lines(tab, s.Rows)); diff != "" {
		t.Error(diff)
	}
}

func TestImportOfManyRowsSpillsAndKeepsThemAll(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	var a, b strings.Builder
	a.WriteString(interactionsHeader)
	b.WriteString(interactionsHeader)
	for i := range 60_000 {
		fmt.Fprintf(&a, "user-%d,item-%d,%d,view,%d\n", i*7919%5003, i%701, i, i%5)
		fmt.Fprintf(&b, "user-%d,item-%d,%d,buy,\n", i*7907%5003, i%709, i)
	}
	var last [3]int64
	n, err := s.Import(t.Context(), tab, Import{
		Job: "j", Objects: []rowtext.Object{text{"a.csv", a.String()}, text{"b.csv", b.String()}},
		Progress: func(rows, bytes, total int64) { last = [3]int64{rows, bytes, total} },
	})
	if err != nil || n != 120_000 {
		t.Fatalf("import: %d, %v", n, err)
	}
	if want := int64(a.Len() + b.Len()); last[0] != 120_000 || last[1] > want || last[2] != want {
		t.Errorf("last progress: %v", last)
	}
	got := s.lines(tab, s.Rows)
	want := sortedLines(a.String(), b.String())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal("rows differ from the files")
	}
	if !cmp.Equal(want, s.export(tab, ExportBulk)) {
		t.Fatal("export differs from the files")
	}
}

// sortedLines returns the lines of some CSV texts without their headers.
func sortedLines(texts ...string) (lines []string) {
	for _, text := range texts {
		lines = append(lines, strings.Split(strings.TrimSuffix(text, "\n"), "\n")[1:]...)
	}
	sortStrings(lines)
	return lines
}

func TestAlteredTableReadsOldRowsWithNulls(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", usersSchema())
	s.imp(tab, false, "USER_ID,AGE,CITY\nu1,30,Bonn\n")
	s.put(tab, Row{Values: []schema.Value{str("u2"), num(40), str("Rome")}})
	next := *tab.Schema
	next.Fields = []schema.Field{next.Fields[0], {Name: "PLAN", Nullable: true, Categorical: true}, next.Fields[1], next.Fields[2]}
	tab.Schema = &next
	for range 2 {
		if err := s.AlterTable(t.Context(), tab); err != nil {
			t.Fatal(err)
		}
	}
	s.put(tab, Row{Values: []schema.Value{str("u3"), str("gold"), {}, {}}})
	want := []string{"u1,,30,Bonn", "u2,,40,Rome", "u3,gold,,"}
	check := func(when string) {
		t.Helper()
		if diff := cmp.Diff(want, s.lines(tab, s.Effective)); diff != "" {
			t.Fatalf("%s: %s", when, diff)
		}
	}
	check("before the fold")
	s.reopen()
	check("after a restart")
	s.foldNow("g1")
	check("after the fold")
	s.imp(tab, true, "USER_ID,PLAN,AGE,CITY\nu4,silver,,\n")
	want = append(want, "u4,silver,,")
	check("after an import")
	if n := s.erase("e1", []Table{tab}, "u1"); n != 1 {
		t.Fatalf("erased %d rows", n)
	}
	want = want[1:]
	check("after an erasure")
}

// The same input gives the same files, however many cores have read it and in whatever order they took its blocks.
func TestImportWritesTheSameFilesOnAnyNumberOfCores(t *testing.T) {
	schema := everyKind(schema.Interactions)
	var objects []rowtext.Object
	for o := range 2 {
		var b strings.Builder
		b.WriteString("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,TEXT,AGE,BORN,EVENT_VALUE,SCORE,OK\n")
		for i := range 40_000 {
			n := i*7919%40_000 + o
			fmt.Fprintf(&b, "user-%d,item-%d,%d,%s,\"text, number %d\",%d,,%d.5,%d,%v\n", n%1000, n%3001, n%50, []string{"", "view", "buy"}[n%3], n%20_000, n%7, n%11, n, n%2 == 0)
		}
		objects = append(objects, text{fmt.Sprint(o, ".csv"), b.String()})
	}
	var want []string
	for _, cores := range []int{1, 2, 3, 8} {
		func() {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			s := newStore(t)
			tab := s.create("t1", schema)
			if _, err := s.Import(t.Context(), tab, Import{Job: "j", Objects: objects}); err != nil {
				t.Fatal(err)
			}
			state, err := s.find(tab)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range state.files {
				data, err := os.ReadFile(f.path)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("bucket %d, %d rows: %x", f.bucket, f.rows, sha256.Sum256(data)))
			}
			slices.Sort(got)
			if want == nil {
				want = got
			}
			if len(got) <= 4 {
				t.Fatalf("%d files: no bucket has more than one run, which was to be tested", len(got))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%d cores: %s", cores, diff)
			}
		}()
	}
}

// Strings with and without a code in the import's dictionaries, in one column, come out as they went in.
func TestImportKeepsStringsThatItsDictionariesHaveNoRoomFor(t *testing.T) {
	for _, codes := range []int{0, 2000, 1 << 20} {
		for _, spilled := range []int64{0, 1 << 20} {
			lim := testLimits()
			lim.codesBytes, lim.spillBytes = codes, spilled
			s := openStore(t, t.TempDir(), lim)
			tab := s.create("t1", everyKind(schema.Items))
			random := rand.New(rand.NewPCG(uint64(codes), uint64(spilled)))
			body := strings.Builder{}
			body.WriteString("ITEM_ID,TEXT,AGE,BORN,EVENT_VALUE,SCORE,OK\n")
			var want []string
			for i := range 2000 {
				line := fmt.Sprintf("item%d,,%d,,,%d,", i, i%7, i%3)
				if n := random.IntN(200); n > 9 { // some null, some long
					line = fmt.Sprintf("item%d,%s%d,,%d,0.5,%d,true", i, strings.Repeat("x", 1+n%3*80), n, i%5, i%3)
				}
				body.WriteString(line + "\n")
				want = append(want, line)
			}
			s.imp(tab, false, body.String())
			slices.Sort(want)
			if diff := cmp.Diff(want, s.lines(tab, s.Rows)); diff != "" {
				t.Fatalf("%d bytes of codes, %d in memory: %s", codes, spilled, diff)
			}
		}
	}
}
