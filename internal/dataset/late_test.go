package dataset

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/userset"
)

// TestLateEventsAreKeptOutForADay drives the clock: a filter survives restarts, knows the sessions that the erasure found, expires, and is destroyed with its key.
func TestLateEventsAreKeptOutForADay(t *testing.T) {
	var clock atomic.Int64
	begin := time.Unix(1_800_000_000, 500)
	clock.Store(begin.UnixNano())
	lim := testLimits()
	lim.now = func() time.Time { return time.Unix(0, clock.Load()) }
	lim.elapsed = func() time.Duration { return time.Duration(clock.Load()) }
	s := openStore(t, t.TempDir(), lim)
	tab := s.create("t1", interactionsSchema())
	signedIn := event("canary-user-1", "i", 1, "")
	signedIn.Session = "canary-session-1"
	s.put(tab, signedIn, event("canary-user-2", "i", 1, ""))
	if err := s.KeepLateOut(t.Context(), "g1", "e1", userset.New([]string{"canary-user-1"})); err != nil {
		t.Fatal(err)
	}
	if n := s.erase("e1", []Table{tab}, "canary-user-1"); n != 1 {
		t.Fatalf("%d rows erased", n)
	}
	check := func(when string, before bool) {
		t.Helper()
		for _, c := range []struct {
			owner string
			sent  time.Time
			late  bool
		}{
			{"canary-user-1", begin.Add(-time.Hour), before},
			{"canary-user-1", begin.Truncate(time.Second), before}, // a stamp without fraction, in the second of the cut
			{"canary-session-1", begin.Add(-time.Second), before},
			{"canary-user-1", begin, false},
			{"canary-user-1", begin.Add(time.Second), false},
			{"canary-user-2", begin.Add(-time.Hour), false},
		} {
			if got := s.Late("g1", c.owner, c.sent); got != c.late {
				t.Errorf("%s: an event of %s sent %v from the cut: late %v", when, c.owner, c.sent.Sub(begin), got)
			}
		}
	}
	check("at once", true)
	s.reopen()
	check("after a restart", true)
	path := filepath.Join(s.dir, "store/groups/g1/late/e1")
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), "canary") {
		t.Fatalf("the filter's file: %v, or it holds an id", err)
	}
	clock.Store(begin.Add(lateKept - time.Second).UnixNano())
	s.expireLate()
	check("just before it expires", true)
	clock.Store(begin.Add(lateKept).UnixNano())
	check("when it has expired", false)
	s.expireLate()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("an expired filter is still there: %v", err)
	}
}

// A wall clock that is set neither lets a late event in nor ends a filter early; and what comes after the cut is not late for long.
func TestLateEventsAreKeptOutWhateverTheWallClockDoes(t *testing.T) {
	true0 := time.Unix(1_800_000_000, 0)
	for name, steps := range map[string][3]time.Duration{ // of the wall clock: before the cut, between cut and restart, after the restart
		"steady":               {},
		"back before the cut":  {-time.Hour, -time.Hour, -time.Hour},
		"back after the cut":   {0, -time.Hour, -time.Hour},
		"ahead before the cut": {time.Hour, time.Hour, time.Hour},
		"ahead after the cut":  {0, time.Hour, time.Hour},
		"ahead and back":       {time.Hour, -time.Hour, 0},
		"back and ahead":       {-time.Hour, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var passed, step atomic.Int64
			lim := testLimits()
			lim.now = func() time.Time { return true0.Add(time.Duration(passed.Load() + step.Load())) }
			lim.elapsed = func() time.Duration { return time.Duration(passed.Load()) }
			s := openStore(t, t.TempDir(), lim)
			s.create("t1", interactionsSchema())
			late := func(sent time.Duration) bool { return s.Late("g1", "canary-user-1", true0.Add(sent)) }
			s.Late("g1", "canary-user-1", true0) // the clock has been read before it is set
			step.Store(int64(steps[0]))
			passed.Store(int64(time.Minute))
			if err := s.KeepLateOut(t.Context(), "g1", "e1", userset.New([]string{"canary-user-1"})); err != nil {
				t.Fatal(err)
			}
			step.Store(int64(steps[1]))
			for _, after := range []time.Duration{time.Minute, 22 * time.Hour, 23*time.Hour + 50*time.Minute} {
				passed.Store(int64(after))
				s.expireLate()
				if !late(59 * time.Second) {
					t.Errorf("%v after the start an event from before the cut gets in", after)
				}
				if late(time.Hour + 2*time.Minute) {
					t.Errorf("%v after the start an event is late that was sent an hour after the cut", after)
				}
			}
			passed.Store(int64(26*time.Hour + time.Minute))
			s.reopen() // a new process knows the wall clock alone
			step.Store(int64(steps[2]))
			s.expireLate()
			if late(59 * time.Second) {
				t.Error("a filter is kept for longer than a day and the step")
			}
		})
	}
}

func TestAnExpiredFilterIsDestroyedAtStart(t *testing.T) {
	s := newStore(t)
	if err := s.KeepLateOut(t.Context(), "g1", "e1", userset.New([]string{"canary-user-1"})); err != nil {
		t.Fatal(err)
	}
	s.lim.now = func() time.Time { return time.Now().Add(25 * time.Hour) }
	s.reopen()
	if left, err := os.ReadDir(filepath.Join(s.dir, "store/groups/g1/late")); err != nil || len(left) > 0 {
		t.Errorf("%d files are left (%v)", len(left), err)
	}
}

// TestAnImportAcceptedBeforeTheCutLeavesTheUsersOut begins the import long after the cut: its order of arrival does not tell that it is older, its deletion does.
func TestAnImportAcceptedBeforeTheCutLeavesTheUsersOut(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	s.imp(tab, false, "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\ncanary-user-1,i,1,,\ncanary-user-2,i,2,,\n")
	cut, err := s.Fence(t.Context(), "g1")
	if err != nil {
		t.Fatal(err)
	}
	asked, ended := make(chan struct{}, 1000), make(chan error)
	go func() {
		_, err := s.Import(t.Context(), tab, Import{Job: "pending", Objects: []rowtext.Object{text{"f", "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE\ncanary-user-1,j,3,,\ncanary-user-3,j,4,,\ncanary-user-1,k,5,,\n"}},
			Erasures: func(ctx context.Context) ([]string, error) {
				select {
				case asked <- struct{}{}:
				default:
				}
				return []string{"e1"}, nil
			}})
		ended <- err
	}()
	<-asked // it waits for a mask that is about to come
	if err := s.Hide(t.Context(), "g1", "e1", userset.New([]string{"canary-user-1"}), cut); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	removed, err := s.Erase(t.Context(), []Table{tab}, "e1", nil)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := s.KeptOut([]Table{tab}, "e1")
	if err != nil || kept["t1"] != 2 || removed["t1"] != 0 {
		t.Errorf("%d rows kept out, %d removed (%v)", kept["t1"], removed["t1"], err)
	}
	if err := s.Sweep(t.Context(), "g1", "e1"); err != nil {
		t.Fatal(err)
	}
	if err := s.verify("e1"); err != nil {
		t.Error(err)
	}
	if err := s.Unhide(t.Context(), "g1", "e1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"canary-user-3,j,4,,"}, s.lines(tab, s.Rows)); diff != "" {
		t.Error(diff)
	}
}
