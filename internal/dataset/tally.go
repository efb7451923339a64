package dataset

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
)

// The tally of a group is what its events add up to: sums by series and by window of time, for metric attribution. It knows no user.
//
// What streamed events add stands in the frame of the log that holds their rows, so that both are durable or neither is. A fold moves it into the file of the tally,
// which notes how far the log is in it; what an import adds goes there at once, with the name of the import. So nothing is lost and nothing counts twice.

// A Series is one thing that is added up: a metric, of the events of one source, "" if none is known. The words are the caller's; a source that is no ARN may be
// a client's.
type Series struct{ Metric, Source string }

// A Sum is how many events, and what they add up to.
type Sum struct {
	Events int64
	Value  float64
}

// A Count adds a Sum to a series, in the window of time that begins at Window, in seconds.
type Count struct {
	Series
	Window int64
	Sum
}

// Sums is what a series has come to. A series of which nothing came for tallyAge is forgotten.
type Sums struct {
	Total   Sum           // also of windows that are not known any more
	Newest  int64         // window
	Windows map[int64]Sum // by the second in which they begin
}

const (
	tallyFile = "sums.json"
	tallyAge  = 15 * 24 * time.Hour // older windows are forgotten, and series of nothing newer
	tallyLow  = 5                   // an erasure takes the windows of fewer events: too few to hide one user among
)

// Plus adds without leaving the finite numbers: what is not one could not be written down.
func (s Sum) Plus(o Sum) Sum {
	return Sum{s.Events + o.Events, min(max(s.Value+o.Value, -math.MaxFloat64), math.MaxFloat64)}
}

type sums map[Series]*Sums

func (s sums) add(c Count) {
	of := s[c.Series]
	if of == nil {
		of = &Sums{Windows: make(map[int64]Sum)}
		s[Series{strings.Clone(c.Metric), strings.Clone(c.Source)}] = of
	}
	of.Total, of.Newest = of.Total.Plus(c.Sum), max(of.Newest, c.Window)
	of.Windows[c.Window] = of.Windows[c.Window].Plus(c.Sum)
}

func (s sums) merge(o sums) {
	for series, more := range o {
		of := s[series]
		if of == nil {
			of = &Sums{Windows: make(map[int64]Sum)}
			s[series] = of
		}
		of.Total, of.Newest = of.Total.Plus(more.Total), max(of.Newest, more.Newest)
		for at, sum := range more.Windows {
			of.Windows[at] = of.Windows[at].Plus(sum)
		}
	}
}

// tally is the state of one group's.
type tally struct {
	path string

	writing sync.Mutex // one change of the file at a time

	mu      sync.Mutex
	kept    sums            // what the file holds
	folded  int64           // the log up to here is in it
	imports []string        // and these imports, the last ones
	closed  sums            // of closed segments of the log
	open    sums            // of the active one
	sources map[string]bool // all but ""
}

// tallyText is the file.
type tallyText struct {
	Folded  int64        `json:"folded"`
	Imports []string     `json:"imports,omitempty"`
	Series  []seriesText `json:"series"`
}

type seriesText struct {
	Metric  string       `json:"metric"`
	Source  string       `json:"source"`
	Events  int64        `json:"events"`
	Value   float64      `json:"value"`
	Newest  int64        `json:"newest"`
	Windows []windowText `json:"windows"`
}

type windowText struct {
	At     int64   `json:"at"`
	Events int64   `json:"events"`
	Value  float64 `json:"value"`
}

// openTally reads the tally in a directory; without a file it is empty.
func openTally(dir string) (*tally, error) {
	if err := blob.Sweep(dir); err != nil {
		return nil, err
	}
	t := &tally{path: filepath.Join(dir, tallyFile), kept: sums{}, closed: sums{}, open: sums{}, sources: map[string]bool{}}
	text, err := os.ReadFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the tally: %w", err)
	}
	var file tallyText
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read the tally: %w", err)
	}
	t.folded, t.imports = file.Folded, file.Imports
	for _, s := range file.Series {
		of := &Sums{Total: Sum{s.Events, s.Value}, Newest: s.Newest, Windows: make(map[int64]Sum, len(s.Windows))}
		for _, w := range s.Windows {
			of.Windows[w.At] = Sum{w.Events, w.Value}
		}
		t.kept[Series{s.Metric, s.Source}] = of
	}
	t.noteSources()
	return t, nil
}

// count adds what a record of the log says.
func (t *tally) count(counts []Count) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range counts {
		t.open.add(c)
		if c.Source != "" && !t.sources[c.Source] {
			t.sources[strings.Clone(c.Source)] = true
		}
	}
}

// close is for the writer of the log, which has closed the active segment.
func (t *tally) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed.merge(t.open)
	t.open = sums{}
}

// fold moves what closed segments hold, up to a sequence number, into the file.
func (t *tally) fold(upto int64, now time.Time) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	kept, closed, imports := t.kept, t.closed, t.imports // nobody changes them but fold and change, one at a time
	t.mu.Unlock()
	if len(closed) == 0 {
		return nil
	}
	next := kept.clone()
	next.merge(closed)
	next.expire(now)
	if err := t.store(next, upto, imports); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept, t.closed, t.folded = next, sums{}, upto // no other segment was closed meanwhile
	t.noteSources()
	return nil
}

// clone copies the sums with the given windows, all if none are given.
func (s sums) clone(only ...int64) sums {
	out := make(sums, len(s))
	for series, of := range s {
		windows := make(map[int64]Sum)
		if len(only) == 0 {
			windows = maps.Clone(of.Windows)
		}
		for _, at := range only {
			if sum, ok := of.Windows[at]; ok {
				windows[at] = sum
			}
		}
		out[series] = &Sums{of.Total, of.Newest, windows}
	}
	return out
}

func (s sums) expire(now time.Time) {
	oldest := now.Add(-tallyAge).Unix()
	maps.DeleteFunc(s, func(_ Series, of *Sums) bool {
		maps.DeleteFunc(of.Windows, func(at int64, _ Sum) bool { return at < oldest })
		return of.Newest < oldest
	})
}

// store writes the file. The caller holds writing.
func (t *tally) store(s sums, folded int64, imports []string) error {
	file := tallyText{Folded: folded, Imports: imports, Series: make([]seriesText, 0, len(s))}
	for series, of := range s {
		text := seriesText{Metric: series.Metric, Source: series.Source, Events: of.Total.Events, Value: of.Total.Value, Newest: of.Newest, Windows: make([]windowText, 0, len(of.Windows))}
		for at, sum := range of.Windows {
			text.Windows = append(text.Windows, windowText{at, sum.Events, sum.Value})
		}
		slices.SortFunc(text.Windows, func(a, b windowText) int { return int(a.At - b.At) })
		file.Series = append(file.Series, text)
	}
	slices.SortFunc(file.Series, func(a, b seriesText) int {
		return strings.Compare(a.Metric+"\x00"+a.Source, b.Metric+"\x00"+b.Source)
	})
	text, err := json.Marshal(file)
	if err != nil {
		return fmt.Errorf("write the tally: %w", err)
	}
	if err := replaceFile(t.path, text); err != nil {
		return fmt.Errorf("write the tally: %w", err)
	}
	return nil
}

// change edits what is kept, durably: edit gets the sums and the imports that are in them, and returns the imports. What is counted of series that are gone
// and not kept yet goes too.
func (t *tally) change(edit func(s sums, imports []string) []string, gone func(Series) bool) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	kept, folded, imports := t.kept, t.folded, slices.Clone(t.imports)
	t.mu.Unlock()
	next := kept.clone()
	imports = edit(next, imports)
	maps.DeleteFunc(next, func(series Series, _ *Sums) bool { return gone(series) })
	if err := t.store(next, folded, imports); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept, t.imports = next, imports
	for _, s := range []sums{t.closed, t.open} {
		maps.DeleteFunc(s, func(series Series, _ *Sums) bool { return gone(series) })
	}
	t.noteSources()
	return nil
}

// noteSources finds the sources anew: some series may have gone. The caller holds mu.
func (t *tally) noteSources() {
	t.sources = map[string]bool{}
	for _, s := range []sums{t.kept, t.closed, t.open} {
		for series := range s {
			t.sources[series.Source] = true
		}
	}
	delete(t.sources, "")
}

// Tally returns what the events of a group add up to, by series, with the given windows, all if none are given.
func (e *Engine) Tally(group string, only ...int64) map[Series]Sums {
	g, ok := e.group(group)
	if !ok {
		return nil
	}
	g.tally.mu.Lock()
	kept, recent := g.tally.kept, g.tally.closed.clone(only...) // whoever puts waits for this
	recent.merge(g.tally.open.clone(only...))
	g.tally.mu.Unlock()
	all := kept.clone(only...)
	all.merge(recent)
	out := make(map[Series]Sums, len(all))
	for series, of := range all {
		out[series] = *of
	}
	return out
}

// AdmitSource makes room for series of a source, unless as many others as most have some.
func (e *Engine) AdmitSource(group, source string, most int) bool {
	g, ok := e.group(group)
	if !ok {
		return false
	}
	g.tally.mu.Lock()
	defer g.tally.mu.Unlock()
	if !g.tally.sources[source] {
		if len(g.tally.sources) >= most {
			return false
		}
		g.tally.sources[strings.Clone(source)] = true
	}
	return true
}

// CountImport adds what the rows of an import come to, once for each name of an import.
func (e *Engine) CountImport(group, job string, counts []Count) error {
	g, ok := e.group(group)
	if !ok {
		return ErrNoTable
	}
	crash.Point("tally/import")
	now := e.limits.now()
	err := g.tally.change(func(s sums, imports []string) []string {
		if slices.Contains(imports, job) {
			return imports
		}
		for _, c := range counts {
			s.add(c)
		}
		s.expire(now)
		imports = append(imports, job)
		return imports[max(0, len(imports)-keptImports):]
	}, func(Series) bool { return false })
	if err != nil {
		return fmt.Errorf("count an import: %w", err)
	}
	crash.Point("tally/import")
	return nil
}

// ForgetCounts removes series for good. What is being counted meanwhile may stay.
func (e *Engine) ForgetCounts(ctx context.Context, group string, gone func(Series) bool) error {
	g, ok := e.group(group)
	if !ok {
		return nil
	}
	if err := g.fold(ctx); err != nil { // else the log would bring them back
		return fmt.Errorf("forget counts: %w", err)
	}
	if err := g.tally.change(func(_ sums, imports []string) []string { return imports }, gone); err != nil {
		return fmt.Errorf("forget counts: %w", err)
	}
	return nil
}

// erase removes the series of sources that name a listed user, and the windows in which few were counted. Totals stay.
func (t *tally) erase(users interface{ Has(string) bool }) error {
	t.mu.Lock()
	empty := len(t.kept) == 0
	t.mu.Unlock()
	if empty {
		return nil
	}
	return t.change(func(s sums, imports []string) []string {
		maps.DeleteFunc(s, func(_ Series, of *Sums) bool {
			maps.DeleteFunc(of.Windows, func(_ int64, sum Sum) bool { return sum.Events < tallyLow })
			return of.Total.Events < tallyLow
		})
		return imports
	}, func(series Series) bool { return mentions(series.Source, users) })
}

// mentions tells whether a source that a client made up is a user's id, or holds one that is not too short to be there by chance. ARNs are names of resources.
func mentions(source string, users interface{ Has(string) bool }) bool {
	const shortest, longest = 8, 256
	if users.Has(source) {
		return true
	}
	if strings.HasPrefix(source, "arn:") {
		return false
	}
	for from := range len(source) {
		for to := from + shortest; to <= min(len(source), from+longest); to++ {
			if users.Has(source[from:to]) {
				return true
			}
		}
	}
	return false
}

// appendCounts encodes counts for the log.
func appendCounts(b []byte, counts []Count) []byte {
	b = binary.AppendUvarint(b, uint64(len(counts)))
	for _, c := range counts {
		b = appendString(b, c.Metric)
		b = appendString(b, c.Source)
		b = binary.AppendVarint(b, c.Window)
		b = binary.AppendUvarint(b, uint64(c.Events))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(c.Value))
	}
	return b
}

func (r *textReader) counts() (counts []Count) {
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		c := Count{Series: Series{Metric: r.string(), Source: r.string()}, Window: r.varint(), Sum: Sum{Events: int64(r.uvarint())}}
		if value := r.bytes(8); r.err == nil {
			c.Value = math.Float64frombits(binary.LittleEndian.Uint64([]byte(value)))
			counts = append(counts, c)
		}
	}
	return counts
}

// replaceFile writes a file anew. What it held before is overwritten.
func replaceFile(path string, text []byte) error {
	old, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return blob.WriteFile(path, bytes.NewReader(text))
	}
	if err != nil {
		return err
	}
	defer old.Close()
	info, err := old.Stat()
	if err != nil {
		return err
	}
	if err := blob.WriteFile(path, bytes.NewReader(text)); err != nil {
		return err
	}
	if _, err := old.WriteAt(make([]byte, info.Size()), 0); err != nil {
		return err
	}
	return old.Sync()
}
