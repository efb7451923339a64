package dataset

import (
	"sync"
	"time"
)

// clock tells the time although the wall clock may be set. The order of what arrives never depends on it: sequence numbers are that.
type clock struct {
	wall    func() time.Time
	elapsed func() time.Duration // since any moment, whatever happens to the wall clock

	mu               sync.Mutex
	earliest, latest time.Time
	at               time.Duration
	read             bool
}

// bounds returns the earliest and the latest time that it may be. They part when the wall clock is set: each is either what the wall clock says or what an
// earlier reading says with the time that has passed since, whichever is earlier, or later.
func (c *clock) bounds() (earliest, latest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, at := c.wall().Round(0), c.elapsed()
	if !c.read {
		c.earliest, c.latest, c.at, c.read = wall, wall, at, true
	}
	passed := at - c.at
	c.earliest, c.latest, c.at = c.earliest.Add(passed), c.latest.Add(passed), at
	if wall.Before(c.earliest) {
		c.earliest = wall
	}
	if wall.After(c.latest) {
		c.latest = wall
	}
	return c.earliest, c.latest
}

// began is where the process's own time begins.
var began = time.Now()

func sinceBegan() time.Duration { return time.Since(began) }
