package control_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/quota"
)

func TestListRecipesPagesThroughAllByName(t *testing.T) {
	s := newStudio(t, quota.Local())
	var names []string
	in := &api.ListRecipesRequest{MaxResults: new(9)}
	for {
		out, err := s.ListRecipes(s.ctx, in)
		s.must(err)
		for _, r := range out.Recipes {
			if r.Status != "ACTIVE" || r.CreationDateTime.IsZero() || !strings.HasSuffix(r.RecipeARN, "/"+r.Name) {
				t.Errorf("summary %+v", r)
			}
			names = append(names, r.Name)
		}
		if out.NextToken == "" {
			break
		}
		in.NextToken = out.NextToken
	}
	if len(names) != 22 || !slices.IsSorted(names) {
		t.Errorf("%d recipes, sorted: %v", len(names), slices.IsSorted(names))
	}
	_, err := s.ListRecipes(s.ctx, &api.ListRecipesRequest{NextToken: in.NextToken, Domain: "ECOMMERCE"})
	want(t, "token of another list", err, api.InvalidNextToken, "")
}

func TestListRecipesOfADomainHasOnlyItsUseCases(t *testing.T) {
	s := newStudio(t, quota.Local())
	for domain, prefix := range map[string]string{"ECOMMERCE": "aws-ecomm-", "VIDEO_ON_DEMAND": "aws-vod-"} {
		out, err := s.ListRecipes(s.ctx, &api.ListRecipesRequest{Domain: domain})
		s.must(err)
		if len(out.Recipes) != 5 {
			t.Errorf("%s: %d use cases, want 5", domain, len(out.Recipes))
		}
		for _, r := range out.Recipes {
			if r.Domain != domain || !strings.HasPrefix(r.Name, prefix) {
				t.Errorf("%s lists %s of domain %q", domain, r.Name, r.Domain)
			}
		}
	}
}

func TestDescribeRecipeLeadsToAlgorithmAndFeatureTransformation(t *testing.T) {
	s := newStudio(t, quota.Local())
	r, err := s.DescribeRecipe(s.ctx, &api.DescribeRecipeRequest{RecipeARN: ofRecipe + "aws-user-personalization"})
	s.must(err)
	if r.Recipe.RecipeType != "USER_PERSONALIZATION" || r.Recipe.Description == "" || r.Recipe.Status != "ACTIVE" {
		t.Errorf("recipe %+v", r.Recipe)
	}
	a, err := s.DescribeAlgorithm(s.ctx, &api.DescribeAlgorithmRequest{AlgorithmARN: r.Recipe.AlgorithmARN})
	s.must(err)
	want := map[string]string{"hidden_dimension": "149", "bptt": "32", "recency_mask": "true"}
	if diff := cmp.Diff(want, a.Algorithm.DefaultHyperParameters); diff != "" {
		t.Error(diff)
	}
	ranges := a.Algorithm.DefaultHyperParameterRanges
	if n := ranges.IntegerHyperParameterRanges; len(n) != 2 || *n[0].MinValue != 32 || *n[0].MaxValue != 256 || !*n[0].IsTunable {
		t.Errorf("integer ranges %+v", n)
	}
	if len(ranges.ContinuousHyperParameterRanges) != 0 || len(ranges.CategoricalHyperParameterRanges) != 1 {
		t.Errorf("ranges %+v", ranges)
	}
	f, err := s.DescribeFeatureTransformation(s.ctx, &api.DescribeFeatureTransformationRequest{FeatureTransformationARN: r.Recipe.FeatureTransformationARN})
	s.must(err)
	want = map[string]string{"min_user_history_length_percentile": "0.0", "max_user_history_length_percentile": "0.99"}
	if diff := cmp.Diff(want, f.FeatureTransformation.DefaultParameters); diff != "" {
		t.Error(diff)
	}
}

func TestASharedFeatureTransformationShowsTheParametersOfAllItsRecipes(t *testing.T) {
	s := newStudio(t, quota.Local())
	f, err := s.DescribeFeatureTransformation(s.ctx, &api.DescribeFeatureTransformationRequest{FeatureTransformationARN: "arn:aws:personalize:::feature-transformation/sims"})
	s.must(err)
	if len(f.FeatureTransformation.DefaultParameters) != 4 {
		t.Errorf("parameters %v", f.FeatureTransformation.DefaultParameters)
	}
}

func TestUnknownBuiltInsAreNotFound(t *testing.T) {
	s := newStudio(t, quota.Local())
	for _, name := range []string{"aws-hrnn", "no-such", "aws-sims/x", ""} {
		_, err := s.DescribeRecipe(s.ctx, &api.DescribeRecipeRequest{RecipeARN: ofRecipe + name})
		want(t, name, err, api.ResourceNotFound, "Resource Arn "+ofRecipe+name+" does not exist.")
	}
	_, err := s.DescribeAlgorithm(s.ctx, &api.DescribeAlgorithmRequest{AlgorithmARN: "arn:aws:personalize:::algorithm/no-such"})
	want(t, "algorithm", err, api.ResourceNotFound, "")
	_, err = s.DescribeFeatureTransformation(s.ctx, &api.DescribeFeatureTransformationRequest{FeatureTransformationARN: "arn:aws:personalize:::feature-transformation/no-such"})
	want(t, "feature transformation", err, api.ResourceNotFound, "")
}
