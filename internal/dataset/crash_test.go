package dataset

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
	"github.com/palate-dev/palate/test/seeds"
)

// The crash tests run this test binary again as a child, kill it at a random moment, open what it has left, and let the work be repeated.

const (
	childEnv  = "PALATE_DATASET_CHILD" // what the child does
	childDir  = "PALATE_DATASET_DIR"   // on which store
	crashRuns = 10
)

var crashWork = map[string]func(t *testing.T, s *testStore){
	"put": func(t *testing.T, s *testStore) {
		tab := Table{Group: "g1", ID: "t1", Schema: interactionsSchema()}
		for n := 0; ; n++ {
			s.put(tab, batch(n)...)
			fmt.Println("ack", n)
		}
	},
	"adopt":   crashAdopt,
	"import":  func(t *testing.T, s *testStore) { crashImport(t, s) },
	"erase":   func(t *testing.T, s *testStore) { crashErase(t, s) },
	"compact": func(t *testing.T, s *testStore) { s.compactNow("g1") },
}

func TestCrashChild(t *testing.T) {
	work, ok := crashWork[os.Getenv(childEnv)]
	if !ok {
		t.Skip("only as a child of the crash tests")
	}
	lim := testLimits()
	lim.foldBytes = 2 << 10 // folds happen all the time
	s := openStore(t, os.Getenv(childDir), lim)
	fmt.Println("ready")
	work(t, s)
	fmt.Println("done")
}

// child is a running child whose output is read line by line.
type child struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

func startChild(t *testing.T, work, dir string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), childEnv+"="+work, childDir+"="+dir)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, out: bufio.NewScanner(pipe)}
	if c.next() != "ready" {
		rest, _ := io.ReadAll(pipe)
		t.Fatalf("child did not start: %s", rest)
	}
	return c
}

// passed runs a child that writes down which crash points it comes by, until it ends or done says so, and returns up to three hits of each as plans.
func passed(t *testing.T, work, dir string, done func(line string) bool) (plans []string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "passed")
	t.Setenv("PALATE_CRASH_LOG", log)
	c := startChild(t, work, dir)
	os.Unsetenv("PALATE_CRASH_LOG")
	for line := c.next(); !done(line); line = c.next() {
		if line == "" {
			t.Fatal("child failed")
		}
	}
	c.kill()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	hits := map[string]int{}
	for point := range strings.Lines(string(text)) {
		point = strings.TrimSpace(point)
		if hits[point]++; hits[point] <= 3 {
			plans = append(plans, fmt.Sprintf("%s:%d", point, hits[point]))
		}
	}
	slices.Sort(plans)
	return plans
}

// planned runs a child that ends itself at a point, and returns what it said. It may come by there while the store is being opened.
func planned(t *testing.T, work, dir, plan string) (lines []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), childEnv+"="+work, childDir+"="+dir, "PALATE_CRASH="+plan)
	out, err := cmd.Output()
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) || exit.ExitCode() != -1 { // by a signal
		t.Fatalf("%s: the child did not come by there: %v\n%s", plan, err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// some of the plans always, all in the release gate.
func some(t *testing.T, plans []string, r *rand.Rand) []string {
	n := min(seeds.Rounds(t, 2, len(plans)), len(plans))
	r.Shuffle(len(plans), func(i, j int) { plans[i], plans[j] = plans[j], plans[i] })
	return plans[:n]
}

// next returns the next line, "" at the end.
func (c *child) next() string {
	if c.out.Scan() {
		return c.out.Text()
	}
	return ""
}

func (c *child) kill() {
	c.cmd.Process.Kill()
	for c.next() != "" {
	}
	c.cmd.Wait()
}

// crashes runs a piece of work on copies of a store, each killed at a random moment, and checks each.
func crashes(t *testing.T, work string, prepare, check func(t *testing.T, s *testStore)) {
	if testing.Short() {
		t.Skip("kills processes")
	}
	random := seeds.Random(t)
	from := t.TempDir()
	s := openStore(t, from, testLimits())
	prepare(t, s)
	s.stop()

	whole := copyStore(t, from) // how long does it take if nobody kills it?
	c := startChild(t, work, whole)
	start := time.Now()
	for line := c.next(); line != "done"; line = c.next() {
		if line == "" {
			t.Fatal("child failed")
		}
	}
	took := time.Since(start)
	c.kill()
	plans := passed(t, work, copyStore(t, from), func(line string) bool { return line == "done" })
	for _, plan := range some(t, plans, random) {
		t.Logf("PALATE_CRASH=%s", plan)
		dir := copyStore(t, from)
		planned(t, work, dir, plan)
		s := openStore(t, dir, testLimits())
		check(t, s)
		s.stop()
	}

	for range crashRuns {
		dir := copyStore(t, from)
		c := startChild(t, work, dir)
		time.Sleep(time.Duration(random.Int64N(int64(took)))) // the moment of the kill is what is random, nothing is waited for
		c.kill()
		s := openStore(t, dir, testLimits())
		check(t, s)
		s.stop()
	}
}

func copyStore(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), strconv.Itoa(rand.Int()))
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// batch is what one Put of the crash test stores: three rows that belong together.
func batch(n int) (rows []Row) {
	for i := range 3 {
		rows = append(rows, event(fmt.Sprint("user-", n%50), fmt.Sprint("item-", i), int64(n), "view"))
	}
	return rows
}

func TestKilledPutLosesNothingAcknowledgedAndHalvesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes")
	}
	random := seeds.Random(t)
	for range crashRuns {
		s := openStore(t, t.TempDir(), testLimits())
		tab := s.create("t1", interactionsSchema())
		s.stop()
		c := startChild(t, "put", s.dir)
		var lines []string
		for range random.IntN(300) {
			lines = append(lines, c.next())
		}
		c.cmd.Process.Kill()
		for line := c.next(); line != ""; line = c.next() {
			lines = append(lines, line)
		}
		c.cmd.Wait()
		checkPuts(t, s, tab, lines)
	}
	whole := openStore(t, t.TempDir(), testLimits())
	whole.create("t1", interactionsSchema())
	whole.stop()
	plans := passed(t, "put", whole.dir, func(line string) bool { return line == "ack 300" })
	for _, plan := range some(t, plans, random) {
		t.Logf("PALATE_CRASH=%s", plan)
		s := openStore(t, t.TempDir(), testLimits())
		tab := s.create("t1", interactionsSchema())
		s.stop()
		checkPuts(t, s, tab, planned(t, "put", s.dir, plan))
	}
}

// checkPuts compares what a killed child has left with what it had said.
func checkPuts(t *testing.T, s *testStore, tab Table, lines []string) {
	t.Helper()
	acked := -1
	for _, line := range lines {
		if n, err := strconv.Atoi(strings.TrimPrefix(line, "ack ")); err == nil {
			acked = n
		}
	}
	s.start()
	defer s.stop()
	got := s.lines(tab, s.Rows)
	if stored := len(got) / 3; stored < acked+1 || stored > acked+2 {
		t.Fatalf("%d puts acknowledged, %d stored", acked+1, stored)
	}
	var want []string
	for n := range len(got) / 3 {
		for _, r := range batch(n) {
			want = append(want, fmt.Sprintf("%s,%s,%d,view,", r.Values[0].Str, r.Values[1].Str, n))
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	s.foldNow("g1")
	if diff := cmp.Diff(want, s.lines(tab, s.Rows)); diff != "" {
		t.Fatalf("after a fold: %s", diff)
	}
}

func crashCSV(users, rows int) string {
	var b strings.Builder
	b.WriteString(interactionsHeader)
	for i := range rows {
		fmt.Fprintf(&b, "canary-user-%d,item-%d,%d,view,%d\n", i*7919%users, i%101, i, i%5)
	}
	return b.String()
}

func crashImport(t *testing.T, s *testStore) {
	tab := Table{Group: "g1", ID: "t1", Schema: interactionsSchema()}
	n, err := s.Import(t.Context(), tab, Import{Job: "again", Objects: []rowtext.Object{text{"b.csv", crashCSV(300, 20_000)}}})
	if err != nil || n != 20_000 {
		t.Fatalf("import: %d, %v", n, err)
	}
}

func TestKilledImportIsAllOrNothingAndCanBeRepeated(t *testing.T) {
	tab := Table{Group: "g1", ID: "t1", Schema: interactionsSchema()}
	before := append(sortedLines(crashCSV(100, 3000)), "streamed,i,1,view,")
	after := append(sortedLines(crashCSV(300, 20_000)), "streamed,i,1,view,")
	slices.Sort(before)
	slices.Sort(after)
	crashes(t, "import", func(t *testing.T, s *testStore) {
		tab = s.create("t1", interactionsSchema())
		s.imp(tab, false, crashCSV(100, 3000))
		s.put(tab, event("streamed", "i", 1, "view"))
	}, func(t *testing.T, s *testStore) {
		if got := s.lines(tab, s.Rows); !cmp.Equal(got, before) && !cmp.Equal(got, after) {
			t.Fatalf("%d rows, neither those before nor those after the import", len(got))
		}
		crashImport(t, s)
		if got := s.lines(tab, s.Rows); !cmp.Equal(got, after) {
			t.Fatalf("%d rows after the repeated import, want %d", len(got), len(after))
		}
		checkTidy(t, s)
	})
}

// checkTidy fails if the store holds a file that no table needs.
func checkTidy(t *testing.T, s *testStore) {
	t.Helper()
	for _, path := range s.files() {
		if strings.Contains(path, "/staging/") || strings.Contains(path, ".tmp-") {
			t.Errorf("%s is left", path)
		}
	}
	g, _ := s.group("g1")
	for _, tab := range g.allTables() {
		entries, err := os.ReadDir(tab.dataDir())
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != len(tab.files) {
			t.Errorf("%d data files, the table has %d", len(entries), len(tab.files))
		}
	}
}

// erasedUsers are every seventh of the hundred.
func erasedUsers() (users []string) {
	for i := 0; i < 100; i += 7 {
		users = append(users, fmt.Sprint("canary-user-", i))
	}
	return users
}

func crashErase(t *testing.T, s *testStore) map[string]int64 {
	tables := []Table{{Group: "g1", ID: "t1", Schema: interactionsSchema()}, {Group: "g1", ID: "t2", Schema: usersSchema()}}
	removed, err := s.Erase(t.Context(), tables, "e1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context(), "g1", "e1"); err != nil {
		t.Fatal(err)
	}
	if err := s.verify("e1"); err != nil {
		t.Fatal(err)
	}
	return removed
}

func TestKilledErasureRemovesTheSameRowsInTheEnd(t *testing.T) {
	tab := Table{Group: "g1", ID: "t1", Schema: interactionsSchema()}
	gone := make(map[string]bool)
	for _, u := range erasedUsers() {
		gone[u] = true
	}
	var kept []string
	all := sortedLines(crashCSV(100, 20_000))
	for _, line := range all {
		if user, _, _ := strings.Cut(line, ","); !gone[user] {
			kept = append(kept, line)
		}
	}
	crashes(t, "erase", func(t *testing.T, s *testStore) {
		s.create("t1", interactionsSchema())
		users := s.create("t2", usersSchema())
		s.imp(tab, false, crashCSV(100, 20_000))
		for i := range 100 {
			s.put(users, Row{Values: []schema.Value{str(fmt.Sprint("canary-user-", i)), num(int64(i)), {}}})
		}
		session := event("canary-session", "i", 1, "view")
		session.Session = "canary-session"
		signed := event("canary-user-7", "i", 2, "view")
		signed.Session = "canary-session"
		s.put(tab, session, signed)
		cut, err := s.Fence(t.Context(), "g1")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Hide(t.Context(), "g1", "e1", userset.New(erasedUsers()), cut); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, s *testStore) {
		want := map[string]int64{"t1": int64(len(all) - len(kept) + 2), "t2": 15}
		for range 2 {
			if diff := cmp.Diff(want, crashErase(t, s)); diff != "" {
				t.Fatalf("removed rows: %s", diff)
			}
			s.reopen()
		}
		if err := s.Unhide(t.Context(), "g1", "e1"); err != nil {
			t.Fatal(err)
		}
		if got := s.lines(tab, s.Rows); !cmp.Equal(kept, got) {
			t.Fatalf("%d rows left, want %d", len(got), len(kept))
		}
		checkGone(t, s, append(erasedUsers(), "canary-session"))
		checkTidy(t, s)
	})
}
