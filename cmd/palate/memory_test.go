package main

import (
	"errors"
	"testing"
)

func TestSizesAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1500": 1500, "4GiB": 4 << 30, "500 MiB": 500 << 20, "3KiB": 3 << 10, "1TiB": 1 << 40} {
		var b byteSize
		if err := b.Set(text); err != nil || int64(b) != want {
			t.Errorf("%s is %d (%v), want %d", text, b, err, want)
		}
		var again byteSize
		if err := again.Set(b.String()); err != nil || again != b {
			t.Errorf("%s is written as %s", text, b.String())
		}
	}
	for _, text := range []string{"", "GiB", "-1", "4GB", "1.5GiB", "99999999TiB"} {
		if b := byteSize(7); b.Set(text) == nil || b != 7 {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestMemoryOfTheContainerCountsIfItIsLess(t *testing.T) {
	const machine, v2, v1 = "/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
	for _, c := range []struct {
		files map[string]string
		want  int64
	}{
		{map[string]string{machine: "MemTotal:       16000 kB\nMemFree: 1 kB\n"}, 16000 << 10},
		{map[string]string{machine: "MemTotal: 16000 kB\n", v2: "max\n"}, 16000 << 10},
		{map[string]string{machine: "MemTotal: 16000 kB\n", v2: "1048576\n"}, 1 << 20},
		{map[string]string{machine: "MemTotal: 16000 kB\n", v1: "9223372036854771712\n"}, 16000 << 10},
		{map[string]string{machine: "MemTotal: 16000 kB\n", v1: "2097152\n"}, 2 << 20},
		{nil, unknownMemory},
	} {
		if got := systemMemory(reading(c.files)); got != c.want {
			t.Errorf("%v: %d, want %d", c.files, got, c.want)
		}
	}
}

// reading reads from files that are only here.
func reading(files map[string]string) func(path string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		if text, ok := files[path]; ok {
			return []byte(text), nil
		}
		return nil, errors.New("no such file")
	}
}

func TestAQuotaOfProcessorTimeLeavesNoRoomForThreads(t *testing.T) {
	const v2, v1 = "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"
	t.Setenv("GOMAXPROCS", "")
	for _, c := range []struct {
		files map[string]string
		want  bool
	}{{nil, true}, {map[string]string{v2: "max 100000\n"}, true}, {map[string]string{v2: "200000 100000\n"}, false}, {map[string]string{v1: "-1\n"}, true}, {map[string]string{v1: "50000\n"}, false}} {
		if got := roomForThreads(reading(c.files)); got != c.want {
			t.Errorf("%v: %v", c.files, got)
		}
	}
	t.Setenv("GOMAXPROCS", "2")
	if roomForThreads(reading(nil)) {
		t.Error("GOMAXPROCS is set, and there is room all the same")
	}
}
