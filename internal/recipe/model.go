package recipe

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/dataset"
)

// Model is an open model directory. Its methods are safe for concurrent use until Close.
type Model struct {
	*mapping
	admit admission

	users stringTable    // ids point into the mapping
	items []string       // ids do not, so that answers outlive the model
	codes *codes         // of items
	shown []uint8        // item -> 1 if it is in the Items dataset
	ev    dataset.Events // Users is left empty; Item are indices into items
	count []int64        // item -> number of events

	profiles           stringTable // ids of the Users dataset, if the recipe reads it; they point into the mapping
	itemRows, userRows *Attributes // without ids; strings point into the mapping

	popular   []int32        // popularity, trending: items in order
	related   *relatedRows   // related items
	affinity  *affinity      // user segments
	acts      *servedActions // actions
	ranker    *ranker        // personalization
	novel     *novelty       // personalization: what can be explored
	useful    []float64      // personalization: how much each column of itemRows says about likeness, empty without estimates
	newcomers *Newcomers     // personalization: of a model made in training mode UPDATE, if there were any
	semantics *semantics     // semantic similarity

	contexts []situations // personalization: what is likely where
}

// Open maps the model in dir and checks every hash. A torn or altered directory is refused with ErrCorrupt.
func Open(dir string) (*Model, error) {
	files, err := openMapping(dir)
	if err != nil {
		return nil, err
	}
	m := &Model{mapping: files}
	if err := m.load(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Model) load() error {
	entry, ok := Find(m.manifest.Config.Recipe)
	if !ok {
		return fmt.Errorf("open model: %w: unknown recipe", ErrCorrupt)
	}
	m.admit = newAdmission(&m.manifest.Config, entry)
	if err := m.loadInput(); err != nil {
		return err
	}
	switch m.manifest.Recipe {
	case popularityCount, trendingNow:
		return m.loadPopularity()
	case sims, similarItems:
		return m.loadRelated()
	case nextBestAction:
		return m.loadActions()
	case itemAffinity, attributeAffinity:
		return m.loadAffinity()
	case semanticSimilarity:
		return m.loadSemantic()
	case personalizationV1, personalizationV2:
		return m.loadPersonalization()
	}
	return fmt.Errorf("open model: %w: unknown trainer", ErrCorrupt)
}

func (m *Model) loadInput() error {
	var errs [12]error
	var items, types stringTable
	m.users, errs[0] = table(m.mapping, "user")
	items, errs[1] = table(m.mapping, "item")
	types, errs[2] = table(m.mapping, "type")
	m.shown, errs[3] = array[uint8](m.mapping, "item.listed")
	m.ev.Offsets, errs[4] = array[int64](m.mapping, "event.offsets")
	m.ev.Item, errs[5] = array[int32](m.mapping, "event.item")
	m.ev.Type, errs[6] = array[uint16](m.mapping, "event.type")
	m.ev.Time, errs[7] = array[int64](m.mapping, "event.time")
	m.ev.Value, errs[8] = array[float32](m.mapping, "event.value")
	if _, ok := m.mapping.data["users.kind"]; ok {
		m.profiles, errs[9] = table(m.mapping, "users.id")
	}
	rows := 0
	for _, l := range m.shown {
		rows += int(l)
	}
	m.itemRows, errs[10] = attributes(m.mapping, "items", rows)
	m.userRows, errs[11] = attributes(m.mapping, "users", m.profiles.len())
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	text := string(items.text) // one copy on the heap
	m.items = make([]string, 0, items.len())
	for i := range items.len() {
		m.items = append(m.items, text[items.offsets[i]:items.offsets[i+1]])
	}
	m.codes = newCodes(m.items)
	for i := range types.len() {
		m.ev.Types = append(m.ev.Types, strings.Clone(types.at(i)))
	}
	m.ev.Seq = m.manifest.Seq
	if err := m.loadContext(); err != nil {
		return err
	}
	return nil
}

func (m *Model) loadPopularity() (err error) {
	if m.popular, err = array[int32](m.mapping, "popular.item"); err != nil {
		return err
	}
	m.count = make([]int64, len(m.items))
	for _, i := range m.popular {
		m.count[i] = 1
	}
	return nil
}

func (m *Model) loadPersonalization() error {
	var errs [9]error
	r := &rows{}
	var prior, decay []float32
	var first []int64
	var cold *estimates
	var tastes *userTastes
	r.offsets, errs[0] = array[int64](m.mapping, "row.offsets")
	r.item, errs[1] = array[int32](m.mapping, "row.item")
	r.value, errs[2] = array[float32](m.mapping, "row.value")
	prior, errs[3] = array[float32](m.mapping, "prior")
	decay, errs[4] = array[float32](m.mapping, "decay")
	m.count, errs[5] = array[int64](m.mapping, "item.count")
	first, errs[6] = array[int64](m.mapping, "item.first")
	tastes, errs[8] = loadTastes(m.mapping, m.userRows)
	cold, errs[7] = loadEstimates(m.mapping, len(m.items))
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	n := len(m.items)
	if !r.whole(n, n) || len(prior) != n || len(m.count) != n || tastes != nil && !tastes.rows.whole(int(tastes.size()), n) {
		return fmt.Errorf("open model: %w: rows of items", ErrCorrupt)
	}
	scored := n
	if m.manifest.Recipe == personalizationV2 {
		scored = candidates
	}
	m.ranker = newRanker(r, prior, byPrior(prior, cold.known(m.count)), decay, m.manifest.Settings["repeats"] == 0, scored)
	m.ranker.cold, m.ranker.tastes = cold, tastes
	m.ranker.carry = 1
	if carry := m.manifest.Settings["carry"]; carry > 0 {
		m.ranker.carry = float32(carry)
	}
	if _, ok := m.mapping.data["cold.useful"]; ok {
		var err error
		if m.useful, err = array[float64](m.mapping, "cold.useful"); err != nil {
			return err
		}
		if m.itemRows == nil || len(m.useful) != len(m.itemRows.Columns) {
			return fmt.Errorf("open model: %w: columns of items", ErrCorrupt)
		}
	}
	m.ranker.goal = newGoal(m.manifest.Config.Objective, m.itemRows, listedRows(m.shown))
	_, newest := bounds(m.ev.Time)
	if m.manifest.Config.Updated {
		fresh, err := loadFresh(m.mapping)
		if err != nil {
			return err
		}
		m.novel = fresh.novelty
		if m.newcomers, err = loadNewcomers(m.mapping, len(m.items)); err != nil {
			return err
		}
		return m.loadSituations()
	}
	appeared, stamps, row := slices.Clone(first), m.itemRows.column(creationTimestamp), listedRows(m.shown)
	for i, n := range m.count {
		if at, ok := stamps.stamp(row[i]); ok {
			appeared[i] = at
		} else if n == 0 {
			appeared[i] = newest
		}
	}
	m.novel = newNovelty(m.items, m.count, appeared, newest)
	return m.loadSituations()
}

// loadContext opens the context columns of the events.
func (m *Model) loadContext() error {
	if _, ok := m.mapping.data["event.context.column.text"]; !ok {
		return nil
	}
	names, err := table(m.mapping, "event.context.column")
	if err != nil {
		return err
	}
	kinds := make([]uint8, names.len()) // as an earlier build had them: all categorical
	if _, ok := m.mapping.data["event.context.kind"]; ok {
		if kinds, err = array[uint8](m.mapping, "event.context.kind"); err != nil {
			return err
		}
	}
	if len(kinds) != names.len() {
		return fmt.Errorf("open model: %w: kinds of context columns", ErrCorrupt)
	}
	for k := range names.len() {
		of := fmt.Sprintf("event.context.%d", k)
		levels, err := table(m.mapping, of+".level")
		if err != nil {
			return err
		}
		c := dataset.EventColumn{Name: strings.Clone(names.at(k)), Numeric: ColumnKind(kinds[k]) == Number, Levels: levels.strings()}
		if c.Code, err = array[int32](m.mapping, of+".code"); err != nil {
			return err
		}
		if len(c.Code) != m.ev.Len() || !slices.IsSorted(c.Levels) ||
			slices.ContainsFunc(c.Code, func(l int32) bool { return l < -1 || int(l) >= len(c.Levels) }) {
			return fmt.Errorf("open model: %w: context column %d", ErrCorrupt, k)
		}
		m.ev.Context = append(m.ev.Context, c)
	}
	return nil
}

// Close unmaps the model. No method may be running or called afterwards, except for the use of answers already given.
func (m *Model) Close() error { return m.close() }

// Manifest is the description the model was opened with.
func (m *Model) Manifest() *Manifest { return &m.manifest }

// Warm reports whether the item has events in the training data.
func (m *Model) Warm(item string) bool {
	i, ok := m.Code(item)
	return ok && m.count[i] > 0
}

// Items is how many items the model knows. Their codes are from 0 on.
func (m *Model) Items() int { return len(m.items) }

// Item returns the id of the item of a code.
func (m *Model) Item(code int32) string { return m.items[code] }

// Code returns the code of an item; ok is false if the model does not know it.
func (m *Model) Code(item string) (code int32, ok bool) {
	return m.codes.find(item)
}

// HoldsUser reports whether the model was trained on events, with items or actions, or attributes of the user.
func (m *Model) HoldsUser(id string) bool {
	_, events := m.users.find(id)
	_, profile := m.profiles.find(id)
	acted := false
	if m.acts != nil {
		_, acted = m.acts.actors.find(id)
	}
	return events || profile || acted
}

// Users yields the ids of all users with events in the training data, sorted.
func (m *Model) Users() iter.Seq[string] {
	return func(yield func(string) bool) {
		for u := range m.users.len() {
			if !yield(strings.Clone(m.users.at(u))) {
				return
			}
		}
	}
}

// History is what the user did up to the training, oldest first: the events that were trained on. Their Seq is not known any more.
func (m *Model) History(user string) []dataset.LiveEvent {
	u, ok := m.users.find(user)
	if !ok {
		return nil
	}
	var events []dataset.LiveEvent
	for at := m.ev.Offsets[u]; at < m.ev.Offsets[u+1]; at++ {
		events = append(events, dataset.LiveEvent{
			Time: m.ev.Time[at], Item: m.items[m.ev.Item[at]], Type: m.ev.Types[m.ev.Type[at]], Value: value(m.ev.Value[at]),
		})
	}
	return events
}

// trainedOn is what the model was trained on. Strings of attributes point into the mapping.
func (m *Model) trainedOn() Data {
	ev := m.ev
	ev.Items = m.items
	ev.Users = slices.Collect(m.Users())
	d := Data{Events: ev.Filter(func(int) bool { return true })} // drops the items that only the Items dataset has
	if m.itemRows != nil {
		d.Items = &Attributes{IDs: m.listed(), Columns: m.itemRows.Columns}
	}
	if m.userRows != nil {
		d.Users = &Attributes{IDs: m.profiles.strings(), Columns: m.userRows.Columns}
	}
	if s := m.acts; s != nil {
		acted := s.acted
		acted.Users, acted.Items, acted.Value = s.actors.strings(), s.ids, make([]float32, len(acted.Item))
		d.Acted = acted.Filter(func(int) bool { return true })
		for i, id := range s.ids {
			if s.listed[i] == 1 {
				d.Actions = append(d.Actions, id)
			}
		}
	}
	return d
}

// listed returns the ids of the Items dataset at the time of the training.
func (m *Model) listed() []string {
	var ids []string
	for i, id := range m.items {
		if m.shown[i] == 1 {
			ids = append(ids, id)
		}
	}
	return ids
}
