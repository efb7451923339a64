package work

import (
	"context"
	"errors"
	"fmt"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
)

// rebuild replaces every model of the group that held one of the users, or a session that one of them has signed in with since. Names of new directories are
// saved before they are made, so that a restart finds and repeats exactly what was begun.
func (e *erasureRun) rebuild(ctx context.Context) error {
	if err := e.erased(); err != nil {
		return err
	}
	if err := e.planRebuild(ctx); err != nil {
		return err
	}
	e.choices = recipe.Choices{}
	for i := range e.state.Models {
		m := &e.state.Models[i]
		e.advance("rebuild", int64(i), int64(len(e.state.Models)), "models", "")
		if m.Decided {
			continue
		}
		report := func(phase string, done, total int64) {
			e.advance("rebuild", int64(i), int64(len(e.state.Models)), "models", fmt.Sprintf("%s: %d of %d", phase, done, total))
		}
		if err := e.rebuildModel(ctx, m, report); err != nil {
			return err
		}
		if m.New != "" {
			var err error
			if m.OldManifest, err = e.manifestOf(m.Old); err != nil {
				return err
			}
		}
		m.Decided, m.Trials = true, recipe.Trials{}
		if err := e.task.Save(ctx, e.state); err != nil {
			return err
		}
		crash.Point("rebuild/model")
	}
	return nil
}

// planRebuild lists the models in use and names their successors, once.
func (e *erasureRun) planRebuild(ctx context.Context) error {
	if e.state.Models != nil {
		return nil
	}
	e.state.Models = []rebuiltModel{}
	for _, kind := range []string{meta.SolutionVersion, meta.Recommender} {
		rows, err := e.find(ctx, meta.Query{Kind: kind, Group: e.group.ARN})
		if err != nil {
			return err
		}
		for _, r := range rows {
			p, err := meta.Private[meta.ModelPrivate](r)
			if err != nil {
				return err
			}
			if p.Model != "" {
				e.state.Models = append(e.state.Models, rebuiltModel{ARN: r.ARN, Old: p.Model, OldHash: p.Hash, New: newName("model")})
			}
		}
	}
	return e.task.Save(ctx, e.state)
}

// memoryToRebuild waits for the memory that it takes to train a model again. A deletion does not give up: where the limit has become too small since the
// training, it waits until it has all of it.
func (e *erasureRun) memoryToRebuild(ctx context.Context, cfg recipe.Config, s recipe.Size) (release func(), err error) {
	need, err := recipe.Memory(cfg, s, e.Limits)
	if err != nil {
		return nil, err
	}
	held, err := e.memory.hold(ctx, need)
	if err != nil {
		return nil, err
	}
	return held.release, nil
}

func (e *erasureRun) rebuildModel(ctx context.Context, m *rebuiltModel, report recipe.Progress) error {
	defer e.dirs.read(m.Old)() // before looking whether it is there to stay
	if done, err := e.settled(ctx, m); done || err != nil {
		return err
	}
	if err := e.destroyModel(m.New); err != nil { // a half-made one of an earlier attempt
		return err
	}
	if err := roomForModel(e.model(m.Old)); err != nil {
		return err
	}
	again := recipe.Again{
		Resume: recipe.Resume{Finished: m.Trials, Keep: func(trials recipe.Trials) error {
			m.Trials = trials
			err := e.task.Save(ctx, e.state)
			crash.Point("rebuild/trial")
			return err
		}},
		Equal: func(of string) (string, func()) {
			m.Of = of
			dir, release := e.equal(of)
			if dir != "" {
				crash.Point("rebuild/equal")
			}
			return dir, release
		},
		Hold:    func(cfg recipe.Config, s recipe.Size) (func(), error) { return e.memoryToRebuild(ctx, cfg, s) },
		Choices: e.choices,
	}
	made, touched, err := recipe.Rebuild(ctx, e.model(m.Old), e.users, e.model(m.New), again, report)
	if err != nil {
		return errors.Join(fmt.Errorf("rebuild the model of %s: %w", m.ARN, err), e.destroyModel(m.New)) // the next attempt may have to wait for room
	}
	if !touched {
		m.New = ""
		return nil
	}
	moved, err := e.Succeed(ctx, m.Old, m.New)
	if err != nil {
		return fmt.Errorf("open the rebuilt model of %s: %w", m.ARN, err)
	}
	swapped := false
	err = e.Meta.Update(ctx, func(tx *meta.Tx) error {
		r, p, gone, err := modelOf(tx, m.ARN)
		if err != nil || gone || p.Model != m.Old {
			m.Leaves = gone
			return err
		}
		p.Model, p.Hash, p.Metrics, p.Updated = m.New, made.Hash, made.Metrics, made.Config.Updated
		if err := errors.Join(r.SetPrivate(p), showOutcome(r, made)); err != nil {
			return err
		}
		swapped = true
		return tx.Put(r)
	})
	moved()
	if err != nil {
		return err
	}
	if !swapped {
		return e.dropSuccessor(m)
	}
	m.NewHash = made.Hash
	return nil
}

// equal finds a model that this deletion has made already and that the one of which of is what decides it would equal, and keeps it there until release is
// called. One whose resource is gone by now may have been destroyed.
func (e *erasureRun) equal(of string) (dir string, release func()) {
	for i := range e.state.Models {
		if m := &e.state.Models[i]; m.Decided && m.New != "" && m.Of == of {
			return e.model(m.New), e.dirs.read(m.New)
		}
	}
	return "", nil
}

// showOutcome puts what a rebuilt model was measured at and has chosen where Describe shows it. The metrics of a solution version stand in its private part.
func showOutcome(r *meta.Resource, made *recipe.Manifest) error {
	if r.Kind == meta.Recommender {
		d, err := meta.Doc[api.Recommender](r)
		if err != nil {
			return err
		}
		d.ModelMetrics = made.Metrics
		return r.SetDoc(d)
	}
	tuned := tunedParams(made)
	if tuned == nil {
		return nil
	}
	v, err := meta.Doc[api.SolutionVersion](r)
	if err != nil {
		return err
	}
	v.TunedHPOParams = tuned
	return r.SetDoc(v)
}

// settled reports whether nothing is left to do for a model: an earlier attempt swapped it before it could say so, or it was trained anew under the
// mask, or its resource was deleted.
func (e *erasureRun) settled(ctx context.Context, m *rebuiltModel) (done bool, err error) {
	var current meta.ModelPrivate
	err = e.Meta.View(ctx, func(tx *meta.Tx) error {
		_, current, m.Leaves, err = modelOf(tx, m.ARN)
		return err
	})
	switch {
	case err != nil:
		return false, err
	case m.Leaves:
		return true, e.dropSuccessor(m)
	case current.Model == m.Old:
		return false, nil
	case current.Model == m.New:
		m.NewHash = current.Hash
		return true, nil
	}
	return true, e.dropSuccessor(m)
}

func (e *erasureRun) dropSuccessor(m *rebuiltModel) error {
	err := e.destroyModel(m.New)
	m.New, m.NewHash = "", ""
	return err
}
