package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// target is a campaign or recommender as requests see it: its rows put together. It is never changed.
type target struct {
	arn         string
	scope       string
	group       string // ARN of the dataset group
	events      string // the engine's name of the group
	recommender bool
	recipe      *recipe.Entry
	model       string // directory name of the deployed model
	exploration recipe.ExplorationConfig
	influence   recipe.Influence
	metadata    bool           // responses may carry item metadata
	items       *dataset.Table // nil if the group has no Items dataset
	actions     *dataset.Table // of a recipe of actions; nil if the group has no Actions dataset any more
	refusal     error          // why it serves nothing now; nil if it does

	updates  bool      // automatic updates are for its model
	erasures int64     // of the group, so far
	trained  time.Time // of when the model's data are
}

// scored reports whether answers carry scores.
func (t *target) scored() bool { return !t.recommender && t.recipe.Has(recipe.Scores) }

// reasoned reports whether answers say why an unusual item is in them.
func (t *target) reasoned() bool {
	return !t.recommender && t.recipe.Reasons()
}

// campaign looks up the target of a campaignArn.
func (s *Service) campaign(ctx context.Context, arn string) (*target, uint64, error) {
	return s.target(ctx, arn, meta.Campaign, loadCampaign)
}

// recommender looks up the target of a recommenderArn.
func (s *Service) recommender(ctx context.Context, arn string) (*target, uint64, error) {
	return s.target(ctx, arn, meta.Recommender, loadRecommender)
}

// target looks up a campaign or recommender that the caller may see. Whether it serves stands in its refusal.
func (s *Service) target(ctx context.Context, arn, kind string, load loader) (*target, uint64, error) {
	t, version, err := s.anybodys(ctx, arn, kind, load)
	if err != nil {
		return nil, 0, err
	}
	if t.scope != scope(ctx) {
		return nil, 0, notFound(arn)
	}
	api.CallerFrom(ctx).Found(t.arn)
	return t, version, nil
}

// loader makes a target of its row.
type loader = func(*meta.Tx, *meta.Resource) (*target, error)

// loaders are the kinds of targets.
var loaders = map[string]loader{meta.Campaign: loadCampaign, meta.Recommender: loadRecommender}

// anybodys is target whoever asks.
func (s *Service) anybodys(ctx context.Context, arn, kind string, load loader) (*target, uint64, error) {
	return lookup(ctx, s.catalog, kind+" "+arn, func(tx *meta.Tx) (*target, error) {
		if err := s.dropUndeployed(tx); err != nil {
			return nil, err
		}
		r, err := find(tx, arn, kind)
		if err != nil {
			return nil, err
		}
		return load(tx, r)
	})
}

// Deployed lists the campaigns and recommenders that serve, as Preload takes them.
func (s *Service) Deployed(ctx context.Context) (rows []*meta.Resource, err error) {
	err = s.catalog.db.View(ctx, func(tx *meta.Tx) error {
		for kind := range loaders {
			found, err := tx.Find(meta.Query{Kind: kind, Statuses: []string{meta.Active, meta.StopPending}})
			if err != nil {
				return fmt.Errorf("find what is deployed: %w", err)
			}
			rows = append(rows, slices.DeleteFunc(found, func(r *meta.Resource) bool { return !serving(r) })...)
		}
		return nil
	})
	return rows, err
}

// Preload opens the models of what is deployed, so that the first requests do not wait for it. A model that cannot be read is logged, as it will be when a request
// asks for it, and holds up no other.
func (s *Service) Preload(ctx context.Context, deployed []*meta.Resource) {
	for _, r := range deployed {
		if ctx.Err() != nil {
			return
		}
		s.settle(ctx, r.ARN, r.Kind)
	}
}

// settle makes a campaign or recommender serve the model that its row names. One that is gone or stopped is passed over; what cannot be read is told to the first request.
func (s *Service) settle(ctx context.Context, arn, kind string) {
	t, version, err := s.anybodys(ctx, arn, kind, loaders[kind])
	if err != nil || t.refusal != nil {
		return
	}
	if m, err := s.models.acquire(ctx, t.arn, version, t.model); err == nil {
		s.models.release(m)
	}
}

// Open opens the model of that name for a campaign or recommender whose row is about to name it, and makes ready what filters read of it if they did with the model
// before. Requests do not wait for it then. moved must be called when the row has changed, or when it will not; until then the model stays open.
func (s *Service) Open(ctx context.Context, arn, model string) (moved func(), err error) {
	return s.open(ctx, model, s.models.servedBy(arn), arn)
}

// Succeed is Open for all campaigns and recommenders that serve the model old. If none does, it does nothing.
func (s *Service) Succeed(ctx context.Context, old, model string) (moved func(), err error) {
	before, arns := s.models.serve(old)
	if before == nil {
		return func() {}, nil
	}
	return s.open(ctx, model, before, arns...)
}

// open lets go of the model before, which may be nil.
func (s *Service) open(ctx context.Context, name string, before *model, arns ...string) (moved func(), err error) {
	if before != nil {
		defer s.models.release(before)
	}
	m, err := s.models.get(ctx, name)
	if err != nil {
		return nil, err
	}
	if before != nil && before != m {
		s.inherit(m, before)
	}
	return func() {
		for _, arn := range arns {
			kind := meta.Campaign
			if strings.Contains(arn, ":recommender/") {
				kind = meta.Recommender
			}
			s.settle(ctx, arn, kind)
		}
		s.models.release(m)
	}, nil
}

// dropUndeployed lets go of the models of targets that are gone or stopped. It runs when rows have changed, which is when that can happen.
func (s *Service) dropUndeployed(tx *meta.Tx) error {
	for _, arn := range s.models.targets() {
		r, err := tx.Get(arn)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return fmt.Errorf("read %s: %w", arn, err)
		}
		if err != nil || !serving(r) {
			s.models.undeploy(arn)
		}
	}
	return nil
}

// serving reports whether a campaign or recommender answers requests. While it is updated it is ACTIVE and answers from what it had before.
func serving(r *meta.Resource) bool {
	return r.Status == meta.Active || r.Kind == meta.Recommender && r.Status == meta.StopPending
}

func refusal(r *meta.Resource) error {
	if serving(r) {
		return nil
	}
	return api.Errorf(api.InvalidInput, "Resource Arn %s is in status %s and does not answer requests.", r.ARN, r.Status)
}

func loadCampaign(tx *meta.Tx, r *meta.Resource) (*target, error) {
	t := &target{arn: r.ARN, scope: r.Scope, group: r.Group, refusal: refusal(r)}
	if t.refusal != nil {
		return t, nil
	}
	c, err := meta.Doc[api.Campaign](r)
	if err != nil {
		return nil, err
	}
	v, err := tx.Get(c.SolutionVersionARN)
	if err != nil {
		return nil, fmt.Errorf("read the solution version of %s: %w", r.ARN, err)
	}
	version, err := meta.Doc[api.SolutionVersion](v)
	if err != nil {
		return nil, err
	}
	p, err := meta.Private[meta.ModelPrivate](v)
	if err != nil {
		return nil, err
	}
	config := api.CampaignConfig{}
	if c.CampaignConfig != nil {
		config = *c.CampaignConfig
	}
	t.influence = recipe.InfluenceOf(config.RankingInfluence)
	if err := t.fill(tx, version.RecipeARN, p.Model, config.ItemExplorationConfig, config.EnableMetadataWithRecommendations); err != nil {
		return nil, err
	}
	return t, t.admitFresh(tx, v)
}

func loadRecommender(tx *meta.Tx, r *meta.Resource) (*target, error) {
	t := &target{arn: r.ARN, scope: r.Scope, group: r.Group, recommender: true, refusal: refusal(r)}
	if t.refusal != nil {
		return t, nil
	}
	d, err := meta.Doc[api.Recommender](r)
	if err != nil {
		return nil, err
	}
	p, err := meta.Private[meta.ModelPrivate](r)
	if err != nil {
		return nil, err
	}
	config := api.RecommenderConfig{}
	if d.RecommenderConfig != nil {
		config = *d.RecommenderConfig
	}
	if err := t.fill(tx, d.RecipeARN, p.Model, config.ItemExplorationConfig, config.EnableMetadataWithRecommendations); err != nil {
		return nil, err
	}
	return t, t.admitFresh(tx, r)
}

// fill completes a target that serves.
func (t *target) fill(tx *meta.Tx, recipeARN, model string, explore map[string]string, metadata *bool) error {
	entry, ok := recipe.FindARN(recipeARN)
	if !ok {
		return fmt.Errorf("%s deploys the unknown recipe %s", t.arn, recipeARN)
	}
	if model == "" {
		return fmt.Errorf("%s deploys a version without a model", t.arn)
	}
	t.recipe, t.model = entry, model
	t.metadata = entry.Has(recipe.MetadataAlways) || entry.Has(recipe.MetadataOptIn) && metadata != nil && *metadata

	var err error
	if t.exploration, err = entry.Exploration(explore); err != nil {
		return fmt.Errorf("read the exploration of %s: %w", t.arn, err)
	}
	g, err := tx.Get(t.group)
	if err != nil {
		return fmt.Errorf("read the dataset group of %s: %w", t.arn, err)
	}
	p, err := meta.Private[meta.GroupPrivate](g)
	if err != nil {
		return err
	}
	t.events, t.erasures = p.ID, p.Erasures
	if t.items, err = t.table(tx, schema.Items); err == nil && entry.Type == recipe.PersonalizedActions {
		t.actions, err = t.table(tx, schema.Actions)
	}
	return err
}

// table finds the table of a dataset of the group, nil if there is none to read.
func (t *target) table(tx *meta.Tx, kind schema.Type) (*dataset.Table, error) {
	r, err := datasetOf(tx, t.group, kind)
	if err != nil || r == nil || r.Status == meta.CreateFailed || deleting(r.Status) {
		return nil, err
	}
	found, err := table(r)
	return &found, err
}

// fold drops underscores and case, as names of fields are compared.
func fold(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }
