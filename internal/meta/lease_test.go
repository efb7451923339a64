package meta_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/meta"
)

func waiting(name string, j meta.Job) *meta.Resource {
	r := filter(name)
	r.Job = j
	return r
}

func get(t *testing.T, db *meta.DB, arn string) (r *meta.Resource) {
	t.Helper()
	if err := db.View(t.Context(), func(tx *meta.Tx) (err error) { r, err = tx.Get(arn); return err }); err != nil {
		t.Fatal(err)
	}
	return r
}

func claim(t *testing.T, db *meta.DB, owner string, kinds ...string) string {
	t.Helper()
	r, err := db.Claim(t.Context(), owner, kinds, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if r == nil {
		return ""
	}
	if r.Job.Owner != owner || r.Job.Attempt == 0 {
		t.Errorf("%s claimed %+v", owner, r.Job)
	}
	return r.Name
}

func TestClaimGivesEachDueRowToOneOwnerOldestFirst(t *testing.T) {
	db := open(t)
	const jobs = 40
	update(t, db, func(tx *meta.Tx) error {
		for i := range jobs {
			if err := tx.Insert(waiting(fmt.Sprint(i), meta.Job{Kind: "train"})); err != nil {
				return err
			}
		}
		return nil
	})
	version := db.Version()
	if first := claim(t, db, "first", "export", "train"); first != "0" {
		t.Errorf("claimed %q first", first)
	}
	if none := claim(t, db, "nobody", "export"); none != "" || claim(t, db, "nobody") != "" {
		t.Errorf("claimed %q of another kind", none)
	}
	var mu sync.Mutex
	owners := map[string]string{"0": "first"}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				owner := fmt.Sprint(w, "-", n)
				name := claim(t, db, owner, "train")
				if name == "" {
					return
				}
				mu.Lock()
				if owners[name] != "" {
					t.Errorf("%s was claimed by %s and %s", name, owners[name], owner)
				}
				owners[name] = owner
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(owners) != jobs {
		t.Errorf("%d of %d jobs were claimed", len(owners), jobs)
	}
	if db.Version() != version {
		t.Error("claims moved Version, the key of read caches")
	}
}

func TestALeaseIsKeptByItsOwnerAndFreeWhenItRunsOut(t *testing.T) {
	db := open(t)
	update(t, db, func(tx *meta.Tx) error { return tx.Insert(waiting("a", meta.Job{Kind: "train"})) })
	claim(t, db, "one", "train")
	arn, version := "arn:filter/a", db.Version()
	if cancel, err := db.Beat(t.Context(), arn, "one", 1, time.Minute, json.RawMessage(`{"done":5}`)); cancel || err != nil {
		t.Error(cancel, err)
	}
	if _, err := db.Beat(t.Context(), arn, "one", 1, -time.Minute, nil); err != nil { // as if it had been silent for long
		t.Error(err)
	}
	if got := string(get(t, db, arn).Job.Progress); got != `{"done":5}` {
		t.Errorf("progress is %s", got)
	}
	if db.Version() != version {
		t.Error("heartbeats moved Version")
	}
	if got := claim(t, db, "two", "train"); got != "a" {
		t.Errorf("claimed %q after the lease ran out", got)
	}
	for _, lost := range []struct {
		owner   string
		attempt int
	}{{"one", 1}, {"one", 2}, {"two", 1}} {
		if _, err := db.Beat(t.Context(), arn, lost.owner, lost.attempt, time.Minute, nil); !errors.Is(err, meta.ErrLost) {
			t.Errorf("%v still has the lease: %v", lost, err)
		}
		if err := db.Yield(t.Context(), arn, lost.owner, lost.attempt, 0, true); err != nil {
			t.Error(err)
		}
	}
	if j := get(t, db, arn).Job; j.Owner != "two" || j.Attempt != 2 || j.Failures != 0 {
		t.Errorf("a lost lease was given back: %+v", j)
	}
}

func TestAYieldedJobWaitsUnlessItIsToStopOrTheProcessIsNew(t *testing.T) {
	db := open(t)
	update(t, db, func(tx *meta.Tx) error { return tx.Insert(waiting("a", meta.Job{Kind: "train"})) })
	arn := "arn:filter/a"
	claim(t, db, "one", "train")
	if err := db.Yield(t.Context(), arn, "one", 1, time.Hour, true); err != nil {
		t.Fatal(err)
	}
	if got := claim(t, db, "two", "train"); got != "" {
		t.Error("a retry did not wait")
	}
	if err := db.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := claim(t, db, "three", "train"); got != "a" {
		t.Error("a new process waits for the retries of an old one")
	}
	if err := db.Yield(t.Context(), arn, "three", 2, time.Hour, true); err != nil {
		t.Fatal(err)
	}
	update(t, db, func(tx *meta.Tx) error {
		r, err := tx.Get(arn)
		r.Job.Cancel = true
		return errors.Join(err, tx.Put(r))
	})
	if got := claim(t, db, "four", "train"); got != "a" {
		t.Error("a job that is to stop waits for its next attempt")
	}
	if got := claim(t, db, "five", "train"); got != "" {
		t.Error("a job that is to stop was claimed twice")
	}
	owners, err := db.Cancelled(t.Context())
	if err != nil || len(owners) != 1 || owners[0] != "four" {
		t.Errorf("cancelled: %v, %v", owners, err)
	}
	if cancel, err := db.Beat(t.Context(), arn, "four", 3, time.Minute, nil); !cancel || err != nil {
		t.Error("Beat does not tell of the stop:", err)
	}
	if j := get(t, db, arn).Job; j.Failures != 2 || j.Attempt != 3 {
		t.Errorf("job %+v", j)
	}
}

func TestALaneHoldsBackWhatMustWait(t *testing.T) {
	db := open(t)
	update(t, db, func(tx *meta.Tx) error {
		for _, r := range []*meta.Resource{
			waiting("import 1", meta.Job{Kind: "import", Lane: "d"}),
			waiting("import 2", meta.Job{Kind: "import", Lane: "d"}),
			waiting("import 3", meta.Job{Kind: "import", Lane: "e"}),
			waiting("erase", meta.Job{Kind: "erase", Lane: "g"}),
		} {
			if err := tx.Insert(r); err != nil {
				return err
			}
		}
		return nil
	})
	expect := func(names ...string) {
		t.Helper()
		for i, want := range append(names, "") {
			if got := claim(t, db, fmt.Sprint(names, i), "import", "erase"); got != want {
				t.Errorf("claimed %q, want %q", got, want)
			}
		}
	}
	expect("import 1", "import 3", "erase")
	update(t, db, func(tx *meta.Tx) error {
		r, err := tx.Get("arn:filter/import 1")
		r.Job = meta.Job{}
		return errors.Join(err, tx.Put(r))
	})
	expect("import 2")
}

func TestEveryConnectionIsDurableAndForgetsDeletedBytes(t *testing.T) {
	db := open(t)
	var conns []*sql.Conn // held, so that each is another one
	for range 3 {
		conn, err := db.SQL().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "secure_delete": "1", "foreign_keys": "1"} {
			var got string
			if err := conn.QueryRowContext(t.Context(), `PRAGMA `+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %s, %v, want %s", pragma, got, err, want)
			}
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Only a data deletion tells clients how it advances, by the time of its last update.
func TestAHeartbeatThatBringsProgressMovesUpdatedOfADeletion(t *testing.T) {
	db := open(t)
	update(t, db, func(tx *meta.Tx) error {
		deletion := waiting("a", meta.Job{Kind: "erase"})
		deletion.ARN, deletion.Kind, deletion.Status = "arn:deletion/a", meta.DeletionJob, meta.InProgress
		return errors.Join(tx.Insert(deletion), tx.Insert(waiting("b", meta.Job{Kind: "train"})))
	})
	claim(t, db, "one", "erase")
	claim(t, db, "two", "train")
	beat := func(arn, owner, progress string) (moved bool) {
		t.Helper()
		before := get(t, db, arn).Updated
		if _, err := db.Beat(t.Context(), arn, owner, 1, time.Minute, json.RawMessage(progress)); err != nil {
			t.Fatal(err)
		}
		return get(t, db, arn).Updated.After(before)
	}
	if !beat("arn:deletion/a", "one", `{"done":1}`) || beat("arn:deletion/a", "one", `{"done":1}`) || !beat("arn:deletion/a", "one", `{"done":2}`) {
		t.Error("Updated must move with the progress, and only with it")
	}
	if beat("arn:filter/b", "two", `{"done":1}`) {
		t.Error("another job's Updated moved")
	}
}

// The wall clock may be set by hours while jobs run: leases and retries go by the time that passes, and no time that clients see goes back.
func TestStepsOfTheWallClockMoveNoLease(t *testing.T) {
	db := open(t)
	step := time.Duration(0)
	db.SetClock(func() time.Time { return time.Now().Add(step) })
	update(t, db, func(tx *meta.Tx) error {
		deletion := waiting("a", meta.Job{Kind: "erase"})
		deletion.ARN, deletion.Kind, deletion.Status = "arn:deletion/a", meta.DeletionJob, meta.InProgress
		return errors.Join(tx.Insert(deletion), tx.Insert(waiting("b", meta.Job{Kind: "train"})))
	})
	claim(t, db, "one", "erase")
	last := get(t, db, "arn:deletion/a")
	for i, step2 := range []time.Duration{time.Hour, -time.Hour, 2 * time.Hour, 0, -3 * time.Hour} {
		step = step2
		if got := claim(t, db, fmt.Sprint("thief", i), "erase"); got != "" {
			t.Errorf("a step of %v ends a lease", step)
		}
		if _, err := db.Beat(t.Context(), "arn:deletion/a", "one", 1, time.Minute, json.RawMessage(fmt.Sprint(i))); err != nil {
			t.Error(err)
		}
		now := get(t, db, "arn:deletion/a")
		if now.Updated.UnixMilli() <= last.Updated.UnixMilli() || now.Updated.Before(now.Created) {
			t.Errorf("after a step of %v a heartbeat leaves Updated at %v, it was %v", step, now.Updated, last.Updated)
		}
		update(t, db, func(tx *meta.Tx) error {
			now.Doc = json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))
			return tx.Put(now)
		})
		if last = get(t, db, "arn:deletion/a"); !last.Updated.After(now.Created) {
			t.Errorf("after a step of %v a change leaves Updated at %v", step, last.Updated)
		}
	}
	claim(t, db, "one", "train")
	if err := db.Yield(t.Context(), "arn:filter/b", "one", 1, -time.Millisecond, true); err != nil { // a wait that is over
		t.Fatal(err)
	}
	step = -24 * time.Hour
	if got := claim(t, db, "two", "train"); got != "b" {
		t.Error("a retry waits for the wall clock to come back")
	}
}
