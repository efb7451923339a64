package recipe_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/recipe"
)

func TestCatalogueIsSortedAndEveryEntryCanBeFoundAgain(t *testing.T) {
	if !slices.IsSortedFunc(recipe.Catalogue, func(a, b recipe.Entry) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the catalogue is not sorted by name")
	}
	custom := 0
	for i := range recipe.Catalogue {
		e := &recipe.Catalogue[i]
		if e.Domain == "" {
			custom++
		}
		if found, ok := recipe.FindARN(e.ARN()); !ok || found != e {
			t.Errorf("FindARN(%s) does not lead back to the entry", e.ARN())
		}
		if found, ok := recipe.FindAlgorithm(e.AlgorithmARN()); !ok || found != e {
			t.Errorf("FindAlgorithm(%s) does not lead back to %s", e.AlgorithmARN(), e.Name)
		}
		if !slices.Contains(recipe.FindFeatureTransformation(e.FeatureTransformationARN()), e) {
			t.Errorf("FindFeatureTransformation(%s) lacks %s", e.FeatureTransformationARN(), e.Name)
		}
	}
	if custom != 12 || len(recipe.Catalogue) != 22 {
		t.Errorf("%d recipes and %d use cases, want 12 and 10", custom, len(recipe.Catalogue)-custom)
	}
}

func TestEveryEntryIsComplete(t *testing.T) {
	for _, e := range recipe.Catalogue {
		if e.Type == "" || e.Description == "" || e.Created.IsZero() || len(e.Requires) == 0 || e.Can == 0 {
			t.Errorf("%s lacks a type, description, date, required dataset or capability", e.Name)
		}
		if !e.Updated.After(e.Created) {
			t.Errorf("%s was updated at %v, not after its creation at %v", e.Name, e.Updated, e.Created)
		}
		if e.Trainable != (e.TrainedAs != "") {
			t.Errorf("%s: Trainable is %v but it is trained as %q", e.Name, e.Trainable, e.TrainedAs)
		}
		if e.Has(recipe.HPO) != slices.ContainsFunc(e.Params, func(p recipe.Param) bool { return p.Tunable }) {
			t.Errorf("%s: the HPO capability and its tunable parameters disagree", e.Name)
		}
		for _, p := range e.Params {
			if _, err := p.Check(p.Default); err != nil {
				t.Errorf("%s: the default of %s is refused: %v", e.Name, p.Name, err)
			}
		}
	}
}

func TestTrainableEntriesAreThoseOfThisBuild(t *testing.T) {
	var got []string
	for _, e := range recipe.Catalogue {
		if e.Trainable {
			got = append(got, strings.TrimPrefix(e.Name, "aws-")+"="+strings.TrimPrefix(e.TrainedAs, "aws-"))
		}
	}
	want := []string{
		"ecomm-customers-who-viewed-x-also-viewed=sims", "ecomm-frequently-bought-together=sims",
		"ecomm-popular-items-by-purchases=popularity-count", "ecomm-popular-items-by-views=popularity-count",
		"ecomm-recommended-for-you=user-personalization",
		"item-affinity=item-affinity", "item-attribute-affinity=item-attribute-affinity",
		"next-best-action=next-best-action",
		"personalized-ranking=user-personalization", "personalized-ranking-v2=user-personalization-v2", "popularity-count=popularity-count",
		"semantic-similarity=semantic-similarity", "similar-items=similar-items", "sims=sims", "trending-now=trending-now",
		"user-personalization=user-personalization", "user-personalization-v2=user-personalization-v2",
		"vod-because-you-watched-x=sims", "vod-more-like-x=similar-items", "vod-most-popular=popularity-count", "vod-top-picks=user-personalization",
		"vod-trending-now=trending-now",
	}
	if !slices.Equal(got, want) {
		t.Errorf("trainable: %v\nwant: %v", got, want)
	}
}

func TestParamsAreFoundWithAndWithoutPrefix(t *testing.T) {
	e, _ := recipe.Find("aws-user-personalization")
	for _, c := range []struct {
		kind recipe.ParamKind
		name string
		full string
	}{
		{recipe.AlgorithmParam, "bptt", "training.bptt"},
		{recipe.AlgorithmParam, "training.bptt", "training.bptt"},
		{recipe.AlgorithmParam, "recency_mask", "data.recency_mask"},
		{recipe.AlgorithmParam, "data.recency_mask", "data.recency_mask"},
		{recipe.FeatureParam, "featurization.max_user_history_length_percentile", "max_user_history_length_percentile"},
		{recipe.ExplorationParam, "exploration_item_age_cut_off", "explorationItemAgeCutOff"},
		{recipe.ExplorationParam, "explorationWeight", "explorationWeight"},
		{recipe.AlgorithmParam, "explorationWeight", ""},
		{recipe.AlgorithmParam, "other.bptt", ""},
		{recipe.FeatureParam, "bptt", ""},
	} {
		p, ok := e.Param(c.kind, c.name)
		if ok != (c.full != "") || ok && p.FullName() != c.full {
			t.Errorf("Param(%v, %q) = %q, %v; want %q", c.kind, c.name, p.FullName(), ok, c.full)
		}
	}
}

func TestParamValuesAreCheckedByTypeAndRange(t *testing.T) {
	for _, c := range []struct {
		recipe string
		kind   recipe.ParamKind
		name   string
		value  string
		want   string // "" = refused
	}{
		{"aws-user-personalization", recipe.AlgorithmParam, "hidden_dimension", "32", "32"},
		{"aws-user-personalization", recipe.AlgorithmParam, "hidden_dimension", "256", "256"},
		{"aws-user-personalization", recipe.AlgorithmParam, "hidden_dimension", "31", ""},
		{"aws-user-personalization", recipe.AlgorithmParam, "hidden_dimension", "257", ""},
		{"aws-user-personalization", recipe.AlgorithmParam, "hidden_dimension", "40.5", ""},
		{"aws-user-personalization", recipe.AlgorithmParam, "recency_mask", "false", "false"},
		{"aws-user-personalization", recipe.AlgorithmParam, "recency_mask", "maybe", ""},
		{"aws-user-personalization", recipe.ExplorationParam, "explorationWeight", "NaN", ""},
		{"aws-user-personalization", recipe.ExplorationParam, "explorationWeight", "1", "1"},
		{"aws-user-personalization", recipe.ExplorationParam, "explorationItemAgeCutOff", "1e6", "1e6"},
		{"aws-user-personalization", recipe.ExplorationParam, "explorationItemAgeCutOff", "0.5", ""},
		{"aws-user-personalization", recipe.ExplorationParam, "explorationItemAgeCutOff", "Inf", ""},
		{"aws-trending-now", recipe.FeatureParam, "trend_discovery_frequency", "30 min", "30 minutes"},
		{"aws-trending-now", recipe.FeatureParam, "trend_discovery_frequency", "1h", "1 hour"},
		{"aws-trending-now", recipe.FeatureParam, "trend_discovery_frequency", "1 day", "1 day"},
		{"aws-trending-now", recipe.FeatureParam, "trend_discovery_frequency", "2 hours", ""},
		{"aws-trending-now", recipe.FeatureParam, "trend_discovery_frequency", "1 Mars", ""},
	} {
		e, _ := recipe.Find(c.recipe)
		p, ok := e.Param(c.kind, c.name)
		if !ok {
			t.Fatalf("%s has no parameter %s", c.recipe, c.name)
		}
		got, err := p.Check(c.value)
		if (err == nil) != (c.want != "") || err == nil && got != c.want {
			t.Errorf("%s = %q: got %q, %v; want %q", c.name, c.value, got, err, c.want)
		}
	}
}

func TestRetiredRecipesAreNotInTheCatalogue(t *testing.T) {
	for _, name := range []string{"aws-hrnn", "aws-hrnn-metadata", "aws-hrnn-coldstart"} {
		arn := "arn:aws:personalize:::recipe/" + name
		if _, ok := recipe.FindARN(arn); ok || !recipe.Retired(arn) {
			t.Errorf("%s is not retired", name)
		}
	}
	if recipe.Retired("arn:aws:personalize:::recipe/aws-sims") {
		t.Error("aws-sims is retired")
	}
}
