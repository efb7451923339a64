package work

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/pace"
	"github.com/palate-dev/palate/internal/recipe"
)

const (
	batchLine = 1 << 20 // bytes of a line, at most
	batchStep = 512     // lines that are answered at once, on all cores
)

// batchState is what a job that was cut off knows: the result of an input object appears whole or not at all, so it goes on with the next object.
type batchState struct {
	Input   string // digest of the list of input objects: if that changes while the job is cut off, it begins anew
	Objects int    // input objects whose results are written
	Lines   int64  // in these
	Good    int64  // of which so many were answered
	Bytes   int64  // size of these objects
}

// batchRun is a running batch job: inference or segments.
type batchRun struct {
	kind    string // "inference" or "segments", for people
	version string // ARN
	entry   *recipe.Entry
	group   string // ARN of the dataset group
	input   string // location
	output  *api.S3DataConfig
	most    int    // lines in an input object; 0 is no limit
	wants   string // the members that a line must have
	filter  string // ARN; "" is none
	holds   bool   // the model notes who has which item, which takes memory beside the files that are mapped
	waits   bool   // the answers cannot do without anybody: none is made while a data deletion runs

	// open makes what answers the lines: from the model of the version, and from the data that its filter reads.
	open func(ctx context.Context, m *recipe.Model, group string) (answerer, error)
}

// An answerer answers the lines of a batch job. It may be asked from several goroutines.
type answerer interface {
	// line answers one line, with the end of a line behind the result; ok tells whether it could be answered. A line that could not has an error in its result,
	// which repeats nothing of it. number is that of the line in its object.
	line(line []byte, number int) (result []byte, ok bool)
	// atOnce is how many lines may be answered at once, so that their results find room in memory.
	atOnce() int
}

// runBatch does the work of a batch job. It is resumable: it goes on with the first input object whose result is not written.
//
// A data deletion that takes effect while an object is being answered makes its result void, so that no result that appears afterwards was made with the deleted
// users; and as the model is opened anew when it was rebuilt, the deletion never waits for more than one object.
func (w *worker) runBatch(ctx context.Context, t *job.Task, run batchRun) error {
	if err := t.Status(ctx, meta.CreateInProgress); err != nil {
		return err
	}
	store, folder, err := w.output(ctx, run.output.Path)
	if err != nil {
		return customerFault(err)
	}
	inputs, err := w.batchInputs(ctx, run.input, run.output.Path)
	if err != nil {
		return customerFault(err)
	}
	options := blob.PutOptions{KMSKeyARN: run.output.KMSKeyARN}
	if err := store.Create(ctx, folder+"_CHECK", strings.NewReader(""), options); err != nil { // as the service does to see whether it may write
		return customerFault(err)
	}
	var state batchState
	if err := t.Load(&state); err != nil {
		return err
	}
	if listed := digestOf(inputs); state.Input != listed {
		state = batchState{Input: listed}
	}
	var opened openedBatch
	defer func() { opened.release() }()
	started, total := time.Now(), totalSize(inputs)
	for state.Objects < len(inputs) {
		if err := w.reopenBatch(ctx, run, &opened, t.Progress); err != nil {
			return err
		}
		in, next := inputs[state.Objects], state
		key := folder + path.Base(in.info.Key) + ".out"
		if err := abandon(ctx, store, key); err != nil {
			return customerFault(err)
		}
		watched, stop := w.untilOvertaken(ctx, run.group, opened.erasures)
		err := run.object(watched, opened.answerer, store, in, key, options, &next, func() {
			t.Progress(job.Progress{Phase: run.kind, Done: next.Bytes, Total: total, Unit: "bytes", Detail: fmt.Sprintf("%d lines", next.Lines), Started: started})
		})
		stop()
		if errors.Is(context.Cause(watched), errOvertaken) {
			w.Log.Info("a data deletion overtook a batch job: answering the object again", "job", t.Resource().ARN)
			continue
		}
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
		return job.Fail("No line of the input could be answered: each line must be a JSON object with %s. The output says what is wrong with each line.", run.wants)
	}
	w.Log.Info("batch job finished", "job", t.Resource().ARN, "kind", run.kind, "lines", state.Lines, "took", time.Since(started).Round(time.Millisecond))
	return t.Done(ctx, func(_ *meta.Tx, r *meta.Resource) error {
		r.Status = meta.Active
		return nil
	})
}

// openedBatch is what a batch job holds while it answers an object. The zero value is nothing.
type openedBatch struct {
	answerer answerer
	model    string // directory
	erasures int64  // deletions of the group that the data knows of
	close    func()
	memory   *heldMemory
}

// release closes the model. Until then an erasure does not destroy it.
func (o *openedBatch) release() {
	if o.close != nil {
		o.close()
	}
	if o.memory != nil {
		o.memory.release()
	}
	*o = openedBatch{}
}

// reopenBatch opens the model of the solution version, unless it is open and no data deletion has taken effect or rebuilt it since.
func (w *worker) reopenBatch(ctx context.Context, run batchRun, o *openedBatch, report func(job.Progress)) error {
	g, err := w.get(ctx, run.group)
	if err != nil {
		return err
	}
	group, err := meta.Private[meta.GroupPrivate](g)
	if err != nil {
		return err
	}
	if run.waits {
		if err := w.forgotten(ctx, group.ID, o); err != nil {
			return err
		}
	}
	erasures, err := w.erasures(ctx, run.group)
	if err != nil {
		return err
	}
	for {
		model, err := w.modelOfVersion(ctx, run.version)
		if err != nil {
			return err
		}
		if o.close != nil && o.model == model && o.erasures == erasures {
			return nil
		}
		o.release()
		if o.memory, err = w.memoryForBatch(ctx, run, report); err != nil { // before the directory is held, which a deletion that has memory may wait for
			return err
		}
		unlock := w.dirs.read(model) // waits while the model is destroyed
		if now, err := w.modelOfVersion(ctx, run.version); err != nil || now != model {
			unlock()
			if err != nil {
				return err
			}
			continue
		}
		o.model, o.erasures, o.close = model, erasures, unlock
		return w.openBatch(ctx, run, group.ID, o)
	}
}

// forgotten waits until no data deletion runs in a group, as the engine names it. One that runs waits in turn for the model, so that is released.
func (w *worker) forgotten(ctx context.Context, group string, o *openedBatch) error {
	return w.until(ctx, func() (bool, error) {
		_, idle := w.Engine.Since(group, "", 0, true)
		if !idle {
			o.release()
		}
		return idle, nil
	})
}

// modelOfVersion returns the name of the directory of a solution version's model.
func (w *worker) modelOfVersion(ctx context.Context, arn string) (string, error) {
	r, err := w.get(ctx, arn)
	if err != nil {
		return "", err
	}
	p, err := meta.Private[meta.ModelPrivate](r)
	if err == nil && p.Model == "" {
		err = job.Fail("%s has no trained model.", arn)
	}
	return p.Model, err
}

// recipeOf returns the recipe of a solution version.
func (w *worker) recipeOf(ctx context.Context, arn string) (*recipe.Entry, error) {
	r, err := w.get(ctx, arn)
	if err != nil {
		return nil, err
	}
	v, err := meta.Doc[api.SolutionVersion](r)
	if err != nil {
		return nil, err
	}
	entry, ok := recipe.FindARN(v.RecipeARN)
	if !ok {
		return nil, job.Fail("%s has an unknown recipe.", arn)
	}
	return entry, nil
}

// openBatch completes what holds the directory of the model.
func (w *worker) openBatch(ctx context.Context, run batchRun, group string, o *openedBatch) error {
	m, err := recipe.Open(w.model(o.model))
	if err != nil {
		return fmt.Errorf("open the model of %s: %w", run.version, err)
	}
	unlock := o.close
	o.close = func() {
		if err := m.Close(); err != nil {
			w.Log.Error("close the model of a batch job", "version", run.version, "error", err)
		}
		unlock()
	}
	o.answerer, err = run.open(ctx, m, group)
	return err
}

// digestOf names a list of objects as they are listed now.
func digestOf(objects []object) string {
	h := sha256.New()
	for _, o := range objects {
		fmt.Fprintf(h, "%q %d %q\n", o.info.Key, o.info.Size, o.info.ETag)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// batchInputs lists the input objects: the one that the location names, or all below it if it is a folder, but for those of the output if it is a folder in that.
func (w *worker) batchInputs(ctx context.Context, location, output string) ([]object, error) {
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
	location, output = strings.TrimSuffix(location, "/")+"/", strings.TrimSuffix(output, "/")+"/"
	inside := folder && len(output) > len(location) && strings.HasPrefix(output, location)
	var inputs []object
	names := map[string]string{}
	for _, i := range infos {
		if folder && strings.HasSuffix(i.Key, "/") || !folder && i.Key != key { // consoles make objects that stand for folders
			continue
		}
		if inside && strings.HasPrefix("s3://"+bucket+"/"+i.Key, output) {
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
	case w.Limits.BatchFiles > 0 && len(inputs) > w.Limits.BatchFiles:
		return nil, job.Fail("The specified Amazon S3 location contains more than %d files.", w.Limits.BatchFiles)
	case w.Limits.BatchBytes > 0 && totalSize(inputs) > w.Limits.BatchBytes:
		return nil, job.Fail("The input files have more than %d bytes together.", w.Limits.BatchBytes)
	}
	slices.SortFunc(inputs, func(a, b object) int { return strings.Compare(a.info.Key, b.info.Key) })
	return inputs, nil
}

// object answers one input object.
func (run *batchRun) object(ctx context.Context, by answerer, store blob.Store, in object, key string, options blob.PutOptions, state *batchState, progress func()) error {
	from, err := in.Open(ctx)
	if err != nil {
		return err
	}
	defer from.Close()
	r, out := io.Pipe()
	var writer sync.WaitGroup
	writer.Go(func() { out.CloseWithError(run.answer(ctx, by, from, out, state, progress)) })
	err = store.Create(ctx, key, r, options)
	r.CloseWithError(err) // so that the writer ends whatever happened
	writer.Wait()         // it reads the model
	return err
}

// answer reads lines and writes a result for each, in their order.
func (run *batchRun) answer(ctx context.Context, by answerer, from io.Reader, to io.Writer, state *batchState, progress func()) error {
	in, out := bufio.NewReaderSize(from, 64<<10), bufio.NewWriterSize(to, 64<<10)
	if mark, _ := in.Peek(len(byteOrder)); string(mark) == byteOrder { // what goes wrong shows in the first line
		in.Discard(len(byteOrder))
	}
	for number, end := 0, false; !end; {
		var lines [][]byte
		for len(lines) < by.atOnce() && !end {
			line, err := readLine(in)
			if end = errors.Is(err, io.EOF); err != nil && !end {
				return err
			}
			state.Bytes += int64(len(line)) + 1
			if line = bytes.TrimSpace(line); len(line) > 0 {
				lines = append(lines, line)
			}
		}
		if run.most > 0 && number+len(lines) > run.most {
			return job.Fail("An input object has more than %d lines.", run.most)
		}
		results, good := answers(ctx, by, lines, number)
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
		crash.Point("batch/lines")
		progress()
	}
	return out.Flush()
}

// byteOrder is what some editors and shells begin a file in UTF-8 with. It is no part of the first line.
const byteOrder = "\ufeff"

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
func answers(ctx context.Context, by answerer, lines [][]byte, first int) (results [][]byte, good int64) {
	results = make([][]byte, len(lines))
	var next, answered atomic.Int64
	var work sync.WaitGroup
	workers := min(pace.Cores(), len(lines))
	for range workers {
		work.Go(func() {
			budget := pace.Process.Worker(workers)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(lines) {
					return
				}
				var ok bool
				if results[i], ok = by.line(lines[i], first+i); ok {
					answered.Add(1)
				}
				budget.Step()
			}
		})
	}
	work.Wait()
	return results, answered.Load()
}

// batchResult is a line of the output.
type batchResult struct {
	Input  json.RawMessage `json:"input"`
	Output any             `json:"output"`
	Error  *string         `json:"error"`
}

// answerLine reads a line as an In, has it answered, and writes the result. answer returns the output or says what is wrong.
func answerLine[In any](line []byte, wants string, answer func(*In) (output any, problem string)) (result []byte, ok bool) {
	var out batchResult
	echo := bytes.NewBuffer(nil)
	if err := json.Compact(echo, line); err != nil {
		text, _ := json.Marshal(string(line))
		out.Input = text
		out.fail("The line is not a JSON object.")
	} else {
		out.Input = echo.Bytes()
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		in := new(In)
		if err := decoder.Decode(in); err != nil {
			out.fail("The line must be a JSON object with %s.", wants)
		} else if output, problem := answer(in); problem != "" {
			out.fail("%s", problem)
		} else {
			out.Output = output
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
