// Package measure tells what a step of a benchmark costs.
package measure

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// Cost is elapsed and processor time in seconds, and the peak of resident memory in MB, 0 if the system does not say.
type Cost struct{ Wall, CPU, Peak float64 }

// Step runs f after giving back to the system what earlier steps have left in memory. Where the system cannot forget the peak of those, as Linux can, it counts too.
func Step(f func() error) (Cost, error) {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	start, before := time.Now(), CPU()
	err := f()
	return Cost{time.Since(start).Seconds(), CPU() - before, Memory("self", "VmHWM")}, err
}

// CPU is the processor time of this process in seconds.
func CPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// Memory is a figure of the memory of a process in MB, as Linux names it in /proc/PROCESS/status: VmRSS is what is resident, VmHWM its peak. The process is a number or
// "self"; 0 if the system does not say.
func Memory(process, name string) float64 {
	status, err := os.ReadFile("/proc/" + process + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, name+": %f kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	return 0
}
