package control_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

func solutionRequest(recipe string, change func(*api.CreateSolutionRequest)) *api.CreateSolutionRequest {
	in := &api.CreateSolutionRequest{Name: "s", DatasetGroupARN: inRegion + "dataset-group/g", RecipeARN: ofRecipe + recipe, SolutionConfig: &api.SolutionConfig{}}
	if change != nil {
		change(in)
	}
	return in
}

func TestCreateSolutionRefusesWhatTheRecipeOrTheDataCannotDo(t *testing.T) {
	s := open(t, quota.Local())
	type request = api.CreateSolutionRequest
	const v1, v2, ranking = "aws-user-personalization", "aws-user-personalization-v2", "aws-personalized-ranking"
	events := func(p ...api.EventParameters) *api.EventsConfig { return &api.EventsConfig{EventParametersList: p} }
	hpo := func(r *api.HyperParameterRanges) *api.HPOConfig {
		return &api.HPOConfig{AlgorithmHyperParameterRanges: r}
	}
	ints := func(name string, low, high int) *api.HyperParameterRanges {
		return &api.HyperParameterRanges{
			IntegerHyperParameterRanges:    []api.IntegerHyperParameterRange{{Name: name, MinValue: &low, MaxValue: &high}},
			ContinuousHyperParameterRanges: []api.ContinuousHyperParameterRange{}, CategoricalHyperParameterRanges: []api.CategoricalHyperParameterRange{},
		}
	}
	for _, c := range []struct {
		name, recipe string
		change       func(*request)
		code         api.Code
		part         string
	}{
		{"no recipe", v1, func(in *request) { in.RecipeARN = "" }, api.InvalidInput, "recipeArn is required"},
		{"recipe and AutoML", v1, func(in *request) { in.PerformAutoML = new(true) }, api.InvalidInput, "performAutoML"},
		{"AutoML of related items", v1, func(in *request) {
			in.RecipeARN, in.PerformAutoML, in.SolutionConfig.AutoMLConfig = "", new(true), &api.AutoMLConfig{RecipeList: []string{ofRecipe + "aws-sims"}}
		}, api.InvalidInput, "aws-sims cannot be chosen by AutoML"},
		{"AutoML by another metric", v1, func(in *request) {
			in.RecipeARN, in.PerformAutoML, in.SolutionConfig.AutoMLConfig = "", new(true), &api.AutoMLConfig{MetricName: "accuracy"}
		}, api.InvalidInput, "accuracy is not a metric"},
		{"autoMLConfig without AutoML", v1, func(in *request) { in.SolutionConfig.AutoMLConfig = &api.AutoMLConfig{} }, api.InvalidInput, "performAutoML is true"},
		{"unknown recipe", "no-such", nil, api.ResourceNotFound, "does not exist"},
		{"retired recipe", "aws-hrnn", nil, api.InvalidInput, "can no longer be used"},
		{"use case", "aws-vod-top-picks", nil, api.InvalidInput, "recommender"},
		{"unknown group", v1, func(in *request) { in.DatasetGroupARN += "x" }, api.ResourceNotFound, "does not exist"},
		{"ARN of another kind", v1, func(in *request) { in.DatasetGroupARN = inRegion + "dataset/g/ITEMS" }, api.ResourceNotFound, "does not exist"},
		{"ARN of another region", v1, func(in *request) {
			in.DatasetGroupARN = strings.Replace(in.DatasetGroupARN, "eu-west-1", "eu-west-2", 1)
		}, api.ResourceNotFound, ""},
		{"missing dataset", "aws-next-best-action", nil, api.InvalidInput, "Dataset group does not have a dataset of type ACTIONS."},
		{"no names", "aws-semantic-similarity", nil, api.InvalidInput, "requires an Items dataset with one itemName column and one textual column"},
		{"threshold that is no number", v1, func(in *request) { in.SolutionConfig.EventValueThreshold = "high" }, api.InvalidInput, "eventValueThreshold must be a number."},
		{"threshold NaN", v1, func(in *request) { in.SolutionConfig.EventValueThreshold = "NaN" }, api.InvalidInput, "eventValueThreshold must be a number."},
		{"threshold without end", v1, func(in *request) { in.SolutionConfig.EventValueThreshold = "Inf" }, api.InvalidInput, "eventValueThreshold must be a number."},
		{"HPO without tunables", "aws-popularity-count", func(in *request) { in.PerformHPO = new(true) }, api.InvalidInput, "Hyperparameter optimization is not supported by recipe"},
		{"hpoConfig without HPO", v1, func(in *request) { in.SolutionConfig.HPOConfig = &api.HPOConfig{} }, api.InvalidInput, "performHPO is true"},
		{"hpoObjective", v1, func(in *request) {
			in.PerformHPO, in.SolutionConfig.HPOConfig = new(true), &api.HPOConfig{HPOObjective: &api.HPOObjective{}}
		}, api.InvalidInput, "hpoObjective"},
		{"too many HPO jobs", v1, func(in *request) {
			in.PerformHPO, in.SolutionConfig.HPOConfig = new(true), &api.HPOConfig{HPOResourceConfig: &api.HPOResourceConfig{MaxNumberOfTrainingJobs: "41"}}
		}, api.InvalidInput, "maxNumberOfTrainingJobs must be an integer between 1 and 40"},
		{"parallel HPO jobs in words", v1, func(in *request) {
			in.PerformHPO, in.SolutionConfig.HPOConfig = new(true), &api.HPOConfig{HPOResourceConfig: &api.HPOResourceConfig{MaxParallelTrainingJobs: "two"}}
		}, api.InvalidInput, "maxParallelTrainingJobs"},
		{"a list of ranges missing", v1, func(in *request) {
			in.PerformHPO, in.SolutionConfig.HPOConfig = new(true), hpo(&api.HyperParameterRanges{})
		}, api.InvalidInput, "each may be empty"},
		{"range beyond the recipe's", v1, func(in *request) {
			in.PerformHPO, in.SolutionConfig.HPOConfig = new(true), hpo(ints("training.bptt", 1, 32))
		}, api.InvalidInput, "bptt must be between 2 and 32"},
		{"range upside down", v1, func(in *request) {
			in.PerformHPO, in.SolutionConfig.HPOConfig = new(true), hpo(ints("bptt", 20, 10))
		}, api.InvalidInput, "greater than its maximum"},
		{"range of another type", v1, func(in *request) {
			in.PerformHPO, in.SolutionConfig.HPOConfig = new(true), hpo(ints("recency_mask", 0, 1))
		}, api.InvalidInput, "no tunable hyperparameter"},
		{"range twice", v1, func(in *request) {
			r := ints("bptt", 4, 8)
			r.IntegerHyperParameterRanges = append(r.IntegerHyperParameterRanges, ints("training.bptt", 8, 9).IntegerHyperParameterRanges...)
			in.PerformHPO, in.SolutionConfig.HPOConfig = new(true), hpo(r)
		}, api.InvalidInput, "bptt is given twice"},
		{"range without an end", v1, func(in *request) {
			r := ints("bptt", 4, 8)
			r.IntegerHyperParameterRanges[0].MaxValue = nil
			in.PerformHPO, in.SolutionConfig.HPOConfig = new(true), hpo(r)
		}, api.InvalidInput, "needs minValue and maxValue"},
		{"range of no values", v1, func(in *request) {
			r := ints("bptt", 4, 8)
			r.CategoricalHyperParameterRanges = []api.CategoricalHyperParameterRange{{Name: "recency_mask"}}
			in.PerformHPO, in.SolutionConfig.HPOConfig = new(true), hpo(r)
		}, api.InvalidInput, "needs values"},
		{"range of other values", v1, func(in *request) {
			r := ints("bptt", 4, 8)
			r.CategoricalHyperParameterRanges = []api.CategoricalHyperParameterRange{{Name: "recency_mask", Values: []string{"true", "maybe"}}}
			in.PerformHPO, in.SolutionConfig.HPOConfig = new(true), hpo(r)
		}, api.InvalidInput, "recency_mask must be one of"},
		{"range of a feature", v1, func(in *request) {
			in.PerformHPO, in.SolutionConfig.HPOConfig = new(true), hpo(ints("max_user_history_length_percentile", 0, 1))
		}, api.InvalidInput, "no tunable hyperparameter"},
		{"HPO of the second generation", v2, func(in *request) { in.PerformHPO = new(true) }, api.InvalidInput, "Hyperparameter optimization is not supported by recipe"},
		{"eventType beside eventsConfig", v2, func(in *request) {
			in.EventType, in.SolutionConfig.EventsConfig = "watch", events(api.EventParameters{EventType: "click"})
		}, api.InvalidInput, "eventsConfig cannot be combined with eventType"},
		{"eventsConfig of the first generation", v1, func(in *request) {
			in.SolutionConfig.EventsConfig = events(api.EventParameters{EventType: "click"})
		}, api.InvalidInput, "eventsConfig is not supported by recipe"},
		{"event type twice", v2, func(in *request) {
			in.SolutionConfig.EventsConfig = events(api.EventParameters{EventType: "click"}, api.EventParameters{EventType: "Click"})
		}, api.InvalidInput, "given twice"},
		{"weights of nothing", v2, func(in *request) {
			in.SolutionConfig.EventsConfig = events(api.EventParameters{EventType: "click", Weight: new(0.0)})
		}, api.InvalidInput, "weight greater than 0"},
		{"threshold that is no number", v1, func(in *request) { in.SolutionConfig.EventValueThreshold = "high" }, api.InvalidInput, "must be a number"},
		{"unknown hyperparameter", v1, func(in *request) {
			in.SolutionConfig.AlgorithmHyperParameters = map[string]string{"depth": "3"}
		}, api.InvalidInput, "no algorithm hyperparameter named depth"},
		{"hyperparameter out of range", v1, func(in *request) {
			in.SolutionConfig.AlgorithmHyperParameters = map[string]string{"hidden_dimension": "31"}
		}, api.InvalidInput, "hidden_dimension must be between 32 and 256"},
		{"hyperparameter in the wrong map", v1, func(in *request) {
			in.SolutionConfig.FeatureTransformationParameters = map[string]string{"bptt": "8"}
		}, api.InvalidInput, "no feature transformation parameter named bptt"},
		{"hyperparameter under two names", v1, func(in *request) {
			in.SolutionConfig.AlgorithmHyperParameters = map[string]string{"bptt": "8", "training.bptt": "9"}
		}, api.InvalidInput, "bptt is given twice"},
		{"objective of the second generation", v2, func(in *request) {
			in.SolutionConfig.OptimizationObjective = &api.OptimizationObjective{ItemAttribute: "PRICE"}
		}, api.InvalidInput, "optimizationObjective is not supported by recipe"},
		{"objective that admits null", ranking, func(in *request) {
			in.SolutionConfig.OptimizationObjective = &api.OptimizationObjective{ItemAttribute: "AGE"}
		}, api.InvalidInput, "admits no null"},
		{"objective that is text", v1, func(in *request) {
			in.SolutionConfig.OptimizationObjective = &api.OptimizationObjective{ItemAttribute: "GENRES"}
		}, api.InvalidInput, "numeric"},
		{"both maps of columns", v1, func(in *request) {
			in.SolutionConfig.TrainingDataConfig = &api.TrainingDataConfig{
				ExcludedDatasetColumns: map[string][]string{"Items": {"AGE"}}, IncludedDatasetColumns: map[string][]string{"Items": {"PRICE"}},
			}
		}, api.InvalidInput, "Only one of"},
		{"unknown column", v1, func(in *request) {
			in.SolutionConfig.TrainingDataConfig = &api.TrainingDataConfig{ExcludedDatasetColumns: map[string][]string{"Items": {"COLOR"}}}
		}, api.InvalidInput, "has no column COLOR"},
		{"columns of a missing dataset", v1, func(in *request) {
			in.SolutionConfig.TrainingDataConfig = &api.TrainingDataConfig{IncludedDatasetColumns: map[string][]string{"Users": {"AGE"}}}
		}, api.InvalidInput, "does not have a dataset of type USERS"},
		{"columns of no type", v1, func(in *request) {
			in.SolutionConfig.TrainingDataConfig = &api.TrainingDataConfig{IncludedDatasetColumns: map[string][]string{"Films": {"AGE"}}}
		}, api.InvalidInput, "Films is not a type of dataset"},
		{"event type excluded", v1, func(in *request) {
			in.SolutionConfig.TrainingDataConfig = &api.TrainingDataConfig{ExcludedDatasetColumns: map[string][]string{"interactions": {"event_type"}}}
		}, api.InvalidInput, "EVENT_TYPE cannot be excluded"},
		{"schedule of no days", v1, func(in *request) {
			in.SolutionConfig.AutoTrainingConfig = &api.AutoTrainingConfig{SchedulingExpression: "rate(0 days)"}
		}, api.InvalidInput, "1 to 30 days"},
		{"schedule of too many days", v1, func(in *request) {
			in.SolutionConfig.AutoTrainingConfig = &api.AutoTrainingConfig{SchedulingExpression: "rate(31 days)"}
		}, api.InvalidInput, "1 to 30 days"},
		{"schedule without automatic training", v1, func(in *request) {
			in.PerformAutoTraining, in.SolutionConfig.AutoTrainingConfig = new(false), &api.AutoTrainingConfig{SchedulingExpression: "rate(2 days)"}
		}, api.InvalidInput, "performAutoTraining is true"},
		{"incremental update", v1, func(in *request) { in.PerformIncrementalUpdate = new(true) }, api.InvalidInput, "performIncrementalUpdate is not supported by recipe"},
		{"reserved tag", v1, func(in *request) { in.Tags = []api.Tag{{TagKey: "aws:x"}} }, api.InvalidInput, "aws:"},
	} {
		_, err := s.CreateSolution(s.ctx, solutionRequest(c.recipe, c.change))
		want(t, c.name, err, c.code, c.part)
	}
	if list, err := s.ListSolutions(s.ctx, &api.ListSolutionsRequest{}); err != nil || len(list.Solutions) != 0 {
		t.Errorf("refused requests left %d solutions behind, %v", len(list.Solutions), err)
	}
}

func TestCreateSolutionNeedsTheColumnsItsConfigurationSpeaksOf(t *testing.T) {
	s := newStudio(t, quota.Local())
	s.group("g", "")
	_, err := s.CreateSolution(s.ctx, solutionRequest("aws-user-personalization", nil))
	want(t, "no dataset", err, api.InvalidInput, "Dataset group does not have a dataset of type INTERACTIONS.")
	s.dataset("g", "Interactions", "", watched)
	_, err = s.CreateSolution(s.ctx, solutionRequest("aws-user-personalization", func(in *api.CreateSolutionRequest) { in.EventType = "watch" }))
	want(t, "event type", err, api.InvalidInput, "EVENT_TYPE column")
	_, err = s.CreateSolution(s.ctx, solutionRequest("aws-user-personalization", func(in *api.CreateSolutionRequest) { in.SolutionConfig.EventValueThreshold = "3" }))
	want(t, "threshold", err, api.InvalidInput, "EVENT_VALUE column")
	_, err = s.CreateSolution(s.ctx, solutionRequest("aws-user-personalization-v2", func(in *api.CreateSolutionRequest) {
		in.SolutionConfig.EventsConfig = &api.EventsConfig{EventParametersList: []api.EventParameters{{EventType: "watch"}}}
	}))
	want(t, "events config", err, api.InvalidInput, "EVENT_TYPE column")
	s.dataset("g", "Items", "", films)
	_, err = s.CreateSolution(s.ctx, solutionRequest("aws-user-personalization", nil))
	want(t, "plain", err, "", "")
}

func TestDescribeSolutionEchoesTheConfiguration(t *testing.T) {
	s := open(t, quota.AWS())
	in := solutionRequest("aws-user-personalization", func(in *api.CreateSolutionRequest) {
		in.EventType = "watch"
		in.Tags = []api.Tag{{TagKey: "team", TagValue: "films"}}
		in.SolutionConfig = &api.SolutionConfig{
			EventValueThreshold:      "2.5",
			AlgorithmHyperParameters: map[string]string{"training.bptt": "8", "data.recency_mask": "false"},
			TrainingDataConfig:       &api.TrainingDataConfig{ExcludedDatasetColumns: map[string][]string{"ITEMS": {"AGE"}}},
			AutoTrainingConfig:       &api.AutoTrainingConfig{SchedulingExpression: "rate(1 day)"},
		}
	})
	out, err := s.CreateSolution(s.ctx, in)
	s.must(err)
	if out.SolutionARN != inRegion+"solution/s" {
		t.Errorf("ARN %s", out.SolutionARN)
	}
	described, err := s.DescribeSolution(s.ctx, &api.DescribeSolutionRequest{SolutionARN: out.SolutionARN})
	s.must(err)
	got := described.Solution
	if got.Status != meta.CreatePending || got.CreationDateTime.IsZero() || got.LastUpdatedDateTime.IsZero() {
		t.Errorf("status %q, times %v %v", got.Status, got.CreationDateTime, got.LastUpdatedDateTime)
	}
	want := &api.Solution{
		Name: "s", SolutionARN: out.SolutionARN, DatasetGroupARN: in.DatasetGroupARN, RecipeARN: in.RecipeARN, EventType: "watch",
		PerformHPO: new(false), PerformAutoML: new(false), PerformAutoTraining: new(true), Status: meta.CreatePending,
		CreationDateTime: got.CreationDateTime, LastUpdatedDateTime: got.LastUpdatedDateTime,
		SolutionConfig: &api.SolutionConfig{
			EventValueThreshold:      "2.5",
			AlgorithmHyperParameters: map[string]string{"bptt": "8", "recency_mask": "false"},
			TrainingDataConfig:       in.SolutionConfig.TrainingDataConfig, AutoTrainingConfig: in.SolutionConfig.AutoTrainingConfig,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	tags, err := s.ListTagsForResource(s.ctx, &api.ListTagsForResourceRequest{ResourceARN: out.SolutionARN})
	s.must(err)
	if diff := cmp.Diff(in.Tags, tags.Tags); diff != "" {
		t.Error(diff)
	}
}

func TestRangesAreDescribedUnderTheirFullNames(t *testing.T) {
	s := open(t, quota.AWS())
	in := solutionRequest("aws-user-personalization", func(in *api.CreateSolutionRequest) {
		in.PerformHPO = new(true)
		in.SolutionConfig.AlgorithmHyperParameters = map[string]string{"training.hidden_dimension": "64"}
		in.SolutionConfig.HPOConfig = &api.HPOConfig{
			HPOResourceConfig: &api.HPOResourceConfig{MaxNumberOfTrainingJobs: "40", MaxParallelTrainingJobs: "10"},
			AlgorithmHyperParameterRanges: &api.HyperParameterRanges{
				IntegerHyperParameterRanges: []api.IntegerHyperParameterRange{
					{Name: "bptt", MinValue: new(2), MaxValue: new(32)}, {Name: "training.hidden_dimension", MinValue: new(32), MaxValue: new(256)},
				},
				ContinuousHyperParameterRanges:  []api.ContinuousHyperParameterRange{},
				CategoricalHyperParameterRanges: []api.CategoricalHyperParameterRange{{Name: "recency_mask", Values: []string{"true", "false"}}},
			},
		}
	})
	given, err := json.Marshal(in)
	s.must(err)
	out, err := s.CreateSolution(s.ctx, in)
	s.must(err)
	if now, err := json.Marshal(in); err != nil || string(now) != string(given) {
		t.Error("the request was changed")
	}
	s.settle()
	described, err := s.DescribeSolution(s.ctx, &api.DescribeSolutionRequest{SolutionARN: out.SolutionARN})
	s.must(err)
	version, err := s.DescribeSolutionVersion(s.ctx, &api.DescribeSolutionVersionRequest{SolutionVersionARN: s.version(out.SolutionARN)})
	s.must(err)
	for _, got := range []struct {
		hpo    *bool
		config *api.SolutionConfig
	}{{described.Solution.PerformHPO, described.Solution.SolutionConfig}, {version.SolutionVersion.PerformHPO, version.SolutionVersion.SolutionConfig}} {
		r := got.config.HPOConfig.AlgorithmHyperParameterRanges
		if !*got.hpo || r.IntegerHyperParameterRanges[0].Name != "training.bptt" || r.IntegerHyperParameterRanges[1].Name != "training.hidden_dimension" ||
			r.CategoricalHyperParameterRanges[0].Name != "data.recency_mask" || r.ContinuousHyperParameterRanges == nil {
			t.Errorf("performHPO %v, ranges %+v", *got.hpo, r)
		}
		if got.config.AlgorithmHyperParameters["hidden_dimension"] != "64" {
			t.Errorf("hyperparameters %v", got.config.AlgorithmHyperParameters)
		}
	}
}

func TestAutoMLStandsForTheSuccessorOfItsRecipes(t *testing.T) {
	s := open(t, quota.AWS())
	out, err := s.CreateSolution(s.ctx, solutionRequest("", func(in *api.CreateSolutionRequest) {
		in.RecipeARN, in.PerformAutoML = "", new(true)
		in.SolutionConfig.AlgorithmHyperParameters = map[string]string{"bptt": "8"}
		in.SolutionConfig.AutoMLConfig = &api.AutoMLConfig{MetricName: "precision_at_25", RecipeList: []string{ofRecipe + "aws-hrnn", ofRecipe + "aws-hrnn-metadata"}}
	}))
	s.must(err)
	described, err := s.DescribeSolution(s.ctx, &api.DescribeSolutionRequest{SolutionARN: out.SolutionARN})
	s.must(err)
	got := described.Solution
	if !*got.PerformAutoML || !*got.PerformHPO || got.RecipeARN != ofRecipe+"aws-user-personalization" || got.AutoMLResult != nil {
		t.Errorf("solution %+v", got)
	}
	if c := got.SolutionConfig; c.AutoMLConfig == nil || c.AlgorithmHyperParameters != nil {
		t.Errorf("configuration %+v", c)
	}
}

func TestDescribeSolutionWithoutConfigurationHasNone(t *testing.T) {
	s := open(t, quota.AWS())
	arn := s.solution("s", "aws-popularity-count")
	out, err := s.DescribeSolution(s.ctx, &api.DescribeSolutionRequest{SolutionARN: arn})
	s.must(err)
	if out.Solution.SolutionConfig != nil || out.Solution.LatestSolutionVersion != nil || out.Solution.LatestSolutionUpdate != nil {
		t.Errorf("solution %+v", out.Solution)
	}
	first, second := s.trained(arn), s.version(arn)
	out, err = s.DescribeSolution(s.ctx, &api.DescribeSolutionRequest{SolutionARN: arn})
	s.must(err)
	if v := out.Solution.LatestSolutionVersion; v == nil || v.SolutionVersionARN != second || v.Status != meta.CreatePending || first == second {
		t.Errorf("latest version %+v, want %s", v, second)
	}
}

func TestNamesOfSolutionsAreTakenUntilTheyAreGone(t *testing.T) {
	s := open(t, quota.AWS())
	arn := s.solution("s", "aws-popularity-count")
	_, err := s.CreateSolution(s.ctx, solutionRequest("aws-popularity-count", nil))
	want(t, "again", err, api.ResourceAlreadyExists, "Another resource with Arn "+arn+" already exists.")
	_, err = s.DeleteSolution(s.ctx, &api.DeleteSolutionRequest{SolutionARN: arn})
	s.must(err)
	_, err = s.CreateSolution(s.ctx, solutionRequest("aws-popularity-count", nil))
	want(t, "while being deleted", err, api.ResourceAlreadyExists, "")
	_, err = s.DeleteSolution(s.ctx, &api.DeleteSolutionRequest{SolutionARN: arn})
	want(t, "delete twice", err, api.ResourceInUse, "")
	s.settle()
	_, err = s.DescribeSolution(s.ctx, &api.DescribeSolutionRequest{SolutionARN: arn})
	want(t, "gone", err, api.ResourceNotFound, "")
	s.solution("s", "aws-popularity-count")
}

func TestSolutionsAreBoundedByTheQuotaOfActiveOnes(t *testing.T) {
	limits := quota.AWS()
	limits.Solutions = 2
	s := open(t, limits)
	first := s.solution("one", "aws-popularity-count")
	s.solution("two", "aws-popularity-count")
	_, err := s.CreateSolution(s.ctx, solutionRequest("aws-popularity-count", nil))
	want(t, "third", err, api.LimitExceeded, "More than 2 resources in ACTIVE state. Please delete some and try again.")
	_, err = s.DeleteSolution(s.ctx, &api.DeleteSolutionRequest{SolutionARN: first})
	s.must(err)
	s.solution("s", "aws-popularity-count")
}

func TestASolutionWaitsForItsGroup(t *testing.T) {
	s := open(t, quota.AWS())
	_, err := s.CreateDatasetGroup(s.ctx, &api.CreateDatasetGroupRequest{Name: "new"})
	s.must(err)
	in := solutionRequest("aws-popularity-count", func(in *api.CreateSolutionRequest) { in.DatasetGroupARN = inRegion + "dataset-group/new" })
	_, err = s.CreateSolution(s.ctx, in)
	want(t, "group pending", err, api.ResourceInUse, "CREATE PENDING")
	s.set(in.DatasetGroupARN, meta.CreateFailed)
	_, err = s.CreateSolution(s.ctx, in)
	want(t, "group failed", err, api.InvalidInput, "CREATE FAILED")
}

func TestUpdateSolutionShowsTheChangeUntilItHolds(t *testing.T) {
	s := open(t, quota.AWS())
	arn := s.solution("s", "aws-user-personalization-v2")
	config := &api.SolutionUpdateConfig{
		AutoTrainingConfig: &api.AutoTrainingConfig{SchedulingExpression: "rate(3 days)"},
		EventsConfig:       &api.EventsConfig{EventParametersList: []api.EventParameters{{EventType: "watch", Weight: new(0.5), EventValueThreshold: new(2.0)}}},
	}
	_, err := s.UpdateSolution(s.ctx, &api.UpdateSolutionRequest{SolutionARN: arn, SolutionUpdateConfig: config})
	s.must(err)
	describe := func() *api.Solution {
		out, err := s.DescribeSolution(s.ctx, &api.DescribeSolutionRequest{SolutionARN: arn})
		s.must(err)
		return out.Solution
	}
	got := describe()
	if got.Status != meta.Active || got.SolutionConfig != nil || got.LatestSolutionUpdate.Status != meta.CreatePending {
		t.Errorf("before: %+v", got)
	}
	_, err = s.UpdateSolution(s.ctx, &api.UpdateSolutionRequest{SolutionARN: arn, PerformAutoTraining: new(false)})
	want(t, "update during update", err, api.ResourceInUse, "being updated")
	_, err = s.DeleteSolution(s.ctx, &api.DeleteSolutionRequest{SolutionARN: arn})
	want(t, "delete during update", err, api.ResourceInUse, "being updated")
	version := s.version(arn)
	s.settle()
	got = describe()
	if diff := cmp.Diff(config, &api.SolutionUpdateConfig{AutoTrainingConfig: got.SolutionConfig.AutoTrainingConfig, EventsConfig: got.SolutionConfig.EventsConfig}); diff != "" {
		t.Error(diff)
	}
	v, err := s.DescribeSolutionVersion(s.ctx, &api.DescribeSolutionVersionRequest{SolutionVersionARN: version})
	s.must(err)
	if v.SolutionVersion.SolutionConfig != nil {
		t.Error("a version that was created during the update has the new configuration")
	}
}

func TestUpdateSolutionChecksTheChange(t *testing.T) {
	s := open(t, quota.AWS())
	v1, v2 := s.solution("one", "aws-user-personalization"), s.solution("two", "aws-user-personalization-v2")
	pending, err := s.CreateSolution(s.ctx, solutionRequest("aws-popularity-count", nil))
	s.must(err)
	rate := func(expression string) *api.SolutionUpdateConfig {
		return &api.SolutionUpdateConfig{AutoTrainingConfig: &api.AutoTrainingConfig{SchedulingExpression: expression}}
	}
	for _, c := range []struct {
		name string
		in   api.UpdateSolutionRequest
		code api.Code
		part string
	}{
		{"unknown", api.UpdateSolutionRequest{SolutionARN: v1 + "x"}, api.ResourceNotFound, ""},
		{"not ACTIVE", api.UpdateSolutionRequest{SolutionARN: pending.SolutionARN, PerformAutoTraining: new(false)}, api.ResourceInUse, "CREATE PENDING"},
		{"incremental", api.UpdateSolutionRequest{SolutionARN: v1, PerformIncrementalUpdate: new(true)}, api.InvalidInput, "performIncrementalUpdate"},
		{"rate", api.UpdateSolutionRequest{SolutionARN: v1, SolutionUpdateConfig: rate("rate(99 days)")}, api.InvalidInput, "1 to 30"},
		{"rate without training", api.UpdateSolutionRequest{SolutionARN: v1, PerformAutoTraining: new(false), SolutionUpdateConfig: rate("rate(2 days)")}, api.InvalidInput, "performAutoTraining"},
		{"events", api.UpdateSolutionRequest{SolutionARN: v1, SolutionUpdateConfig: &api.SolutionUpdateConfig{
			EventsConfig: &api.EventsConfig{EventParametersList: []api.EventParameters{{EventType: "a"}}},
		}}, api.InvalidInput, "eventsConfig is not supported"},
		{"events twice", api.UpdateSolutionRequest{SolutionARN: v2, SolutionUpdateConfig: &api.SolutionUpdateConfig{
			EventsConfig: &api.EventsConfig{EventParametersList: []api.EventParameters{{EventType: "a"}, {EventType: "a"}}},
		}}, api.InvalidInput, "given twice"},
	} {
		_, err := s.UpdateSolution(s.ctx, &c.in)
		want(t, c.name, err, c.code, c.part)
	}
}

func TestDeleteSolutionWaitsForEverythingThatNeedsIt(t *testing.T) {
	s := open(t, quota.AWS())
	arn := s.solution("s", "aws-popularity-count")
	other := s.trained(s.solution("other", "aws-popularity-count"))
	remove := func(what string, code api.Code, part string) {
		t.Helper()
		_, err := s.DeleteSolution(s.ctx, &api.DeleteSolutionRequest{SolutionARN: arn})
		want(t, what, err, code, part)
	}
	version := s.version(arn)
	remove("version in training", api.ResourceInUse, version)
	s.settle()
	campaign := s.campaign("c", version, nil)
	remove("campaign", api.ResourceInUse, campaign)

	_, err := s.UpdateCampaign(s.ctx, &api.UpdateCampaignRequest{CampaignARN: campaign, SolutionVersionARN: other})
	s.must(err)
	remove("campaign on its way to another solution", api.ResourceInUse, campaign)
	s.settle()
	_, err = s.UpdateCampaign(s.ctx, &api.UpdateCampaignRequest{CampaignARN: campaign, SolutionVersionARN: version})
	s.must(err)
	remove("campaign on its way back", api.ResourceInUse, campaign)
	s.set(campaign, meta.Active)

	batch := &meta.Resource{ARN: inRegion + "batch-inference-job/b", Kind: meta.BatchInferenceJob, Scope: "eu-west-1:123456789012", Group: s.row(arn).Group, Status: meta.CreatePending}
	s.must(batch.SetDoc(api.BatchInferenceJob{SolutionVersionARN: version}))
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error { return tx.Insert(batch) }))
	remove("batch job", api.ResourceInUse, batch.ARN)
	s.set(batch.ARN, meta.CreateInProgress, meta.Active)

	remove("free", "", "")
	if r := s.row(arn); r.Status != meta.DeletePending || r.Job.Kind == "" {
		t.Errorf("status %s, job %q", r.Status, r.Job.Kind)
	}
	_, err = s.CreateSolutionVersion(s.ctx, &api.CreateSolutionVersionRequest{SolutionARN: arn})
	want(t, "version of a leaving solution", err, api.ResourceInUse, "DELETE PENDING")
	_, err = s.CreateCampaign(s.ctx, &api.CreateCampaignRequest{Name: "d", SolutionVersionARN: version})
	want(t, "campaign of a leaving solution", err, api.ResourceInUse, "DELETE PENDING")
}

func TestListSolutionsByGroupIsNewestFirst(t *testing.T) {
	s := open(t, quota.AWS())
	s.solution("one", "aws-popularity-count")
	s.solution("two", "aws-user-personalization")
	out, err := s.ListSolutions(s.ctx, &api.ListSolutionsRequest{DatasetGroupARN: inRegion + "dataset-group/g"})
	s.must(err)
	if len(out.Solutions) != 2 || out.Solutions[0].Name != "two" || out.Solutions[0].RecipeARN != ofRecipe+"aws-user-personalization" {
		t.Errorf("solutions %+v", out.Solutions)
	}
	_, err = s.ListSolutions(s.ctx, &api.ListSolutionsRequest{DatasetGroupARN: inRegion + "dataset-group/none"})
	want(t, "unknown group", err, api.InvalidInput, "does not exist")
}
