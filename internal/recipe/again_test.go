package recipe

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/palate-dev/palate/internal/userset"
)

// made remembers models by what decides them, as a deletion does.
type made map[string]string

func (m made) equal(of *string) Again {
	return Again{Equal: func(digest string) (string, func()) {
		*of = digest
		return m[digest], func() {}
	}}
}

func TestWhatEqualModelsLearnIsLearntOnce(t *testing.T) {
	gone := userset.New(slices.Collect(maps.Keys(worldLeavers())))
	for name, cfg := range trainings() {
		t.Run(name, func(t *testing.T) {
			never := contents(t, trainData(t, world(t, worldLeavers()), cfg))
			models, root := made{}, t.TempDir()
			var all []string
			rebuild := func(cfg Config) (dir string, steps int) {
				t.Helper()
				var of string
				dir = filepath.Join(root, string(rune('a'+len(all))))
				all = append(all, dir)
				_, touched, err := Rebuild(t.Context(), trainData(t, world(t, nil), cfg), gone, dir, models.equal(&of), func(string, int64, int64) { steps++ })
				if err != nil || !touched {
					t.Fatalf("touched %v, %v", touched, err)
				}
				models[of] = dir
				return dir, steps
			}
			same := func(dir string) {
				t.Helper()
				if differ := remains(t, never, dir); len(differ) > 0 {
					t.Errorf("these differ from a model that never saw the users: %v", differ)
				}
			}
			first, _ := rebuild(cfg)
			same(first)
			second, steps := rebuild(cfg)
			same(second)
			if steps > 0 {
				t.Error("the second model was computed though it equals the first")
			}
			other := cfg
			other.Seed++
			if _, steps := rebuild(other); steps == 0 {
				t.Error("a model of another seed was taken over")
			}
			if err := os.Remove(filepath.Join(second, ManifestName)); err != nil { // it is about to be destroyed
				t.Fatal(err)
			}
			third, steps := rebuild(cfg)
			same(third)
			if steps == 0 {
				t.Error("a damaged model was taken over")
			}
		})
	}
}

// Two configurations may come to the same without being the same, and different ones ask the data the same.
func TestConfigurationsShareWhatTheyHaveInCommon(t *testing.T) {
	gone := userset.New(slices.Collect(maps.Keys(worldLeavers())))
	models, choices := made{}, Choices{}
	for n, params := range []map[string]string{nil, {"bptt": "32"}, {"bptt": "31"}, {"max_user_history_length_percentile": "0.9"}} {
		var of string
		phases := map[string]int{}
		again := models.equal(&of)
		again.Choices = choices
		cfg := Config{Recipe: personalizationV1, Params: params, Seed: 2}
		dir := filepath.Join(t.TempDir(), "to")
		m, _, err := Rebuild(t.Context(), trainData(t, world(t, nil), cfg), gone, dir, again, func(phase string, _, _ int64) { phases[phase]++ })
		if err != nil {
			t.Fatal(err)
		}
		if copied, want := len(phases) == 0, n == 1; copied != want {
			t.Errorf("with %v: copied is %v", params, copied)
		}
		if asked, want := phases["choice: trying"] > 0, n == 0 || n == 3; asked != want {
			t.Errorf("with %v: the data were asked is %v", params, asked)
		}
		if !maps.Equal(m.Config.Params, params) {
			t.Errorf("the model was trained with %v and says %v", params, m.Config.Params)
		}
		if differ := remains(t, contents(t, trainData(t, world(t, worldLeavers()), cfg)), dir); len(differ) > 0 {
			t.Errorf("with %v these differ from a model that never saw the users: %v", params, differ)
		}
		models[of] = dir
	}
}
