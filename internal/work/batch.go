package work

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/pace"
	"github.com/palate-dev/palate/internal/recipe"
)

// Limits of the input of a batch inference job.
const (
	batchFiles = 1000
	batchBytes = 1 << 30
	batchLine  = 1 << 20 // bytes of a line
	batchStep  = 512     // lines that are answered at once, on all cores
)

// batchState is what a job that was cut off knows: the result of an input object appears whole or not at all, so it goes on with the next object.
type batchState struct {
	Objects int   // input objects whose results are written
	Lines   int64 // in these
	Good    int64 // of which so many were answered
	Bytes   int64 // size of these objects
}

// batch is one running batch inference job.
type batch struct {
	model       *recipe.Model
	entry       *recipe.Entry
	engine      *dataset.Engine
	group       string // the engine's name of the dataset group
	strict      bool
	results     int
	exploration recipe.ExplorationConfig
	influence   recipe.Influence
	seed        string // what is explored depends on it and on the line
}

// infer is a batch inference job: for every input object one of the same name with .out, which has a line for each line of the input.
func (w *worker) infer(ctx context.Context, t *job.Task) error {
	d, err := meta.Doc[api.BatchInferenceJob](t.Resource())
	if err != nil {
		return err
	}
	if err := t.Status(ctx, meta.CreateInProgress); err != nil {
		return err
	}
	b, release, err := w.openBatch(ctx, &d)
	if err != nil {
		return err
	}
	defer release()
	inputs, err := w.batchInputs(ctx, d.JobInput.S3DataSource.Path)
	if err != nil {
		return customerFault(err)
	}
	destination := d.JobOutput.S3DataDestination
	store, folder, err := w.output(ctx, destination.Path)
	if err != nil {
		return customerFault(err)
	}
	options := blob.PutOptions{KMSKeyARN: destination.KMSKeyARN}
	if err := store.Create(ctx, folder+"_CHECK", strings.NewReader(""), options); err != nil { // as the service does to see whether it may write
		return customerFault(err)
	}
	var state batchState
	if err := t.Load(&state); err != nil {
		return err
	}
	started, total := time.Now(), totalSize(inputs)
	for state.Objects < len(inputs) {
		in, next := inputs[state.Objects], state
		key := folder + path.Base(in.info.Key) + ".out"
		if err := abandon(ctx, store, key); err != nil {
			return customerFault(err)
		}
		err := b.object(ctx, store, in, key, options, &next, func() {
			t.Progress(job.Progress{Phase: "inference", Done: next.Bytes, Total: total, Unit: "bytes", Detail: fmt.Sprintf("%d lines", next.Lines), Started: started})
		})
		if err != nil {
			return customerFault(err)
		}
		crash.Point("batch/object")
		next.Objects, next.Bytes = state.Objects+1, state.Bytes+in.info.Size
		state = next
		if err := t.Save(ctx, state); err != nil {
			return err
		}
	}
	if state.Good == 0 {
		return job.Fail("No line of the input could be answered: each line must be a JSON object with %s. The output says what is wrong with each line.", b.wants())
	}
	w.Log.Info("batch inference finished", "job", t.Resource().ARN, "lines", state.Lines, "took", time.Since(started).Round(time.Millisecond))
	return t.Done(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		r.Status = meta.Active
		return nil
	})
}

// openBatch opens the model of the job's solution version. Until release is called an erasure does not destroy it.
func (w *worker) openBatch(ctx context.Context, d *api.BatchInferenceJob) (b *batch, release func(), err error) {
	r, err := w.get(ctx, d.SolutionVersionARN)
	if err != nil {
		return nil, nil, err
	}
	version, err := meta.Doc[api.SolutionVersion](r)
	if err != nil {
		return nil, nil, err
	}
	p, err := meta.Private[meta.ModelPrivate](r)
	if err != nil {
		return nil, nil, err
	}
	g, err := w.get(ctx, version.DatasetGroupARN)
	if err != nil {
		return nil, nil, err
	}
	group, err := meta.Private[meta.GroupPrivate](g)
	if err != nil {
		return nil, nil, err
	}
	entry, ok := recipe.FindARN(version.RecipeARN)
	if !ok || p.Model == "" {
		return nil, nil, job.Fail("%s has no trained model.", d.SolutionVersionARN)
	}
	b = &batch{entry: entry, engine: w.Engine, group: group.ID, strict: w.Strict, results: 25, seed: d.BatchInferenceJobARN}
	if d.NumResults != nil && *d.NumResults > 0 {
		b.results = *d.NumResults
	}
	var explore map[string]string
	if c := d.BatchInferenceJobConfig; c != nil {
		explore = c.ItemExplorationConfig
		b.influence = recipe.InfluenceOf(c.RankingInfluence)
	}
	if b.exploration, err = entry.Exploration(explore); err != nil {
		return nil, nil, fmt.Errorf("read the exploration of %s: %w", d.BatchInferenceJobARN, err)
	}
	unlock := w.dirs.read(p.Model)
	if b.model, err = recipe.Open(w.model(p.Model)); err != nil {
		unlock()
		return nil, nil, fmt.Errorf("open the model of %s: %w", d.SolutionVersionARN, err)
	}
	return b, func() {
		if err := b.model.Close(); err != nil {
			w.Log.Error("close the model of a batch job", "job", d.BatchInferenceJobARN, "error", err)
		}
		unlock()
	}, nil
}

// batchInputs lists the input objects: the one that the location names, or all below it if it is a folder.
func (w *worker) batchInputs(ctx context.Context, location string) ([]object, error) {
	bucket, key, err := blob.ParseLocation(location)
	if err != nil {
		return nil, job.Fail("Invalid S3 input path")
	}
	store, err := w.Bucket(ctx, bucket)
	if err != nil {
		return nil, fmt.Errorf("open bucket: %w", err)
	}
	infos, err := store.List(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", location, err)
	}
	folder := key == "" || strings.HasSuffix(key, "/")
	var inputs []object
	names := map[string]string{}
	for _, i := range infos {
		if folder && strings.HasSuffix(i.Key, "/") || !folder && i.Key != key { // consoles make objects that stand for folders
			continue
		}
		if twin, twice := names[path.Base(i.Key)]; twice {
			return nil, job.Fail("The input objects %s and %s have the same name, which their results would have too.", twin, i.Key)
		}
		names[path.Base(i.Key)] = i.Key
		inputs = append(inputs, object{store, i})
	}
	switch {
	case len(inputs) == 0:
		return nil, job.Fail("The specified Amazon S3 location does not contain any input.")
	case len(inputs) > batchFiles:
		return nil, job.Fail("The specified Amazon S3 location contains more than %d files.", batchFiles)
	case totalSize(inputs) > batchBytes:
		return nil, job.Fail("The input files have more than %d bytes together.", batchBytes)
	}
	slices.SortFunc(inputs, func(a, b object) int { return strings.Compare(a.info.Key, b.info.Key) })
	return inputs, nil
}

// object answers one input object.
func (b *batch) object(ctx context.Context, store blob.Store, in object, key string, options blob.PutOptions, state *batchState, progress func()) error {
	from, err := in.Open(ctx)
	if err != nil {
		return err
	}
	defer from.Close()
	r, out := io.Pipe()
	var writer sync.WaitGroup
	writer.Go(func() { out.CloseWithError(b.answer(ctx, from, out, state, progress)) })
	err = store.Create(ctx, key, r, options)
	r.CloseWithError(err) // so that the writer ends whatever happened
	writer.Wait()         // it reads the model
	return err
}

// answer reads lines and writes a result for each, in their order.
func (b *batch) answer(ctx context.Context, from io.Reader, to io.Writer, state *batchState, progress func()) error {
	in, out := bufio.NewReaderSize(from, 64<<10), bufio.NewWriterSize(to, 64<<10)
	for number, end := 0, false; !end; {
		var lines [][]byte
		for len(lines) < batchStep && !end {
			line, err := readLine(in)
			if end = errors.Is(err, io.EOF); err != nil && !end {
				return err
			}
			state.Bytes += int64(len(line)) + 1
			if line = bytes.TrimSpace(line); len(line) > 0 {
				lines = append(lines, line)
			}
		}
		results, good := b.answers(ctx, lines, number)
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, result := range results {
			if _, err := out.Write(result); err != nil {
				return err
			}
		}
		number += len(lines)
		state.Lines += int64(len(lines))
		state.Good += good
		progress()
	}
	return out.Flush()
}

var errLongLine = job.Fail("A line of the input is longer than %d bytes.", batchLine)

// readLine reads a line without its end.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > batchLine {
			return nil, errLongLine
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), err
		}
	}
}

// answers answers lines on all cores. first is the number of the first of them in its object.
func (b *batch) answers(ctx context.Context, lines [][]byte, first int) (results [][]byte, good int64) {
	results = make([][]byte, len(lines))
	var next, answered atomic.Int64
	var work sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), len(lines))
	for range workers {
		work.Go(func() {
			budget := pace.Process.Worker(workers)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(lines) {
					return
				}
				var ok bool
				if results[i], ok = b.line(lines[i], first+i); ok {
					answered.Add(1)
				}
				budget.Step()
			}
		})
	}
	work.Wait()
	return results, answered.Load()
}

// batchInput is a line of the input.
type batchInput struct {
	UserID       *string           `json:"userId"`
	ItemID       *string           `json:"itemId"`
	ItemList     []string          `json:"itemList"`
	FilterValues map[string]string `json:"filterValues"`
	Context      map[string]string `json:"context"`
}

// batchResult is a line of the output.
type batchResult struct {
	Input  json.RawMessage `json:"input"`
	Output *batchOutput    `json:"output"`
	Error  *string         `json:"error"`
}

type batchOutput struct {
	RecommendedItems []string   `json:"recommendedItems"`
	Scores           []*float64 `json:"scores,omitempty"` // null for an item without a score
	Reasons          [][]string `json:"reasons,omitempty"`
}

// line answers one line, with the end of a line behind the result; ok tells whether it could be answered. A line that could not has an error in its result, which repeats nothing of it.
func (b *batch) line(line []byte, number int) (result []byte, ok bool) {
	var out batchResult
	var in batchInput
	echo := bytes.NewBuffer(nil)
	if err := json.Compact(echo, line); err != nil {
		text, _ := json.Marshal(string(line))
		out.Input = text
		out.fail("The line is not a JSON object.")
	} else {
		out.Input = echo.Bytes()
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&in); err != nil {
			out.fail("The line must be a JSON object with %s and nothing else but filterValues and context.", b.wants())
		} else if q, problem := b.query(&in, number); problem != "" {
			out.fail("%s", problem)
		} else {
			out.Output = b.recommend(q, in.ItemList)
		}
	}
	text := bytes.NewBuffer(nil)
	encoder := json.NewEncoder(text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(out); err != nil { // of strings, numbers and what was JSON before
		panic(err)
	}
	return text.Bytes(), out.Output != nil
}

func (r *batchResult) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.Error = &text
}

// wants names the members that a line must have.
func (b *batch) wants() string {
	switch b.entry.Type {
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
		return q, fmt.Sprintf("The line lacks %s.", b.wants())
	case len(in.ItemList) > 500:
		return q, "itemList can name at most 500 items."
	case len(in.FilterValues) > 0:
		return q, "filterValues need a job with a filter."
	}
	ids := slices.Clone(in.ItemList)
	for _, id := range []*string{in.UserID, in.ItemID} {
		if id != nil {
			ids = append(ids, *id)
		}
	}
	for _, id := range ids {
		if len(id) > longestID {
			return q, fmt.Sprintf("An id is longer than %d characters.", longestID)
		}
	}
	q = recipe.Query{Known: true, N: b.results, Influence: b.influence}
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
	return out
}
