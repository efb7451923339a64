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
