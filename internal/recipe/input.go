package recipe

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/schema"
)

// admission decides which events a configuration trains on and how much each counts. Serving asks it the same question about live events.
// Event types are compared ignoring case, as the use cases demand.
type admission struct {
	eventType string
	threshold *float64
	weights   []EventWeight
	heaviest  float64
	excludes  string // events of this type are kept whether they count or not
}

func newAdmission(cfg *Config, e *Entry) admission {
	a := admission{eventType: cfg.EventType, threshold: cfg.EventValueThreshold, weights: cfg.EventsConfig, excludes: cfg.Excludes}
	if a.eventType == "" && e.EventType != "" {
		a.eventType = e.EventType
	}
	for _, w := range a.weights {
		a.heaviest = max(a.heaviest, w.Weight)
	}
	return a
}

// weight is the event's weight in units of 2⁻¹⁶, 0 if it does not count. The heaviest type of an eventsConfig weighs 1, as every event does without one.
func (a *admission) weight(kind string, value float64) int64 {
	if len(a.weights) > 0 {
		for _, w := range a.weights {
			if strings.EqualFold(w.Type, kind) && reaches(value, w.Threshold) && w.Weight > 0 {
				return max(1, int64(math.Round(w.Weight/a.heaviest*one)))
			}
		}
		return 0
	}
	if !reaches(value, a.threshold) {
		return 0
	}
	if a.eventType != "" && !strings.EqualFold(a.eventType, kind) {
		return 0
	}
	return one
}

// reaches reports whether an event's value passes a threshold; without a value it does not.
func reaches(value float64, threshold *float64) bool {
	return threshold == nil || value >= *threshold
}

// value is an event's value as the admission rules see it. Float32 values are widened through their shortest decimal, so that a stored 0.7
// reaches a threshold of 0.7.
func value(v float32) float64 {
	f, _ := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	return f
}

// keep returns the events that a model stores: those that count, and those whose items serving leaves out.
func (a *admission) keep(ev *dataset.Events) *dataset.Events {
	if a.excludes == "" {
		return a.filter(ev)
	}
	counts := a.counting(ev)
	return ev.Filter(func(i int) bool { return counts(i) || strings.EqualFold(ev.Types[ev.Type[i]], a.excludes) })
}

// filter returns the admitted events.
func (a *admission) filter(ev *dataset.Events) *dataset.Events {
	if a.threshold == nil && a.eventType == "" && len(a.weights) == 0 {
		return ev // without a copy
	}
	return ev.Filter(a.counting(ev))
}

// counting tells of each event whether it counts.
func (a *admission) counting(ev *dataset.Events) func(i int) bool {
	checked := a.threshold != nil
	for _, w := range a.weights {
		checked = checked || w.Threshold != nil
	}
	return func(i int) bool {
		v := math.NaN()
		if checked {
			v = value(ev.Value[i])
		}
		return a.weight(ev.Types[ev.Type[i]], v) > 0
	}
}

// check refuses data that is too little or too wild to train on. all are the events before filtering.
func (a *admission) check(all, admitted *dataset.Events, lim quota.Limits) error {
	named, keywords := 0, 0
	for _, kind := range all.Types {
		switch {
		case schema.Keyword(kind):
			keywords++
		case kind != "":
			named++
		}
	}
	if lim.EventTypes > 0 && named+keywords > lim.EventTypes {
		return dataErrorf("Interactions dataset has more than %d unique event types.", lim.EventTypes)
	}
	if named == 0 && (keywords > 0 || all.Len() > 0 && (a.eventType != "" || len(a.weights) > 0)) { // without any type all events count, unless types are asked for
		return dataErrorf("All values in the event_type column are either reserved keywords or null")
	}
	if fewest := max(1, lim.TrainingInteractions); admitted.Len() < fewest {
		text := "Dataset has fewer than " + strconv.Itoa(fewest) + " interactions"
		if a.eventType != "" {
			text += " after filtering by event type: " + a.eventType
		}
		return dataErrorf("%s", text)
	}
	active := 0
	for u := range admitted.Users {
		if admitted.Offsets[u+1]-admitted.Offsets[u] >= 2 {
			active++
		}
	}
	if active < lim.TrainingUsers {
		return dataErrorf("Dataset has fewer than %d users with at least 2 interactions each.", lim.TrainingUsers)
	}
	if active*100 < lim.TrainingUsersPercent*len(admitted.Users) {
		return dataErrorf("Less than %d percent of users have at least 2 interactions.", lim.TrainingUsersPercent)
	}
	return nil
}

// input is what the trainers work on: events with the codes of the model's item table, and the parameters that decide which users count.
type input struct {
	cfg      *Config
	entry    *Entry
	trainer  string
	admit    admission
	ev       *dataset.Events // what is trained on; Item is already an index into items
	kept     *dataset.Events // what the model stores: ev, and the events that only serving looks at
	items    []string        // every item of the events and of the Items dataset, sorted
	listed   []uint8         // 1 for the items of the Items dataset
	eligible []bool          // users within the percentile limits

	actions       []string        // next-best-action: every action of the events with actions and of the Actions dataset, sorted
	listedActions []uint8         // 1 for the actions of the Actions dataset
	acted         *dataset.Events // and these events; Item is an index into actions

	itemRows, userRows *Attributes // nil if there are none or the recipe does not read them

	alike  *vectors  // personalization: items by their attributes, nil without any
	useful []float64 // beside alike: how much each column of itemRows counts

	choice *choice // personalization: what the data decided, nil until they are asked
}

// newInput builds the input from data whose events are those that the model keeps.
func newInput(cfg *Config, entry *Entry, admit admission, d Data) *input {
	in := &input{cfg: cfg, entry: entry, trainer: entry.TrainedAs, admit: admit, itemRows: d.Items, userRows: d.Users}
	kept, listed := d.Events, d.Items.ids()
	in.items = slices.Concat(kept.Items, listed)
	slices.Sort(in.items)
	in.items = slices.Compact(in.items)
	in.listed = make([]uint8, len(in.items))
	for _, id := range listed {
		at, _ := slices.BinarySearch(in.items, id)
		in.listed[at] = 1
	}
	in.kept = recode(kept, in.items)
	in.ev = in.kept
	if admit.excludes != "" {
		in.ev = recode(admit.filter(kept), in.items)
	}
	in.eligible = in.withinPercentiles()
	if in.trainer == nextBestAction {
		in.readActions(d)
	}
	return in
}

// readActions fills actions and acted.
func (in *input) readActions(d Data) {
	acted := d.Acted
	if acted == nil {
		acted = &dataset.Events{Offsets: []int64{0}}
	}
	in.actions = slices.Concat(acted.Items, d.Actions)
	slices.Sort(in.actions)
	in.actions = slices.Compact(in.actions)
	in.listedActions = make([]uint8, len(in.actions))
	for _, id := range d.Actions {
		at, _ := slices.BinarySearch(in.actions, id)
		in.listedActions[at] = 1
	}
	in.acted = recode(acted, in.actions)
}

// recode returns the events with indices into items, which are sorted and have all of theirs.
func recode(ev *dataset.Events, items []string) *dataset.Events {
	if len(items) == len(ev.Items) { // the codes are right already
		return ev
	}
	code := make([]int32, len(ev.Items))
	at := 0
	for i, id := range ev.Items {
		for items[at] != id {
			at++
		}
		code[i] = int32(at)
	}
	recoded := *ev
	recoded.Items = items
	recoded.Item = make([]int32, len(ev.Item))
	for i, item := range ev.Item {
		recoded.Item[i] = code[item]
	}
	return &recoded
}

// Names of the parameters that decide which users count.
const (
	shortestHistory = "min_user_history_length_percentile"
	longestHistory  = "max_user_history_length_percentile"
)

// withinPercentiles marks the users whose history is neither too short nor too long by the configuration's percentiles.
func (in *input) withinPercentiles() []bool {
	eligible := make([]bool, len(in.ev.Users))
	lengths := make([]int64, len(in.ev.Users))
	for u := range lengths {
		lengths[u] = in.ev.Offsets[u+1] - in.ev.Offsets[u]
	}
	sorted := slices.Clone(lengths)
	slices.Sort(sorted)
	least, most := int64(0), int64(math.MaxInt64)
	if p, ok := in.fraction(shortestHistory); ok && len(sorted) > 0 {
		least = sorted[percentile(p, len(sorted))]
	}
	if p, ok := in.fraction(longestHistory); ok && len(sorted) > 0 {
		most = sorted[percentile(p, len(sorted))]
	}
	for u, n := range lengths {
		eligible[u] = least <= n && n <= most
	}
	return eligible
}

// percentile is the index of the p-quantile among n sorted values, by the nearest rank.
func percentile(p float64, n int) int {
	return min(n-1, max(0, int(math.Ceil(float64(p*float64(n))))-1))
}

// param is a hyperparameter as given, else its default; ok is false if the recipe has none of that name.
func (in *input) param(name string) (text string, ok bool) {
	if text, ok = in.cfg.Params[name]; ok {
		return text, true
	}
	for _, p := range in.entry.Params {
		if p.Name == name {
			return p.Default, true
		}
	}
	return "", false
}

func (in *input) fraction(name string) (float64, bool) {
	text, ok := in.param(name)
	f, err := strconv.ParseFloat(text, 64)
	return f, ok && err == nil
}

// itemRow is the row in itemRows of each item, -1 for one that the Items dataset does not have.
func (in *input) itemRow() []int32 { return listedRows(in.listed) }

// listedRows numbers the items that are listed.
func listedRows(listed []uint8) []int32 {
	row := make([]int32, len(listed))
	next := int32(0)
	for i := range row {
		row[i] = -1
		if listed[i] == 1 {
			row[i] = next
			next++
		}
	}
	return row
}
