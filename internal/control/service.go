// Package control is the control plane: the operations that create, describe, list, update, delete and tag resources.
//
// An operation holds the service's rules and nothing else: no HTTP, no SQL, no work. What the API does asynchronously is written
// down as a job in the same transaction that creates or changes the resource; package work does it. So a call that answers has taken
// effect durably and whole, and a call that fails has changed nothing.
//
// Checks run in this order, and the first that fails answers: the request's own rules (InvalidInput; shapes were checked before),
// resources it names exist (ResourceNotFound), its name is free (ResourceAlreadyExists), what it names is in a usable status
// (ResourceInUse, InvalidInput) and quotas (LimitExceeded, TooManyTags).
package control

import (
	"cmp"
	"context"
	"time"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

// Engine is what the control plane asks of the dataset engine: whether there is news for automatic training.
type Engine interface {
	// Latest returns the sequence number of the newest row of a table, 0 if it is empty.
	Latest(ctx context.Context, t dataset.Table) (int64, error)
}

// Options are the parts a Service works with.
type Options struct {
	Meta   *meta.DB
	Engine Engine
	Wake   func()           // called after work was enqueued; nil: nobody waits for it
	Limits quota.Limits     //
	Clock  func() time.Time // nil: time.Now

	// FirstTraining is how long after a solution's creation, or after its schedule was reset, automatic training first runs; 0: an hour.
	FirstTraining time.Duration
}

// Service implements api.Personalize.
type Service struct {
	meta   *meta.DB
	engine Engine // never called inside a transaction: it has its own on the same database
	wake   func()
	limits quota.Limits
	now    func() time.Time
	first  time.Duration // Options.FirstTraining
}

// New returns the control plane over o.Meta.
func New(o Options) *Service {
	s := &Service{meta: o.Meta, engine: o.Engine, wake: o.Wake, limits: o.Limits, now: o.Clock, first: cmp.Or(o.FirstTraining, firstTraining)}
	if s.wake == nil {
		s.wake = func() {}
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// update runs f in a transaction and wakes the queue if it committed.
func (s *Service) update(ctx context.Context, f func(tx *meta.Tx) error) error {
	if err := s.meta.Update(ctx, f); err != nil {
		return err
	}
	s.wake()
	return nil
}
