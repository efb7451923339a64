package control

import (
	"context"
	"slices"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
)

// Recipes, their algorithms and feature transformations are built in: they have no row, belong to no account, and are always ACTIVE.

// lookupRecipe returns the recipe or use case of an ARN.
func lookupRecipe(arn string) (*recipe.Entry, error) {
	if e, ok := recipe.FindARN(arn); ok {
		return e, nil
	}
	return nil, notFound(arn)
}

// ListRecipes lists the use cases of one domain, or without a domain everything, by name.
func (s *Service) ListRecipes(ctx context.Context, in *api.ListRecipesRequest) (*api.ListRecipesResponse, error) {
	var all []api.RecipeSummary
	for _, e := range recipe.Catalogue {
		if in.Domain != "" && e.Domain != in.Domain {
			continue
		}
		all = append(all, api.RecipeSummary{
			Name: e.Name, RecipeARN: e.ARN(), Domain: e.Domain, Status: meta.Active,
			CreationDateTime: api.NewTime(e.Created), LastUpdatedDateTime: api.NewTime(e.Updated),
		})
	}
	page, next, err := pageOf(ctx, s, "recipe", in.Domain, all, in.NextToken, in.MaxResults)
	if err != nil {
		return nil, err
	}
	return &api.ListRecipesResponse{Recipes: page, NextToken: next}, nil
}

func (s *Service) DescribeRecipe(_ context.Context, in *api.DescribeRecipeRequest) (*api.DescribeRecipeResponse, error) {
	e, err := lookupRecipe(in.RecipeARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeRecipeResponse{Recipe: &api.Recipe{
		Name: e.Name, RecipeARN: e.ARN(), RecipeType: string(e.Type), Description: e.Description, Status: meta.Active,
		AlgorithmARN: e.AlgorithmARN(), FeatureTransformationARN: e.FeatureTransformationARN(),
		CreationDateTime: api.NewTime(e.Created), LastUpdatedDateTime: api.NewTime(e.Updated),
	}}, nil
}

func (s *Service) DescribeAlgorithm(_ context.Context, in *api.DescribeAlgorithmRequest) (*api.DescribeAlgorithmResponse, error) {
	e, ok := recipe.FindAlgorithm(in.AlgorithmARN)
	if !ok {
		return nil, notFound(in.AlgorithmARN)
	}
	return &api.DescribeAlgorithmResponse{Algorithm: &api.Algorithm{
		Name: e.Algorithm, AlgorithmARN: e.AlgorithmARN(),
		AlgorithmImage:              &api.AlgorithmImage{Name: e.Algorithm, DockerURI: "builtin/" + e.Algorithm},
		DefaultHyperParameters:      defaults(recipe.AlgorithmParam, e),
		DefaultHyperParameterRanges: defaultRanges(e),
		DefaultResourceConfig:       map[string]string{"maxNumberOfTrainingJobs": "20", "maxParallelTrainingJobs": "5"},
		TrainingInputMode:           "File",
		CreationDateTime:            api.NewTime(e.Created), LastUpdatedDateTime: api.NewTime(e.Updated),
	}}, nil
}

func (s *Service) DescribeFeatureTransformation(_ context.Context, in *api.DescribeFeatureTransformationRequest) (*api.DescribeFeatureTransformationResponse, error) {
	users := recipe.FindFeatureTransformation(in.FeatureTransformationARN)
	if len(users) == 0 {
		return nil, notFound(in.FeatureTransformationARN)
	}
	return &api.DescribeFeatureTransformationResponse{FeatureTransformation: &api.FeatureTransformation{
		Name: users[0].FeatureTransformation, FeatureTransformationARN: in.FeatureTransformationARN, Status: meta.Active,
		DefaultParameters: defaults(recipe.FeatureParam, users...),
		CreationDateTime:  api.NewTime(users[0].Created), LastUpdatedDateTime: api.NewTime(users[0].Updated),
	}}, nil
}

// defaults are the default values of one kind of parameter over all the recipes given.
func defaults(kind recipe.ParamKind, entries ...*recipe.Entry) map[string]string {
	values := map[string]string{}
	for _, e := range entries {
		for _, p := range e.Params {
			if p.Kind == kind {
				values[p.Name] = p.Default
			}
		}
	}
	return values
}

func defaultRanges(e *recipe.Entry) *api.DefaultHyperParameterRanges {
	r := &api.DefaultHyperParameterRanges{
		IntegerHyperParameterRanges:     []api.DefaultIntegerHyperParameterRange{},
		ContinuousHyperParameterRanges:  []api.DefaultContinuousHyperParameterRange{},
		CategoricalHyperParameterRanges: []api.DefaultCategoricalHyperParameterRange{},
	}
	for _, p := range e.Params {
		if p.Kind != recipe.AlgorithmParam {
			continue
		}
		switch p.Type {
		case recipe.Integer:
			r.IntegerHyperParameterRanges = append(r.IntegerHyperParameterRanges, api.DefaultIntegerHyperParameterRange{
				Name: p.Name, MinValue: new(int(p.Min)), MaxValue: new(int(p.Max)), IsTunable: new(p.Tunable),
			})
		case recipe.Continuous:
			r.ContinuousHyperParameterRanges = append(r.ContinuousHyperParameterRanges, api.DefaultContinuousHyperParameterRange{
				Name: p.Name, MinValue: new(p.Min), MaxValue: new(p.Max), IsTunable: new(p.Tunable),
			})
		case recipe.Categorical:
			r.CategoricalHyperParameterRanges = append(r.CategoricalHyperParameterRanges, api.DefaultCategoricalHyperParameterRange{
				Name: p.Name, Values: slices.Clone(p.Values), IsTunable: new(p.Tunable),
			})
		}
	}
	return r
}
