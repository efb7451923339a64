package serve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// Automatic updates. Between trainings, items that have come since are admitted to the models of personalization: each model estimates them from their attributes, and
// those that explore do so by the estimates and by counts of events and impressions, which are brought up to date. Nothing else of a model changes, above all not its
// metrics.
//
// What an update knows lives in memory: it is read from the tables, one list for each dataset group and the newcomers for each model, and after a restart it is read
// again. So there is nothing to repair after a crash. The counts of a list may have been made with events of a user, and estimates belong to a model that may
// have been trained with them: when a data deletion takes effect every list that is older is out of use with that transaction, and gone with the next
// UpdateModels. A model that is made again without the user has another name, under which it gets its newcomers.

// fresh keeps the newest list of each group.
type fresh struct {
	running sync.Mutex // one UpdateModels at a time
	mu      sync.RWMutex
	lists   map[string]*freshList // by ARN of the group
}

// freshList is the outcome of one update.
type freshList struct {
	items    *recipe.Fresh
	admitted map[string]*recipe.Newcomers // by model: every one that was deployed has an entry, nil if there are none
	erasures int64                        // data deletions of the group that it knows
	seq      [2]int64                     // of Interactions and Items: it knows rows up to here
	at       time.Time                    // when it was due or began
}

// of returns what the target may use, nil if it has nothing beyond what its model has.
func (f *fresh) of(t *target) (*recipe.Fresh, *recipe.Newcomers) {
	if !t.updates {
		return nil, nil
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if l := f.lists[t.group]; l != nil && l.erasures == t.erasures && !l.at.Before(t.trained) {
		return l.items, l.admitted[t.model]
	}
	return nil, nil
}

func (f *fresh) get(group string) *freshList {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.lists[group]
}

func (f *fresh) set(group string, l *freshList) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l == nil {
		delete(f.lists, group)
		return
	}
	f.lists[group] = l
}

// updated is what an update of a group is about.
type updated struct {
	erasures            int64
	interactions, items *dataset.Table
	trained             map[string]time.Time // when each model that gets updates was
}

// UpdateModels reads the items of every group anew of which a deployed model has been without an update for period, if rows have come since, or a data deletion has
// taken effect. It reports how many lists it read.
func (s *Service) UpdateModels(ctx context.Context, now time.Time, period time.Duration) (n int, err error) {
	s.fresh.running.Lock()
	defer s.fresh.running.Unlock()
	groups, err := s.updatedGroups(ctx)
	if groups == nil {
		return 0, err
	}
	s.fresh.keep(groups)
	failures := []error{err}
	for arn, g := range groups {
		last := s.fresh.get(arn)
		if !g.due(last, now, period) {
			continue
		}
		read, err := s.update(ctx, arn, g, last, now)
		if err != nil {
			failures = append(failures, fmt.Errorf("update the models of %s: %w", arn, err))
		}
		if read {
			n++
		}
	}
	return n, errors.Join(failures...)
}

// keep forgets the lists that nobody may use any more.
func (f *fresh) keep(groups map[string]*updated) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for arn, l := range f.lists {
		if g := groups[arn]; g == nil {
			delete(f.lists, arn)
		} else if g.erasures != l.erasures {
			f.lists[arn] = &freshList{at: l.at, erasures: -1} // due at once
		} else if gone := g.superseded(l); len(gone) > 0 {
			kept := *l
			kept.admitted = maps.Clone(l.admitted)
			for _, model := range gone {
				delete(kept.admitted, model)
			}
			f.lists[arn] = &kept
		}
	}
}

// superseded are the models of a list that are not deployed any more.
func (g *updated) superseded(l *freshList) (models []string) {
	for model := range l.admitted {
		if _, deployed := g.trained[model]; !deployed {
			models = append(models, model)
		}
	}
	return models
}

// due reports whether some model of the group has been without an update for the period, or has taken the place of one that had it.
func (g *updated) due(last *freshList, now time.Time, period time.Duration) bool {
	if last != nil && last.erasures != g.erasures {
		return true
	}
	for model, at := range g.trained {
		if last != nil && last.at.After(at) {
			if _, known := last.admitted[model]; !known { // made again, of what it was made of before
				return true
			}
			at = last.at
		}
		if !now.Before(at.Add(period)) {
			return true
		}
	}
	return false
}

// update reads one list, unless nothing has come since the last one, and admits the newcomers to the models.
func (s *Service) update(ctx context.Context, group string, g *updated, last *freshList, now time.Time) (read bool, err error) {
	next := &freshList{erasures: g.erasures, at: now, admitted: map[string]*recipe.Newcomers{}}
	for i, t := range []*dataset.Table{g.interactions, g.items} {
		if t == nil {
			continue
		}
		if next.seq[i], err = s.engine.Latest(ctx, *t); err != nil {
			return false, err
		}
	}
	same := last != nil && last.erasures == next.erasures && last.seq == next.seq
	if same {
		next.items = last.items
	} else if next.items, err = recipe.ReadFresh(ctx, s.engine.Effective, *g.interactions, g.items, answers{s.shown, g.interactions.Group}); err != nil {
		return false, err
	}
	var failures []error
	for model := range g.trained {
		n, known := (*recipe.Newcomers)(nil), false
		if same {
			n, known = last.admitted[model]
		}
		if !known {
			if n, err = s.newcomers(ctx, model, g.items); errors.Is(err, errRetired) {
				continue // its successor's turn comes
			}
			failures = append(failures, err)
		}
		next.admitted[model] = n
	}
	s.fresh.set(group, next) // a deletion that took effect meanwhile shows in the target's count: nobody uses it then
	return !same, errors.Join(failures...)
}

// newcomers reads the items that came after the training of a model.
func (s *Service) newcomers(ctx context.Context, name string, items *dataset.Table) (*recipe.Newcomers, error) {
	if items == nil {
		return nil, nil
	}
	m, err := s.models.get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer s.models.release(m)
	return m.Newcomers(ctx, s.engine.Effective, *items)
}

// updatedGroups finds the groups with deployed models that get automatic updates. An error beside groups is about targets that were passed over.
func (s *Service) updatedGroups(ctx context.Context) (map[string]*updated, error) {
	groups := map[string]*updated{}
	var passed []error
	err := s.catalog.db.View(ctx, func(tx *meta.Tx) error {
		for kind, load := range loaders {
			rows, err := tx.Find(meta.Query{Kind: kind, Statuses: []string{meta.Active}})
			if err != nil {
				return err
			}
			for _, r := range rows {
				t, err := load(tx, r)
				if err != nil {
					passed = append(passed, err)
					continue
				}
				if !t.updates {
					continue
				}
				g := groups[t.group]
				if g == nil {
					g = &updated{erasures: t.erasures, items: t.items, trained: map[string]time.Time{}}
					if g.interactions, err = t.table(tx, schema.Interactions); err != nil {
						return err
					}
				}
				if g.interactions == nil { // deleted: what was trained on it stays as it is
					continue
				}
				g.trained[t.model] = t.trained
				groups[t.group] = g
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return groups, errors.Join(passed...)
}

// admitFresh fills in what the target needs to use automatic updates. owner is the row with the model: a solution version or recommender.
func (t *target) admitFresh(tx *meta.Tx, owner *meta.Resource) (err error) {
	if !t.recipe.AdmitsItems() {
		return nil
	}
	t.updates = true
	if owner.Kind == meta.SolutionVersion {
		if t.updates, err = meta.AutomaticallyUpdated(tx, owner); err != nil {
			return err
		}
	}
	p, err := meta.Private[meta.ModelPrivate](owner)
	if t.trained = p.Read; t.trained.IsZero() { // trained by an earlier build
		t.trained = owner.Created
	}
	return err
}
