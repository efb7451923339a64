package work

import (
	"context"
	"errors"

	"golang.org/x/sync/semaphore"

	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/recipe"
)

// trainingMemory is the memory that all trainings share, and batch jobs for what they read beside their models. A training that finds too little of it left waits until others have ended, in the order of arrival;
// one that could not run even alone is refused before it has read anything, or as soon as it has read enough to know.
type trainingMemory struct {
	limit int64 // bytes; 0: no limit
	free  *semaphore.Weighted
}

func newTrainingMemory(limit int64) *trainingMemory {
	return &trainingMemory{limit: limit, free: semaphore.NewWeighted(limit)}
}

// hold waits for so many bytes, or, if there are not so many, for all there are.
func (m *trainingMemory) hold(ctx context.Context, bytes int64) (*heldMemory, error) {
	h := &heldMemory{of: m}
	if m.limit == 0 {
		return h, nil
	}
	bytes = min(bytes, m.limit)
	if err := m.free.Acquire(ctx, bytes); err != nil {
		return nil, context.Cause(ctx)
	}
	h.bytes = bytes
	return h, nil
}

// heldMemory is the share of one training.
type heldMemory struct {
	of    *trainingMemory
	bytes int64
}

// grow makes the share larger, if that is possible without waiting: who waits for more while holding some could wait for somebody who does the same.
func (h *heldMemory) grow(bytes int64) bool {
	more := min(bytes, h.of.limit) - h.bytes
	if more <= 0 {
		return true
	}
	if !h.of.free.TryAcquire(more) {
		return false
	}
	h.bytes += more
	return true
}

func (h *heldMemory) release() {
	if h.bytes > 0 {
		h.of.free.Release(h.bytes)
		h.bytes = 0
	}
}

// withMemory calls train with data that read has read, while it holds the memory that this takes. Before the first reading only the number of interactions is known;
// should the rest turn out to need more than there is at the moment, the data is dropped, and read again once there is enough.
func (w *worker) withMemory(ctx context.Context, report func(job.Progress), config recipe.Config, interactions int64, read func() (recipe.Data, error), train func(recipe.Data) error) error {
	size := recipe.Size{Events: interactions}
	for {
		need, err := w.memoryFor(config, size)
		if err != nil {
			return err
		}
		report(job.Progress{Phase: "waiting for memory"})
		held, err := w.memory.hold(ctx, need)
		if err != nil {
			return err
		}
		done, err := func() (bool, error) {
			defer held.release()
			d, err := read()
			if err != nil {
				return false, err
			}
			size = d.Size()
			if need, err = w.memoryFor(config, size); err != nil {
				return false, err
			}
			if !held.grow(need) {
				return false, nil
			}
			return true, train(d)
		}()
		if done || err != nil {
			return err
		}
	}
}

// memoryFor is the memory of a training, which fails if there never is so much.
func (w *worker) memoryFor(config recipe.Config, size recipe.Size) (int64, error) {
	var data *recipe.DataError
	if err := recipe.Fits(config, size, w.Limits); errors.As(err, &data) {
		return 0, job.Fail("%s", data.Reason)
	} else if err != nil {
		return 0, err
	}
	return recipe.Memory(config, size, w.Limits)
}
