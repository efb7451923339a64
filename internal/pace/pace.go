// Package pace is the CPU budget of jobs: while requests for recommendations or with events are under way, the parallel work of a job leaves processors to
// them. A machine without requests is all the jobs'.
//
// Go's scheduler gives every goroutine an equal turn of up to ten milliseconds, so a job with a worker on each processor makes requests that need a tenth
// of a millisecond queue behind its turns. Here each of n workers, between blocks of its work, rests n-1 times as long as the block took while
// requests are under way. Together they use one processor at most and never less than a share of it, so that neither side starves.
//
// Work that runs on one goroutine takes what the scheduler gives it, but gives way often: Yield. What a job computes never depends on the pace.
package pace

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A Budget knows whether requests are under way. The zero Budget is ready.
type Budget struct {
	active atomic.Int64
	ended  atomic.Int64 // when the last request ended: nanoseconds since epoch

	now   func() time.Time    // nil means time.Now
	sleep func(time.Duration) // nil means time.Sleep
}

// Process is the budget of this process.
var Process Budget

const (
	linger  = 20 * time.Millisecond  // a client that was just answered is about to ask again
	longest = 250 * time.Millisecond // of one rest
)

// Begin and End enclose a request.
func (b *Budget) Begin() { b.active.Add(1) }

func (b *Budget) End() {
	b.ended.Store(b.clock().UnixNano())
	b.active.Add(-1)
}

// Serving tells whether a request is under way or was a moment ago.
func (b *Budget) Serving() bool {
	return b.active.Load() > 0 || b.clock().UnixNano()-b.ended.Load() < int64(linger)
}

func (b *Budget) clock() time.Time {
	if b.now != nil {
		return b.now()
	}
	return time.Now()
}

// Yield lets requests go first that wait for this processor. Work of any kind that takes more than a millisecond calls it every tenth of one: a goroutine that
// does not is taken off its processor after ten to twenty milliseconds, and all requests that the scheduler has put behind it wait that long.
func (b *Budget) Yield() {
	if b.Serving() {
		runtime.Gosched()
	}
}

// A Worker is one of some goroutines that share a job's work. Only that goroutine may use it.
type Worker struct {
	budget *Budget
	others int
	began  time.Time
}

// Worker returns the pace of one of n goroutines, whose first block begins now.
func (b *Budget) Worker(n int) *Worker {
	return &Worker{budget: b, others: max(n, 1) - 1, began: b.clock()}
}

// Start begins a block of work anew, after a time of waiting that is no work.
func (w *Worker) Start() { w.began = w.budget.clock() }

// Step ends a block of work, a few milliseconds at best, and begins the next one.
func (w *Worker) Step() {
	if w.others == 0 {
		return
	}
	now := w.budget.clock()
	if w.budget.Serving() {
		rest := min(now.Sub(w.began)*time.Duration(w.others), longest)
		if w.budget.sleep != nil {
			w.budget.sleep(rest)
		} else {
			time.Sleep(rest)
		}
		now = w.budget.clock()
	}
	w.began = now
}
