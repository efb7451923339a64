package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
)

// pausing is an Object that stops in the middle until it is told to go on.
type pausing struct {
	text
	reached, resume chan struct{}
}

func (o pausing) Open(context.Context) (io.ReadCloser, error) {
	half := len(o.body) / 2
	return io.NopCloser(io.MultiReader(strings.NewReader(o.body[:half]), &gate{o: o}, strings.NewReader(o.body[half:]))), nil
}

type gate struct{ o pausing }

func (g *gate) Read([]byte) (int, error) {
	close(g.o.reached)
	<-g.o.resume
	return 0, io.EOF
}

func TestImportInFlightDoesNotBringErasedUsersBack(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	body := crashCSV(50, 40_000)
	o := pausing{text{"a.csv", body}, make(chan struct{}), make(chan struct{})}
	done := make(chan error)
	go func() {
		_, err := s.Import(context.Background(), tab, Import{Job: "slow", Objects: []rowtext.Object{o}})
		done <- err
	}()
	<-o.reached
	if n := s.erase("e1", []Table{tab}, "canary-user-7", "canary-user-8"); n != 0 {
		t.Fatalf("erased %d rows", n)
	}
	close(o.resume)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, line := range sortedLines(body) {
		if !strings.HasPrefix(line, "canary-user-7,") && !strings.HasPrefix(line, "canary-user-8,") {
			want = append(want, line)
		}
	}
	if !cmp.Equal(want, s.lines(tab, s.Rows)) {
		t.Fatal("rows differ from the file without the erased users")
	}
	checkGone(t, s, []string{"canary-user-7", "canary-user-8"})
	s.imp(tab, true, interactionsHeader+"canary-user-7,i,1,,\n") // later data is a new user's
	if got := s.lines(tab, s.Rows); len(got) != len(want)+1 {
		t.Fatalf("%d rows, want %d", len(got), len(want)+1)
	}
}

func TestRowsAfterTheCutStay(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	s.put(tab, event("canary-user-1", "old", 1, ""))
	s.foldNow("g1")
	cut, err := s.Fence(t.Context(), "g1")
	if err != nil {
		t.Fatal(err)
	}
	s.put(tab, event("canary-user-1", "new", 2, ""))
	if err := s.Hide(t.Context(), "g1", "e1", userset.New([]string{"canary-user-1"}), cut); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		removed, err := s.Erase(t.Context(), []Table{tab}, "e1", nil)
		if err != nil || removed["t1"] != 1 {
			t.Fatalf("erase: %v %v", removed, err)
		}
	}
	if err := s.Sweep(t.Context(), "g1", "e1"); err != nil {
		t.Fatal(err)
	}
	if err := s.verify("e1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"canary-user-1,new,2,,"}, s.lines(tab, s.Rows)); diff != "" {
		t.Fatal(diff)
	}
}

func TestHiddenUsersAreUnknownToEveryReadAtOnce(t *testing.T) {
	s := newStore(t)
	tab, users := s.create("t1", interactionsSchema()), s.create("t2", usersSchema())
	s.imp(tab, false, interactionsHeader+"u1,i1,1,,\nu2,i2,2,,\n")
	s.imp(users, false, "USER_ID,AGE,CITY\nu1,1,\nu2,2,\n")
	anonymous := event("s1", "i3", 3, "")
	anonymous.Session = "s1"
	signed := event("u1", "i4", 4, "")
	signed.Session = "s1"
	s.put(tab, anonymous, signed)
	cut, err := s.Fence(t.Context(), "g1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Hide(t.Context(), "g1", "e1", userset.New([]string{"u1"}), cut); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ev, err := s.Events(t.Context(), tab)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"u2 i2  2"}, eventLines(ev)); diff != "" {
			t.Error(diff)
		}
		if _, ok, _ := s.Lookup(t.Context(), users, "u1"); ok {
			t.Error("the user's record is found")
		}
		if got, _ := s.Since("g1", "u1", 0, false); len(got) != 0 {
			t.Errorf("live events: %v", got)
		}
		if c, ok := s.Hidden("g1", "u1"); !ok || c != cut {
			t.Errorf("hidden: %d %v", c, ok)
		}
		if list, c, err := s.HiddenUsers("g1", "e1"); err != nil || c != cut || list.Len() != 1 || !list.Has("u1") {
			t.Errorf("hidden users: %v %d %v", list, c, err)
		}
		if slices.ContainsFunc(s.export(tab, ExportAll), func(l string) bool { return strings.HasPrefix(l, "u1,") }) {
			t.Error("an export holds the user")
		}
		s.reopen()
	}
	if err := s.Unhide(t.Context(), "g1", "e1"); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Hidden("g1", "u1"); ok {
		t.Error("still hidden")
	}
}

func TestWhatAModelDoesNotKnowOfAUser(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	put := func(user, item string) (seq int64) {
		s.put(tab, event(user, item, 1, ""))
		seq, err := s.Fence(t.Context(), "g1")
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	since := func(user string, seq int64, strict bool) string {
		events, known := s.Since("g1", user, seq, strict)
		items := []string{}
		for _, ev := range events {
			items = append(items, ev.Item)
		}
		return fmt.Sprint(items, known)
	}
	check := func(when, user string, seq int64, strict bool, want string) {
		t.Helper()
		if got := since(user, seq, strict); got != want {
			t.Errorf("%s, %s after %d, strict %v: %s, want %s", when, user, seq, strict, got, want)
		}
	}
	trained := put("u1", "i1")
	put("u2", "i2")
	cut := put("u1", "i3")
	check("before", "u1", 0, true, "[i1 i3] true")
	check("before", "u1", trained, false, "[i3] true")
	check("before", "nobody", 0, false, "[] true")
	if err := s.Hide(t.Context(), "g1", "e1", userset.New([]string{"u1"}), cut); err != nil {
		t.Fatal(err)
	}
	late := put("u1", "i4")
	check("hidden", "u1", trained, false, "[i4] false")
	check("hidden", "u1", late, false, "[] false")
	check("hidden", "u2", 0, false, "[i2] true")
	for _, user := range []string{"u1", "u2", "nobody"} {
		check("hidden", user, 0, true, "[] false")
	}
	if _, known := s.Since("g2", "u1", 0, true); !known {
		t.Error("an erasure is strict beyond its group")
	}
	if err := s.Unhide(t.Context(), "g1", "e1"); err != nil {
		t.Fatal(err)
	}
	check("after", "u2", 0, true, "[i2] true")
}

func TestReadersSeeOneStateWhileTheTableChanges(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	body := crashCSV(20, 2000)
	s.imp(tab, false, body)
	before := sortedLines(body)
	first := true
	got := s.lines(tab, func(ctx context.Context, tab Table, yield func(Row) error) error {
		return s.Rows(ctx, tab, func(r Row) error {
			if first {
				first = false
				s.imp(tab, false, interactionsHeader+"x,y,1,,\n")
				s.put(tab, event("z", "y", 2, ""))
				s.foldNow("g1")
			}
			return yield(r)
		})
	})
	if !cmp.Equal(before, got) {
		t.Fatal("the reader did not see the state it began with")
	}
	checkTidy(t, s) // the last reader's leaving has destroyed the old files
}

func TestSweepWaitsForReaders(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	s.imp(tab, false, crashCSV(20, 2000))
	cut, err := s.Fence(t.Context(), "g1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Hide(t.Context(), "g1", "e1", userset.New([]string{"canary-user-1"}), cut); err != nil {
		t.Fatal(err)
	}
	state, err := s.find(tab)
	if err != nil {
		t.Fatal(err)
	}
	reader := state.snapshot()
	if _, err := s.Erase(t.Context(), []Table{tab}, "e1", nil); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Sweep(ctx, "g1", "e1"); err == nil {
		t.Fatal("the sweep ended although a reader holds the old files")
	}
	swept := make(chan error)
	go func() { swept <- s.Sweep(t.Context(), "g1", "e1") }()
	reader.release()
	if err := <-swept; err != nil {
		t.Fatal(err)
	}
	checkGone(t, s, []string{"canary-user-1"})
}

// TestErasuresBesidePutsAndImports runs everything at once and then counts.
func TestErasuresBesidePutsAndImports(t *testing.T) {
	lim := testLimits()
	lim.foldBytes = 2 << 10
	s := openStore(t, t.TempDir(), lim)
	tab := s.create("t1", interactionsSchema())
	var work sync.WaitGroup
	work.Go(func() {
		for i := range 100 {
			if err := s.Put(t.Context(), tab, []Row{event(fmt.Sprint("put-", i), "i", int64(i), "")}); err != nil {
				t.Error(err)
			}
		}
	})
	work.Go(func() {
		for i := range 6 {
			body := interactionsHeader + fmt.Sprintf("bulk-%d,i,1,,\ncanary-user-%d,i,1,,\n", i, i)
			if _, err := s.Import(t.Context(), tab, Import{Job: fmt.Sprint("beside-", i), Incremental: true, Objects: []rowtext.Object{text{"a", body}}}); err != nil {
				t.Error(err)
			}
		}
	})
	work.Go(func() {
		for i := range 6 {
			s.erase(fmt.Sprint("e", i), []Table{tab}, fmt.Sprint("canary-user-", i))
		}
	})
	work.Wait()
	for i := range 6 {
		s.erase(fmt.Sprint("last-", i), []Table{tab}, fmt.Sprint("canary-user-", i))
	}
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprintf("put-%d,i,%d,,", i, i))
	}
	for i := range 6 {
		want = append(want, fmt.Sprintf("bulk-%d,i,1,,", i))
	}
	sortStrings(want)
	if diff := cmp.Diff(want, s.lines(tab, s.Rows)); diff != "" {
		t.Fatal(diff)
	}
	checkGone(t, s, []string{"canary-user-1", "canary-user-5"})
}

// TestVerifyCatchesALeakInEveryKindOfPlace puts one trace of an erased user into each place and expects Verify to find it.
func TestVerifyCatchesALeakInEveryKindOfPlace(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	s.imp(tab, false, crashCSV(20, 500))
	s.put(tab, event("canary-user-3", "i", 1, ""))
	cut, err := s.Fence(t.Context(), "g1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Hide(t.Context(), "g1", "e1", userset.New([]string{"canary-user-3"}), cut); err != nil {
		t.Fatal(err)
	}
	if err := s.verify("e1"); err == nil {
		t.Fatal("verified before the erasure")
	}
	if _, err := s.Erase(t.Context(), []Table{tab}, "e1", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context(), "g1", "e1"); err != nil {
		t.Fatal(err)
	}
	verify := func() error { return s.verify("e1") }
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	group := filepath.Join(s.dir, "store/groups/g1")
	state, err := s.find(tab)
	if err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{
		"notes", "tables/t9/data/x.parquet", "tables/t1/x", "tables/t1/data/x.parquet", "tables/t1/metadata/x.avro", "staging/x/y", "erasing/old/users",
		"erasing/e1/more",
	} {
		path := filepath.Join(group, leak)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := verify(); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("a stray file %s: %v", leak, err)
		}
		os.Remove(path)
		if dir := filepath.Dir(path); strings.Contains(leak, "t9") || strings.HasPrefix(leak, "staging") || strings.Contains(leak, "old") {
			os.RemoveAll(dir)
			if strings.Contains(leak, "t9") {
				os.RemoveAll(filepath.Dir(dir))
			}
		}
	}
	for _, path := range []string{state.files[0].path, filepath.Join(state.metadataDir(), filepath.Base(state.ice.MetadataLocation()))} {
		mutate(t, path, verify, func(data []byte) []byte { return append(data, "canary-user-3"...) })
	}
	mutate(t, state.files[0].path, verify, func([]byte) []byte { return leakingFile(t, state.files[0].rows, cut) })
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	body, err := encodePut("t1", state.layout, []int{0, 1, 2}, []Row{{Values: []schema.Value{str("canary-user-3"), str("i"), num(1)}}})
	if err != nil {
		t.Fatal(err)
	}
	r := &logRequest{kind: putRecord, table: state, body: body, rows: 1, seq: cut}
	g, _ := s.group("g1")
	if err := g.log.append([]*logRequest{r}); err != nil { // behind the writer's back, with an old number
		t.Fatal(err)
	}
	if err := verify(); err == nil || !strings.Contains(err.Error(), "event log") {
		t.Errorf("a leak in the log: %v", err)
	}
}

// mutate changes a file, expects verification to fail, and puts the file back.
func mutate(t *testing.T, path string, verify func() error, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(slices.Clone(data)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := verify(); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a leak in %s: %v", filepath.Base(filepath.Dir(path)), err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// leakingFile is a Parquet file, not written by us, of n rows of the erased user.
func leakingFile(t *testing.T, n, cut int64) []byte {
	type row struct {
		User    string  `parquet:"USER_ID"`
		Seq     int64   `parquet:"_seq"`
		Session *string `parquet:"_session,optional"`
	}
	var out strings.Builder
	w := parquet.NewGenericWriter[row](&out, parquet.Compression(&parquet.Zstd))
	for range n {
		if _, err := w.Write([]row{{User: "canary-user-3", Seq: cut}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return []byte(out.String())
}

func TestDroppedTableLeavesNothing(t *testing.T) {
	s := newStore(t)
	tab, other := s.create("t1", interactionsSchema()), s.create("t2", usersSchema())
	s.imp(tab, false, crashCSV(20, 500))
	s.put(tab, event("canary-user-99", "i", 1, ""))
	s.put(other, Row{Values: []schema.Value{str("u"), num(1), {}}})
	for range 2 {
		if err := s.DropTable(t.Context(), tab); err != nil {
			t.Fatal(err)
		}
	}
	checkGone(t, s, []string{"canary-user-1", "canary-user-99"})
	if got, _ := s.Since("g1", "canary-user-99", 0, false); len(got) != 0 {
		t.Errorf("live events of a dropped table: %v", got)
	}
	s.reopen()
	if diff := cmp.Diff([]string{"u,1,"}, s.lines(other, s.Rows)); diff != "" {
		t.Fatal(diff)
	}
	for range 2 {
		if err := s.DropGroup(t.Context(), "g1"); err != nil {
			t.Fatal(err)
		}
	}
	if left := s.files(); len(left) != 0 {
		t.Fatalf("files left: %v", left)
	}
}

func TestMovedStoreStillOpens(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	s.imp(tab, false, crashCSV(20, 500))
	want := s.lines(tab, s.Rows)
	s.stop()
	moved := openStore(t, copyStore(t, s.dir), testLimits())
	if err := os.RemoveAll(filepath.Join(s.dir, "store")); err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(want, moved.lines(tab, moved.Rows)) {
		t.Fatal("rows differ")
	}
	moved.imp(tab, true, interactionsHeader+"u,i,1,,\n")
	if n := moved.erase("e1", []Table{tab}, "canary-user-1"); n == 0 {
		t.Fatal("nothing erased")
	}
}

func TestTheProgressOfAnErasureEndsWithAllRowsAndBuckets(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	for i := range 3 { // of which the files of a bucket make one step only together
		for u := range 40 {
			s.put(tab, event(fmt.Sprintf("canary-user-%d", u), "item", int64(100*i+u+1), ""))
		}
		s.foldNow("g1")
	}
	cut, err := s.Fence(t.Context(), "g1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Hide(t.Context(), "g1", "e1", userset.New([]string{"canary-user-1"}), cut); err != nil {
		t.Fatal(err)
	}
	var last ErasureProgress
	if _, err := s.Erase(t.Context(), []Table{tab}, "e1", func(p ErasureProgress) {
		if p.Rows < last.Rows || p.Buckets < last.Buckets || p.Buckets > p.TotalBuckets {
			t.Errorf("%+v after %+v", p, last)
		}
		last = p
	}); err != nil {
		t.Fatal(err)
	}
	if last.Rows != 120 || last.TotalRows != 120 || last.TotalBuckets == 0 || last.Buckets != last.TotalBuckets {
		t.Fatalf("ended with %+v", last)
	}
}

// A superseded file that is being destroyed is in no list any more and half overwritten: verification must not meet it.
func TestNothingIsDestroyedWhileVerificationLooks(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	state, err := s.find(tab)
	if err != nil {
		t.Fatal(err)
	}
	looked, done := make(chan bool, 1), make(chan error, 1)
	state.reaping.Lock() // as who destroys
	go func() {
		known, err := s.StillTable("g1", "t1", func([]string) error {
			looked <- true
			if state.reaping.TryLock() {
				state.reaping.Unlock()
				return errors.New("files may be destroyed while it looks")
			}
			return nil
		})
		if err == nil && !known {
			err = errors.New("the table is not known")
		}
		done <- err
	}()
	for len(looked) == 0 && state.write.TryLock() { // until StillTable holds it, or is already past it
		state.write.Unlock()
		runtime.Gosched()
	}
	select {
	case <-looked:
		t.Error("it looks while a file is being destroyed")
	default:
	}
	state.reaping.Unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
