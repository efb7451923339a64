package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// Batch inference and batch segment jobs.

const (
	themeGeneration     = "THEME_GENERATION"
	maxInferenceResults = 500
	maxSegmentResults   = 5_000_000
)

// batchJob is what both kinds have in common.
type batchJob struct {
	FilterARN          string `json:"filterArn"`
	SolutionVersionARN string `json:"solutionVersionArn"`
}

// idleBatch checks that no batch job that matches waits or runs: r cannot go while one does.
func idleBatch(tx *meta.Tx, r *meta.Resource, matches func(batchJob) bool) error {
	for _, kind := range []string{meta.BatchInferenceJob, meta.BatchSegmentJob} {
		running, err := tx.Find(meta.Query{Kind: kind, Group: r.Group, Statuses: pending})
		if err != nil {
			return err
		}
		for _, b := range running {
			doc, err := meta.Doc[batchJob](b)
			if err != nil {
				return err
			}
			if matches(doc) {
				return blocked(r, b)
			}
		}
	}
	return nil
}

func (s *Service) CreateBatchInferenceJob(ctx context.Context, in *api.CreateBatchInferenceJobRequest) (*api.CreateBatchInferenceJobResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := checkBatchRequest(in.NumResults, maxInferenceResults, in.JobInput.S3DataSource, in.JobOutput.S3DataDestination); err != nil {
		return nil, err
	}
	themes := in.BatchInferenceJobMode == themeGeneration
	if themes != (in.ThemeGenerationConfig != nil) {
		return nil, api.Errorf(api.InvalidInput, "themeGenerationConfig is required with batchInferenceJobMode THEME_GENERATION, and only then allowed.")
	}
	sc := scopeOf(ctx)
	arn := sc.arn(meta.BatchInferenceJob, in.JobName)
	doc := api.BatchInferenceJob{
		JobName: in.JobName, BatchInferenceJobARN: arn, FilterARN: in.FilterARN, SolutionVersionARN: in.SolutionVersionARN, NumResults: in.NumResults,
		JobInput: in.JobInput, JobOutput: in.JobOutput, BatchInferenceJobConfig: in.BatchInferenceJobConfig, RoleARN: in.RoleARN,
		BatchInferenceJobMode: cmp.Or(in.BatchInferenceJobMode, "BATCH_INFERENCE"), ThemeGenerationConfig: in.ThemeGenerationConfig,
	}
	err := s.update(ctx, func(tx *meta.Tx) error {
		d, err := s.batchTarget(tx, sc, arn, batchJob{in.FilterARN, in.SolutionVersionARN}, filter.ItemID)
		if err != nil {
			return err
		}
		if !d.entry.Has(recipe.BatchInference) {
			return api.Errorf(api.InvalidInput, "Batch inference is not supported by recipe %s.", d.entry.Name)
		}
		if c := in.BatchInferenceJobConfig; c != nil {
			if _, err := checkExploration(d.entry, c.ItemExplorationConfig); err != nil {
				return err
			}
			if err := checkRankingInfluence(d.entry, c.RankingInfluence); err != nil {
				return err
			}
		}
		if themes {
			if err := checkThemes(d, in.ThemeGenerationConfig.FieldsForThemeGeneration.ItemName); err != nil {
				return err
			}
		}
		n, err := tx.Count(meta.Query{Kind: meta.BatchInferenceJob, Scope: d.version.Scope, Statuses: pending})
		if err != nil {
			return err
		}
		if err := pendingLimit(s.limits.BatchInferenceJobs, n); err != nil {
			return err
		}
		r := &meta.Resource{ARN: arn, Kind: meta.BatchInferenceJob, Name: in.JobName, Group: d.version.Group, Parent: d.version.ARN, Job: meta.Job{Kind: job.Infer}}
		return s.insert(tx, sc, r, doc, struct{}{}, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateBatchInferenceJobResponse{BatchInferenceJobARN: arn}, nil
}

func (s *Service) CreateBatchSegmentJob(ctx context.Context, in *api.CreateBatchSegmentJobRequest) (*api.CreateBatchSegmentJobResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := checkBatchRequest(in.NumResults, maxSegmentResults, in.JobInput.S3DataSource, in.JobOutput.S3DataDestination); err != nil {
		return nil, err
	}
	sc := scopeOf(ctx)
	arn := sc.arn(meta.BatchSegmentJob, in.JobName)
	doc := api.BatchSegmentJob{
		JobName: in.JobName, BatchSegmentJobARN: arn, FilterARN: in.FilterARN, SolutionVersionARN: in.SolutionVersionARN, NumResults: in.NumResults,
		JobInput: in.JobInput, JobOutput: in.JobOutput, RoleARN: in.RoleARN,
	}
	err := s.update(ctx, func(tx *meta.Tx) error {
		d, err := s.batchTarget(tx, sc, arn, batchJob{in.FilterARN, in.SolutionVersionARN}, filter.UserID)
		if err != nil {
			return err
		}
		if !d.entry.Has(recipe.BatchSegment) {
			return api.Errorf(api.InvalidInput, "Batch segments are not supported by recipe %s.", d.entry.Name)
		}
		n, err := tx.Count(meta.Query{Kind: meta.BatchSegmentJob, Scope: d.version.Scope, Statuses: pending})
		if err != nil {
			return err
		}
		if err := pendingLimit(s.limits.BatchSegmentJobs, n); err != nil {
			return err
		}
		r := &meta.Resource{ARN: arn, Kind: meta.BatchSegmentJob, Name: in.JobName, Group: d.version.Group, Parent: d.version.ARN, Job: meta.Job{Kind: job.Segment}}
		return s.insert(tx, sc, r, doc, struct{}{}, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateBatchSegmentJobResponse{BatchSegmentJobARN: arn}, nil
}

// checkBatchRequest holds the rules that a request can break by itself.
func checkBatchRequest(results *int, most int, input, output *api.S3DataConfig) error {
	if results != nil && (*results < 0 || *results > most) {
		return api.Errorf(api.InvalidInput, "numResults must be between 0 and %d.", most)
	}
	if !location.MatchString(input.Path) {
		return api.Errorf(api.InvalidInput, "Invalid S3 input path")
	}
	if err := checkDestination(output); err != nil {
		return err
	}
	if folder(output.Path) == input.Path[:strings.LastIndexByte(input.Path, '/')+1] {
		return api.Errorf(api.InvalidInput, "Invalid S3 output path")
	}
	return nil
}

// folder writes a location with the slash at its end that makes it one.
func folder(path string) string { return strings.TrimSuffix(path, "/") + "/" }

// batchTarget checks what the two kinds of jobs have in common: the version, the filter, which must select entities of one kind, and the name.
func (s *Service) batchTarget(tx *meta.Tx, sc scope, arn string, b batchJob, selects filter.Entity) (d deployment, err error) {
	if d.version, err = lookup(tx, sc, meta.SolutionVersion, b.SolutionVersionARN); err != nil {
		return d, err
	}
	var by *meta.Resource
	if b.FilterARN != "" {
		if by, err = lookup(tx, sc, meta.Filter, b.FilterARN); err != nil {
			return d, err
		}
	}
	if err := vacant(tx, arn); err != nil {
		return d, err
	}
	if err := usable(d.version); err != nil {
		return d, err
	}
	doc, err := meta.Doc[api.SolutionVersion](d.version)
	if err != nil {
		return d, err
	}
	if d.entry, err = lookupRecipe(doc.RecipeARN); err != nil {
		return d, err
	}
	if by != nil {
		if err := checkFilterUse(by, d, selects); err != nil {
			return d, err
		}
	}
	d.data, err = dataOf(tx, d.version.Group)
	return d, err
}

// checkFilterUse checks that a filter can be applied to what the job's version recommends.
func checkFilterUse(r *meta.Resource, d deployment, selects filter.Entity) error {
	if err := usable(r); err != nil {
		return err
	}
	if r.Group != d.version.Group {
		return api.Errorf(api.InvalidInput, "Filter %s belongs to another dataset group than the solution version.", r.ARN)
	}
	doc, err := meta.Doc[api.Filter](r)
	if err != nil {
		return err
	}
	parsed, err := filter.Parse(doc.FilterExpression)
	if err != nil {
		return fmt.Errorf("parse the stored expression of %s: %w", r.ARN, err)
	}
	if parsed.Entity() != selects {
		return api.Errorf(api.InvalidInput, "Filter %s does not select what the job recommends.", r.ARN)
	}
	if parsed.UsesCurrentItem() && !d.entry.Has(recipe.CurrentItem) {
		return api.Errorf(api.InvalidInput, "Filter %s refers to CurrentItem, which jobs of the recipe %s do not have.", r.ARN, d.entry.Name)
	}
	if parsed.ReadsEvents() && d.entry.SegmentsByAttributes() {
		return api.Errorf(api.InvalidInput, "Filters on interactions cannot be used with the recipe %s.", d.entry.Name)
	}
	return nil
}

// checkThemes checks that the Items dataset has the names and the texts that themes are made of.
func checkThemes(d deployment, itemName string) error {
	if !d.entry.Has(recipe.Themes) {
		return api.Errorf(api.InvalidInput, "batchInferenceJobMode THEME_GENERATION is not supported by recipe %s.", d.entry.Name)
	}
	items := d.data.schemas[schema.Items]
	i := -1
	if items != nil {
		i = items.Match(itemName)
	}
	if i < 0 || items.Fields[i].Kind != schema.String {
		return api.Errorf(api.InvalidInput, "The itemName of themeGenerationConfig must be a string column of the Items dataset.")
	}
	if !slices.ContainsFunc(items.Fields, func(f schema.Field) bool { return f.Textual }) {
		return api.Errorf(api.InvalidInput, "Theme generation requires a textual column in the Items dataset.")
	}
	return nil
}

func (s *Service) DescribeBatchInferenceJob(ctx context.Context, in *api.DescribeBatchInferenceJobRequest) (*api.DescribeBatchInferenceJobResponse, error) {
	j, err := describe[api.BatchInferenceJob](ctx, s, meta.BatchInferenceJob, in.BatchInferenceJobARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeBatchInferenceJobResponse{BatchInferenceJob: j}, nil
}

func (s *Service) ListBatchInferenceJobs(ctx context.Context, in *api.ListBatchInferenceJobsRequest) (*api.ListBatchInferenceJobsResponse, error) {
	page, next, err := list[api.BatchInferenceJobSummary](ctx, s, listing{
		kind: meta.BatchInferenceJob, parentKind: meta.SolutionVersion, parent: in.SolutionVersionARN, nextToken: in.NextToken, maxResults: in.MaxResults,
	})
	if err != nil {
		return nil, err
	}
	return &api.ListBatchInferenceJobsResponse{BatchInferenceJobs: page, NextToken: next}, nil
}

func (s *Service) DescribeBatchSegmentJob(ctx context.Context, in *api.DescribeBatchSegmentJobRequest) (*api.DescribeBatchSegmentJobResponse, error) {
	j, err := describe[api.BatchSegmentJob](ctx, s, meta.BatchSegmentJob, in.BatchSegmentJobARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeBatchSegmentJobResponse{BatchSegmentJob: j}, nil
}

func (s *Service) ListBatchSegmentJobs(ctx context.Context, in *api.ListBatchSegmentJobsRequest) (*api.ListBatchSegmentJobsResponse, error) {
	page, next, err := list[api.BatchSegmentJobSummary](ctx, s, listing{
		kind: meta.BatchSegmentJob, parentKind: meta.SolutionVersion, parent: in.SolutionVersionARN, nextToken: in.NextToken, maxResults: in.MaxResults,
	})
	if err != nil {
		return nil, err
	}
	return &api.ListBatchSegmentJobsResponse{BatchSegmentJobs: page, NextToken: next}, nil
}
