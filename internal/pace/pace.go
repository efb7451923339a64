// Package pace is the CPU budget of jobs: while requests for recommendations or with events are under way, the parallel work of a job leaves processors to
// them. A machine without requests is all the jobs'.
//
// Go's scheduler gives every goroutine an equal turn of up to ten milliseconds, so a job with a worker on each processor makes requests that need a tenth
// of a millisecond queue behind its turns. Here each of n workers, between blocks of its work, rests n-1 times as long as the block took while
// requests are under way. Together they use one processor at most and never less than a share of it, so that neither side starves.
//
// Work that runs on one goroutine takes what the scheduler gives it, but gives way often: Yield. What a job computes never depends on the pace.
//
// Nor does the system give a thread its core at once: on a core that others use too a thread waits for milliseconds, and with it all requests that Go has put behind the
// one that it runs. So a server gives Go some threads more than there are cores: Spare. Jobs have as many workers as there are Cores.
package pace

import (
	"runtime"
	"sync/atomic"
	"time"
)

var spare atomic.Int64 // by how many the threads are more than the cores

// Cores is how many cores this process may use: how many workers a job has, and what it plans memory for. It is GOMAXPROCS without the threads of Spare.
func Cores() int { return max(1, runtime.GOMAXPROCS(0)-int(spare.Load())) }

// Spare lets Go run so many threads more than there are cores. It is called once, before anything runs that asks for Cores.
func Spare(threads int) {
	spare.Store(int64(threads))
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + threads)
}

// A Budget knows whether requests are under way. The zero Budget is ready.
type Budget struct {
	active atomic.Int64
	ended  atomic.Int64 // when the last request ended: nanoseconds since epoch; 0 if that is longer ago than linger

	now   func() time.Time    // nil means time.Now
	sleep func(time.Duration) // nil means time.Sleep
}

// Process is the budget of this process.
var Process Budget

const (
	linger   = 20 * time.Millisecond  // a client that was just answered is about to ask again
	shortest = time.Millisecond       // block of work that is worth a rest
	longest  = 250 * time.Millisecond // of one rest
)

// Begin and End enclose a request.
func (b *Budget) Begin() { b.active.Add(1) }

func (b *Budget) End() {
	b.ended.Store(b.clock().UnixNano())
	b.active.Add(-1)
}

// Serving tells whether a request is under way or was a moment ago. If none was for long, it costs two loads and no look at the clock.
func (b *Budget) Serving() bool {
	if b.active.Load() > 0 {
		return true
	}
	ended := b.ended.Load()
	if ended == 0 {
		return false
	}
	if b.clock().UnixNano()-ended < int64(linger) {
		return true
	}
	b.ended.CompareAndSwap(ended, 0) // or another request has ended meanwhile
	return false
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
	alone  bool // no request was under way at the last step: when the block began is not known
}

// Worker returns the pace of one of n goroutines, whose first block begins now.
func (b *Budget) Worker(n int) *Worker {
	return &Worker{budget: b, others: max(n, 1) - 1, began: b.clock()}
}

// Start begins a block of work anew, after a time of waiting that is no work.
func (w *Worker) Start() { w.began, w.alone = w.budget.clock(), false }

// Step ends a block of work, a few milliseconds at best, and begins the next one. A block that began while nobody asked is not rested for; one of less than a millisecond goes on.
func (w *Worker) Step() {
	if w.others == 0 {
		return
	}
	if !w.budget.Serving() {
		w.alone = true
		return
	}
	now := w.budget.clock()
	if w.alone {
		w.alone, w.began = false, now
		return
	}
	worked := now.Sub(w.began)
	if worked < shortest {
		return
	}
	rest := min(worked*time.Duration(w.others), longest)
	if w.budget.sleep != nil {
		w.budget.sleep(rest)
	} else {
		time.Sleep(rest)
	}
	w.began = w.budget.clock()
}
