package job

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// crashPlan is what PALATE_CRASH asks for.
type crashPlan struct {
	point string
	left  atomic.Int64 // hits until the end
}

// planned reads the environment once.
var planned = sync.OnceValue(func() *crashPlan {
	point, hits, _ := strings.Cut(os.Getenv("PALATE_CRASH"), ":")
	n, err := strconv.ParseInt(hits, 10, 64)
	if err != nil || point == "" {
		return &crashPlan{}
	}
	p := &crashPlan{point: point}
	p.left.Store(n)
	return p
})

// CrashPoint kills the process if the environment asks for its end at this point, as a power cut or the kernel would: nothing is flushed, no deferred
// call runs. See the package doc.
func CrashPoint(point string) {
	p := planned()
	if p.point == "" || p.point != point || p.left.Add(-1) != 0 {
		return
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		os.Exit(137)
	}
	select {} // the signal is on its way
}
