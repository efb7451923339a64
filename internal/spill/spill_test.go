package spill

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// fill adds chunks of rows "bucket:span:n" to two buckets, in the order that order says.
func fill(t *testing.T, limit int64, order []int) *Spill {
	t.Helper()
	s, err := New(t.TempDir(), 2, 2, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range order {
		data := fmt.Appendf(s.Buffer(), "canary %d:%d:%d|", n%2, n/4, n)
		if err := s.Add(n%2, Chunk{Data: data, Rows: 1, Weight: 10, Span: int64(n / 4), Worker: n % 3}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// runsOf is the rows of each run, sorted within.
func runsOf(t *testing.T, s *Spill, weight int) (runs []string) {
	t.Helper()
	var memory []byte
	for _, r := range s.Runs(weight) {
		data, grown, err := s.Load(r, nil, memory)
		if err != nil {
			t.Fatal(err)
		}
		memory = grown
		rows := bytes.SplitAfter(bytes.Join(data, nil), []byte("|"))
		slices.SortFunc(rows, bytes.Compare)
		runs = append(runs, string(bytes.Join(rows, nil)))
	}
	return runs
}

func TestRunsAreTheSameInMemoryAndInFilesWhoeverReadTheRows(t *testing.T) {
	order := make([]int, 40)
	for i := range order {
		order[i] = i
	}
	want := runsOf(t, fill(t, 1<<30, order), 50)
	if len(want) < 6 {
		t.Fatalf("%d runs", len(want))
	}
	slices.Reverse(order)
	for _, limit := range []int64{0, 100_000, 1 << 30} {
		s := fill(t, limit, order)
		if got := runsOf(t, s, 50); !slices.Equal(got, want) {
			t.Errorf("limit %d: %q, want %q", limit, got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(s.dir); len(left) > 0 || err != nil {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}

func TestFilesHoldNoRowInClearAndDamageIsNoticed(t *testing.T) {
	s := fill(t, 0, []int{0, 2, 4})
	paths, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	data, err := os.ReadFile(paths[0])
	if err != nil || len(data) == 0 || bytes.Contains(data, []byte("canary")) {
		t.Fatalf("%q, %v", data, err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(paths[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, r := range s.Runs(1) {
		if _, _, err := s.Load(r, nil, nil); err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d of 3 chunks are damaged, want 1", failed)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
