package main

import (
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// mostRoom is what is allocated between two garbage collections at least, on a machine that has the memory.
const mostRoom = 128 << 20

// collectSeldom lets the heap grow by 128 MB between two garbage collections, or by a sixteenth of the memory if that is less. Models are mapped files and no part of
// the heap, so that of a server that only answers is small: Go, which lets a heap double, would collect it several times a second, and requests wait each time for
// others to come to a stop. A heap with more alive than that, as trainings have it, is collected as Go does. So is every heap if GOGC is set.
func collectSeldom(memory int64, log *slog.Logger) {
	room := min(mostRoom, memory/16)
	if os.Getenv("GOGC") != "" || room <= 0 {
		return
	}
	c := &collector{room: uint64(room), percent: 100}
	c.adapt()
	log.Debug("garbage collections", "MB apart", room>>20)
}

// collector sets, after each collection, the percentage by which the heap grows until the next one.
type collector struct {
	room    uint64
	percent int
}

// adapt looks at what the last collection left, and again after the next one.
func (c *collector) adapt() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}} // what the percentage is of
	metrics.Read(live)
	sum := uint64(0)
	for _, s := range live {
		sum += s.Value.Uint64()
	}
	percent := roomyPercent(sum, c.room)
	if percent < c.percent-c.percent/8 || percent > c.percent+c.percent/4 || percent == 100 && c.percent != 100 { // setting it stops everybody for a moment
		c.percent = percent
		debug.SetGCPercent(percent)
	}
	runtime.AddCleanup(&struct{ pointer *int }{}, func(c *collector) { c.adapt() }, c)
}

// roomyPercent is by how many percent a heap with so much alive grows by room, or doubles if that is more.
func roomyPercent(live, room uint64) int {
	return int(max(100, min(room*100/max(live, 1<<20), 10_000)))
}
