package serve

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/recipe"
)

// newTestModels returns a cache over model directories of these names, and its clock.
func newTestModels(t *testing.T, names ...string) (*models, *time.Time) {
	t.Helper()
	dir, now := t.TempDir(), time.Unix(1_700_000_000, 0)
	ev := &dataset.Events{
		Users: []string{"u1", "u2"}, Items: []string{"a", "b"}, Types: []string{""},
		Offsets: []int64{0, 2, 4}, Item: []int32{0, 1, 0, 1}, Type: make([]uint16, 4), Time: []int64{1, 2, 1, 2}, Value: make([]float32, 4), Seq: 4,
	}
	for _, name := range names {
		cfg := recipe.Config{Recipe: "aws-popularity-count"}
		if _, err := recipe.Train(t.Context(), recipe.Data{Events: ev}, cfg, quota.Local(), filepath.Join(dir, name), nil); err != nil {
			t.Fatal(err)
		}
	}
	c := newModels(dir, slog.New(slog.DiscardHandler), func() time.Time { return now })
	t.Cleanup(func() { c.close() })
	return c, &now
}

func closed(m *model) bool {
	select {
	case <-m.gone:
		return true
	default:
		return false
	}
}

func mustAcquire(t *testing.T, c *models, target string, version uint64, name string) *model {
	t.Helper()
	m, err := c.acquire(t.Context(), target, version, name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestModelIsClosedByItsLastReader(t *testing.T) {
	c, _ := newTestModels(t, "m1", "m2")
	old := mustAcquire(t, c, "campaign", 1, "m1")
	c.release(mustAcquire(t, c, "campaign", 2, "m2"))
	if closed(old) {
		t.Fatal("closed under a reader")
	}
	c.release(old)
	if !closed(old) {
		t.Error("still open without a reader")
	}
}

func TestLateRequestDoesNotBringAnOldModelBack(t *testing.T) {
	c, _ := newTestModels(t, "m1", "m2")
	c.release(mustAcquire(t, c, "campaign", 2, "m2"))
	late := mustAcquire(t, c, "campaign", 1, "m1")
	c.release(late)
	if !closed(late) || c.serving["campaign"].model.name != "m2" {
		t.Error("a request of version 1 undid version 2")
	}
}

func TestTargetsShareAModel(t *testing.T) {
	c, _ := newTestModels(t, "m1")
	a, b := mustAcquire(t, c, "one", 1, "m1"), mustAcquire(t, c, "two", 1, "m1")
	if a != b {
		t.Fatal("opened twice")
	}
	c.release(a)
	c.release(b)
	c.undeploy("one")
	if closed(a) {
		t.Error("closed while the other target serves it")
	}
	c.undeploy("two")
	if !closed(a) {
		t.Error("still open without a target")
	}
}

func TestConcurrentRequestsOpenAModelOnce(t *testing.T) {
	c, _ := newTestModels(t, "m1")
	got := make([]*model, 16)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], _ = c.acquire(t.Context(), "campaign", 1, "m1") })
	}
	wg.Wait()
	for _, m := range got {
		if m == nil || m != got[0] {
			t.Fatal("requests got different models")
		}
		c.release(m)
	}
}

func TestRetireWaitsForReadersAndIsFinal(t *testing.T) {
	c, _ := newTestModels(t, "m1")
	reader := mustAcquire(t, c, "campaign", 1, "m1")
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.retire(impatient, "m1"); !errors.Is(err, context.Canceled) {
		t.Errorf("did not wait for the reader: %v", err)
	}
	done := make(chan error)
	go func() { done <- c.retire(t.Context(), "m1") }()
	c.release(reader)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := c.acquire(t.Context(), "campaign", 1, "m1"); !errors.Is(err, errRetired) {
		t.Errorf("opened again: %v", err)
	}
}

func TestFailureIsRememberedForAWhile(t *testing.T) {
	c, now := newTestModels(t)
	if _, err := c.acquire(t.Context(), "campaign", 1, "missing"); err == nil {
		t.Fatal("opened a directory that is not there")
	}
	first := c.open["missing"]
	c.acquire(t.Context(), "campaign", 1, "missing")
	if c.open["missing"] != first {
		t.Error("tried again at once")
	}
	*now = now.Add(retryAfter)
	c.acquire(t.Context(), "campaign", 1, "missing")
	if c.open["missing"] == first {
		t.Error("never tried again")
	}
	if err := c.retire(t.Context(), "missing"); err != nil {
		t.Error(err)
	}
}

func TestCamelIsTheNameOfProperties(t *testing.T) {
	for name, want := range map[string]string{
		"TITLE": "title", "CATEGORY_L1": "categoryL1", "CREATION_TIMESTAMP": "creationTimestamp", "title": "title", "numRatings": "numRatings", "Num_ratings": "numRatings", "_X": "x",
	} {
		if got := camel(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
