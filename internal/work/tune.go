package work

import (
	"context"
	"strconv"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
)

// searchFor says what a version's training is to search for: what its customer asked for or what its schedule brought, nil for nothing. fixed are the
// hyperparameters that the customer has set.
func (w *worker) searchFor(ctx context.Context, t *job.Task, entry *recipe.Entry, v *api.SolutionVersion, fixed map[string]string) (*recipe.Search, error) {
	if v.PerformHPO != nil && *v.PerformHPO {
		return requestedSearch(entry, v.SolutionConfig, fixed), nil
	}
	p, err := meta.Private[meta.ModelPrivate](t.Resource())
	if err != nil || p.Search == "" {
		return nil, err
	}
	s := &recipe.Search{Trials: recipe.DefaultTrials, Ranges: entry.AutomaticRanges(fixed)}
	if len(s.Ranges) == 0 {
		return nil, nil
	}
	if p.Search == meta.SearchReused {
		s.Chosen, err = w.lastChoice(ctx, v)
	}
	return s, err
}

// requestedSearch reads an hpoConfig. How many candidates are tried at the same time changes nothing in what is found.
func requestedSearch(entry *recipe.Entry, c *api.SolutionConfig, fixed map[string]string) *recipe.Search {
	s := &recipe.Search{Trials: recipe.DefaultTrials}
	if c != nil && c.AutoMLConfig != nil {
		s.Metric = c.AutoMLConfig.MetricName
	}
	if c != nil && c.HPOConfig != nil {
		if r := c.HPOConfig.HPOResourceConfig; r != nil {
			if n, err := strconv.Atoi(r.MaxNumberOfTrainingJobs); err == nil {
				s.Trials = n
			}
			if n, err := strconv.Atoi(r.MaxParallelTrainingJobs); err == nil {
				s.Parallel = n
			}
		}
		s.Ranges = requestedRanges(entry, c.HPOConfig.AlgorithmHyperParameterRanges)
	}
	if len(s.Ranges) == 0 {
		s.Ranges = entry.DefaultRanges(fixed)
	}
	return s
}

func requestedRanges(entry *recipe.Entry, r *api.HyperParameterRanges) (ranges []recipe.Range) {
	if r == nil {
		return nil
	}
	plain := func(name string) string {
		p, _ := entry.Param(recipe.AlgorithmParam, name)
		return p.Name
	}
	for _, x := range r.IntegerHyperParameterRanges {
		ranges = append(ranges, recipe.Range{Name: plain(x.Name), Min: float64(*x.MinValue), Max: float64(*x.MaxValue)})
	}
	for _, x := range r.ContinuousHyperParameterRanges {
		ranges = append(ranges, recipe.Range{Name: plain(x.Name), Min: *x.MinValue, Max: *x.MaxValue})
	}
	for _, x := range r.CategoricalHyperParameterRanges {
		ranges = append(ranges, recipe.Range{Name: plain(x.Name), Values: x.Values})
	}
	return ranges
}

// lastChoice is what the solution's last search chose; nil, which is to search again, if there was none or while a data deletion may be about to change it.
func (w *worker) lastChoice(ctx context.Context, v *api.SolutionVersion) (chosen map[string]string, err error) {
	err = w.Meta.View(ctx, func(tx *meta.Tx) error {
		erasing, err := tx.Count(meta.Query{Group: v.DatasetGroupARN, JobKind: job.Erase})
		if err != nil || erasing > 0 {
			return err
		}
		versions, err := tx.Find(meta.Query{Kind: meta.SolutionVersion, Parent: v.SolutionARN, Statuses: []string{meta.Active}})
		if err != nil {
			return err
		}
		for _, r := range versions { // newest first
			doc, err := meta.Doc[api.SolutionVersion](r)
			if err != nil {
				return err
			}
			if doc.TunedHPOParams != nil {
				chosen = doc.TunedHPOParams.AlgorithmHyperParameters
				return nil
			}
		}
		return nil
	})
	return chosen, err
}

// tunedParams is the outcome of a model's search as Describe shows it, nil if it has searched for nothing.
func tunedParams(m *recipe.Manifest) *api.TunedHPOParams {
	if len(m.Tuned) == 0 {
		return nil
	}
	return &api.TunedHPOParams{AlgorithmHyperParameters: m.Tuned}
}

// recordAutoML writes what AutoML has chosen into its solution.
func recordAutoML(tx *meta.Tx, v *api.SolutionVersion) error {
	if v.PerformAutoML == nil || !*v.PerformAutoML {
		return nil
	}
	r, err := tx.Get(v.SolutionARN)
	if err != nil {
		return err
	}
	doc, err := meta.Doc[api.Solution](r)
	if err != nil {
		return err
	}
	doc.AutoMLResult = &api.AutoMLResult{BestRecipeARN: v.RecipeARN}
	if err := r.SetDoc(doc); err != nil {
		return err
	}
	return tx.Put(r)
}
