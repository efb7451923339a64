package dataset

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// TestAFullQueueRefusesAndLosesNothing blocks the writer of the log, as a disk does that does not answer, until the queue is full.
func TestAFullQueueRefusesAndLosesNothing(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	state, err := s.find(tab)
	if err != nil {
		t.Fatal(err)
	}
	g := state.g
	g.seqMu.Lock() // the writer cannot give numbers: it holds one batch, of a full queue at most
	release := sync.OnceFunc(g.seqMu.Unlock)
	defer release()
	const puts = 3 * queueLength
	var callers sync.WaitGroup
	var stored, refused atomic.Int64
	for n := range puts {
		callers.Go(func() {
			switch err := s.Put(t.Context(), tab, []Row{event(fmt.Sprint("user-", n), "item", int64(n), "view")}); {
			case err == nil:
				stored.Add(1)
			case errors.Is(err, ErrBusy):
				if refused.Add(1) == puts-2*queueLength { // at once: nothing has been answered yet
					release()
				}
			default:
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if got := int64(len(s.lines(tab, s.Rows))); got != stored.Load() || stored.Load()+refused.Load() != puts {
		t.Errorf("%d rows of %d puts, of which %d were stored and %d refused", got, puts, stored.Load(), refused.Load())
	}
	if err := s.Put(t.Context(), tab, []Row{event("user", "item", 1, "view")}); err != nil {
		t.Errorf("a put after the disk answered: %v", err)
	}
}
