// Package job runs what remains to be done with resources, durably: whatever happens to the process, every job ends once.
//
// A resource row is its own job (meta.Job), written in the transaction that creates or changes the resource. A Queue claims due rows and runs the
// body that was registered for their kind. The body proceeds in named steps; a step that has completed is never run again, one that was cut short is,
// so steps are idempotent. Its last act is Done, one transaction that commits the result and takes the job off the row.
//
// # Promises
//
//   - Every write of a body is fenced by (owner, attempt): a body that lost its lease can change nothing.
//   - After a crash or kill -9 the jobs that were running are claimed again as soon as a Queue runs (it drops the leases of its predecessors;
//     the caller holds the lock of the data directory) and continue after their last completed step.
//   - A body that fails by the customer's fault (Fail) is final at once. Any other error is retried with growing pauses, five attempts in all; crashes and
//     shutdowns do not count. One that must end well (Spec.Endless) is retried for ever, and may say what it waits for (Wait).
//   - A job that was asked to stop (meta.Job.Cancel) never commits; its Stopped hook decides what the row becomes.
//
// # Crash points
//
// Every step comes twice by the point "kind/step" of package crash: before it begins, and when it has ended but is not yet recorded. A body begins at
// "kind/begin"; its Done passes "kind/done" before the commit and "kind/committed" after it.
package job

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/pace"
)

const (
	lease     = 30 * time.Second // how long a silent body keeps its row
	heartbeat = 2 * time.Second
	poll      = time.Second // looks for what no commit of ours announced: retries that fell due, leases that ran out
	attempts  = 5           // errors that are not the customer's fault, until a job fails
	firstWait = 200 * time.Millisecond
	longWait  = time.Minute

	internalError = "Internal error; see the server log."
)

// Class says with whom a job shares its slots, so that jobs of one class never wait for those of another.
type Class int

const (
	Quick   Class = iota // changes of status: many at once
	Heavy                // imports, exports, trainings: as many as processors, at least two
	Erasure              // data deletion: what must happen soon does not wait behind trainings
	classes
)

func (c Class) slots() int {
	switch c {
	case Quick:
		return 64
	case Heavy:
		return max(2, pace.Cores())
	default:
		return 2
	}
}

// Spec is the body of a kind of job, with what becomes of the row if it does not come to its end.
type Spec struct {
	Class   Class
	Run     func(ctx context.Context, t *Task) error // ends with Task.Done
	Failed  func(r *meta.Resource, reason string)    // nil: Status = "CREATE FAILED", Failure = reason
	Stopped func(r *meta.Resource)                   // nil: the job cannot be stopped, Cancel is ignored
	Endless bool                                     // never gives up after errors: what must happen, such as deletions
}

// Options adjust a Queue.
type Options struct {
	Hold time.Duration // every transitional status stays visible at least so long, for clients that watch; 0: as long as the work takes
}

// Queue runs jobs. Its kinds are registered with Handle before Run.
type Queue struct {
	db    *meta.DB
	log   *slog.Logger
	hold  time.Duration
	pause time.Duration // before the second attempt; four times as long before each one after it
	owner string        // this queue; each claim adds a number, so that no two leases ever look alike
	specs map[string]Spec
	wake  chan struct{}

	// mu guards what the dispatcher and the bodies share.
	mu      sync.Mutex
	claims  int
	busy    [classes]int
	running map[string]*Task // by owner of the lease
}

// New returns a queue over the rows of db.
func New(db *meta.DB, log *slog.Logger, o Options) *Queue {
	return &Queue{db: db, log: log, hold: o.Hold, pause: firstWait, owner: rand.Text(), specs: map[string]Spec{}, wake: make(chan struct{}, 1), running: map[string]*Task{}}
}

// Handle registers the body of a kind. Rows with jobs of other kinds stay as they are.
func (q *Queue) Handle(kind string, s Spec) { q.specs[kind] = s }

// Wake makes the queue look for due jobs now. Commits of its own database wake it anyway.
func (q *Queue) Wake() {
	select {
	case q.wake <- struct{}{}:
	default: // it will look already
	}
}

// Run claims and runs jobs until ctx ends, then waits for the bodies, whose contexts end with it. What they did not finish stays due.
func (q *Queue) Run(ctx context.Context) error {
	if err := q.db.Release(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var bodies sync.WaitGroup
	defer bodies.Wait()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for ctx.Err() == nil {
		changed := q.db.Changed() // taken before looking, so that no commit is missed
		if err := errors.Join(q.dispatch(ctx, &bodies), q.stopCancelled(ctx)); err != nil && ctx.Err() == nil {
			q.log.Error("job queue", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-q.wake:
		case <-tick.C:
		}
	}
	return nil
}

// dispatch fills the free slots of each class.
func (q *Queue) dispatch(ctx context.Context, bodies *sync.WaitGroup) error {
	for class := range classes {
		kinds := q.kinds(class)
		for q.free(class) {
			owner := q.nextOwner()
			r, err := q.db.Claim(ctx, owner, kinds, lease)
			if err != nil {
				return err
			}
			if r == nil {
				break
			}
			t := q.begin(ctx, class, r)
			bodies.Go(func() { q.perform(ctx, t) })
		}
	}
	return nil
}

func (q *Queue) kinds(class Class) (kinds []string) {
	for kind, spec := range q.specs {
		if spec.Class == class {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

func (q *Queue) free(class Class) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.busy[class] < class.slots()
}

func (q *Queue) nextOwner() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.claims++
	return fmt.Sprintf("%s-%d", q.owner, q.claims)
}

// begin takes the slot of a claimed row.
func (q *Queue) begin(ctx context.Context, class Class, r *meta.Resource) *Task {
	t := &Task{queue: q, spec: q.specs[r.Job.Kind], owner: r.Job.Owner, attempt: r.Job.Attempt, kind: r.Job.Kind, skipTo: r.Job.Step, row: r, since: r.Updated}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy[class]++
	q.running[t.owner] = t
	return t
}

func (q *Queue) end(t *Task) {
	t.cancel(nil)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy[t.spec.Class]--
	delete(q.running, t.owner)
	q.Wake()
}

// stopCancelled ends the contexts of the bodies whose jobs were asked to stop.
func (q *Queue) stopCancelled(ctx context.Context) error {
	owners, err := q.db.Cancelled(ctx)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, owner := range owners {
		if t := q.running[owner]; t != nil && t.spec.Stopped != nil {
			t.cancel(errStopped)
		}
	}
	return nil
}

// perform runs one claimed job to its end, its failure, or the next attempt.
func (q *Queue) perform(ctx context.Context, t *Task) {
	defer q.end(t)
	silent := make(chan struct{})
	beats := sync.WaitGroup{}
	beats.Go(func() { t.beat(silent) })
	began := time.Now()
	q.log.Info("job started", t.about("attempt", t.attempt, "after", t.skipTo)...)
	err := t.run()
	close(silent)
	beats.Wait()

	// The row must learn the outcome even if the process is about to stop.
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease+q.hold)
	defer cancel()
	q.settleSurely(ctx, final, t, err)
	q.log.Info("job ended", t.about("done", t.isDone(), "took", time.Since(began).Round(time.Millisecond))...)
}

// settleSurely is settle until it succeeds: the disk may be full. What is not settled when the lease runs out is claimed again.
func (q *Queue) settleSurely(ctx, final context.Context, t *Task, outcome error) {
	for said := false; ; said = true {
		err := q.settle(final, ctx.Err() != nil, t, outcome)
		if err == nil || errors.Is(err, meta.ErrLost) {
			return
		}
		if !said {
			q.log.Error("settle job", "job", t.kind, "resource", t.Resource().ARN, "error", err)
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return
		case <-final.Done():
			return
		}
	}
}

// run calls the body; a panic is an error like any other. Its own words are kept only if they are the runtime's: any other could hold a user id.
func (t *Task) run() (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case runtime.Error:
			err = fmt.Errorf("panic: %w\n%s", p, debug.Stack())
		default:
			err = fmt.Errorf("panic: a %T\n%s", p, debug.Stack())
		}
	}()
	if t.Resource().Job.Cancel && t.spec.Stopped != nil {
		return errStopped
	}
	crash.Point(t.kind + "/begin")
	if err := t.spec.Run(t.ctx, t); err != nil {
		return err
	}
	if !t.isDone() {
		return errors.New("the body ended without Done")
	}
	return nil
}

// settle writes what became of an attempt.
func (q *Queue) settle(ctx context.Context, shutdown bool, t *Task, err error) error {
	var failed *failure
	var waits *waiting
	cause := context.Cause(t.ctx)
	switch {
	case t.isDone():
		return nil
	case errors.Is(err, meta.ErrLost) || errors.Is(cause, meta.ErrLost):
		return nil // somebody else has the row, or nothing remains to be done
	case errors.Is(err, errStopped) || errors.Is(cause, errStopped):
		return t.finish(ctx, t.spec.Stopped)
	case shutdown: // whatever err says, it may come from the context's end
		return q.db.Yield(ctx, t.Resource().ARN, t.owner, t.attempt, 0, false)
	case errors.As(err, &failed):
		q.log.Warn("job failed", "job", t.kind, "resource", t.Resource().ARN, "error", err)
		return t.fail(ctx, failed.reason)
	}
	if errors.As(err, &waits) {
		t.wait(waits.reason)
		if _, err := q.db.Beat(ctx, t.Resource().ARN, t.owner, t.attempt, lease, t.encodedProgress()); err != nil {
			return err
		}
	}
	failures := t.Resource().Job.Failures + 1
	q.log.Error("job attempt failed", "job", t.kind, "resource", t.Resource().ARN, "attempt", t.attempt, "failures", failures, "error", err)
	if failures >= attempts && !t.spec.Endless {
		return t.fail(ctx, internalError)
	}
	wait := longWait
	if failures < attempts {
		wait = min(longWait, q.pause<<(2*(failures-1)))
	}
	if err := q.db.Yield(ctx, t.Resource().ARN, t.owner, t.attempt, wait, true); err != nil {
		return err
	}
	time.AfterFunc(wait, q.Wake)
	return nil
}
