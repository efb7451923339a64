package dataset

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// logged fills the log of a store with one frame for each of n puts and returns the segment's path and bytes.
func logged(t *testing.T, s *testStore, n int) (path string, data []byte) {
	t.Helper()
	tab := s.create("t1", interactionsSchema())
	for i := range n {
		s.put(tab, event(fmt.Sprint("user-", i), "item", int64(i), "view"))
	}
	s.stop()
	names, err := filepath.Glob(filepath.Join(s.dir, "store/groups/g1/log/*.log"))
	if err != nil || len(names) != 1 {
		t.Fatalf("segments: %v %v", names, err)
	}
	data, err = os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	return names[0], data
}

func TestTornTailIsDroppedWhateverIsLeftOfIt(t *testing.T) {
	s := newStore(t)
	path, data := logged(t, s, 3)
	end := lastFrame(t, data)
	from := copyStore(t, s.dir)
	for cut := end; cut < len(data); cut += 7 {
		for _, tail := range [][]byte{nil, make([]byte, len(data)-cut), bytes.Repeat([]byte{0xa5}, 16)} {
			c := openTorn(t, from, path, append(bytes.Clone(data[:cut]), tail...))
			if n := len(c.lines(Table{Group: "g1", ID: "t1", Schema: interactionsSchema()}, c.Rows)); n != 2 {
				t.Fatalf("cut at %d: %d rows, want 2", cut, n)
			}
			c.reopen()
			c.stop()
		}
	}
}

// lastFrame returns where the last frame of a segment begins.
func lastFrame(t *testing.T, data []byte) (at int) {
	t.Helper()
	for next := segmentHeader; next < len(data); {
		f, err := parseFrame(data[next:])
		if err != nil {
			t.Fatal(err)
		}
		at = next
		next += frameHeader + len(f.payload)
	}
	return at
}

// openTorn opens a copy of a store whose segment has other bytes.
func openTorn(t *testing.T, from, segment string, data []byte) *testStore {
	t.Helper()
	dir := copyStore(t, from)
	if err := os.WriteFile(filepath.Join(dir, "store/groups/g1/log", filepath.Base(segment)), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return openStore(t, dir, testLimits())
}

func TestDamageInTheMiddleRefusesToOpenAndNamesFileAndOffset(t *testing.T) {
	s := newStore(t)
	path, data := logged(t, s, 3)
	last := lastFrame(t, data)
	for at := 0; at < last; at += 5 {
		bad := bytes.Clone(data)
		bad[at] ^= 0x10
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "meta.db"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = open(filepath.Join(s.dir, "store"), db, slog.New(slog.NewTextHandler(io.Discard, nil)), testLimits())
		db.Close()
		if err == nil {
			t.Fatalf("a flipped bit at %d went unnoticed", at)
		}
		if !strings.Contains(err.Error(), filepath.Base(path)) || !strings.Contains(err.Error(), "offset") {
			t.Fatalf("the error names neither file nor offset: %v", err)
		}
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
}

func TestConcurrentPutsAreAllStoredOnce(t *testing.T) {
	lim := testLimits()
	lim.foldBytes = 4 << 10 // folds run beside the puts
	s := openStore(t, t.TempDir(), lim)
	tab := s.create("t1", interactionsSchema())
	const writers, puts = 8, 60
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for i := range puts {
				err := s.Put(t.Context(), tab, []Row{event(fmt.Sprint("u", w), fmt.Sprint("i", i), int64(i), "")})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
	var want []string
	for w := range writers {
		for i := range puts {
			want = append(want, fmt.Sprintf("u%d,i%d,%d,,", w, i, i))
		}
	}
	sortStrings(want)
	if diff := cmp.Diff(want, s.lines(tab, s.Rows)); diff != "" {
		t.Fatal(diff)
	}
	s.foldNow("g1")
	s.reopen()
	if diff := cmp.Diff(want, s.lines(tab, s.Rows)); diff != "" {
		t.Fatal(diff)
	}
}

func TestPutsThatComeTogetherShareSyncs(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	const writers, puts = 8, 60
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for i := range puts {
				if err := s.Put(t.Context(), tab, []Row{event(fmt.Sprint("u", w), "i", int64(i), "")}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	s.stop()
	names, err := filepath.Glob(filepath.Join(s.dir, "store/groups/g1/log/*.log"))
	if err != nil || len(names) != 1 {
		t.Fatalf("segments: %v %v", names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	frames := 0
	for at := segmentHeader; at < len(data); frames++ {
		f, err := parseFrame(data[at:])
		if err != nil {
			t.Fatal(err)
		}
		at += frameHeader + len(f.payload)
	}
	if frames > writers*puts/3 {
		t.Errorf("%d puts of %d callers at a time took %d syncs", writers*puts, writers, frames)
	}
}

func TestNumbersDoNotGoBackAfterAFence(t *testing.T) {
	s := newStore(t)
	s.create("t1", interactionsSchema())
	last := int64(0)
	for range 4 {
		cut, err := s.Fence(t.Context(), "g1")
		if err != nil {
			t.Fatal(err)
		}
		if cut <= last {
			t.Fatalf("fence %d after fence %d", cut, last)
		}
		last = cut
		s.foldNow("g1") // the segment with the fence goes
		s.reopen()
	}
}

func TestPutIsRefusedWhileTooMuchWaitsToBeFolded(t *testing.T) {
	lim := testLimits()
	lim.logBytes = 200
	s := openStore(t, t.TempDir(), lim)
	tab := s.create("t1", interactionsSchema())
	var err error
	for i := 0; err == nil && i < 100; i++ {
		err = s.Put(t.Context(), tab, []Row{event("u", "i", int64(i), "")})
	}
	if !errors.Is(err, ErrBusy) {
		t.Fatalf("error %v, want ErrBusy", err)
	}
	s.foldNow("g1")
	s.put(tab, event("u", "i", 1000, ""))
}

func TestPutRefusesRowsWithoutKey(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	if err := s.Put(t.Context(), tab, []Row{event("", "i", 1, "")}); err == nil {
		t.Fatal("a row without a user was stored")
	}
	if err := s.Put(t.Context(), Table{Group: "g1", ID: "other", Schema: tab.Schema}, []Row{event("u", "i", 1, "")}); !errors.Is(err, ErrNoTable) {
		t.Fatalf("put into a table that does not exist: %v", err)
	}
}

// A directory stands where the segment would lose its name to, so the destruction fails before its first byte.
func TestSegmentLosesItsNameBeforeItIsOverwritten(t *testing.T) {
	s := newStore(t)
	path, data := logged(t, s, 3)
	s.start()
	inTheWay := filepath.Join(filepath.Dir(path), ".tmp-"+filepath.Base(path))
	if err := os.MkdirAll(filepath.Join(inTheWay, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	g, _ := s.group("g1")
	if err := g.fold(t.Context()); err == nil {
		t.Fatal("the segment was destroyed under its own name")
	}
	if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, data) {
		t.Fatalf("the segment is not what it was: %v", err)
	}
	if err := os.RemoveAll(inTheWay); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	if n := len(s.lines(Table{Group: "g1", ID: "t1", Schema: interactionsSchema()}, s.Rows)); n != 3 {
		t.Fatalf("%d rows, want 3", n)
	}
}

func TestHalfDestroyedSegmentsAndGroupsAreNoObstacleToAStart(t *testing.T) {
	s := newStore(t)
	path, data := logged(t, s, 3)
	segment := filepath.Join(filepath.Dir(path), ".tmp-"+filepath.Base(path))
	dropped := filepath.Join(s.dir, "store/groups", droppedPrefix+"g2", "log", filepath.Base(path))
	if err := os.MkdirAll(filepath.Dir(dropped), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, half := range []string{segment, dropped} {
		if err := os.WriteFile(half, append(make([]byte, 64), data[64:]...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	for _, path := range s.files() {
		if strings.Contains(path, ".tmp-") || strings.Contains(path, droppedPrefix) {
			t.Errorf("%s is left", path)
		}
	}
}

func TestDroppedGroupLeavesNothingAndLosesItsNameFirst(t *testing.T) {
	s := newStore(t)
	path, data := logged(t, s, 3)
	s.start()
	inTheWay := filepath.Join(s.dir, "store/groups", droppedPrefix+"g1", "x")
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.DropGroup(t.Context(), "g1"); err == nil {
		t.Fatal("the group was destroyed under its own name")
	}
	if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, data) {
		t.Fatalf("its log is not what it was: %v", err)
	}
	s.reopen()
	for range 2 {
		if err := s.DropGroup(t.Context(), "g1"); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, "store/groups")); len(left) > 0 || err != nil {
		t.Fatalf("left: %v, %v", left, err)
	}
}
