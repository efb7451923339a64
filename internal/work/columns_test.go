package work

import (
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/schema/schematest"
)

func TestWhichColumnsAreTrainedOn(t *testing.T) {
	created := time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)
	later, earlier := created.Add(time.Minute), created.Add(-time.Minute)
	items := func(columns ...string) map[string][]string { return map[string][]string{"items": columns} }
	for name, c := range map[string]struct {
		config *api.TrainingDataConfig
		added  time.Time
		want   bool
	}{
		"no configuration":               {nil, time.Time{}, true},
		"added before the solution":      {nil, earlier, true},
		"added after the solution":       {nil, later, false},
		"included":                       {&api.TrainingDataConfig{IncludedDatasetColumns: items("genre_l2")}, time.Time{}, true},
		"added later but included":       {&api.TrainingDataConfig{IncludedDatasetColumns: items("PRICE", "GENRE_L2")}, later, true},
		"others are included":            {&api.TrainingDataConfig{IncludedDatasetColumns: items("PRICE")}, time.Time{}, false},
		"others of another dataset are":  {&api.TrainingDataConfig{IncludedDatasetColumns: map[string][]string{"USERS": {"AGE"}}}, time.Time{}, true},
		"excluded":                       {&api.TrainingDataConfig{ExcludedDatasetColumns: items("genreL2")}, time.Time{}, false},
		"others are excluded":            {&api.TrainingDataConfig{ExcludedDatasetColumns: items("PRICE")}, time.Time{}, true},
		"added later, others excluded":   {&api.TrainingDataConfig{ExcludedDatasetColumns: items("PRICE")}, later, false},
		"excluded of another dataset is": {&api.TrainingDataConfig{ExcludedDatasetColumns: map[string][]string{"USERS": {"GENRE_L2"}}}, time.Time{}, true},
	} {
		p := trainingPlan{columns: c.config, since: created}
		if got := p.trainsOn(schema.Items, "GENRE_L2", c.added); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAddedColumnsAreRemembered(t *testing.T) {
	p := meta.DatasetPrivate{Schema: schematest.Avro("Items", "ITEM_ID:string", "A:int"), Added: map[string]time.Time{"A": time.Unix(1, 0)}}
	next, err := schema.Parse(schematest.Avro("Items", "ITEM_ID:string", "A:int", "B:int?", "C:string?"), "")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1000, 0)
	if err := noteAdded(&p, next, at); err != nil {
		t.Fatal(err)
	}
	if len(p.Added) != 3 || !p.Added["A"].Equal(time.Unix(1, 0)) || !p.Added["B"].Equal(at) || !p.Added["C"].Equal(at) {
		t.Errorf("added: %v", p.Added)
	}
}
