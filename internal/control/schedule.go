package control

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// What the service does by itself: it trains solutions on a schedule and moves campaigns to new versions. Both are decided here, from the
// records alone, whenever somebody calls; no state is kept between calls, so a restart or a missed call loses nothing.

// firstTraining is how long after a solution's creation, or after its schedule was reset, automatic training first runs, unless Options say otherwise. A manual version
// made in that time takes the place of the first run.
const firstTraining = time.Hour

// TrainDue creates a version of every solution whose automatic training is due and for whose training new interactions have come, and
// moves on the campaigns that fell behind the version they follow. It reports how many trainings it started.
func (s *Service) TrainDue(ctx context.Context, now time.Time) (started int, err error) {
	var due []*meta.Resource
	err = s.meta.View(ctx, func(tx *meta.Tx) error {
		solutions, err := tx.Find(meta.Query{Kind: meta.Solution, Statuses: []string{meta.Active}})
		if err != nil {
			return err
		}
		for _, r := range slices.Backward(solutions) { // oldest first
			is, err := s.trainingDue(tx, r, now)
			if err != nil {
				return err
			}
			if is {
				due = append(due, r)
			}
		}
		return nil
	})
	var failures []error
	for _, r := range due {
		ok, err := s.trainScheduled(ctx, r, now)
		if ok {
			started++
		}
		failures = append(failures, err)
	}
	return started, errors.Join(err, errors.Join(failures...), s.followAll(ctx))
}

// trainingDue reports whether a run of the solution's automatic training has come due and can start.
func (s *Service) trainingDue(tx *meta.Tx, r *meta.Resource, now time.Time) (bool, error) {
	doc, err := meta.Doc[api.Solution](r)
	if err != nil {
		return false, err
	}
	if r.Status != meta.Active || r.Job.Kind != "" || !isTrue(doc.PerformAutoTraining) {
		return false, nil
	}
	private, err := meta.Private[solutionPrivate](r)
	if err != nil {
		return false, err
	}
	trained, err := lastTraining(tx, r)
	if err != nil {
		return false, err
	}
	running, err := tx.Count(meta.Query{Kind: meta.SolutionVersion, Parent: r.ARN, Statuses: pending})
	if err != nil || running > 0 {
		return false, err
	}
	last := private.Skipped
	if trained.After(last) {
		last = trained
	}
	begin := r.Created
	if private.Reset.After(begin) {
		begin = private.Reset
	}
	if last.Before(begin) {
		return !now.Before(begin.Add(s.first)), nil
	}
	period, err := solutionPeriod(doc)
	return !now.Before(last.Add(period)), err
}

// lastTraining is when the solution's newest version began that was trained, well or not, and did not only take over a model; zero if there is none.
func lastTraining(tx *meta.Tx, solution *meta.Resource) (time.Time, error) {
	versions, err := tx.Find(meta.Query{Kind: meta.SolutionVersion, Parent: solution.ARN})
	if err != nil {
		return time.Time{}, err
	}
	for _, r := range versions { // newest first
		v, err := meta.Doc[api.SolutionVersion](r)
		if err != nil {
			return time.Time{}, err
		}
		if v.TrainingMode != updateTraining {
			return r.Created, nil
		}
	}
	return time.Time{}, nil
}

func solutionPeriod(doc api.Solution) (time.Duration, error) {
	if doc.SolutionConfig == nil {
		return defaultTrainingPeriod, nil
	}
	return trainingPeriod(doc.SolutionConfig.AutoTrainingConfig)
}

// trainScheduled starts a run that is due, or, without new data, writes down that it was skipped.
func (s *Service) trainScheduled(ctx context.Context, solution *meta.Resource, now time.Time) (started bool, err error) {
	fresh, err := s.hasNewData(ctx, solution)
	if err != nil {
		return false, err
	}
	err = s.update(ctx, func(tx *meta.Tx) error {
		r, err := tx.Get(solution.ARN)
		if errors.Is(err, meta.ErrNotFound) {
			return nil // deleted since
		}
		if err != nil {
			return err
		}
		due, err := s.trainingDue(tx, r, now)
		if err != nil || !due {
			return err
		}
		if !fresh {
			return skipRun(tx, r, now)
		}
		err = s.trainingLimit(tx, r.Scope)
		if full := (*api.Error)(nil); errors.As(err, &full) {
			return nil // all places are taken; it stays due
		}
		if err != nil {
			return err
		}
		search, err := automaticSearch(tx, r, now)
		if err != nil {
			return err
		}
		region, account, _ := strings.Cut(r.Scope, ":")
		_, err = s.insertVersion(tx, scope{region: region, account: account}, r, "", autoTraining, automatic, search, nil)
		started = err == nil
		return err
	})
	return started && err == nil, err
}

// searchPeriod is how long automatic training keeps what a search of hyperparameters has chosen.
const searchPeriod = 90 * 24 * time.Hour

// automaticSearch says what a run of automatic training does about hyperparameters: with the recipes that are optimized by themselves it searches every
// searchPeriod and keeps the choice between.
func automaticSearch(tx *meta.Tx, solution *meta.Resource, now time.Time) (string, error) {
	doc, err := meta.Doc[api.Solution](solution)
	if err != nil {
		return "", err
	}
	entry, err := lookupRecipe(doc.RecipeARN)
	if err != nil || !entry.Has(recipe.AutomaticHPO) {
		return "", err
	}
	versions, err := tx.Find(meta.Query{Kind: meta.SolutionVersion, Parent: solution.ARN, Statuses: []string{meta.Active}})
	if err != nil {
		return "", err
	}
	for _, v := range versions { // newest first
		doc, err := meta.Doc[api.SolutionVersion](v)
		if err != nil {
			return "", err
		}
		if doc.TunedHPOParams != nil && now.Before(v.Created.Add(searchPeriod)) {
			return meta.SearchReused, nil
		}
	}
	return meta.SearchAnew, nil
}

func skipRun(tx *meta.Tx, r *meta.Resource, now time.Time) error {
	private, err := meta.Private[solutionPrivate](r)
	if err != nil {
		return err
	}
	private.Skipped = now
	if err := r.SetPrivate(private); err != nil {
		return err
	}
	return tx.Put(r)
}

// hasNewData reports whether interactions came in that the solution's newest model does not know.
func (s *Service) hasNewData(ctx context.Context, solution *meta.Resource) (bool, error) {
	var known int64
	err := s.meta.View(ctx, func(tx *meta.Tx) error {
		newest, err := newestActive(tx, solution.ARN)
		if err != nil || newest == nil {
			return err
		}
		model, err := meta.Private[meta.ModelPrivate](newest)
		known = model.Seq
		return err
	})
	if err != nil {
		return false, err
	}
	fresh, err := s.hasNewerData(ctx, solution.Group, schema.Interactions, known)
	if err != nil || fresh {
		return fresh, err
	}
	doc, err := meta.Doc[api.Solution](solution)
	if err != nil {
		return false, err
	}
	if entry, ok := recipe.FindARN(doc.RecipeARN); !ok || entry.Type != recipe.PersonalizedActions {
		return false, nil
	}
	return s.hasNewerData(ctx, solution.Group, schema.ActionInteractions, known)
}

// hasNewerData reports whether the group's dataset of that type has rows after the given sequence number.
func (s *Service) hasNewerData(ctx context.Context, group string, kind schema.Type, known int64) (bool, error) {
	var private meta.DatasetPrivate
	err := s.meta.View(ctx, func(tx *meta.Tx) error {
		data, err := dataOf(tx, group)
		if err != nil || data.datasets[kind] == nil {
			return err
		}
		private, err = meta.Private[meta.DatasetPrivate](data.datasets[kind])
		return err
	})
	if err != nil || private.Table == "" {
		return false, err
	}
	schema, err := schema.Parse(private.Schema, private.Domain)
	if err != nil {
		return false, err
	}
	seq, err := s.engine.Latest(ctx, dataset.Table{Group: private.Group, ID: private.Table, Schema: schema})
	return seq > known, err
}

// FollowLatest moves the campaigns that follow the solution's latest version to it. Call it when a version has become ACTIVE; a campaign
// that is being updated at that moment is moved by the next TrainDue.
func (s *Service) FollowLatest(ctx context.Context, solutionARN string) error {
	return s.update(ctx, func(tx *meta.Tx) error {
		behind, err := followersBehind(tx, meta.Query{Kind: meta.Campaign, Parent: solutionARN})
		if err != nil {
			return err
		}
		for _, f := range behind {
			u := api.CampaignUpdateSummary{SolutionVersionARN: f.latest, MinProvisionedTPS: f.doc.MinProvisionedTPS, CampaignConfig: f.doc.CampaignConfig}
			if err := s.enqueueDeployment(tx, f.campaign, f.doc, u); err != nil {
				return err
			}
		}
		return nil
	})
}

// followAll calls FollowLatest for every solution with a campaign that is behind.
func (s *Service) followAll(ctx context.Context) error {
	var solutions []string
	err := s.meta.View(ctx, func(tx *meta.Tx) error {
		behind, err := followersBehind(tx, meta.Query{Kind: meta.Campaign, Statuses: []string{meta.Active}})
		for _, f := range behind {
			if !slices.Contains(solutions, f.campaign.Parent) {
				solutions = append(solutions, f.campaign.Parent)
			}
		}
		return err
	})
	failures := []error{err}
	for _, arn := range solutions {
		failures = append(failures, s.FollowLatest(ctx, arn))
	}
	return errors.Join(failures...)
}

// follower is a campaign that is to move to the version latest.
type follower struct {
	campaign *meta.Resource
	doc      api.Campaign
	latest   string
}

// followersBehind returns the campaigns that follow a solution, serve an older version of it than the newest ACTIVE one, and can be
// updated now. A version to which a campaign could not be moved is not tried again.
func followersBehind(tx *meta.Tx, q meta.Query) (behind []follower, err error) {
	campaigns, err := tx.Find(q)
	if err != nil {
		return nil, err
	}
	for _, c := range campaigns {
		doc, err := meta.Doc[api.Campaign](c)
		if err != nil {
			return nil, err
		}
		if !follows(doc.CampaignConfig) || updatable(c, meta.Active) != nil {
			continue
		}
		newest, err := newestActive(tx, c.Parent)
		if err != nil {
			return nil, err
		}
		if newest == nil || newest.ARN == doc.SolutionVersionARN {
			continue
		}
		if u := doc.LatestCampaignUpdate; u != nil && u.Status == meta.CreateFailed && u.SolutionVersionARN == newest.ARN {
			continue
		}
		behind = append(behind, follower{c, doc, newest.ARN})
	}
	return behind, nil
}
