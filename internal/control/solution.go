package control

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// solutionPrivate is kept beside a solution's Describe shape: where the schedule of automatic training stands.
type solutionPrivate struct {
	Reset   time.Time `json:"reset,omitzero"`   // when an update last switched automatic training on or changed its rate
	Skipped time.Time `json:"skipped,omitzero"` // when a run was last due and left out, because no new data had come
}

// CreateSolution checks a configuration against the recipe and the group's schemas and stores it; nothing is trained yet.
func (s *Service) CreateSolution(ctx context.Context, in *api.CreateSolutionRequest) (*api.CreateSolutionResponse, error) {
	if err := checkSolution(in); err != nil {
		return nil, err
	}
	sc := scopeOf(ctx)
	arn := sc.arn(meta.Solution, in.Name)
	err := s.update(ctx, func(tx *meta.Tx) error {
		group, err := lookup(tx, sc, meta.DatasetGroup, in.DatasetGroupARN)
		if err != nil {
			return err
		}
		entry, err := solutionRecipe(in)
		if err != nil {
			return err
		}
		if err := vacant(tx, arn); err != nil {
			return err
		}
		if err := usable(group); err != nil {
			return err
		}
		data, err := dataOf(tx, group.ARN)
		if err != nil {
			return err
		}
		config, err := checkSolutionUse(in, entry, data)
		if err != nil {
			return err
		}
		n, err := tx.Count(meta.Query{Kind: meta.Solution, Group: group.ARN, Statuses: living})
		if err != nil {
			return err
		}
		if err := activeLimit(s.limits.Solutions, n); err != nil {
			return err
		}
		if err := solutionBuilt(in, entry); err != nil {
			return err
		}
		r := &meta.Resource{ARN: arn, Kind: meta.Solution, Name: in.Name, Group: group.ARN, Parent: group.ARN, Job: meta.Job{Kind: job.Activate}}
		doc := api.Solution{
			Name: in.Name, SolutionARN: arn, DatasetGroupARN: group.ARN, RecipeARN: entry.ARN(), EventType: in.EventType,
			PerformHPO: new(isTrue(in.PerformHPO) || isTrue(in.PerformAutoML)), PerformAutoML: new(isTrue(in.PerformAutoML)), PerformAutoTraining: new(in.PerformAutoTraining == nil || *in.PerformAutoTraining),
			PerformIncrementalUpdate: in.PerformIncrementalUpdate, SolutionConfig: config,
		}
		return s.insert(tx, sc, r, doc, solutionPrivate{}, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateSolutionResponse{SolutionARN: arn}, nil
}

// decimal is a number as clients write one into a string: no infinity, no NaN, nothing hexadecimal, no exponent that float64 cannot hold.
var decimal = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?$`)

// checkSolution holds the rules that a request can break by itself.
func checkSolution(in *api.CreateSolutionRequest) error {
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	switch {
	case isTrue(in.PerformAutoML) && in.RecipeARN != "":
		return api.Errorf(api.InvalidInput, "recipeArn cannot be given together with performAutoML.")
	case !isTrue(in.PerformAutoML) && in.RecipeARN == "":
		return api.Errorf(api.InvalidInput, "recipeArn is required.")
	}
	c := in.SolutionConfig
	if c == nil {
		return nil
	}
	if c.EventValueThreshold != "" {
		if !decimal.MatchString(c.EventValueThreshold) {
			return api.Errorf(api.InvalidInput, "eventValueThreshold must be a number.")
		}
	}
	if in.EventType != "" && c.EventsConfig != nil && len(c.EventsConfig.EventParametersList) > 0 {
		return api.Errorf(api.InvalidInput, "eventsConfig cannot be combined with eventType.")
	}
	if c.HPOConfig != nil && !isTrue(in.PerformHPO) && !isTrue(in.PerformAutoML) {
		return api.Errorf(api.InvalidInput, "hpoConfig can only be given when performHPO is true.")
	}
	if c.AutoMLConfig != nil && !isTrue(in.PerformAutoML) {
		return api.Errorf(api.InvalidInput, "autoMLConfig can only be given when performAutoML is true.")
	}
	if err := checkHPOConfig(c.HPOConfig); err != nil {
		return err
	}
	if err := checkEventsConfig(c.EventsConfig); err != nil {
		return err
	}
	if err := checkColumnMaps(c.TrainingDataConfig); err != nil {
		return err
	}
	return checkAutoTraining(in.PerformAutoTraining == nil || *in.PerformAutoTraining, c.AutoTrainingConfig)
}

// autoMLRecipe is what AutoML chooses. It was made to choose between the recipes of the first generation, of which this one is the successor.
const autoMLRecipe = "aws-user-personalization"

// solutionRecipe returns the recipe of a solution.
func solutionRecipe(in *api.CreateSolutionRequest) (*recipe.Entry, error) {
	if isTrue(in.PerformAutoML) {
		entry, ok := recipe.Find(autoMLRecipe)
		if !ok {
			return nil, unsupported("performAutoML")
		}
		return entry, checkAutoML(in.SolutionConfig, entry)
	}
	if recipe.Retired(in.RecipeARN) {
		return nil, api.Errorf(api.InvalidInput, "Recipe %s can no longer be used.", in.RecipeARN)
	}
	return lookupRecipe(in.RecipeARN)
}

// checkSolutionUse holds the rules between a configuration, its recipe and the data of the group. It returns the configuration to
// store: as given, with plain names of hyperparameters.
func checkSolutionUse(in *api.CreateSolutionRequest, e *recipe.Entry, data groupData) (*api.SolutionConfig, error) {
	if e.Domain != "" {
		return nil, api.Errorf(api.InvalidInput, "Recipe %s is a use case of domain %s: create a recommender with it.", e.Name, e.Domain)
	}
	if err := data.require(e); err != nil {
		return nil, err
	}
	if e.Has(recipe.RankingInfluence) {
		if err := checkNamesAndTexts(e, data.schemas[schema.Items]); err != nil {
			return nil, err
		}
	}
	if in.EventType != "" && !data.has(schema.Interactions, "EVENT_TYPE") {
		return nil, api.Errorf(api.InvalidInput, "eventType requires an EVENT_TYPE column in the Interactions dataset.")
	}
	if in.PerformIncrementalUpdate != nil && *in.PerformIncrementalUpdate && !e.Has(recipe.IncrementalUpdate) {
		return nil, api.Errorf(api.InvalidInput, "performIncrementalUpdate is not supported by recipe %s.", e.Name)
	}
	if isTrue(in.PerformHPO) {
		var ranges *api.HPOConfig
		if in.SolutionConfig != nil {
			ranges = in.SolutionConfig.HPOConfig
		}
		if err := checkHPO(e, ranges); err != nil {
			return nil, err
		}
	}
	if isTrue(in.PerformAutoML) {
		return autoMLOnly(in.SolutionConfig), nil
	}
	return checkSolutionConfig(in.SolutionConfig, e, data)
}

// checkNamesAndTexts checks that items have a name and a description to be compared by.
func checkNamesAndTexts(e *recipe.Entry, items *schema.Schema) error {
	named := slices.ContainsFunc(items.Fields, func(f schema.Field) bool { return f.ItemName })
	described := slices.ContainsFunc(items.Fields, func(f schema.Field) bool { return f.Textual })
	if !named || !described {
		return api.Errorf(api.InvalidInput, "Recipe %s requires an Items dataset with one itemName column and one textual column.", e.Name)
	}
	return nil
}

func checkSolutionConfig(given *api.SolutionConfig, e *recipe.Entry, data groupData) (*api.SolutionConfig, error) {
	if given == nil {
		return nil, nil
	}
	c := *given
	if c.EventValueThreshold != "" && !data.has(schema.Interactions, "EVENT_VALUE") {
		return nil, api.Errorf(api.InvalidInput, "eventValueThreshold requires an EVENT_VALUE column in the Interactions dataset.")
	}
	if err := checkEventsConfigUse(c.EventsConfig, e, data); err != nil {
		return nil, err
	}
	if err := checkObjective(c.OptimizationObjective, e, data); err != nil {
		return nil, err
	}
	if err := checkColumns(c.TrainingDataConfig, data); err != nil {
		return nil, err
	}
	var err error
	if c.AlgorithmHyperParameters, err = checkParams(e, recipe.AlgorithmParam, c.AlgorithmHyperParameters); err != nil {
		return nil, err
	}
	if c.FeatureTransformationParameters, err = checkParams(e, recipe.FeatureParam, c.FeatureTransformationParameters); err != nil {
		return nil, err
	}
	c.HPOConfig = fullNames(c.HPOConfig, e)
	return &c, nil
}

// checkObjective checks that the objective is a number that every item has.
func checkObjective(o *api.OptimizationObjective, e *recipe.Entry, data groupData) error {
	if o == nil {
		return nil
	}
	if !e.Has(recipe.Objective) {
		return api.Errorf(api.InvalidInput, "optimizationObjective is not supported by recipe %s.", e.Name)
	}
	items := data.schemas[schema.Items]
	i := -1
	if items != nil {
		i = items.Match(o.ItemAttribute)
	}
	if i < 0 || !items.Fields[i].Kind.Numeric() || items.Fields[i].Nullable {
		return api.Errorf(api.InvalidInput, "The itemAttribute of optimizationObjective must be a numeric column of the Items dataset that admits no null.")
	}
	return nil
}

// solutionBuilt refuses what the API knows and this build does not; it comes last, so that every other error is the service's own.
func solutionBuilt(in *api.CreateSolutionRequest, e *recipe.Entry) error {
	switch {
	case !e.Trainable:
		return unsupported("training with recipe " + e.Name)
	}
	return nil
}

// DescribeSolution adds the newest version, which lives in a row of its own.
func (s *Service) DescribeSolution(ctx context.Context, in *api.DescribeSolutionRequest) (*api.DescribeSolutionResponse, error) {
	var shape *api.Solution
	err := s.meta.View(ctx, func(tx *meta.Tx) error {
		r, err := lookup(tx, scopeOf(ctx), meta.Solution, in.SolutionARN)
		if err != nil {
			return err
		}
		if shape, err = shapeOf[api.Solution](r); err != nil {
			return err
		}
		newest, err := tx.Find(meta.Query{Kind: meta.SolutionVersion, Parent: r.ARN, Limit: 1})
		if err != nil || len(newest) == 0 {
			return err
		}
		shape.LatestSolutionVersion, err = shapeOf[api.SolutionVersionSummary](newest[0])
		return err
	})
	if err != nil {
		return nil, err
	}
	return &api.DescribeSolutionResponse{Solution: shape}, nil
}

func (s *Service) ListSolutions(ctx context.Context, in *api.ListSolutionsRequest) (*api.ListSolutionsResponse, error) {
	page, next, err := list[api.SolutionSummary](ctx, s, listing{
		kind: meta.Solution, parentKind: meta.DatasetGroup, parent: in.DatasetGroupARN, nextToken: in.NextToken, maxResults: in.MaxResults,
	})
	if err != nil {
		return nil, err
	}
	return &api.ListSolutionsResponse{Solutions: page, NextToken: next}, nil
}

// UpdateSolution writes the change down in latestSolutionUpdate; the old configuration holds until a job has made it ACTIVE.
func (s *Service) UpdateSolution(ctx context.Context, in *api.UpdateSolutionRequest) (*api.UpdateSolutionResponse, error) {
	if c := in.SolutionUpdateConfig; c != nil {
		if err := checkEventsConfig(c.EventsConfig); err != nil {
			return nil, err
		}
	}
	err := s.update(ctx, func(tx *meta.Tx) error {
		r, err := lookup(tx, scopeOf(ctx), meta.Solution, in.SolutionARN)
		if err != nil {
			return err
		}
		if err := updatable(r, meta.Active); err != nil {
			return err
		}
		doc, err := meta.Doc[api.Solution](r)
		if err != nil {
			return err
		}
		reset, err := checkSolutionUpdate(tx, in, &doc)
		if err != nil {
			return err
		}
		now := api.NewTime(s.now())
		if reset {
			private, err := meta.Private[solutionPrivate](r)
			if err != nil {
				return err
			}
			private.Reset = now.Time
			if err := r.SetPrivate(private); err != nil {
				return err
			}
		}
		doc.LatestSolutionUpdate = &api.SolutionUpdateSummary{
			SolutionUpdateConfig: in.SolutionUpdateConfig, PerformAutoTraining: in.PerformAutoTraining,
			PerformIncrementalUpdate: in.PerformIncrementalUpdate, Status: meta.CreatePending, CreationDateTime: now, LastUpdatedDateTime: now,
		}
		r.Job = meta.Job{Kind: job.Update}
		if err := r.SetDoc(doc); err != nil {
			return err
		}
		return tx.Put(r)
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdateSolutionResponse{SolutionARN: in.SolutionARN}, nil
}

// checkSolutionUpdate holds the rules between an update and the solution as it is. reset reports whether it starts the schedule of automatic
// training anew: by switching it on or by another rate.
func checkSolutionUpdate(tx *meta.Tx, in *api.UpdateSolutionRequest, doc *api.Solution) (reset bool, err error) {
	entry, err := lookupRecipe(doc.RecipeARN)
	if err != nil {
		return false, err
	}
	if isTrue(in.PerformIncrementalUpdate) && !entry.Has(recipe.IncrementalUpdate) {
		return false, api.Errorf(api.InvalidInput, "performIncrementalUpdate is not supported by recipe %s.", entry.Name)
	}
	on := isTrue(doc.PerformAutoTraining)
	if in.PerformAutoTraining != nil {
		on = *in.PerformAutoTraining
	}
	reset = on && !isTrue(doc.PerformAutoTraining)
	c := in.SolutionUpdateConfig
	if c == nil {
		return reset, nil
	}
	if err := checkAutoTraining(on, c.AutoTrainingConfig); err != nil {
		return false, err
	}
	if c.AutoTrainingConfig != nil && on {
		var old *api.AutoTrainingConfig
		if doc.SolutionConfig != nil {
			old = doc.SolutionConfig.AutoTrainingConfig
		}
		before, _ := trainingPeriod(old)
		after, _ := trainingPeriod(c.AutoTrainingConfig)
		reset = reset || before != after
	}
	if doc.EventType != "" && c.EventsConfig != nil && len(c.EventsConfig.EventParametersList) > 0 {
		return false, api.Errorf(api.InvalidInput, "eventsConfig cannot be combined with the eventType of the solution.")
	}
	data, err := dataOf(tx, doc.DatasetGroupARN)
	if err != nil {
		return false, err
	}
	return reset, checkEventsConfigUse(c.EventsConfig, entry, data)
}

// updatable checks that a resource has one of the given statuses and no update of it is under way.
func updatable(r *meta.Resource, statuses ...string) error {
	for _, status := range statuses {
		if r.Status != status {
			continue
		}
		if isBusy(r) {
			return api.Errorf(api.ResourceInUse, "Resource %s is being updated. Wait until it is complete and try again.", r.ARN)
		}
		return nil
	}
	return inUse(r)
}

// DeleteSolution takes all versions with it, so none may be in training and nothing may be deployed from one.
func (s *Service) DeleteSolution(ctx context.Context, in *api.DeleteSolutionRequest) (*api.DeleteSolutionResponse, error) {
	err := s.remove(ctx, meta.Solution, in.SolutionARN, func(tx *meta.Tx, r *meta.Resource) error {
		if err := none(tx, r, meta.Query{Kind: meta.SolutionVersion, Parent: r.ARN, Statuses: pending}); err != nil {
			return err
		}
		campaigns, err := tx.Find(meta.Query{Kind: meta.Campaign, Group: r.Group})
		if err != nil {
			return err
		}
		for _, c := range campaigns {
			uses, err := deploys(c, r.ARN)
			if err != nil {
				return err
			}
			if uses {
				return blocked(r, c)
			}
		}
		return idleBatch(tx, r, func(b batchJob) bool { return solutionOf(b.SolutionVersionARN) == r.ARN })
	})
	if err != nil {
		return nil, err
	}
	return &api.DeleteSolutionResponse{}, nil
}

// solutionOf returns the solution's part of a version's ARN, or of {solutionArn}/$LATEST.
func solutionOf(version string) string {
	i := strings.LastIndexByte(version, '/')
	if i < 0 {
		return ""
	}
	return version[:i]
}
