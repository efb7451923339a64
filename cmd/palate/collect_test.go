package main

import (
	"log/slog"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestSmallHeapsGrowByTheRoomAndLargeOnesDouble(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		live, room uint64
		percent    int
	}{{0, 128 * mb, 10_000}, {10 * mb, 128 * mb, 1280}, {128 * mb, 128 * mb, 100}, {4096 * mb, 128 * mb, 100}, {2 * mb, 16 * mb, 800}} {
		if got := roomyPercent(c.live, c.room); got != c.percent {
			t.Errorf("%d MB alive, room for %d MB: %d %%, want %d %%", c.live/mb, c.room/mb, got, c.percent)
		}
	}
}

// TestThePercentageFollowsTheHeap: it is high while the heap is small, falls to Go's own when the heap is large, and rises again.
func TestThePercentageFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	percent := func() int {
		p := debug.SetGCPercent(-1)
		debug.SetGCPercent(p)
		return p
	}
	wait := func(what string, fine func(percent int) bool) {
		for range 1000 {
			runtime.GC()
			if fine(percent()) {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatalf("%s: still at %d %%", what, percent())
	}
	collectSeldom(1<<30, slog.New(slog.DiscardHandler))
	small := percent()
	if small < 200 {
		t.Fatalf("a small heap may grow by %d %%", small)
	}
	large := make([][]byte, 0, 80)
	for range cap(large) {
		large = append(large, make([]byte, 1<<20))
	}
	wait("a large heap", func(p int) bool { return p == 100 })
	runtime.KeepAlive(large)
	large = nil
	wait("a small heap again", func(p int) bool { return p >= 200 })
}
