package work

import (
	"context"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
)

// segmentUsers is how many users the results of lines that are answered at once may name together.
const segmentUsers = 5_000_000

// segmenter answers the lines of a batch segment job.
type segmenter struct {
	model   *recipe.Model
	entry   *recipe.Entry
	engine  *dataset.Engine
	group   string // the engine's name of the dataset group
	results int
	filter  *batchFilter // nil without one
}

// segmentInput is a line of the input.
type segmentInput struct {
	ItemID         *string           `json:"itemId"`
	ItemAttributes *string           `json:"itemAttributes"`
	FilterValues   map[string]string `json:"filterValues"`
}

// segmentOutput names the users of a segment, the most likely ones first.
type segmentOutput struct {
	UsersList []string `json:"usersList"`
}

// segment is a batch segment job: for every input object one of the same name with .out, which has the segment of each line of the input.
func (w *worker) segment(ctx context.Context, t *job.Task) error {
	d, err := meta.Doc[api.BatchSegmentJob](t.Resource())
	if err != nil {
		return err
	}
	entry, err := w.recipeOf(ctx, d.SolutionVersionARN)
	if err != nil {
		return err
	}
	run := batchRun{
		kind: "segments", version: d.SolutionVersionARN, entry: entry, group: t.Resource().Group, input: d.JobInput.S3DataSource.Path, output: d.JobOutput.S3DataDestination,
		wants: asks(entry), most: w.Limits.SegmentItems, filter: d.FilterARN, holds: true, waits: w.Strict,
	}
	if run.wants == "itemAttributes" {
		run.most = w.Limits.SegmentAttributes
	}
	run.open = func(ctx context.Context, m *recipe.Model, group string) (answerer, error) {
		s := &segmenter{model: m, entry: entry, engine: w.Engine, group: group, results: 25}
		if d.NumResults != nil && *d.NumResults > 0 {
			s.results = *d.NumResults
		}
		var err error
		s.filter, err = w.openFilter(ctx, run.group, group, d.FilterARN, m.Manifest().Seq)
		return s, err
	}
	return w.runBatch(ctx, t, run)
}

// asks names the member that a line of a batch segment job must have.
func asks(e *recipe.Entry) string {
	if e.SegmentsByAttributes() {
		return "itemAttributes"
	}
	return "itemId"
}

func (s *segmenter) atOnce() int {
	users := min(int64(s.results), s.model.Manifest().Users)
	return int(max(1, min(batchStep, segmentUsers/max(1, users))))
}

func (s *segmenter) line(line []byte, _ int) (result []byte, ok bool) {
	return answerLine(line, asks(s.entry)+" and nothing else but filterValues", s.answer)
}

// answer makes the segment of a line. Users whom an erasure hides are in none.
func (s *segmenter) answer(in *segmentInput) (output any, problem string) {
	q := recipe.SegmentQuery{N: s.results}
	switch text := in.ItemAttributes; {
	case asks(s.entry) == "itemId" && (in.ItemID == nil || *in.ItemID == "" || text != nil), asks(s.entry) != "itemId" && (text == nil || in.ItemID != nil):
		return nil, "The line must have " + asks(s.entry) + "."
	case text == nil:
		q.Item = *in.ItemID
	default:
		attributes, err := filter.ParseAttributes(*text)
		if err != nil {
			return nil, err.Error()
		}
		for _, a := range attributes {
			q.Attributes = append(q.Attributes, recipe.Attribute(a))
		}
	}
	passes := func(string) bool { return true }
	switch {
	case s.filter != nil:
		var problem string
		if passes, problem = s.filter.users(in.FilterValues); problem != "" {
			return nil, problem
		}
	case len(in.FilterValues) > 0:
		return nil, "filterValues need a job with a filter."
	}
	q.Keep = func(user string) bool {
		_, hidden := s.engine.Hidden(s.group, user)
		return !hidden && passes(user)
	}
	users, err := s.model.Segment(q, nil)
	if err != nil {
		return nil, err.Error()
	}
	if users == nil {
		users = []string{}
	}
	return segmentOutput{users}, ""
}
