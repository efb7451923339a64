package work

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/recipe"
)

func TestTrainingConfigSaysWhatTheSolutionAsksFor(t *testing.T) {
	entry := &recipe.Entry{TrainedAs: "trainer", EventType: "Watch", CountEvents: true}
	got, err := trainingConfig(entry, "click", &api.SolutionConfig{
		EventValueThreshold:             "0.5",
		AlgorithmHyperParameters:        map[string]string{"hidden_dimension": "64", "training.bptt": "20"},
		FeatureTransformationParameters: map[string]string{"min_user_history_length_percentile": "0.1"},
		EventsConfig: &api.EventsConfig{EventParametersList: []api.EventParameters{
			{EventType: "click"}, {EventType: "like", EventValueThreshold: new(3.0), Weight: new(0.25)},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := recipe.Config{
		Recipe: "trainer", EventType: "click", CountEvents: true, EventValueThreshold: new(0.5),
		Params:       map[string]string{"hidden_dimension": "64", "bptt": "20", "min_user_history_length_percentile": "0.1"},
		EventsConfig: []recipe.EventWeight{{Type: "click", Weight: 1}, {Type: "like", Threshold: new(3.0), Weight: 0.25}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := trainingConfig(entry, "", nil); err != nil || got.EventType != "Watch" {
		t.Errorf("got %+v, %v: want the event type of the use case", got, err)
	}
	if _, err := trainingConfig(entry, "", &api.SolutionConfig{EventValueThreshold: "high"}); !job.Failed(err) {
		t.Errorf("got %v: want a failure that the customer can mend", err)
	}
}

func TestASearchIsWhatTheCustomerAskedFor(t *testing.T) {
	v1, _ := recipe.Find("aws-user-personalization")
	whole := map[string]recipe.Range{
		"hidden_dimension": {Name: "hidden_dimension", Min: 32, Max: 256}, "bptt": {Name: "bptt", Min: 2, Max: 32},
		"recency_mask": {Name: "recency_mask", Values: []string{"true", "false"}},
	}
	none := &api.HyperParameterRanges{}
	for _, c := range []struct {
		name   string
		config *api.SolutionConfig
		fixed  map[string]string
		want   *recipe.Search
	}{
		{"nothing in particular", nil, nil, &recipe.Search{Trials: 10, Ranges: []recipe.Range{whole["hidden_dimension"], whole["bptt"], whole["recency_mask"]}}},
		{"some are fixed", nil, map[string]string{"bptt": "8"}, &recipe.Search{Trials: 10, Ranges: []recipe.Range{whole["hidden_dimension"], whole["recency_mask"]}}},
		{"resources only", &api.SolutionConfig{HPOConfig: &api.HPOConfig{
			HPOResourceConfig: &api.HPOResourceConfig{MaxNumberOfTrainingJobs: "3", MaxParallelTrainingJobs: "2"}, AlgorithmHyperParameterRanges: none,
		}}, map[string]string{"bptt": "8", "recency_mask": "true"}, &recipe.Search{Trials: 3, Parallel: 2, Ranges: []recipe.Range{whole["hidden_dimension"]}}},
		{"ranges", &api.SolutionConfig{HPOConfig: &api.HPOConfig{AlgorithmHyperParameterRanges: &api.HyperParameterRanges{
			IntegerHyperParameterRanges:     []api.IntegerHyperParameterRange{{Name: "training.bptt", MinValue: new(4), MaxValue: new(8)}},
			CategoricalHyperParameterRanges: []api.CategoricalHyperParameterRange{{Name: "recency_mask", Values: []string{"false"}}},
		}}}, map[string]string{"bptt": "8"}, &recipe.Search{
			Trials: 10, Ranges: []recipe.Range{{Name: "bptt", Min: 4, Max: 8}, {Name: "recency_mask", Values: []string{"false"}}},
		}},
		{"AutoML", &api.SolutionConfig{AutoMLConfig: &api.AutoMLConfig{MetricName: "precision_at_5"}}, map[string]string{"bptt": "8", "hidden_dimension": "40"}, &recipe.Search{
			Trials: 10, Ranges: []recipe.Range{whole["recency_mask"]}, Metric: "precision_at_5",
		}},
	} {
		if diff := cmp.Diff(c.want, requestedSearch(v1, c.config, c.fixed)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
