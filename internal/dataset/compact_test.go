package dataset

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// fragment gives a table bulk and streamed rows in many small files, and returns the lines of all rows.
func fragment(s *testStore, tab Table, times int) (lines []string) {
	for n := range times {
		body := fragmentCSV(n)
		s.imp(tab, n > 0, body)
		lines = append(lines, sortedLines(body)...)
		var rows []Row
		for i := range 20 {
			r := event(fmt.Sprint("canary-user-", (n+i)%50), fmt.Sprint("item-", i), int64(1000+n), "view")
			r.Session, r.EventID = fmt.Sprint("canary-session-", i%7), fmt.Sprint("event-", n, "-", i)
			rows = append(rows, r)
			lines = append(lines, fmt.Sprintf("%s,%s,%d,view,", r.Values[0].Str, r.Values[1].Str, 1000+n))
		}
		s.put(tab, rows...)
		s.foldNow("g1")
	}
	slices.Sort(lines)
	return lines
}

func fragmentCSV(n int) string {
	var b strings.Builder
	b.WriteString(interactionsHeader)
	for i := range 60 {
		fmt.Fprintf(&b, "canary-user-%d,item-%d,%d,click,%d\n", (i*7+n)%50, i%11, n, i%5)
	}
	return b.String()
}

// mostFiles is the largest number of files that a bucket of the table has of one source.
func (s *testStore) mostFiles(tab Table) (most int) {
	s.t.Helper()
	state, err := s.find(tab)
	if err != nil {
		s.t.Fatal(err)
	}
	state.mu.Lock()
	defer state.mu.Unlock()
	count := make(map[string]int)
	for _, f := range state.files {
		key := fmt.Sprint(f.source, f.bucket)
		count[key]++
		most = max(most, count[key])
	}
	return most
}

// view is all that can be read of a table, with sequence numbers, sessions and eventIds.
func (s *testStore) view(tab Table) (out []string) {
	s.t.Helper()
	if err := s.Rows(s.t.Context(), tab, func(r Row) error {
		out = append(out, fmt.Sprint(string(rowtext.AppendCSVRow(nil, tab.Schema, r.Values)), r.Source, r.Seq, r.Session, r.EventID))
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(out)
	for mode := range ExportAll + 1 {
		out = append(out, s.export(tab, mode)...)
	}
	ev, err := s.Events(s.t.Context(), tab)
	if err != nil {
		s.t.Fatal(err)
	}
	return append(out, eventLines(ev)...)
}

func TestCompactionChangesNoRow(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	fragment(s, tab, 9)
	before, files := s.view(tab), s.mostFiles(tab)
	s.compactNow("g1")
	if now := s.mostFiles(tab); files < 9 || now >= testLimits().mergeFiles {
		t.Errorf("%d files in a bucket before, %d after", files, now)
	}
	for _, step := range []func(){func() {}, s.reopen, func() { s.compactNow("g1") }} {
		step()
		if diff := cmp.Diff(before, s.view(tab)); diff != "" {
			t.Fatal(diff)
		}
		checkTidy(t, s)
	}
}

func TestWhatIsMergedAtRest(t *testing.T) {
	const k = 1 << 10
	for _, c := range []struct {
		sizes []int64
		want  int
	}{
		{nil, 0},
		{[]int64{1}, 0},
		{[]int64{1, 1}, 2},
		{[]int64{1 * k, 127 * k}, 2}, // all are alike that are smaller than what opening a file costs
		{[]int64{1 * k, 129 * k}, 0},
		{[]int64{100 * k, 399 * k}, 2},
		{[]int64{100 * k, 400 * k}, 0},
		{[]int64{100 * k, 400 * k, 1999 * k}, 3},
		{[]int64{100 * k, 400 * k, 2000 * k}, 0},
		{[]int64{100 * k, 399 * k, 2000 * k}, 2}, // the largest stays
	} {
		var files []*dataFile
		for _, size := range c.sizes {
			files = append(files, &dataFile{size: size})
		}
		if n := unsettled(files); n != c.want {
			t.Errorf("of %d the %d smallest are merged, want %d", c.sizes, n, c.want)
		}
	}
}

func TestATableAtRestIsCompactedFurther(t *testing.T) {
	lim := testLimits()
	lim.mergeFiles, lim.restAge, lim.noCompact = 100, 10*time.Millisecond, false
	s := openStore(t, t.TempDir(), lim)
	tab := s.create("t1", interactionsSchema())
	want := fragment(s, tab, 4)
	state, err := s.find(tab)
	if err != nil {
		t.Fatal(err)
	}
	for {
		state.mu.Lock()
		released := state.unpinned // by the next compaction, too
		state.mu.Unlock()
		if s.mostFiles(tab) == 1 {
			break
		}
		select {
		case <-released:
		case <-time.After(time.Minute):
			t.Fatal("the table is at rest and has several files in a bucket")
		}
	}
	if diff := cmp.Diff(want, s.lines(tab, s.Rows)); diff != "" {
		t.Fatal(diff)
	}
}

func TestCompactionMergesFilesWithAndWithoutANewColumn(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	fragment(s, tab, 2)
	wider := tab
	wider.Schema = interactionsSchema()
	wider.Schema.Fields = append(wider.Schema.Fields, schema.Field{Name: "DEVICE", Nullable: true}, schema.Field{Name: "COUNT", Kind: schema.Int, Nullable: true},
		schema.Field{Name: "SCORE", Kind: schema.Double, Nullable: true}, schema.Field{Name: "NEW", Kind: schema.Boolean, Nullable: true})
	if err := s.AlterTable(t.Context(), wider); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		s.imp(wider, true, fmt.Sprintf("USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE,DEVICE,COUNT,SCORE,NEW\n"+
			"canary-user-%d,item-1,7,click,,phone,%d,2.5,true\ncanary-user-%d,item-2,7,click,,,,,\n", n, n, n))
	}
	before := s.view(wider)
	s.compactNow("g1")
	if diff := cmp.Diff(before, s.view(wider)); diff != "" {
		t.Fatal(diff)
	}
}

// TestWhatCompactionReadMayLeaveTheTable stops between the reading and the commit of a compaction and changes the table there.
func TestWhatCompactionReadMayLeaveTheTable(t *testing.T) {
	for name, change := range map[string]func(s *testStore, tab Table){
		"a FULL import": func(s *testStore, tab Table) { s.imp(tab, false, fragmentCSV(77)) },
		"an erasure":    func(s *testStore, tab Table) { s.erase("e1", []Table{tab}, "canary-user-3", "canary-user-4") },
		"an import":     func(s *testStore, tab Table) { s.imp(tab, true, fragmentCSV(78)) },
		"a compaction":  func(s *testStore, tab Table) { s.compactNow("g1") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			tab := s.create("t1", interactionsSchema())
			fragment(s, tab, 5)
			state, err := s.find(tab)
			if err != nil {
				t.Fatal(err)
			}
			due, l, release := state.dueMergers()
			dir, err := state.g.stage()
			if err != nil {
				t.Fatal(err)
			}
			for i := range due {
				if due[i].out, err = mergeFiles(t.Context(), dir, l, due[i].in); err != nil {
					t.Fatal(err)
				}
			}
			release()
			change(s, tab)
			before := s.view(tab)
			if err := state.commitMergers(t.Context(), due); err != nil {
				t.Fatal(err)
			}
			if err := state.g.unstage(dir); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, s.view(tab)); diff != "" {
				t.Fatal(diff)
			}
			s.reopen()
			if diff := cmp.Diff(before, s.view(tab)); diff != "" {
				t.Fatal(diff)
			}
			checkTidy(t, s)
		})
	}
}

func TestAPausedCompactionDoesNotBegin(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	fragment(s, tab, 4)
	state, err := s.find(tab)
	if err != nil {
		t.Fatal(err)
	}
	before := s.mostFiles(tab)
	first, second := state.pauseCompaction(), state.pauseCompaction()
	s.compactNow("g1")
	first()
	s.compactNow("g1")
	if now := s.mostFiles(tab); now != before {
		t.Fatalf("%d files became %d", before, now)
	}
	second()
	s.compactNow("g1")
	if now := s.mostFiles(tab); now >= before {
		t.Fatalf("%d files are still %d", before, now)
	}
}

// TestEverythingBesideCompaction lets the background work while rows come, go and are read.
func TestEverythingBesideCompaction(t *testing.T) {
	lim := testLimits()
	lim.noCompact = false
	s := openStore(t, t.TempDir(), lim)
	tab := s.create("t1", interactionsSchema())
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Export(ctx, tab, ExportAll, nil, func(_ int, r io.Reader) error {
					_, err := io.Copy(io.Discard, r)
					return err
				}); err != nil && ctx.Err() == nil {
					t.Error("export: ", err)
				}
				if _, err := s.Events(ctx, tab); err != nil && ctx.Err() == nil {
					t.Error("read events: ", err)
				}
			}
		})
	}
	want := fragment(s, tab, 5)
	n := s.erase("e1", []Table{tab}, "canary-user-3", "canary-user-4")
	kept := slices.DeleteFunc(slices.Clone(want), func(line string) bool {
		return strings.HasPrefix(line, "canary-user-3,") || strings.HasPrefix(line, "canary-user-4,")
	})
	want = append(kept, fragmentAgain(s, tab)...)
	slices.Sort(want)
	stop()
	readers.Wait()
	if n == 0 {
		t.Error("nothing was erased")
	}
	s.reopen() // waits for the background
	s.compactNow("g1")
	if diff := cmp.Diff(want, s.lines(tab, s.Rows)); diff != "" {
		t.Error(diff)
	}
	state, err := s.find(tab)
	if err != nil {
		t.Fatal(err)
	}
	defer state.pauseCompaction()()
	checkTidy(t, s)
}

// fragmentAgain adds more small files.
func fragmentAgain(s *testStore, tab Table) (lines []string) {
	for n := 100; n < 103; n++ {
		s.imp(tab, true, fragmentCSV(n))
		lines = append(lines, sortedLines(fragmentCSV(n))...)
	}
	return lines
}

func TestKilledCompactionLosesAndDoublesNothing(t *testing.T) {
	tab := Table{Group: "g1", ID: "t1", Schema: interactionsSchema()}
	var before []string
	crashes(t, "compact", func(t *testing.T, s *testStore) {
		tab = s.create("t1", interactionsSchema())
		fragment(s, tab, 4)
		before = s.view(tab)
	}, func(t *testing.T, s *testStore) {
		for range 2 {
			if diff := cmp.Diff(before, s.view(tab)); diff != "" {
				t.Fatal(diff)
			}
			checkTidy(t, s)
			s.compactNow("g1")
		}
	})
}
