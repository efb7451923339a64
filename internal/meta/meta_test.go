package meta_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/meta"
)

func open(t *testing.T) *meta.DB {
	t.Helper()
	db, err := meta.Open(filepath.Join(t.TempDir(), "a dir?#%", "meta.db"))
	if err == nil {
		t.Fatal("Open made a directory; the caller owns the layout")
	}
	db, err = meta.Open(filepath.Join(t.TempDir(), "meta ?#%.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func update(t *testing.T, db *meta.DB, f func(tx *meta.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, db *meta.DB, q meta.Query) (names []string) {
	t.Helper()
	err := db.View(t.Context(), func(tx *meta.Tx) error {
		found, err := tx.Find(q)
		for _, r := range found {
			names = append(names, r.Name)
		}
		n, countErr := tx.Count(meta.Query{Kind: q.Kind, Group: q.Group, Statuses: q.Statuses, Before: q.Before, JobKind: q.JobKind, Parent: q.Parent, Scope: q.Scope, Name: q.Name})
		if q.Limit == 0 && n != len(found) {
			t.Errorf("Count(%+v) = %d, Find found %d", q, n, len(found))
		}
		return errors.Join(err, countErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func filter(name string) *meta.Resource {
	return &meta.Resource{ARN: "arn:filter/" + name, Kind: meta.Filter, Scope: "r:1", Group: "arn:group", Parent: "arn:group", Name: name,
		Status: meta.CreatePending, Doc: json.RawMessage(`{"name":"` + name + `"}`)}
}

func TestInsertGetPutDeleteKeepEveryField(t *testing.T) {
	db := open(t)
	want := &meta.Resource{
		ARN: "arn:aws:x", Kind: meta.SolutionVersion, Scope: "eu-west-1:000000000000", Group: "g", Parent: "p", Name: "n", Status: meta.CreatePending, Failure: "f",
		Doc: json.RawMessage(`{"a":"é<&>"}`), Private: json.RawMessage(`{"b":1}`),
		Job: meta.Job{Kind: "train", Lane: "l", Owner: "me", LeaseUntil: time.Unix(5, 7).UTC(), Attempt: 3, Failures: 2, Cancel: true, Step: "s",
			Checkpoint: json.RawMessage(`[1]`), Progress: json.RawMessage(`{"done":1}`)},
	}
	update(t, db, func(tx *meta.Tx) error { return tx.Insert(want) })
	if want.Seq == 0 || want.Created.IsZero() || !want.Created.Equal(want.Updated) {
		t.Fatalf("Insert left Seq %d, Created %v, Updated %v", want.Seq, want.Created, want.Updated)
	}
	get := func() (r *meta.Resource) {
		err := db.View(t.Context(), func(tx *meta.Tx) (err error) { r, err = tx.Get(want.ARN); return err })
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if diff := cmp.Diff(want, get()); diff != "" {
		t.Error("inserted, read:", diff)
	}
	want.Status, want.Failure, want.Job, want.Private = meta.CreateFailed, "", meta.Job{Checkpoint: json.RawMessage("null"), Progress: json.RawMessage("null")}, json.RawMessage("null")
	update(t, db, func(tx *meta.Tx) error { return tx.Put(want) })
	if diff := cmp.Diff(want, get()); diff != "" {
		t.Error("put, read:", diff)
	}
	if !want.Updated.After(want.Created) {
		t.Error("a change of status must move Updated")
	}
	before := want.Updated
	want.Job.Kind, want.Job.Step = "remove", "swept"
	update(t, db, func(tx *meta.Tx) error { return tx.Put(want) })
	if !get().Updated.Equal(before) {
		t.Error("a step of a job moved Updated, which clients see")
	}
	update(t, db, func(tx *meta.Tx) error {
		if err := tx.Insert(&meta.Resource{ARN: want.ARN, Kind: meta.Filter, Status: meta.Active, Doc: json.RawMessage(`{}`)}); !errors.Is(err, meta.ErrExists) {
			t.Error("second Insert:", err)
		}
		if err := tx.Delete(want.ARN); err != nil {
			return err
		}
		for name, err := range map[string]error{"Delete": tx.Delete(want.ARN), "Put": tx.Put(want)} {
			if !errors.Is(err, meta.ErrNotFound) {
				t.Errorf("%s of a deleted row: %v", name, err)
			}
		}
		return nil
	})
}

func TestFindNewestFirstPageByPage(t *testing.T) {
	db := open(t)
	update(t, db, func(tx *meta.Tx) error {
		for i := range 5 {
			r := filter(fmt.Sprint(i))
			if i == 3 {
				r.Group, r.Scope, r.Status = "arn:other", "r:2", meta.Active
			}
			if err := tx.Insert(r); err != nil {
				return err
			}
		}
		return nil
	})
	for _, c := range []struct {
		q    meta.Query
		want []string
	}{
		{meta.Query{}, []string{"4", "3", "2", "1", "0"}},
		{meta.Query{Kind: meta.Filter, Limit: 2}, []string{"4", "3"}},
		{meta.Query{Kind: meta.Filter, Before: 4, Limit: 2}, []string{"2", "1"}},
		{meta.Query{Kind: meta.Campaign}, nil},
		{meta.Query{Scope: "r:2"}, []string{"3"}},
		{meta.Query{Group: "arn:group", Name: "2"}, []string{"2"}},
		{meta.Query{Statuses: []string{meta.Active, meta.CreateFailed}}, []string{"3"}},
	} {
		if diff := cmp.Diff(c.want, find(t, db, c.q)); diff != "" {
			t.Errorf("%+v: %s", c.q, diff)
		}
	}
}

func TestStatusMovesOnlyAlongTheTable(t *testing.T) {
	db := open(t)
	for _, c := range []struct {
		kind string
		path []string
		bad  string
	}{
		{meta.Filter, []string{meta.CreatePending, meta.CreateInProgress, meta.Active, meta.DeletePending, meta.DeleteInProgress}, meta.Active},
		{meta.Filter, []string{meta.CreatePending}, meta.Active},
		{meta.Filter, []string{meta.Active}, meta.UpdatePending},
		{meta.Dataset, []string{meta.Active, meta.UpdatePending, meta.UpdateInProgress, meta.Active}, meta.CreatePending},
		{meta.DeletionJob, []string{meta.Pending, meta.InProgress, meta.Completed}, meta.Failed},
		{meta.DeletionJob, []string{meta.Pending, meta.Failed}, meta.InProgress},
		{meta.SolutionVersion, []string{meta.CreatePending, meta.CreateInProgress, meta.CreateStopping, meta.CreateStopped}, meta.Active},
		{meta.Recommender, []string{meta.Active, meta.StopPending, meta.StopInProgress, meta.Inactive, meta.StartPending, meta.StartInProgress, meta.Active}, meta.Inactive},
		{meta.ImportJob, []string{meta.CreatePending, meta.CreateInProgress, meta.Active}, meta.DeletePending},
		{meta.Schema, []string{""}, meta.Active},
	} {
		r := filter(c.kind)
		r.Kind, r.Status = c.kind, c.path[0]
		update(t, db, func(tx *meta.Tx) error { return tx.Insert(r) })
		for _, status := range c.path {
			r.Status = status
			update(t, db, func(tx *meta.Tx) error { return tx.Put(r) })
		}
		r.Status = c.bad
		var want *meta.StatusError
		if err := db.Update(t.Context(), func(tx *meta.Tx) error { return tx.Put(r) }); !errors.As(err, &want) {
			t.Errorf("%s from %s to %q: %v", c.kind, c.path[len(c.path)-1], c.bad, err)
		}
		update(t, db, func(tx *meta.Tx) error { return tx.Delete(r.ARN) })
	}
}

func TestUnknownStatusesAndKindsAreRefusedByTheDatabase(t *testing.T) {
	db := open(t)
	for _, r := range []*meta.Resource{
		{ARN: "a", Kind: "fliter", Status: meta.Active},
		{ARN: "a", Kind: meta.Filter, Status: "ACTVE"},
		{ARN: "a", Kind: meta.Filter, Status: ""},
		{ARN: "a", Kind: meta.Filter, Status: meta.Completed},
		{ARN: "a", Kind: meta.Schema, Status: meta.Active},
		{ARN: "a", Kind: meta.Filter, Status: meta.Active, Doc: json.RawMessage(`{`)},
		{ARN: "a", Kind: meta.Filter, Status: meta.Active, Job: meta.Job{Owner: "somebody"}},
	} {
		if err := db.Update(t.Context(), func(tx *meta.Tx) error { return tx.Insert(r) }); err == nil {
			t.Errorf("inserted %+v", r)
		}
	}
}

func TestDescribeAddsTheColumnsAndLeavesAbsentMembersOut(t *testing.T) {
	r := filter("f")
	r.Created, r.Updated = time.UnixMilli(1542392161262), time.UnixMilli(1542392161003)
	for _, c := range []struct{ failure, want string }{
		{"", `{"creationDateTime":1542392161.262,"lastUpdatedDateTime":1542392161.003,"name":"f","status":"CREATE PENDING"}`},
		{`a "b"`, `{"creationDateTime":1542392161.262,"failureReason":"a \"b\"","lastUpdatedDateTime":1542392161.003,"name":"f","status":"CREATE PENDING"}`},
	} {
		r.Failure = c.failure
		got, err := r.Describe()
		if err != nil || string(got) != c.want {
			t.Errorf("got %s, %v", got, err)
		}
	}
}

func TestTagsLiveAndDieWithTheirResource(t *testing.T) {
	db := open(t)
	r := filter("f")
	update(t, db, func(tx *meta.Tx) error {
		return errors.Join(tx.Insert(r), tx.SetTags(r.ARN, map[string]string{"a": "1", "b": "2"}), tx.SetTags(r.ARN, map[string]string{"a": "3"}), tx.RemoveTags(r.ARN, []string{"b", "c"}))
	})
	tags := func() (tags map[string]string) {
		if err := db.View(t.Context(), func(tx *meta.Tx) (err error) { tags, err = tx.Tags(r.ARN); return err }); err != nil {
			t.Fatal(err)
		}
		return tags
	}
	if diff := cmp.Diff(map[string]string{"a": "3"}, tags()); diff != "" {
		t.Error(diff)
	}
	update(t, db, func(tx *meta.Tx) error { return tx.Delete(r.ARN) })
	update(t, db, func(tx *meta.Tx) error { return tx.Insert(r) })
	if len(tags()) != 0 {
		t.Error("a new resource inherited the tags of a deleted one:", tags())
	}
	if err := db.Update(t.Context(), func(tx *meta.Tx) error { return tx.SetTags("arn:none", map[string]string{"a": ""}) }); err == nil {
		t.Error("tagged a resource that is not there")
	}
}

func TestFailedUpdateLeavesNothingAndDoesNotMoveVersion(t *testing.T) {
	db := open(t)
	version, changed := db.Version(), db.Changed()
	broken := errors.New("broken")
	if err := db.Update(t.Context(), func(tx *meta.Tx) error { return errors.Join(tx.Insert(filter("f")), broken) }); !errors.Is(err, broken) {
		t.Error(err)
	}
	func() {
		defer func() { recover() }()
		db.Update(t.Context(), func(tx *meta.Tx) error { tx.Insert(filter("f")); panic("broken") })
	}()
	update(t, db, func(tx *meta.Tx) error {
		_, err := tx.Get("arn:filter/f")
		return errors.Join(nil, ignore(err, meta.ErrNotFound))
	})
	if got := db.Version(); got != version {
		t.Errorf("Version went from %d to %d", version, got)
	}
	select {
	case <-changed:
		t.Error("Changed fired")
	default:
	}
	update(t, db, func(tx *meta.Tx) error { return tx.Insert(filter("f")) })
	if db.Version() == version {
		t.Error("Version did not move with a commit")
	}
	<-changed
}

func ignore(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}

func TestStateSurvivesReopeningAndReadOnlyReadsBeside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	if _, err := meta.OpenReadOnly(path); err == nil {
		t.Fatal("OpenReadOnly made a database")
	}
	db, err := meta.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var key []byte
	update(t, db, func(tx *meta.Tx) (err error) {
		key, err = tx.PageKey()
		return errors.Join(err, tx.Insert(filter("f")))
	})
	beside, err := meta.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := find(t, beside, meta.Query{}); len(got) != 1 {
		t.Error("read beside the writer:", got)
	}
	if err := beside.Update(t.Context(), func(tx *meta.Tx) error { return tx.Insert(filter("g")) }); err == nil {
		t.Error("a read-only database was written")
	}
	if err := errors.Join(beside.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	db, err = meta.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := find(t, db, meta.Query{}); len(got) != 1 {
		t.Error("after reopening:", got)
	}
	update(t, db, func(tx *meta.Tx) error {
		again, err := tx.PageKey()
		if len(key) != 32 || string(again) != string(key) {
			t.Error("the page key changed")
		}
		return err
	})
	if _, err := db.SQL().Exec(`PRAGMA user_version = 1000`); err != nil {
		t.Fatal(err)
	}
	if _, err := meta.Open(path); err == nil {
		t.Error("opened a database of a newer build")
	}
}

func TestADatabaseOfTheFirstFormatIsBroughtToThisOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	script, err := os.ReadFile("migrations/001_resource.sql")
	if err != nil {
		t.Fatal(err)
	}
	old, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		string(script),
		`INSERT INTO resource VALUES (7, 'arn:filter/f', 'filter', 'r:1', 'arn:group', 'arn:group', 'f', 'CREATE PENDING', '', 1, 2, '{"name":"f"}', 'null',
			'train', 'lane', 'import', '', 0, 3, 1, 0, 'step', 'null', 'null')`,
		`PRAGMA user_version = 1`,
	} {
		if _, err := old.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := meta.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r := get(t, db, "arn:filter/f")
	if diff := cmp.Diff(meta.Job{Kind: "train", Lane: "lane", Attempt: 3, Failures: 1, Step: "step", Checkpoint: json.RawMessage("null"), Progress: json.RawMessage("null")}, r.Job); diff != "" || r.Seq != 7 {
		t.Errorf("row %d, job:\n%s", r.Seq, diff)
	}
	update(t, db, func(tx *meta.Tx) error { return tx.Insert(filter("g")) })
}

// The Iceberg catalog reads and then writes in transactions of its own. Were they deferred, SQLite would answer BUSY at once to the second of two
// that turn from reader into writer.
func TestCatalogTransactionsAndUpdatesNeitherDeadlockNorFail(t *testing.T) {
	db := open(t)
	if _, err := db.SQL().Exec(`CREATE TABLE catalog (n INTEGER)`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.SQL().Exec(`INSERT INTO catalog VALUES (0)`); err != nil {
		t.Fatal(err)
	}
	update(t, db, func(tx *meta.Tx) error { return tx.Insert(filter("f")) })
	const rounds, workers = 20, 4
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				if err := bumpCatalog(t.Context(), db); err != nil {
					t.Error("catalog:", err)
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				err := db.Update(t.Context(), func(tx *meta.Tx) error {
					r, err := tx.Get("arn:filter/f")
					if err != nil {
						return err
					}
					r.Job.Attempt++
					return tx.Put(r)
				})
				if err != nil {
					t.Error("update:", err)
				}
			}
		})
	}
	wg.Wait()
	var n int
	if err := db.SQL().QueryRow(`SELECT n FROM catalog`).Scan(&n); err != nil || n != rounds*workers {
		t.Errorf("catalog counted %d of %d, %v", n, rounds*workers, err)
	}
	update(t, db, func(tx *meta.Tx) error {
		r, err := tx.Get("arn:filter/f")
		if r.Job.Attempt != rounds*workers {
			t.Errorf("updates counted %d of %d", r.Job.Attempt, rounds*workers)
		}
		return err
	})
}

func bumpCatalog(ctx context.Context, db *meta.DB) error {
	tx, err := db.SQL().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var n int
	if err := tx.QueryRow(`SELECT n FROM catalog`).Scan(&n); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE catalog SET n = ?`, n+1); err != nil {
		return err
	}
	return tx.Commit()
}

// The room that the log needs on a full disk is there from the start, also after a crash that left a log with commits in it.
func TestTheLogHasItsRoomBeforehand(t *testing.T) {
	dir := t.TempDir()
	first, err := meta.Open(filepath.Join(dir, "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	update(t, first, func(tx *meta.Tx) error { return tx.Insert(filter("a")) })
	const room = 5 << 20
	log, err := os.ReadFile(filepath.Join(dir, "meta.db-wal"))
	if err != nil || len(log) < room {
		t.Fatalf("the log has %d bytes, %v", len(log), err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	crashed := t.TempDir()
	used := len(bytes.TrimRight(log, "\x00"))
	for name, data := range map[string][]byte{"meta.db": text, "meta.db-wal": log[:used]} {
		if err := os.WriteFile(filepath.Join(crashed, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second, err := meta.Open(filepath.Join(crashed, "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if names := find(t, second, meta.Query{}); len(names) != 1 {
		t.Errorf("after the crash there are %v", names)
	}
	if info, err := os.Stat(filepath.Join(crashed, "meta.db-wal")); err != nil || info.Size() < room {
		t.Errorf("after the crash the log is %v, %v", info, err)
	}
}
