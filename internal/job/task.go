package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/meta"
)

var errStopped = errors.New("the job was asked to stop")

// failure is an outcome that another attempt cannot change.
type failure struct{ reason string }

func (f *failure) Error() string { return f.reason }

// Fail returns an error that ends the job for good; its text is the resource's failureReason and must not hold a user id.
func Fail(format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...)}
}

// Failed tells whether err ends the job for good.
func Failed(err error) bool {
	var f *failure
	return errors.As(err, &f)
}

// waiting is why a job cannot go on for now.
type waiting struct {
	reason string
	err    error
}

func (w *waiting) Error() string { return w.reason + ": " + w.err.Error() }
func (w *waiting) Unwrap() error { return w.err }

// Wait returns an error that ends an attempt because of something outside of the job that err tells of, such as a full disk. Until an attempt succeeds the
// reason is shown with the progress; it must not hold a user id. Only jobs that never give up may wait.
func Wait(err error, reason string) error { return &waiting{reason, err} }

// Task is one attempt at a job. Its methods may be called by several goroutines of the body, but for Step.
type Task struct {
	queue   *Queue
	spec    Spec
	kind    string
	owner   string
	attempt int
	ctx     context.Context // the body's; its cause says why it ended
	cancel  context.CancelCauseFunc
	skipTo  string // the step that an earlier attempt completed last: Step passes over all up to it

	// mu guards what follows.
	mu       sync.Mutex
	row      *meta.Resource
	done     bool
	since    time.Time // the row, or its update's summary, has had its status at least since then
	progress *Progress // the last report of this attempt
	from     float64   // Overall of its first report
	fromAt   time.Time
}

// Resource returns the row as read at the claim or at the last Update. The caller must not change it.
func (t *Task) Resource() *meta.Resource {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.row
}

// Last tells whether an error other than Fail would end the job for good: it has been tried often enough.
func (t *Task) Last() bool {
	return !t.spec.Endless && t.Resource().Job.Failures+1 >= attempts
}

func (t *Task) isDone() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}

// Update runs f on the fresh row in one transaction and writes the row back. It fails with meta.ErrLost if the job is no longer this attempt's, and
// if the job was asked to stop; the body then returns that error.
func (t *Task) Update(ctx context.Context, f func(tx *meta.Tx, r *meta.Resource) error) error {
	return t.commit(ctx, func(tx *meta.Tx, r *meta.Resource) error {
		if err := f(tx, r); err != nil {
			return err
		}
		return tx.Put(r)
	})
}

// Status moves the row to a status, once the one before it was visible for Options.Hold.
func (t *Task) Status(ctx context.Context, status string) error {
	return t.Advance(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		r.Status = status
		return nil
	})
}

// Advance is Status for a change of more than the row's status: of the status in an update's summary.
func (t *Task) Advance(ctx context.Context, f func(tx *meta.Tx, r *meta.Resource) error) error {
	if err := t.linger(ctx); err != nil {
		return err
	}
	if err := t.Update(ctx, f); err != nil {
		return err
	}
	t.mu.Lock()
	t.since = t.row.Updated // also where the status stands in a summary
	t.mu.Unlock()
	return nil
}

// Done is the commit of the job: like Update, and the job is taken off the row before f, which may put another one there.
// f may also delete the row.
func (t *Task) Done(ctx context.Context, f func(tx *meta.Tx, r *meta.Resource) error) error {
	if t.skipTo != "" {
		return fmt.Errorf("%s job has no step %q, which an earlier attempt completed", t.kind, t.skipTo)
	}
	if err := t.linger(ctx); err != nil {
		return err
	}
	return t.close(ctx, f)
}

func (t *Task) close(ctx context.Context, f func(tx *meta.Tx, r *meta.Resource) error) error {
	crash.Point(t.kind + "/done")
	err := t.commit(ctx, func(tx *meta.Tx, r *meta.Resource) error {
		r.Job = meta.Job{}
		if err := f(tx, r); err != nil {
			return err
		}
		if err := tx.Put(r); !errors.Is(err, meta.ErrNotFound) {
			return err
		}
		return nil // f deleted it
	})
	if err == nil {
		crash.Point(t.kind + "/committed")
		t.mu.Lock()
		t.done = true
		t.mu.Unlock()
	}
	return err
}

// commit runs f on the fresh row if the job is still this attempt's and nobody asked it to stop.
func (t *Task) commit(ctx context.Context, f func(tx *meta.Tx, r *meta.Resource) error) error {
	var fresh *meta.Resource
	err := t.queue.db.Update(ctx, func(tx *meta.Tx) error {
		r, err := t.fenced(tx)
		if err != nil {
			return err
		}
		if r.Job.Cancel && t.spec.Stopped != nil {
			return errStopped
		}
		fresh = r
		return f(tx, r)
	})
	if err == nil {
		t.mu.Lock()
		if fresh.Status != t.row.Status {
			t.since = fresh.Updated
		}
		t.row = fresh
		t.mu.Unlock()
	}
	return err
}

// fenced reads the row and checks that the lease is this attempt's.
func (t *Task) fenced(tx *meta.Tx) (*meta.Resource, error) {
	r, err := tx.Get(t.Resource().ARN)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, meta.ErrLost
	}
	if err != nil {
		return nil, err
	}
	if r.Job.Kind != t.kind || r.Job.Owner != t.owner || r.Job.Attempt != t.attempt {
		return nil, meta.ErrLost
	}
	return r, nil
}

// fail ends the job with a reason for the customer.
func (t *Task) fail(ctx context.Context, reason string) error {
	return t.finish(ctx, func(r *meta.Resource) {
		if t.spec.Failed != nil {
			t.spec.Failed(r, reason)
			return
		}
		r.Status, r.Failure = meta.CreateFailed, reason
	})
}

// finish ends the job without its commit. Unlike Done it also ends one that was asked to stop.
func (t *Task) finish(ctx context.Context, hook func(r *meta.Resource)) error {
	if err := t.linger(ctx); err != nil {
		return err
	}
	return t.queue.db.Update(ctx, func(tx *meta.Tx) error {
		r, err := t.fenced(tx)
		if err != nil {
			return err
		}
		r.Job = meta.Job{}
		hook(r)
		return tx.Put(r)
	})
}

// linger waits until the row's status was visible for Options.Hold, if it is one that passes. Those of an update stand in its summary, beside an ACTIVE row.
func (t *Task) linger(ctx context.Context) error {
	t.mu.Lock()
	r, since := t.row, t.since
	t.mu.Unlock()
	wait := min(time.Until(since.Add(t.queue.hold)), t.queue.hold) // no longer, though the wall clock may have been set back since
	passing := strings.HasSuffix(r.Status, "PENDING") || strings.HasSuffix(r.Status, "IN_PROGRESS") || strings.HasSuffix(r.Status, "STOPPING") || t.kind == Update
	if t.queue.hold == 0 || wait <= 0 || !passing {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// about is what every line of the log about the job begins with, and more. None of it is anything that a client sent but the names in its ARN.
func (t *Task) about(more ...any) []any {
	return append([]any{"job", t.kind, "resource", t.Resource().ARN}, more...)
}

// Step runs one step of the body and records durably that it completed. It is passed over if an earlier attempt completed it or a later one; a body
// names its steps in a fixed order, each once, and lets none depend on the memory of another. Names stay for ever: jobs survive upgrades.
func (t *Task) Step(ctx context.Context, name string, f func(ctx context.Context) error) error {
	if t.skipTo != "" {
		if t.skipTo == name {
			t.skipTo = ""
		}
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	crash.Point(t.kind + "/" + name)
	began := time.Now()
	if err := f(ctx); err != nil {
		return err
	}
	t.queue.log.Info("job step", t.about("step", name, "took", time.Since(began).Round(time.Millisecond))...)
	crash.Point(t.kind + "/" + name)
	return t.Update(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		r.Job.Step = name
		if p := t.encodedProgress(); p != nil {
			r.Job.Progress = p
		}
		return nil
	})
}

// Load reads the checkpoint that Save wrote, in this attempt or an earlier one; without one it leaves v alone.
func (t *Task) Load(v any) error {
	checkpoint := t.Resource().Job.Checkpoint
	if len(checkpoint) == 0 {
		return nil
	}
	if err := json.Unmarshal(checkpoint, v); err != nil {
		return fmt.Errorf("decode checkpoint of %s: %w", t.Resource().ARN, err)
	}
	return nil
}

// Save stores v durably as the body's own state. It must not hold a user id.
func (t *Task) Save(ctx context.Context, v any) error {
	checkpoint, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode checkpoint of %s: %w", t.Resource().ARN, err)
	}
	return t.Update(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		r.Job.Checkpoint = checkpoint
		return nil
	})
}

// beat keeps the lease until silent is closed, and ends the body's context if the lease is lost or the job is asked to stop. It goes on while a body
// whose context has ended finds its way out: until then nobody else may have the row.
func (t *Task) beat(silent <-chan struct{}) {
	ctx := context.WithoutCancel(t.ctx)
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-silent:
			return
		case <-tick.C:
		}
		cancel, err := t.queue.db.Beat(ctx, t.Resource().ARN, t.owner, t.attempt, lease, t.encodedProgress())
		switch {
		case errors.Is(err, meta.ErrLost):
			t.cancel(meta.ErrLost) // of no effect after Done
			return
		case err != nil:
			t.queue.log.Warn("extend lease", "job", t.kind, "resource", t.Resource().ARN, "error", err)
		case cancel && t.spec.Stopped != nil:
			t.cancel(errStopped)
		}
	}
}
