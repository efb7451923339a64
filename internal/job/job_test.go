package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/pace"
)

// bench is a queue over a database of its own.
type bench struct {
	t    *testing.T
	db   *meta.DB
	q    *job.Queue
	logs *logs
}

type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newBench(t *testing.T, o job.Options) *bench {
	t.Helper()
	db, err := meta.Open(filepath.Join(t.TempDir(), "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b := &bench{t: t, db: db, logs: &logs{}}
	b.q = job.New(db, slog.New(slog.NewTextHandler(b.logs, nil)), o)
	b.q.SetPause(time.Millisecond)
	return b
}

// start runs the queue until the returned function is called, or the test ends.
func (b *bench) start() (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.q.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(stop)
	return stop
}

func (b *bench) update(f func(tx *meta.Tx) error) {
	b.t.Helper()
	if err := b.db.Update(context.Background(), f); err != nil {
		b.t.Fatal(err)
	}
}

// add inserts a solution version that waits for a job.
func (b *bench) add(name string, j meta.Job) string {
	b.t.Helper()
	r := &meta.Resource{ARN: "arn:" + name, Kind: meta.SolutionVersion, Group: "arn:group", Name: name, Status: meta.CreatePending, Doc: json.RawMessage(`{}`), Job: j}
	b.update(func(tx *meta.Tx) error { return tx.Insert(r) })
	return r.ARN
}

func (b *bench) get(arn string) (r *meta.Resource) {
	b.t.Helper()
	if err := b.db.View(context.Background(), func(tx *meta.Tx) (err error) { r, err = tx.Get(arn); return err }); err != nil && !errors.Is(err, meta.ErrNotFound) {
		b.t.Fatal(err)
	}
	return r
}

// await waits for a commit that makes the row (nil if it is gone) satisfy a condition.
func (b *bench) await(arn string, is func(r *meta.Resource) bool) *meta.Resource {
	b.t.Helper()
	for {
		changed := b.db.Changed()
		if r := b.get(arn); is(r) {
			return r
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			b.t.Fatalf("%s stays at %+v\n%s", arn, b.get(arn), b.logs)
		}
	}
}

func settled(r *meta.Resource) bool { return r == nil || r.Job.Kind == "" }

func activate(ctx context.Context, t *job.Task) error {
	if err := t.Status(ctx, meta.CreateInProgress); err != nil {
		return err
	}
	return t.Done(ctx, toActive)
}

func toActive(_ *meta.Tx, r *meta.Resource) error {
	r.Status = meta.Active
	return nil
}

func TestJobWalksItsStatusesAndLeavesTheRow(t *testing.T) {
	b := newBench(t, job.Options{})
	b.q.Handle(job.Activate, job.Spec{Run: activate})
	early := b.add("early", meta.Job{Kind: job.Activate})
	b.start()
	late := b.add("late", meta.Job{Kind: job.Activate})
	for _, arn := range []string{early, late} {
		r := b.await(arn, settled)
		if r.Status != meta.Active || r.Job.Owner != "" {
			t.Errorf("%s ended as %q, job %+v", arn, r.Status, r.Job)
		}
	}
}

func TestDoneMayDeleteTheRowOrAskForAnotherJob(t *testing.T) {
	b := newBench(t, job.Options{})
	b.q.Handle(job.Activate, job.Spec{Run: func(ctx context.Context, t *job.Task) error {
		return t.Done(ctx, func(_ *meta.Tx, r *meta.Resource) error { r.Job.Kind = job.Remove; return nil })
	}})
	b.q.Handle(job.Remove, job.Spec{Endless: true, Run: func(ctx context.Context, t *job.Task) error {
		return t.Done(ctx, func(tx *meta.Tx, r *meta.Resource) error { return tx.Delete(r.ARN) })
	}})
	arn := b.add("a", meta.Job{Kind: job.Activate})
	b.start()
	b.await(arn, func(r *meta.Resource) bool { return r == nil })
}

func TestFailIsFinalAndItsTextIsTheReason(t *testing.T) {
	b := newBench(t, job.Options{})
	b.q.Handle(job.Train, job.Spec{Class: job.Heavy, Run: func(ctx context.Context, t *job.Task) error {
		return fmt.Errorf("train: %w", errors.Join(job.Fail("Dataset has fewer than %d interactions", 1000), errors.New("what the operator should know")))
	}})
	b.q.Handle(job.Update, job.Spec{Run: func(context.Context, *job.Task) error { return job.Fail("no") },
		Failed: func(r *meta.Resource, reason string) { r.Doc = json.RawMessage(`"` + reason + `"`) }})
	trained := b.add("trained", meta.Job{Kind: job.Train})
	updated := b.add("updated", meta.Job{Kind: job.Update})
	b.start()
	r := b.await(trained, settled)
	if r.Status != meta.CreateFailed || r.Failure != "Dataset has fewer than 1000 interactions" {
		t.Errorf("got %q, %q", r.Status, r.Failure)
	}
	if text := b.logs.String(); !strings.Contains(text, "what the operator should know") {
		t.Errorf("the log has only\n%s", text)
	}
	if r := b.await(updated, settled); r.Status != meta.CreatePending || string(r.Doc) != `"no"` {
		t.Errorf("the Failed hook left %q, %s", r.Status, r.Doc)
	}
}

func TestErrorsAndPanicsAreRetriedFiveTimesThenFail(t *testing.T) {
	b := newBench(t, job.Options{})
	var mu sync.Mutex
	tries := map[string]int{}
	b.q.Handle(job.Train, job.Spec{Run: func(ctx context.Context, t *job.Task) error {
		mu.Lock()
		name := t.Resource().Name
		tries[name]++
		n := tries[name]
		mu.Unlock()
		switch {
		case name == "broken":
			return errors.New("disk on fire")
		case n == 3:
			return activate(ctx, t)
		case n == 2:
			panic("a bug met user-17")
		}
		return nil // without Done
	}})
	b.q.Handle(job.Remove, job.Spec{Endless: true, Run: func(ctx context.Context, t *job.Task) error {
		if t.Resource().Job.Failures < 7 {
			return errors.New("not yet")
		}
		return activate(ctx, t)
	}})
	broken, shaky := b.add("broken", meta.Job{Kind: job.Train}), b.add("shaky", meta.Job{Kind: job.Train})
	b.start()
	if r := b.await(broken, settled); r.Status != meta.CreateFailed || r.Failure != "Internal error; see the server log." {
		t.Errorf("got %q, %q", r.Status, r.Failure)
	}
	if r := b.await(shaky, settled); r.Status != meta.Active || r.Failure != "" {
		t.Errorf("got %q, %q", r.Status, r.Failure)
	}
	if diff := cmp.Diff(map[string]int{"broken": 5, "shaky": 3}, tries); diff != "" {
		t.Error(diff)
	}
	if text := b.logs.String(); strings.Count(text, "disk on fire") != 5 || !strings.Contains(text, "panic: a string") || !strings.Contains(text, "job_test.go") {
		t.Error("log:", text)
	} else if strings.Contains(text, "user-17") {
		t.Error("the log repeats the words of a panic, which may hold a user id")
	}
}

// A job that waits is tried again until it can go on, says meanwhile why, and has nothing to say afterwards.
func TestAJobThatWaitsSaysWhyAndGoesOn(t *testing.T) {
	b := newBench(t, job.Options{})
	third, room := make(chan struct{}), make(chan struct{})
	b.q.Handle(job.Remove, job.Spec{Endless: true, Run: func(ctx context.Context, t *job.Task) error {
		t.Progress(job.Progress{Phase: "erase", Overall: 0.5})
		if t.Resource().Job.Failures < 2 {
			return fmt.Errorf("erase: %w", job.Wait(errors.New("no space left"), "the disk is full"))
		}
		close(third)
		<-room
		return activate(ctx, t)
	}})
	arn := b.add("a", meta.Job{Kind: job.Remove})
	b.start()
	<-third
	r := b.get(arn)
	var p job.Progress
	if err := json.Unmarshal(r.Job.Progress, &p); err != nil || p.Waiting != "the disk is full" || p.Phase != "erase" {
		t.Errorf("shown %s, %v", r.Job.Progress, err)
	}
	close(room)
	if r := b.await(arn, settled); r.Status != meta.Active || r.Failure != "" {
		t.Errorf("ended %q, %q", r.Status, r.Failure)
	}
}

func TestLanesKeepTheOrder(t *testing.T) {
	b := newBench(t, job.Options{})
	var mu sync.Mutex
	var order []string
	body := func(ctx context.Context, t *job.Task) error {
		mu.Lock()
		order = append(order, t.Resource().Name+" begins")
		mu.Unlock()
		if err := t.Status(ctx, meta.CreateInProgress); err != nil {
			return err
		}
		mu.Lock()
		order = append(order, t.Resource().Name+" ends") // before its commit, so before the next begins
		mu.Unlock()
		return t.Done(ctx, toActive)
	}
	b.q.Handle(job.Import, job.Spec{Class: job.Heavy, Run: body})
	b.q.Handle(job.Update, job.Spec{Run: body})
	b.add("import 1", meta.Job{Kind: job.Import, Lane: "dataset"})
	b.add("update", meta.Job{Kind: job.Update, Lane: "dataset"})
	last := b.add("import 2", meta.Job{Kind: job.Import, Lane: "dataset"})
	b.start()
	b.await(last, settled)
	want := []string{"import 1 begins", "import 1 ends", "update begins", "update ends", "import 2 begins", "import 2 ends"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Error(diff)
	}
}

// A row that is older than the one at work must not overtake it: the update of a dataset waits for an import that runs.
func TestAnOlderRowOfALaneWaitsForTheOneAtWork(t *testing.T) {
	b := newBench(t, job.Options{})
	working, release := make(chan struct{}), make(chan struct{})
	b.q.Handle(job.Import, job.Spec{Run: func(ctx context.Context, t *job.Task) error {
		close(working)
		<-release
		return activate(ctx, t)
	}})
	updated := make(chan struct{})
	b.q.Handle(job.Update, job.Spec{Run: func(ctx context.Context, t *job.Task) error {
		select {
		case <-release:
		default:
			return job.Fail("ran beside the import")
		}
		defer close(updated)
		return activate(ctx, t)
	}})
	older := b.add("dataset", meta.Job{})
	b.add("import", meta.Job{Kind: job.Import, Lane: "dataset"})
	b.start()
	<-working
	b.update(func(tx *meta.Tx) error {
		r, err := tx.Get(older)
		r.Job = meta.Job{Kind: job.Update, Lane: "dataset"}
		return errors.Join(err, tx.Put(r))
	})
	probe := b.add("probe", meta.Job{Kind: job.Activate})
	if r, err := b.db.Claim(t.Context(), "somebody else", []string{job.Update, job.Activate}, time.Minute); err != nil || r == nil || r.ARN != probe {
		t.Errorf("claimed %+v, %v", r, err)
	}
	close(release)
	<-updated
}

func TestErasuresDoNotStarveBehindTrainings(t *testing.T) {
	b := newBench(t, job.Options{})
	release := make(chan struct{})
	b.q.Handle(job.Train, job.Spec{Class: job.Heavy, Run: func(ctx context.Context, t *job.Task) error {
		<-release
		return activate(ctx, t)
	}})
	b.q.Handle(job.Erase, job.Spec{Class: job.Erasure, Run: activate})
	var trainings []string
	for i := range max(2, pace.Cores()) + 4 { // more than there are slots
		trainings = append(trainings, b.add(fmt.Sprint("training ", i), meta.Job{Kind: job.Train}))
	}
	erase := b.add("erase", meta.Job{Kind: job.Erase})
	b.start()
	b.await(erase, settled)
	close(release)
	for _, arn := range trainings {
		b.await(arn, settled)
	}
}

func TestAStoppedJobNeverCommits(t *testing.T) {
	b := newBench(t, job.Options{})
	atWork := make(chan struct{})
	b.q.Handle(job.Train, job.Spec{
		Run: func(ctx context.Context, t *job.Task) error {
			if err := t.Status(ctx, meta.CreateInProgress); err != nil {
				return err
			}
			close(atWork)
			<-ctx.Done()
			return t.Done(context.WithoutCancel(ctx), toActive) // too late
		},
		Stopped: func(r *meta.Resource) { r.Status = meta.CreateStopped },
	})
	running := b.add("running", meta.Job{Kind: job.Train})
	never := b.add("never begun", meta.Job{Kind: job.Train, Cancel: true})
	b.start()
	<-atWork
	b.update(func(tx *meta.Tx) error {
		r, err := tx.Get(running)
		r.Status, r.Job.Cancel = meta.CreateStopping, true
		return errors.Join(err, tx.Put(r))
	})
	for _, arn := range []string{running, never} {
		if r := b.await(arn, settled); r.Status != meta.CreateStopped {
			t.Errorf("%s ended as %q", arn, r.Status)
		}
	}
}

func TestABodyThatLostItsLeaseChangesNothing(t *testing.T) {
	b := newBench(t, job.Options{})
	atWork, proceed, outcome := make(chan struct{}), make(chan struct{}), make(chan error, 2)
	b.q.Handle(job.Train, job.Spec{Run: func(ctx context.Context, t *job.Task) error {
		close(atWork)
		<-proceed
		outcome <- t.Save(ctx, "late")
		outcome <- t.Done(ctx, toActive)
		return job.Fail("late as well")
	}})
	arn := b.add("a", meta.Job{Kind: job.Train})
	stop := b.start()
	<-atWork
	b.update(func(tx *meta.Tx) error {
		r, err := tx.Get(arn)
		r.Job = meta.Job{Kind: job.Deploy} // somebody asked for something else
		return errors.Join(err, tx.Put(r))
	})
	close(proceed)
	for range 2 {
		if err := <-outcome; !errors.Is(err, meta.ErrLost) {
			t.Error("a write without the lease gave", err)
		}
	}
	stop()
	if r := b.get(arn); r.Status != meta.CreatePending || r.Failure != "" || r.Job.Kind != job.Deploy {
		t.Errorf("the row became %+v", r)
	}
}

func TestShutdownInterruptsAndTheNextRunContinuesAfterTheLastStep(t *testing.T) {
	b := newBench(t, job.Options{})
	var steps []string
	atWork := make(chan struct{}, 2)
	interrupted := true
	b.q.Handle(job.Train, job.Spec{Run: func(ctx context.Context, t *job.Task) error {
		var note string
		if err := t.Load(&note); err != nil {
			return err
		}
		steps = append(steps, "checkpoint "+note)
		for _, name := range []string{"read", "train", "write"} {
			err := t.Step(ctx, name, func(ctx context.Context) error {
				steps = append(steps, name)
				if name != "train" || !interrupted {
					return nil
				}
				if err := t.Save(ctx, "half"); err != nil {
					return err
				}
				atWork <- struct{}{}
				<-ctx.Done()
				return job.Fail("a body that mistakes the end of its context for a failure: %v", ctx.Err())
			})
			if err != nil {
				return err
			}
		}
		return t.Done(ctx, func(_ *meta.Tx, r *meta.Resource) error { r.Status = meta.CreateFailed; return nil })
	}})
	arn := b.add("a", meta.Job{Kind: job.Train})
	stop := b.start()
	<-atWork
	stop()
	if r := b.get(arn); r.Job.Kind != job.Train || r.Job.Owner != "" || r.Job.Failures != 0 || r.Job.Step != "read" || r.Failure != "" {
		t.Fatalf("after the shutdown: %+v", r)
	}
	interrupted = false
	b.start()
	b.await(arn, settled)
	if diff := cmp.Diff([]string{"checkpoint ", "read", "train", "checkpoint half", "train", "write"}, steps); diff != "" {
		t.Error(diff)
	}
}

func TestLeasesOfAnEarlierProcessAreDroppedAtOnce(t *testing.T) {
	b := newBench(t, job.Options{})
	b.q.Handle(job.Train, job.Spec{Run: activate})
	arn := b.add("a", meta.Job{Kind: job.Train, Owner: "killed", LeaseUntil: time.Now().Add(time.Hour), Attempt: 40})
	b.start()
	if r := b.await(arn, settled); r.Status != meta.Active {
		t.Errorf("ended as %q", r.Status)
	}
}

func TestAnUnknownStepIsNotTakenForDone(t *testing.T) {
	b := newBench(t, job.Options{})
	b.q.Handle(job.Train, job.Spec{Run: func(ctx context.Context, t *job.Task) error {
		if err := t.Step(ctx, "read", func(context.Context) error { return nil }); err != nil {
			return err
		}
		return t.Done(ctx, toActive)
	}})
	arn := b.add("a", meta.Job{Kind: job.Train, Step: "a step of another build"})
	b.start()
	if r := b.await(arn, settled); r.Status != meta.CreateFailed {
		t.Errorf("ended as %q", r.Status)
	}
}

func TestHoldKeepsEachPassingStatusVisible(t *testing.T) {
	const hold = 30 * time.Millisecond
	b := newBench(t, job.Options{Hold: hold})
	began := make(chan *meta.Resource, 1)
	b.q.Handle(job.Activate, job.Spec{Run: func(ctx context.Context, t *job.Task) error {
		if err := t.Status(ctx, meta.CreateInProgress); err != nil {
			return err
		}
		began <- t.Resource()
		return t.Done(ctx, toActive)
	}})
	arn := b.add("a", meta.Job{Kind: job.Activate})
	b.start()
	r := <-began
	if d := r.Updated.Sub(r.Created); d < hold {
		t.Errorf("PENDING was visible for %v", d)
	}
	if d := b.await(arn, settled).Updated.Sub(r.Updated); d < hold {
		t.Errorf("IN_PROGRESS was visible for %v", d)
	}
}

func TestProgressIsStoredWithTheStep(t *testing.T) {
	b := newBench(t, job.Options{})
	atWork := make(chan struct{})
	b.q.Handle(job.Train, job.Spec{Run: func(ctx context.Context, t *job.Task) error {
		t.Progress(job.Progress{Phase: "read", Done: 1, Total: 8, Unit: "rows"})
		t.Progress(job.Progress{Phase: "read", Done: 4, Total: 8, Unit: "rows"})
		if err := t.Step(ctx, "read", func(context.Context) error { return nil }); err != nil {
			return err
		}
		close(atWork)
		<-ctx.Done()
		return context.Cause(ctx)
	}})
	arn := b.add("a", meta.Job{Kind: job.Train})
	b.start()
	<-atWork
	var p job.Progress
	if err := json.Unmarshal(b.get(arn).Job.Progress, &p); err != nil {
		t.Fatal(err)
	}
	if p.Done != 4 || p.Total != 8 || p.Started.IsZero() || p.At.Before(p.Started) {
		t.Errorf("stored %+v", p)
	}
}

func TestProgressRateAndTimeLeft(t *testing.T) {
	began := time.Unix(1000, 0)
	for _, c := range []struct {
		p    job.Progress
		rate float64
		left time.Duration
	}{
		{job.Progress{Done: 50, Total: 200, Started: began, At: began.Add(10 * time.Second)}, 5, 30 * time.Second},
		{job.Progress{Done: 50, Started: began, At: began.Add(10 * time.Second)}, 5, 0},
		{job.Progress{Done: 0, Total: 200, Started: began, At: began.Add(10 * time.Second)}, 0, 0},
		{job.Progress{Done: 50, Total: 200, Started: began, At: began}, 0, 0},
		{job.Progress{Done: 200, Total: 200, Started: began, At: began.Add(10 * time.Second)}, 20, 0},
	} {
		if c.p.Rate() != c.rate || c.p.TimeLeft() != c.left {
			t.Errorf("%+v: rate %v, left %v", c.p, c.p.Rate(), c.p.TimeLeft())
		}
	}
}
