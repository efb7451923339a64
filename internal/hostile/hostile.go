// Package hostile bounds what a fuzz target may cost: reading an input that an enemy made must not take much more memory than the input has bytes, nor hang.
package hostile

import (
	"flag"
	"fmt"
	"runtime/metrics"
	"syscall"
	"testing"
	"time"
)

// Bounds of one input.
const (
	Memory  = 64 << 20    // bytes that are allocated beside the input, whether they are kept or not
	CPUTime = time.Second // while fuzzing: a machine that is busy with other things must not fail a target
	hang    = 20 * time.Second
)

// Bound calls read, which reads an input of so many bytes, and fails the test if it costs more than the bounds. Time counts only while fuzzing.
func Bound(t testing.TB, input int, read func()) {
	t.Helper()
	fuzzing := isWorker()
	if fuzzing {
		defer time.AfterFunc(hang, func() { panic(fmt.Sprintf("an input of %d bytes hangs", input)) }).Stop() // ends the worker, which blames its input
	}
	cpu, heap := cpuTime(), allocated()
	read()
	heap, cpu = allocated()-heap, cpuTime()-cpu
	if heap > uint64(Memory+input) {
		t.Fatalf("%d MiB allocated for an input of %d bytes", heap>>20, input)
	}
	if fuzzing && cpu > CPUTime {
		t.Fatalf("%v for an input of %d bytes", cpu, input)
	}
}

// isWorker tells whether the process runs inputs for go test -fuzz.
func isWorker() bool {
	f := flag.Lookup("test.fuzzworker")
	return f != nil && f.Value.String() == "true"
}

// allocated is the bytes that the process has ever allocated on its heap. Unlike runtime.ReadMemStats it stops nobody.
func allocated() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}

// cpuTime is the time that all threads of the process have spent.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
