package pace

import (
	"runtime"
	"testing"
	"time"
)

// world is a budget with a clock that only rests and works move.
func world() (b *Budget, work func(time.Duration), rested *time.Duration) {
	now, slept := time.Unix(1_000_000, 0), time.Duration(0)
	b = &Budget{now: func() time.Time { return now }, sleep: func(d time.Duration) { slept += d; now = now.Add(d) }}
	return b, func(d time.Duration) { now = now.Add(d) }, &slept
}

func TestWorkersShareOneProcessorWhileRequestsAreUnderWay(t *testing.T) {
	for n, want := range map[int]time.Duration{1: 0, 2: 40 * time.Millisecond, 4: 120 * time.Millisecond} {
		b, work, rested := world()
		w := b.Worker(n)
		b.Begin()
		for range 4 {
			work(10 * time.Millisecond)
			w.Step()
		}
		if *rested != want {
			t.Errorf("each of %d workers rested %v in 40 ms of work, want %v", n, *rested, want)
		}
	}
}

func TestAnIdleMachineIsAllTheJobs(t *testing.T) {
	b, work, rested := world()
	w := b.Worker(2)
	work(time.Second)
	w.Step()
	b.Begin()
	b.End()
	work(linger)
	w.Step()
	if *rested != 0 {
		t.Errorf("rested %v without requests", *rested)
	}
	b.Begin()
	b.End()
	w.Step() // of a block that began while nobody asked
	work(linger / 2)
	w.Step()
	if *rested != linger/2 {
		t.Errorf("rested %v just after a request, want %v", *rested, linger/2)
	}
}

func TestJobsAreNotStarved(t *testing.T) {
	b, work, rested := world()
	w := b.Worker(64)
	b.Begin()
	work(time.Hour)
	w.Step()
	if *rested > longest {
		t.Errorf("one rest of %v", *rested)
	}
}

func TestSmallBlocksRestTogether(t *testing.T) {
	b, work, rested := world()
	w := b.Worker(2)
	b.Begin()
	for range 25 {
		work(shortest / 10)
		w.Step()
	}
	if want := 2 * shortest; *rested != want {
		t.Errorf("rested %v in two and a half of the shortest blocks, want %v", *rested, want)
	}
}

func TestSpareThreadsAreNoCores(t *testing.T) {
	before := runtime.GOMAXPROCS(3)
	defer runtime.GOMAXPROCS(before)
	defer spare.Store(0)
	Spare(4)
	if threads, cores := runtime.GOMAXPROCS(0), Cores(); threads != 7 || cores != 3 {
		t.Errorf("%d threads, %d cores, want 7 and 3", threads, cores)
	}
}
