// Package attribution measures what recommendations bring: it counts events, or adds up a column of theirs, by metric, by source and by quarter of an hour.
//
// Compile reads the metrics that a client has defined against the schemas of the group. What one event contributes follows from the event and the
// newest record of its item alone, so a report of the same rows is always the same. A column that is null, an item without a record and a number that is not finite
// contribute 0. Types of events match whatever their case. Neither metrics nor reports know a user.
package attribution

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

const (
	// Window is how long a window is. It begins at a multiple of it since 1970.
	Window = 15 * time.Minute
	// MaxSources is how many sources the metrics of a dataset group tell apart.
	MaxSources = 100

	maxAge   = 14 * 24 * time.Hour // older events are in reports, but in no metric
	maxAhead = 2 * time.Hour       // so are those that lie further in the future

	// undefined is the source of events that tell none, in reports. The tally has "" for it.
	undefined = "SOURCE_NAME_UNDEFINED"
)

// An Expression says what an event contributes: 1, or a column of the event or of its item.
type Expression struct {
	Of     schema.Type // Interactions or Items, "" for 1
	Column string
}

var expression = regexp.MustCompile(`(?i)^\s*(?:SAMPLECOUNT\s*\(\s*\)|SUM\s*\(\s*([A-Z_]+)\s*\.\s*([A-Z_][A-Z\d_]*)\s*\))\s*$`)

// Parse reads SAMPLECOUNT() or SUM(DatasetType.COLUMN), in any case. Of is whatever type it names, or the word that names none.
func Parse(text string) (e Expression, ok bool) {
	parts := expression.FindStringSubmatch(text)
	if parts == nil {
		return Expression{}, false
	}
	if t, known := schema.ParseType(parts[1]); known {
		return Expression{t, parts[2]}, true
	}
	return Expression{schema.Type(parts[1]), parts[2]}, true
}

// function is what reports call it.
func (e Expression) function() string {
	if e.Of == "" {
		return "samplecount"
	}
	return "sum"
}

// Metrics are those of one metric attribution.
type Metrics struct{ all []metric }

type metric struct {
	meta.AttributionMetric
	key   string // in the tally
	of    Expression
	field int // of the schema
	kind  schema.Kind
}

// Compile reads definitions that were checked when they were made. id names the attribution for ever, so that the sums of an earlier one are not gone on with.
// Columns that the schemas do not have contribute nothing.
func Compile(id int64, defined []meta.AttributionMetric, interactions, items *schema.Schema) *Metrics {
	m := &Metrics{}
	for _, d := range defined {
		e, ok := Parse(d.Expression)
		if !ok {
			continue
		}
		c := metric{AttributionMetric: d, of: e, field: -1,
			key: strings.Join([]string{strconv.FormatInt(id, 10), d.MetricName, strings.ToUpper(d.EventType), string(e.Of), strings.ToUpper(e.Column)}, "\x1f")}
		for _, s := range []*schema.Schema{interactions, items} {
			if s != nil && s.Type == e.Of {
				if c.field = s.Match(e.Column); c.field >= 0 {
					c.kind = s.Fields[c.field].Kind
				}
			}
		}
		m.all = append(m.all, c)
	}
	return m
}

// Has tells whether a series of the tally belongs to one of the metrics.
func (m *Metrics) Has(s dataset.Series) bool {
	return slices.ContainsFunc(m.all, func(c metric) bool { return c.key == s.Metric })
}

// Of is the id of the attribution that a series of the tally belongs to, 0 if none.
func Of(s dataset.Series) int64 {
	id, _, _ := strings.Cut(s.Metric, "\x1f")
	n, _ := strconv.ParseInt(id, 10, 64) // what is no number is nobody's
	return n
}

// An Event is what metrics need to know of one.
type Event struct {
	Type   string
	Source string // "" if nothing tells it
	Time   int64  // seconds
	Values []schema.Value
}

// measure yields the metrics that an event counts for. item returns the newest record of its item, nil if there is none.
func (m *Metrics) measure(e Event, item func() ([]schema.Value, error), yield func(of *metric, c dataset.Count)) error {
	for i := range m.all {
		of := &m.all[i]
		if !strings.EqualFold(of.EventType, e.Type) {
			continue
		}
		values := e.Values
		if of.of.Of == schema.Items {
			var err error
			if values, err = item(); err != nil {
				return err
			}
		}
		yield(of, dataset.Count{Series: dataset.Series{Metric: of.key, Source: e.Source}, Window: windowOf(e.Time), Sum: dataset.Sum{Events: 1, Value: of.value(values)}})
	}
	return nil
}

func (m *metric) value(values []schema.Value) float64 {
	switch {
	case m.of.Of == "":
		return 1
	case m.field < 0 || m.field >= len(values) || !values[m.field].Valid:
		return 0
	case m.kind == schema.Int || m.kind == schema.Long:
		return float64(values[m.field].Int)
	}
	if x := values[m.field].Float; !math.IsNaN(x) && !math.IsInf(x, 0) {
		return x
	}
	return 0
}

// SourceOf is the source of an event: what the event says itself, or the campaign or recommender whose recommendation it names, or "".
func SourceOf(said string, recommender func() string) string {
	switch said {
	case undefined:
		return ""
	case "":
		return recommender()
	}
	return said
}

// windowOf is the second in which the window of a time begins.
func windowOf(t int64) int64 {
	const length = int64(Window / time.Second)
	at := t - t%length
	if at > t {
		at -= length
	}
	return at
}

// LastWindow is the second in which the last window that is over began.
func LastWindow(now time.Time) int64 { return windowOf(now.Unix()) - int64(Window/time.Second) }

// current tells whether metrics still take a window, or take it already.
func current(window int64, now time.Time) bool {
	at := time.Unix(window, 0)
	return !at.Before(now.Add(-maxAge-Window)) && at.Before(now.Add(maxAhead))
}

// Count returns what an event adds to the tally of its dataset group.
func (m *Metrics) Count(e Event, now time.Time, item func() ([]schema.Value, error)) (counts []dataset.Count, err error) {
	if !current(windowOf(e.Time), now) {
		return nil, nil
	}
	err = m.measure(e, item, func(_ *metric, c dataset.Count) { counts = append(counts, c) })
	return counts, err
}

// A Report is sums by metric, source and window, of any time.
type Report struct {
	metrics *Metrics
	now     time.Time
	admit   func(source string) bool

	most   int // lines
	lines  map[cell]dataset.Sum
	recent map[cell]dataset.Sum // what metrics take, of admitted sources
	long   bool                 // there are more lines than most
	many   bool                 // a source was not admitted
}

type cell struct {
	series dataset.Series
	window int64
}

// maxLines is how many lines a report can have: it is put together in memory.
const maxLines = 1 << 20

// ErrLong is why a report cannot be written.
var ErrLong = fmt.Errorf("it would have more than %d lines; EVENT_ATTRIBUTION_SOURCE should name few sources", maxLines)

// NewReport returns an empty report. admit tells for which sources the metrics have room.
func NewReport(m *Metrics, now time.Time, admit func(source string) bool) *Report {
	return &Report{metrics: m, now: now, admit: admit, most: maxLines, lines: make(map[cell]dataset.Sum), recent: make(map[cell]dataset.Sum)}
}

// ReportOf returns what the tally of a dataset group knows of the metrics, by window.
func ReportOf(m *Metrics, tally map[dataset.Series]dataset.Sums) *Report {
	r := NewReport(m, time.Time{}, nil)
	for series, of := range tally {
		if !m.Has(series) {
			continue
		}
		for at, sum := range of.Windows {
			r.lines[cell{series, at}] = sum
		}
	}
	return r
}

// Add counts an event.
func (r *Report) Add(e Event, item func() ([]schema.Value, error)) error {
	return r.metrics.measure(e, item, func(_ *metric, c dataset.Count) {
		at := cell{c.Series, c.Window}
		sum, known := r.lines[at]
		switch {
		case !known && len(r.lines) == r.most:
			r.long = true
		default:
			if !known {
				at.series.Source = strings.Clone(at.series.Source) // of a row, which is valid for this call
			}
			r.lines[at] = sum.Plus(c.Sum)
		}
		if !current(c.Window, r.now) {
			return
		}
		if sum, known = r.recent[at]; known || at.series.Source == "" || r.admit(at.series.Source) {
			if !known {
				at.series.Source = strings.Clone(at.series.Source)
			}
			r.recent[at] = sum.Plus(c.Sum)
		} else {
			r.many = true
		}
	})
}

// Counts is what of the report belongs into the tally. many tells that it is not all that is recent: there was no room for some sources.
func (r *Report) Counts() (counts []dataset.Count, many bool) {
	for at, sum := range r.recent {
		counts = append(counts, dataset.Count{Series: at.series, Window: at.window, Sum: sum})
	}
	return counts, r.many
}

// reportHeader has the columns of a report.
const reportHeader = "METRIC_NAME,EVENT_TYPE,VALUE,MATH_FUNCTION,EVENT_ATTRIBUTION_SOURCE,TIMESTAMP\n"

// WriteCSV writes the report: the newest window first, in it metrics in the order of their definition, then sources.
func (r *Report) WriteCSV(w io.Writer) error {
	if r.long {
		return ErrLong
	}
	order := make(map[string]int, len(r.metrics.all))
	for i, of := range r.metrics.all {
		order[of.key] = i
	}
	cells := make([]cell, 0, len(r.lines))
	for at := range r.lines {
		cells = append(cells, at)
	}
	slices.SortFunc(cells, func(a, b cell) int {
		return cmp.Or(cmp.Compare(b.window, a.window), cmp.Compare(order[a.series.Metric], order[b.series.Metric]), strings.Compare(a.series.Source, b.series.Source))
	})
	line := []byte(reportHeader)
	for _, at := range cells {
		if len(line) > 1<<16 {
			if _, err := w.Write(line); err != nil {
				return err
			}
			line = line[:0]
		}
		of := &r.metrics.all[order[at.series.Metric]]
		line = append(rowtext.AppendQuoted(line, strings.ToUpper(of.MetricName)), ',')
		line = append(rowtext.AppendQuoted(line, strings.ToUpper(of.EventType)), ',')
		line = append(appendValue(line, r.lines[at].Value), ',')
		line = append(append(line, of.of.function()...), ',')
		line = append(rowtext.AppendQuoted(line, cmp.Or(at.series.Source, undefined)), ',')
		line = append(strconv.AppendInt(line, at.window, 10), '\n')
	}
	_, err := w.Write(line)
	return err
}

// appendValue writes a number with at least one decimal and at most 14 digits: what adding up decimals makes of the rest is noise.
func appendValue(b []byte, x float64) []byte {
	from := len(b)
	x, _ = strconv.ParseFloat(strconv.FormatFloat(x, 'g', 14, 64), 64) // an error is of what FormatFloat cannot have written
	b = rowtext.AppendDecimal(b, x)
	if !strings.ContainsAny(string(b[from:]), ".e") {
		b = append(b, ".0"...)
	}
	return b
}

// A Total is what one metric has come to with one source.
type Total struct {
	Metric, Source string
	Sum            dataset.Sum // since the metric was defined
	Last           dataset.Sum // of the last window that is over
}

// Totals returns them in the order of metrics, then sources.
func (m *Metrics) Totals(tally map[dataset.Series]dataset.Sums, now time.Time) (totals []Total) {
	last := LastWindow(now)
	for _, of := range m.all {
		from := len(totals)
		for series, sums := range tally {
			if series.Metric == of.key {
				source := strings.ToValidUTF8(cmp.Or(series.Source, undefined), "?")
				totals = append(totals, Total{of.MetricName, source, sums.Total, sums.Windows[last]})
			}
		}
		slices.SortFunc(totals[from:], func(a, b Total) int { return strings.Compare(a.Source, b.Source) })
	}
	return totals
}

// ReportPrefix begins the names of reports.
const ReportPrefix = "AggregatedAttributionMetrics - "

// ReportName is the name of the object that an import's report is stored as.
func ReportName(mode string, at time.Time) string {
	return ReportPrefix + mode + " - " + strconv.FormatInt(at.Unix(), 10) + ".csv"
}
