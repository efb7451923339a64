package work

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"unicode/utf8"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
)

// batch answers the lines of a batch inference job.
type batch struct {
	model       *recipe.Model
	entry       *recipe.Entry
	engine      *dataset.Engine
	group       string // the engine's name of the dataset group
	strict      bool
	results     int
	exploration recipe.ExplorationConfig
	influence   recipe.Influence
	seed        string        // what is explored depends on it and on the line
	filter      *batchFilter  // nil without one
	fresh       *recipe.Fresh // the items of now, nil for those of the training
	newcomers   *recipe.Newcomers
	themes      *recipe.Themer // nil in mode BATCH_INFERENCE
}

func (b *batch) atOnce() int { return batchStep }

// infer is a batch inference job: for every input object one of the same name with .out, which has a line for each line of the input.
func (w *worker) infer(ctx context.Context, t *job.Task) error {
	d, err := meta.Doc[api.BatchInferenceJob](t.Resource())
	if err != nil {
		return err
	}
	entry, err := w.recipeOf(ctx, d.SolutionVersionARN)
	if err != nil {
		return err
	}
	run := batchRun{
		kind: "inference", version: d.SolutionVersionARN, entry: entry, group: t.Resource().Group, input: d.JobInput.S3DataSource.Path, output: d.JobOutput.S3DataDestination,
		wants: lineOf(entry), filter: d.FilterARN, most: w.Limits.BatchLines,
	}
	run.open = func(ctx context.Context, m *recipe.Model, group string) (answerer, error) {
		b := &batch{model: m, entry: entry, engine: w.Engine, group: group, strict: w.Strict, results: 25, seed: d.BatchInferenceJobARN}
		if d.NumResults != nil && *d.NumResults > 0 {
			b.results = *d.NumResults
		}
		var explore map[string]string
		if c := d.BatchInferenceJobConfig; c != nil {
			explore = c.ItemExplorationConfig
			b.influence = recipe.InfluenceOf(c.RankingInfluence)
		}
		var err error
		if b.exploration, err = entry.Exploration(explore); err != nil {
			return nil, fmt.Errorf("read the exploration of %s: %w", d.BatchInferenceJobARN, err)
		}
		if b.fresh, b.newcomers, err = w.latestFresh(ctx, entry, d.SolutionVersionARN, m); err != nil {
			return nil, fmt.Errorf("read the items of %s: %w", d.BatchInferenceJobARN, err)
		}
		if c := d.ThemeGenerationConfig; c != nil {
			if b.themes, err = w.themes(ctx, run.group, m, c.FieldsForThemeGeneration.ItemName); err != nil {
				return nil, err
			}
		}
		b.filter, err = w.openFilter(ctx, run.group, group, d.FilterARN, m.Manifest().Seq)
		return b, err
	}
	if d.ThemeGenerationConfig != nil {
		run.most = w.Limits.ThemeLines
	}
	return w.runBatch(ctx, t, run)
}

// batchInput is a line of the input.
type batchInput struct {
	UserID       *string           `json:"userId"`
	ItemID       *string           `json:"itemId"`
	ItemList     []string          `json:"itemList"`
	FilterValues map[string]string `json:"filterValues"`
	Context      map[string]string `json:"context"`
}

type batchOutput struct {
	RecommendedItems []string   `json:"recommendedItems"`
	Scores           []*float64 `json:"scores,omitempty"` // null for an item without a score
	Reasons          [][]string `json:"reasons,omitempty"`
	Theme            string     `json:"theme,omitempty"`
	ThemeRelevance   []float64  `json:"itemsThemeRelevanceScores,omitempty"` // of each item
}

func (b *batch) line(line []byte, number int) (result []byte, ok bool) {
	return answerLine(line, lineOf(b.entry)+" and nothing else but filterValues and context", func(in *batchInput) (any, string) {
		q, problem := b.query(in, number)
		if problem != "" {
			return nil, problem
		}
		return b.recommend(q, in.ItemList), ""
	})
}

// lineOf names the members that a line of a batch inference job must have.
func lineOf(e *recipe.Entry) string {
	switch e.Type {
	case recipe.RelatedItems:
		return "itemId"
	case recipe.PersonalizedRanking:
		return "userId and itemList"
	}
	return "userId"
}

// query checks a line and makes the question to the model of it, as a request would ask it; or it says what is wrong.
func (b *batch) query(in *batchInput, number int) (q recipe.Query, problem string) {
	const longestID = 256
	wantsItem, ranks := b.entry.Type == recipe.RelatedItems, b.entry.Type == recipe.PersonalizedRanking
	switch {
	case wantsItem && (in.ItemID == nil || *in.ItemID == ""), !wantsItem && (in.UserID == nil || *in.UserID == ""), ranks && len(in.ItemList) == 0:
		return q, fmt.Sprintf("The line lacks %s.", lineOf(b.entry))
	case len(in.ItemList) > 500:
		return q, "itemList can name at most 500 items."
	case len(in.FilterValues) > 0 && b.filter == nil:
		return q, "filterValues need a job with a filter."
	}
	ids := slices.Clone(in.ItemList)
	for _, id := range []*string{in.UserID, in.ItemID} {
		if id != nil {
			ids = append(ids, *id)
		}
	}
	for _, id := range ids {
		if utf8.RuneCountInString(id) > longestID {
			return q, fmt.Sprintf("An id is longer than %d characters.", longestID)
		}
	}
	q = recipe.Query{Known: true, N: b.results, Influence: b.influence, Context: in.Context, Fresh: b.fresh, Newcomers: b.newcomers}
	if b.filter != nil {
		if q.Exclude, problem = b.filter.items(in); problem != "" {
			return q, problem
		}
	}
	if wantsItem {
		q.Item = *in.ItemID
		return q, ""
	}
	q.User = *in.UserID
	q.Live, q.Known = b.engine.Since(b.group, q.User, b.model.Manifest().Seq, b.strict)
	if b.exploration.Weight > 0 || b.entry.Reasons() {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s\n%d", b.seed, number)
		q.ExplorationWeight, q.CutOff, q.RequestSeed = b.exploration.Weight, b.exploration.CutOff, h.Sum64()|1
	}
	return q, ""
}

// recommend asks the model.
func (b *batch) recommend(q recipe.Query, list []string) *batchOutput {
	var scored []recipe.Scored
	if b.entry.Type == recipe.PersonalizedRanking {
		scored = b.model.Rank(q, list, nil)
	} else {
		scored = b.model.Recommend(q, nil)
	}
	out := &batchOutput{RecommendedItems: make([]string, 0, len(scored))}
	for _, s := range scored {
		out.RecommendedItems = append(out.RecommendedItems, s.Item)
		if b.entry.Has(recipe.Scores) {
			score := &s.Score
			if !s.HasScore {
				score = nil
			}
			out.Scores = append(out.Scores, score)
		}
		if b.entry.Reasons() {
			reasons := []string{}
			if s.Reason != "" {
				reasons = append(reasons, s.Reason)
			}
			out.Reasons = append(out.Reasons, reasons)
		}
	}
	if b.themes != nil && len(scored) > 0 {
		theme := b.themes.Of(out.RecommendedItems)
		out.RecommendedItems, out.Theme, out.ThemeRelevance = theme.Items, theme.Phrase, theme.Relevance
	}
	return out
}
