package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/userset"
)

var watched = Series{Metric: "watches", Source: "mail"}

func one(s Series, window int64, value float64) Count {
	return Count{Series: s, Window: window, Sum: Sum{Events: 1, Value: value}}
}

func (s *testStore) counted(group string, want map[Series]Sums) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.Tally(group)); diff != "" {
		s.t.Errorf("tally (-want +got):\n%s", diff)
	}
}

func TestTheTallyIsTheSameThroughFoldsAndRestarts(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	window := time.Now().Unix() / 900 * 900
	nobody := Series{Metric: "watches"}
	put := func(n int, counts ...Count) {
		t.Helper()
		if err := s.Put(t.Context(), tab, []Row{event("u", fmt.Sprint("i", n), int64(n), "watch")}, counts...); err != nil {
			t.Fatal(err)
		}
	}
	put(1, one(watched, window, 2.5), one(nobody, window, -1))
	put(2, one(watched, window-900, 1))
	put(3) // counts for nothing
	want := map[Series]Sums{
		watched: {Total: Sum{2, 3.5}, Newest: window, Windows: map[int64]Sum{window: {1, 2.5}, window - 900: {1, 1}}},
		nobody:  {Total: Sum{1, -1}, Newest: window, Windows: map[int64]Sum{window: {1, -1}}},
	}
	s.counted("g1", want)
	s.reopen()
	s.counted("g1", want)
	s.foldNow("g1")
	s.counted("g1", want)
	s.reopen()
	s.counted("g1", want)
	put(4, one(watched, window, 1))
	for range 2 { // the second time of the same name counts for nothing
		if err := s.CountImport("g1", "import-1", []Count{one(watched, window, 10)}); err != nil {
			t.Fatal(err)
		}
	}
	want[watched] = Sums{Total: Sum{4, 14.5}, Newest: window, Windows: map[int64]Sum{window: {3, 13.5}, window - 900: {1, 1}}}
	s.counted("g1", want)
	s.reopen()
	if err := s.CountImport("g1", "import-1", []Count{one(watched, window, 10)}); err != nil {
		t.Fatal(err)
	}
	s.counted("g1", want)
	put(5, one(Series{Metric: "other"}, window, 1)) // stands in the log only
	if err := s.ForgetCounts(t.Context(), "g1", func(s Series) bool { return s.Metric == "watches" }); err != nil {
		t.Fatal(err)
	}
	left := map[Series]Sums{{Metric: "other"}: {Total: Sum{1, 1}, Newest: window, Windows: map[int64]Sum{window: {1, 1}}}}
	s.counted("g1", left)
	s.reopen()
	s.counted("g1", left)
	s.lim.now = func() time.Time { return time.Now().Add(tallyAge + time.Hour) }
	s.reopen()
	put(6, one(watched, window+int64(tallyAge/time.Second), 1))
	s.foldNow("g1")
	later := window + int64(tallyAge/time.Second)
	s.counted("g1", map[Series]Sums{watched: {Total: Sum{1, 1}, Newest: later, Windows: map[int64]Sum{later: {1, 1}}}}) // nothing recent of the other one
}

func TestSumsStayNumbers(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	for range 3 {
		if err := s.Put(t.Context(), tab, []Row{event("u", "i", 1, "watch")}, one(watched, time.Now().Unix(), 1.7e308)); err != nil {
			t.Fatal(err)
		}
		s.foldNow("g1")
	}
	s.reopen()
	if total := s.Tally("g1")[watched].Total; total.Events != 3 || total.Value < 1.7e308 {
		t.Errorf("the total is %v", total)
	}
}

func TestAnErasureLeavesNoSumsOfFewEventsAndNoSourceNamedAfterItsUsers(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	window := time.Now().Unix() / 900 * 900
	arn := Series{Metric: "m", Source: "arn:aws:personalize:us-east-1:000000000000:campaign/canary-gone"}
	for n := range tallyLow {
		counts := []Count{one(watched, window, 1), one(arn, window, 1), one(Series{"m", "canary-gone"}, window, 1), one(Series{"m", "mail to canary-gone"}, window, 1)}
		if n == 0 {
			counts = append(counts, one(watched, window-900, 1), one(Series{Metric: "rare"}, window, 1))
		}
		if err := s.Put(t.Context(), tab, []Row{event("canary-gone", "i", int64(n), "watch")}, counts...); err != nil {
			t.Fatal(err)
		}
	}
	s.erase("job", []Table{tab}, "canary-gone")
	if err := s.Sweep(t.Context(), "g1", "job"); err != nil {
		t.Fatal(err)
	}
	enough := map[int64]Sum{window: {tallyLow, tallyLow}}
	want := map[Series]Sums{watched: {Total: Sum{tallyLow + 1, tallyLow + 1}, Newest: window, Windows: enough}, arn: {Total: Sum{tallyLow, tallyLow}, Newest: window, Windows: enough}}
	s.counted("g1", want)
	s.reopen()
	s.counted("g1", want)
	text, err := os.ReadFile(filepath.Join(s.dir, "store/groups/g1/tally", tallyFile))
	if err != nil || strings.Contains(strings.ReplaceAll(string(text), "campaign/canary-gone", ""), "canary-gone") {
		t.Errorf("the file holds the user: %s (%v)", text, err)
	}
	if mentions("us-east-1", userset.New([]string{"east"})) {
		t.Error("a short id is found by chance")
	}
}

func TestSourcesAreLimited(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	admit := func(source string, want bool) {
		t.Helper()
		if s.AdmitSource("g1", source, 2) != want {
			t.Errorf("admitting %s is not %v", source, want)
		}
	}
	admit("a", true)
	if err := s.Put(t.Context(), tab, []Row{event("u", "i", 1, "watch")}, one(Series{"m", "a"}, 0, 1), one(Series{Metric: "m"}, 0, 1)); err != nil {
		t.Fatal(err)
	}
	admit("b", true)
	admit("c", false)
	admit("a", true)
	s.reopen()
	admit("b", true)
	admit("c", false)
}

// Each Put of the child stores a batch, and counts it.
func init() {
	crashWork["count"] = func(t *testing.T, s *testStore) {
		tab := Table{Group: "g1", ID: "t1", Schema: interactionsSchema()}
		for n := range 120 {
			rows := batch(n)
			if err := s.Put(t.Context(), tab, rows, Count{watched, time.Now().Unix() / 900 * 900, Sum{int64(len(rows)), 1}}); err != nil {
				t.Fatal(err)
			}
			if n%40 == 39 {
				if err := s.CountImport("g1", fmt.Sprint("import-", n), []Count{one(Series{Metric: "imports"}, time.Now().Unix()/900*900, 1)}); err != nil {
					t.Fatal(err)
				}
				s.foldNow("g1")
			}
		}
	}
}

func TestWhateverKillsTheProcessARowCountsOnceIfItIsThere(t *testing.T) {
	crashes(t, "count", func(t *testing.T, s *testStore) { s.create("t1", interactionsSchema()) }, func(t *testing.T, s *testStore) {
		tab := Table{Group: "g1", ID: "t1", Schema: interactionsSchema()}
		for range 2 {
			rows := int64(0)
			if err := s.Rows(t.Context(), tab, func(Row) error { rows++; return nil }); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if total := s.Tally("g1")[watched].Total.Events; total != rows {
				t.Errorf("%d rows are there and %d were counted", rows, total)
			}
			for n := 39; n < 120; n += 40 { // whoever repeats an import must not count it again
				if err := s.CountImport("g1", fmt.Sprint("import-", n), []Count{one(Series{Metric: "imports"}, time.Now().Unix()/900*900, 1)}); err != nil {
					t.Fatal(err)
				}
			}
			if total := s.Tally("g1")[Series{Metric: "imports"}].Total.Events; total != 3 {
				t.Errorf("three imports were counted as %d", total)
			}
			s.foldNow("g1")
		}
	})
}
