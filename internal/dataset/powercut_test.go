package dataset

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
	"github.com/palate-dev/palate/test/faultdisk"
	"github.com/palate-dev/palate/test/seeds"
)

// A random history of puts, imports, folds and erasures on a disk whose power fails at random moments, also while the store is being opened again. After
// each failure the store holds what was acknowledged, and of what was under way all or nothing; what a job had begun is repeated as the queue would.
func TestAPowerCutLosesNothingAcknowledgedAndHalvesNothing(t *testing.T) {
	seeds.Each(t, 8, 10_000, func(t *testing.T, r *rand.Rand) {
		h := &powerHistory{t: t, r: r, disk: faultdisk.New(t)}
		defer func() { h.s.stop() }()
		h.s = &testStore{t: t, dir: h.disk.Dir, lim: testLimits()}
		h.s.lim.now = restless(r.Uint64())
		if err := h.s.startOnDisk(); err != nil {
			t.Fatal(err)
		}
		h.events, h.people = h.s.create("t1", interactionsSchema()), h.s.create("t2", usersSchema())
		h.rows = map[string][]Row{}
		for range 4 + r.IntN(10) {
			h.step()
			h.check()
		}
		h.erase()
		h.check()
		checkTidy(t, h.s)
	})
}

// restless is a wall clock that is set by up to an hour, back or forth, each time somebody looks at it.
func restless(seed uint64) func() time.Time {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 1))
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(time.Duration(r.Int64N(int64(2*time.Hour))) - time.Hour)
	}
}

type powerHistory struct {
	t              *testing.T
	r              *rand.Rand
	disk           *faultdisk.Disk
	s              *testStore
	events, people Table

	rows  map[string][]Row // by table, what must be there
	users int              // names given so far: an erased one is never used again
	gone  []string
	n     int // jobs
}

// startOnDisk opens the store. SQLite's write-ahead mode maps a file into memory, which must not be done with a disk that the same process serves.
func (s *testStore) startOnDisk() error {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "meta.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(DELETE)&_pragma=synchronous(EXTRA)&_pragma=secure_delete(ON)")
	if err != nil {
		return err
	}
	e, err := open(filepath.Join(s.dir, "store"), db, slog.New(slog.NewTextHandler(io.Discard, nil)), s.lim)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	e.fatal = func(error) {} // the process would end here; nothing that it does on the dead disk counts any more
	s.Engine, s.db = e, db
	return nil
}

// arm lets the power fail some operations from now.
func (h *powerHistory) arm() {
	kept := []float64{0, 0.5, 1}[h.r.IntN(3)]
	h.disk.CutAt(faultdisk.Op(h.r.IntN(3)), 1+h.r.IntN(25), kept, h.r)
}

// revive turns the power on again and opens the store, if the power has failed.
func (h *powerHistory) revive() {
	for h.disk.Dead() {
		h.s.stop()
		h.disk.PowerOn()
		if h.r.IntN(4) == 0 {
			h.arm()
		}
		if err := h.s.startOnDisk(); err != nil && !h.disk.Dead() {
			h.t.Fatalf("the store does not open after a power cut: %v\n%s", err, strings.Join(h.disk.Tree(), "\n"))
		}
	}
	h.disk.Heal()
}

// try carries out something that may be cut short, and tells whether it was acknowledged. Errors on a healthy disk fail the test.
func (h *powerHistory) try(what string, f func(ctx context.Context) error) bool {
	err := f(h.t.Context())
	if h.disk.Dead() {
		h.revive()
		return err == nil
	}
	if err != nil {
		h.t.Fatalf("%s: %v", what, err)
	}
	return true
}

func (h *powerHistory) step() {
	if h.r.IntN(2) == 0 {
		h.arm()
	}
	switch h.r.IntN(8) {
	case 0, 1, 2:
		h.put()
	case 3, 4:
		h.load()
	case 5:
		h.try("fold", func(ctx context.Context) error {
			g, _ := h.s.group("g1")
			return g.fold(ctx)
		})
	case 6:
		h.erase()
	default:
		h.s.stop()
		if err := h.s.startOnDisk(); err != nil && !h.disk.Dead() {
			h.t.Fatal(err)
		}
		h.revive()
	}
}

// user is one of the names that are in use, or a new one.
func (h *powerHistory) user() string {
	for range 3 {
		if h.users == 0 || h.r.IntN(3) == 0 {
			break
		}
		if u := fmt.Sprintf("canary-user-%06d", h.r.IntN(h.users)); !slices.Contains(h.gone, u) {
			return u
		}
	}
	h.users++
	return fmt.Sprintf("canary-user-%06d", h.users-1)
}

func (h *powerHistory) batch(n int, source Source) (t Table, rows []Row) {
	t = h.events
	if h.r.IntN(3) == 0 {
		t = h.people
	}
	for range n {
		h.n++
		row := event(h.user(), fmt.Sprint("item-", h.r.IntN(20)), int64(h.n), "view")
		if t.ID == h.people.ID {
			row = Row{Values: []schema.Value{str(h.user()), num(int64(h.n)), str("city")}}
		}
		row.Source = source
		rows = append(rows, row)
	}
	return t, rows
}

func (h *powerHistory) put() {
	t, rows := h.batch(3, Put)
	before := h.s.count(t)
	acked := h.try("put", func(ctx context.Context) error { return h.s.Put(ctx, t, rows) })
	if acked || h.s.count(t) != before { // one that was not acknowledged may have come through
		h.rows[t.ID] = append(h.rows[t.ID], rows...)
	}
}

func (s *testStore) count(t Table) int {
	n, err := s.Count(s.t.Context(), t)
	if err != nil {
		s.t.Fatal(err)
	}
	return int(n)
}

func (h *powerHistory) load() {
	t, rows := h.batch(h.r.IntN(60), Bulk)
	body := rowtext.AppendCSVHeader(nil, t.Schema)
	for _, row := range rows {
		body = rowtext.AppendCSVRow(body, t.Schema, row.Values)
	}
	h.n++ // a batch may be empty, and a job's name is used once
	job := Import{Job: fmt.Sprint("job-", h.n), Incremental: h.r.IntN(2) == 0, Objects: []rowtext.Object{text{"a.csv", string(body)}}}
	load := func(ctx context.Context) error {
		n, err := h.s.Import(ctx, t, job)
		if err == nil && int(n) != len(rows) {
			return fmt.Errorf("%d rows imported, want %d", n, len(rows))
		}
		return err
	}
	before := h.rows[t.ID]
	after := append(slices.DeleteFunc(slices.Clone(before), func(r Row) bool { return !job.Incremental && r.Source == Bulk }), rows...)
	for !h.try("import", load) {
		if got := h.s.lines(t, h.s.Rows); !cmp.Equal(got, rowLines(t, before)) && !cmp.Equal(got, rowLines(t, after)) {
			h.t.Fatalf("half an import: %d rows, neither the %d before it nor the %d after it", len(got), len(before), len(after))
		}
	}
	h.rows[t.ID] = after
}

func rowLines(t Table, rows []Row) (out []string) {
	for _, r := range rows {
		out = append(out, strings.TrimSuffix(string(rowtext.AppendCSVRow(nil, t.Schema, r.Values)), "\n"))
	}
	slices.Sort(out)
	return out
}

// erase forgets some users, repeating what was cut short as the steps of a deletion job are.
func (h *powerHistory) erase() {
	h.n++
	job := fmt.Sprint("erasure-", h.n)
	var list []string
	for range 1 + h.r.IntN(3) {
		list = append(list, h.user())
	}
	want := map[string]int64{}
	for _, t := range []Table{h.events, h.people} {
		kept := slices.DeleteFunc(slices.Clone(h.rows[t.ID]), func(r Row) bool { return slices.Contains(list, r.Values[0].Str) })
		want[t.ID] = int64(len(h.rows[t.ID]) - len(kept))
		h.rows[t.ID] = kept
	}
	for _, step := range []struct {
		name string
		run  func(ctx context.Context) error
	}{
		{"hide", func(ctx context.Context) error {
			if _, _, err := h.s.HiddenUsers("g1", job); err == nil {
				return nil
			}
			if err := h.s.KeepLateOut(ctx, "g1", job, userset.New(list)); err != nil {
				return err
			}
			cut, err := h.s.Fence(ctx, "g1")
			if err != nil {
				return err
			}
			return h.s.Hide(ctx, "g1", job, userset.New(list), cut)
		}},
		{"erase", func(ctx context.Context) error {
			removed, err := h.s.Erase(ctx, []Table{h.events, h.people}, job, nil)
			if err == nil && !cmp.Equal(removed, want) {
				return fmt.Errorf("%v rows removed, want %v", removed, want)
			}
			return err
		}},
		{"sweep", func(ctx context.Context) error { return h.s.Sweep(ctx, "g1", job) }},
		{"verify", func(context.Context) error { return h.s.verify(job) }},
		{"receipt", func(ctx context.Context) error { return h.s.Unhide(ctx, "g1", job) }},
	} {
		for !h.try(step.name, step.run) {
		}
	}
	h.gone = append(h.gone, list...)
}

// check compares the store with what must be there.
func (h *powerHistory) check() {
	h.t.Helper()
	h.disk.Heal() // looking is not what is tested
	for _, t := range []Table{h.events, h.people} {
		if diff := cmp.Diff(rowLines(t, h.rows[t.ID]), h.s.lines(t, h.s.Rows)); diff != "" {
			h.t.Fatalf("rows of %s (-want +got):\n%s", t.Schema.Type, diff)
		}
	}
	checkGone(h.t, h.s, h.gone)
	for _, user := range h.gone {
		if !h.s.Late("g1", user, time.Now().Add(-2*time.Hour)) { // more than the clock may be off
			h.t.Fatal("an event from before an erasure would get in")
		}
	}
}
