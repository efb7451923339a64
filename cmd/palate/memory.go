package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// byteSize is a flag: a number of bytes, or one with the unit KiB, MiB, GiB or TiB.
type byteSize int64

var byteUnits = []struct {
	name string
	size int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

func (b *byteSize) Set(text string) error {
	for _, u := range byteUnits {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.size {
			break
		}
		*b = byteSize(n * u.size)
		return nil
	}
	return errors.New("want bytes, or a number with KiB, MiB, GiB or TiB")
}

func (b *byteSize) String() string {
	for _, u := range byteUnits {
		if n := int64(*b); n != 0 && n%u.size == 0 {
			return fmt.Sprintf("%d%s", n/u.size, u.name)
		}
	}
	return "0"
}

// unknownMemory is taken for the memory of a system that does not say how much it has.
const unknownMemory = 8 << 30

// defaultTrainingMemory is half of what the machine or the container has, in whole MiB.
func defaultTrainingMemory() byteSize { return byteSize(systemMemory(os.ReadFile) / 2 >> 20 << 20) }

// systemMemory is the least of the machine's memory and the limits of the control groups that a container sees as its own.
func systemMemory(read func(path string) ([]byte, error)) int64 {
	least := int64(math.MaxInt64)
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := read(path)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // "max" is none
			least = min(least, n)
		}
	}
	if text, err := read("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			var kib int64
			if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kib); n == 1 {
				least = min(least, kib<<10)
			}
		}
	}
	if least == math.MaxInt64 {
		return unknownMemory
	}
	return least
}

// spareThreads is how many threads more than cores the server has. With as many as cores, a thread that the system takes off its core, for a proxy beside it or a job,
// keeps all requests waiting that Go has put behind it, and no other thread is idle enough to take them.
const spareThreads = 4

// roomForThreads tells whether the server may have spare threads: not if GOMAXPROCS is set, and not under a quota of processor time, which they would use up early, to
// stand still together until the next period.
func roomForThreads(read func(path string) ([]byte, error)) bool {
	if os.Getenv("GOMAXPROCS") != "" {
		return false
	}
	if text, err := read("/sys/fs/cgroup/cpu.max"); err == nil && !strings.HasPrefix(string(text), "max") {
		return false
	}
	text, err := read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
	return err != nil || strings.HasPrefix(string(text), "-")
}
