// Package crash lets tests end the process at named points of the code, as a power cut or the kernel would: nothing is flushed, no deferred call runs.
//
// PALATE_CRASH="point:n" kills the process (SIGKILL) when it comes by that point for the n-th time. PALATE_CRASH_LOG=FILE appends the name of every point that is
// passed to a file, so that a test learns from a run which points there are. Without them a point costs two loads.
package crash

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// plan is what the environment asks for.
type plan struct {
	point string
	left  atomic.Int64 // hits until the end
	log   *os.File
}

// planned reads the environment once.
var planned = sync.OnceValue(func() *plan {
	p := &plan{}
	if point, hits, _ := strings.Cut(os.Getenv("PALATE_CRASH"), ":"); point != "" {
		if n, err := strconv.ParseInt(hits, 10, 64); err == nil {
			p.point = point
			p.left.Store(n)
		}
	}
	if path := os.Getenv("PALATE_CRASH_LOG"); path != "" {
		p.log, _ = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) // a test that misses its file says so
	}
	return p
})

// Point ends the process here if the environment asks for it.
func Point(name string) {
	p := planned()
	if p.log != nil {
		p.log.WriteString(name + "\n")
	}
	if p.point == "" || p.point != name || p.left.Add(-1) != 0 {
		return
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		os.Exit(137)
	}
	select {} // the signal is on its way
}
