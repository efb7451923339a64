package work

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/recipe"
)

var popularity = recipe.Config{Recipe: "aws-popularity-count"}

func memoryNeeded(t *testing.T, s recipe.Size) int64 {
	t.Helper()
	need, err := recipe.Memory(popularity, s, quota.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return need
}

func limited(bytes int64) *worker {
	return &worker{Options: Options{Limits: quota.Limits{TrainingMemory: bytes}}, memory: newTrainingMemory(bytes)}
}

// manyUsers is data that takes more memory than its number of interactions says.
func manyUsers(users int) recipe.Data {
	ev := &dataset.Events{Items: []string{"item"}, Types: []string{""}, Offsets: []int64{0}}
	for u := range users {
		ev.Users = append(ev.Users, fmt.Sprint(u))
		ev.Offsets = append(ev.Offsets, int64(u+1))
		ev.Item, ev.Type, ev.Time, ev.Value = append(ev.Item, 0), append(ev.Type, 0), append(ev.Time, 1), append(ev.Value, float32(math.NaN()))
	}
	return recipe.Data{Events: ev}
}

func silent(job.Progress) {}

func TestTrainingThatNeverFitsFailsBeforeItReads(t *testing.T) {
	w := limited(100 << 20)
	err := w.withMemory(t.Context(), silent, popularity, 1e9, func() (recipe.Data, error) {
		t.Error("the data was read")
		return recipe.Data{}, nil
	}, nil)
	if !job.Failed(err) || !strings.Contains(err.Error(), "--training-memory") || !strings.Contains(err.Error(), "100 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestTrainingThatTurnsOutNotToFitFails(t *testing.T) {
	d := manyUsers(100_000)
	w := limited(memoryNeeded(t, recipe.Size{Events: 100_000}))
	err := w.withMemory(t.Context(), silent, popularity, 100_000, func() (recipe.Data, error) { return d, nil }, func(recipe.Data) error {
		t.Error("it was trained")
		return nil
	})
	if !job.Failed(err) || !strings.Contains(err.Error(), "100000 users") {
		t.Errorf("got %v", err)
	}
	if !w.memory.free.TryAcquire(w.memory.limit) {
		t.Error("its memory is still held")
	}
}

func TestTrainingsShareTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		need := memoryNeeded(t, recipe.Size{Events: 10})
		w := limited(2*need + need/2)
		finish, running := make(chan bool), new(atomic.Int32)
		for range 3 {
			go func() {
				err := w.withMemory(t.Context(), silent, popularity, 10, func() (recipe.Data, error) { return manyUsers(1), nil }, func(recipe.Data) error {
					running.Add(1)
					<-finish
					running.Add(-1)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}()
		}
		for _, want := range []int32{2, 2, 1, 0} {
			synctest.Wait()
			if got := running.Load(); got != want {
				t.Errorf("%d trainings run, want %d", got, want)
			}
			if want > 0 {
				finish <- true
			}
		}
	})
}

func TestDataIsDroppedWhileItWaitsForMoreMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := manyUsers(100_000)
		need := memoryNeeded(t, d.Size())
		w := limited(need + 1000)
		other, err := w.memory.hold(t.Context(), 2000) // leaves enough to read, and too little to train
		if err != nil {
			t.Fatal(err)
		}
		reads, trained := 0, false
		go func() {
			err := w.withMemory(t.Context(), silent, popularity, 100_000, func() (recipe.Data, error) { reads++; return d, nil }, func(recipe.Data) error {
				trained = true
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		if reads != 1 || trained {
			t.Errorf("read %d times, trained %v", reads, trained)
		}
		other.release()
		synctest.Wait()
		if reads != 2 || !trained {
			t.Errorf("with enough memory: read %d times, trained %v", reads, trained)
		}
	})
}

func TestStoppedTrainingWaitsNoLonger(t *testing.T) {
	w := limited(100 << 20)
	held, err := w.memory.hold(t.Context(), math.MaxInt64) // all there is
	if err != nil {
		t.Fatal(err)
	}
	defer held.release()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errOvertaken)
	err = w.withMemory(ctx, silent, popularity, 10, nil, nil)
	if err != errOvertaken {
		t.Errorf("got %v", err)
	}
}
