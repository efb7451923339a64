// Package seeds is how random tests choose, print and replay their randomness, and how often they run.
//
// PALATE_SEED=N replays one run. PALATE_TORTURE=F runs F times the numbers of the release gate instead of the few runs that fit into every test: 1 is the gate,
// 0.1 a tenth of it. PALATE_TORTURE_LOG names a file that gets one line for each test: its name, its runs, and the seeds that failed.
package seeds

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Random returns the random source of a test and prints its seed.
func Random(t testing.TB) *rand.Rand {
	t.Helper()
	seed, fixed := replayed(t)
	if !fixed {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("PALATE_SEED=%d", seed)
	return source(seed)
}

// Rounds is how often something happens in a test with one source: few times always, many in the release gate. The test is noted in the log.
func Rounds(t testing.TB, few, many int) int {
	n := few
	if f, ok := torture(t); ok {
		n = max(1, int(math.Ceil(f*float64(many))))
	} else if testing.Short() {
		n = min(few, 3)
	}
	t.Cleanup(func() { note(t, n, nil) })
	return n
}

// Each runs a test with many seeds, each as a subtest that its seed names: few always (0: the test is skipped), many in the release gate.
func Each(t *testing.T, few, many int, run func(t *testing.T, r *rand.Rand)) {
	t.Helper()
	seed, fixed := replayed(t)
	n := 1
	if !fixed {
		seed = uint64(time.Now().UnixNano())
		n = few
		if f, ok := torture(t); ok {
			n = max(1, int(math.Ceil(f*float64(many))))
		} else if testing.Short() {
			n = min(few, 3)
		}
	}
	if n == 0 {
		t.Skip("long: runs in the release gate only (make torture)")
	}
	var failed []uint64
	ran := 0
	for i := range uint64(n) {
		skipped := false
		ok := t.Run(fmt.Sprint("PALATE_SEED=", seed+i), func(t *testing.T) {
			defer func() { skipped = t.Skipped() }()
			run(t, source(seed+i))
		})
		if skipped {
			t.Skip("see the first run")
		}
		ran++
		if !ok {
			failed = append(failed, seed+i)
		}
		if len(failed) == 3 {
			t.Errorf("given up after three failures in %d runs", ran)
			break
		}
	}
	note(t, ran, failed)
}

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func replayed(t testing.TB) (seed uint64, ok bool) {
	s := os.Getenv("PALATE_SEED")
	if s == "" {
		return 0, false
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("PALATE_SEED: %v", err)
	}
	return seed, true
}

func torture(t testing.TB) (share float64, ok bool) {
	s := os.Getenv("PALATE_TORTURE")
	if s == "" {
		return 0, false
	}
	share, err := strconv.ParseFloat(s, 64)
	if err != nil || share <= 0 {
		t.Fatalf("PALATE_TORTURE=%s: want a number above 0", s)
	}
	return share, true
}

// note writes the line of a test into the log of the release gate.
func note(t testing.TB, runs int, failed []uint64) {
	path := os.Getenv("PALATE_TORTURE_LOG")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	outcome := "passed"
	if t.Failed() || len(failed) > 0 {
		outcome = fmt.Sprint("FAILED ", failed)
	}
	if _, err := fmt.Fprintf(f, "%-72s %6d  %s\n", t.Name(), runs, outcome); err != nil {
		t.Fatal(err)
	}
}
