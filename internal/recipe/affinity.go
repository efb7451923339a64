package recipe

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"

	"github.com/palate-dev/palate/internal/schema"
)

// User segments: who is most likely to interact with an item, or with items of some attributes. This is the item-based neighbourhood model read by columns. With
// x_ui = 1 if user u has item i, w_u = 1/√(items of u) and n_i the users of item i, two items are as alike as
//
//	s(i, j) = Σ_u w_u x_ui x_uj / (√(n_i + shrink) √(n_j + shrink))
//
// and the affinity of user u to item j is Σ_i s(i, j) x_ui over j's nearest neighbours i. It is not divided by the length of the history: those who do much do
// more of everything, and the question is who will do it, not who prefers it. Where users do not come back to items, those who have j stand behind all others;
// where they do, j is a neighbour of itself, the nearest that there can be. (Sarwar et al. 2001; the damping of users is that of Deshpande and Karypis 2004.)
//
// The affinity to attributes is the mean over the items that have all of them, of which each is a neighbour of itself.
//
// Attributes of items blend into s as into similar items (similar.go), with a prior worth as many users as the data choose, none among them; with none, they speak for
// items that nobody has, and only for those. Attributes of users multiply the affinity (traits.go).

// affinity is the model.
type affinity struct {
	near    *rows // of each item the nearest neighbours, ascending
	repeats bool  // users come back to items

	held    holding
	traits  *traits   // nil if attributes of users do not count
	ready   sync.Once // both are filled: at the first question, because nothing else needs them
	scratch sync.Pool
}

// holding says who has which item, each pair once.
type holding struct {
	events  []int64 // of each user
	offsets []int64 // of each item, into user
	user    []int32 // ascending for each item
}

func (h *holding) of(item int32) []int32 { return h.user[h.offsets[item]:h.offsets[item+1]] }

// newHolding reads the events of items sorted by user.
func newHolding(items int, offsets []int64, item []int32) holding {
	h := holding{offsets: make([]int64, items+1), events: make([]int64, len(offsets)-1)}
	last := make([]int32, items) // 1 + the last user who had the item
	each := func(do func(user, item int32)) {
		clear(last)
		for u := range h.events {
			for _, i := range item[offsets[u]:offsets[u+1]] {
				if last[i] != int32(u)+1 {
					last[i] = int32(u) + 1
					do(int32(u), i)
				}
			}
		}
	}
	each(func(_, i int32) { h.offsets[i+1]++ })
	for i := range items {
		h.offsets[i+1] += h.offsets[i]
	}
	h.user = make([]int32, h.offsets[items])
	next := slices.Clone(h.offsets[:items])
	each(func(u, i int32) {
		h.user[next[i]] = u
		next[i]++
	})
	for u := range h.events {
		h.events[u] = offsets[u+1] - offsets[u]
	}
	return h
}

// trainAffinity measures and trains a recipe of user segments.
func (in *input) trainAffinity(ctx context.Context, m *Manifest, w *modelWriter, progress Progress) error {
	trial, truth := in.withoutNewest()
	use, err := trial.chooseUse(ctx, phased("choice", progress))
	if err != nil {
		return err
	}
	if m.Metrics, _, err = trial.measureSegments(ctx, use, truth, measured(progress)); err != nil {
		return err
	}
	a, err := in.neighbours(ctx, use, everybody, progress)
	if err != nil {
		return err
	}
	m.Settings["repeats"] = indicator(a.repeats)
	if in.described() {
		m.Settings["attributes.items"], m.Settings["attributes.users"] = use.items, use.users
	}
	put(w, "neighbour.offsets", a.near.offsets)
	put(w, "neighbour.item", a.near.item)
	put(w, "neighbour.value", a.near.value)
	count, _ := in.appearances()
	put(w, "item.count", count)
	return nil
}

// attributeUse is how much attributes count beside what users have: those of items as so many users, those of users with θ of traits.go.
type attributeUse struct{ items, users float64 }

// The candidates for attributeUse, the simplest first.
var (
	itemUses = []float64{0, 2, 8}
	userUses = []float64{0, 0.5, 1}
)

// described tells whether there are attributes.
func (in *input) described() bool {
	return in.itemRows != nil && len(in.itemRows.Columns) > 0 || in.userRows != nil && len(in.userRows.Columns) > 0
}

// chooseUse asks the data: the newest events of the input are hidden once more, and what finds most of those who had them is taken. What is less simple must be
// better beyond chance.
func (in *input) chooseUse(ctx context.Context, progress Progress) (use attributeUse, err error) {
	if !in.described() {
		return use, nil
	}
	trial, truth := in.withoutNewest()
	var most []float64
	try := func(candidate attributeUse) error {
		_, found, err := trial.measureSegments(ctx, candidate, truth, progress)
		if err == nil && (most == nil || better(found, most)) {
			use, most = candidate, found
		}
		return err
	}
	for _, items := range itemUses {
		if items == 0 || in.itemRows != nil && len(in.itemRows.Columns) > 0 {
			if err := try(attributeUse{items: items}); err != nil {
				return use, err
			}
		}
	}
	for _, users := range userUses {
		if users > 0 && in.userRows != nil && len(in.userRows.Columns) > 0 {
			if err := try(attributeUse{items: use.items, users: users}); err != nil {
				return use, err
			}
		}
	}
	return use, nil
}

// better tells whether a is greater than b in the mean by more than two standard errors; both are measured on the same questions.
func better(a, b []float64) bool {
	sum, squares, n := 0.0, 0.0, float64(len(a))
	for i := range a {
		d := a[i] - b[i]
		sum += d
		squares += float64(d * d)
	}
	return sum > 0 && float64(sum*sum) > 4*(squares-float64(sum*sum)/n)
}

func everybody(int) bool { return true }

// neighbours computes the rows of the items that are wanted, of those that somebody has.
func (in *input) neighbours(ctx context.Context, use attributeUse, wanted func(int) bool, progress Progress) (*affinity, error) {
	c := in.gather(everybody)
	popular, _ := in.popular(everybody)
	b, err := in.newBlender(ctx, newBaskets(&c.sequences, true), popular, popular, everybody, in.entries("hidden_dimension"))
	if err != nil {
		return nil, err
	}
	b.prior = use.items
	best, err := b.similarities(ctx, wanted, in.entries("hidden_dimension"), progress)
	if err != nil {
		return nil, err
	}
	a := &affinity{near: flatten(best), repeats: c.repeats, held: newHolding(len(in.items), in.ev.Offsets, in.ev.Item)}
	a.traits = newTraits(in.userRows, use.users, a.held.events, in.userRow)
	return a, nil
}

// column adds the neighbours of item j to weight, each with share times its similarity.
func (a *affinity) column(j int32, share float32, self bool, weight []float32) {
	items, values := a.near.of(j)
	for k, i := range items {
		weight[i] += float32(share * values[k])
	}
	if self {
		weight[j] += share
	}
}

// audience is the scratch of one question at a time.
type audience struct {
	weight []float32 // by item
	score  []float32 // by user
	last   []bool    // by user: behind all others
	heap   []int32
}

func (a *affinity) newAudience() *audience {
	n := len(a.held.events)
	return &audience{weight: make([]float32, len(a.held.offsets)-1), score: make([]float32, n), last: make([]bool, n)}
}

// toItem fills s with the affinity of every user to an item.
func (a *affinity) toItem(s *audience, item int32) {
	a.column(item, 1, a.repeats, s.weight)
	a.spread(s)
	a.traits.tilt(s, &a.held, []int32{item})
	if !a.repeats {
		for _, u := range a.held.of(item) {
			s.last[u] = true
		}
	}
}

// toItems fills s with the mean affinity of every user to some items.
func (a *affinity) toItems(s *audience, items []int32) {
	share := 1 / float32(max(1, len(items)))
	for _, j := range items {
		a.column(j, share, true, s.weight)
	}
	a.spread(s)
	a.traits.tilt(s, &a.held, items)
}

// spread turns the weights of items into scores of users.
func (a *affinity) spread(s *audience) {
	clear(s.score)
	clear(s.last)
	for i, w := range s.weight {
		if w == 0 {
			continue
		}
		for _, u := range a.held.of(int32(i)) {
			s.score[u] += w
		}
		s.weight[i] = 0
	}
}

// before orders users by affinity; of equals first who did more, then by id.
func (a *affinity) before(s *audience, u, v int32) bool {
	switch {
	case s.last[u] != s.last[v]:
		return s.last[v]
	case s.score[u] != s.score[v]:
		return s.score[u] > s.score[v]
	case a.held.events[u] != a.held.events[v]:
		return a.held.events[u] > a.held.events[v]
	}
	return u < v
}

// top returns the n first users of those that keep accepts, in order. The result is valid until the next use of s.
func (a *affinity) top(s *audience, n int, keep func(u int32) bool) []int32 {
	s.heap = s.heap[:0]
	order := func(u, v int32) int {
		switch {
		case u == v:
			return 0
		case a.before(s, u, v):
			return -1
		}
		return 1
	}
	if n > len(a.held.events)/4 { // a heap would hold nearly all
		for u := range a.held.events {
			if keep == nil || keep(int32(u)) {
				s.heap = append(s.heap, int32(u))
			}
		}
		slices.SortFunc(s.heap, order)
		return s.heap[:min(n, len(s.heap))]
	}
	for u := range a.held.events {
		s.offer(int32(u), n, order, keep)
	}
	slices.SortFunc(s.heap, order)
	return s.heap
}

// offer keeps the first n by order in a heap with the last of them at the root.
func (s *audience) offer(u int32, n int, order func(u, v int32) int, keep func(u int32) bool) {
	full := len(s.heap) == n
	if full && (n == 0 || order(u, s.heap[0]) > 0) || keep != nil && !keep(u) {
		return
	}
	if !full {
		s.heap = append(s.heap, u)
		for i := len(s.heap) - 1; i > 0 && order(s.heap[i], s.heap[(i-1)/2]) > 0; i = (i - 1) / 2 {
			s.heap[i], s.heap[(i-1)/2] = s.heap[(i-1)/2], s.heap[i]
		}
		return
	}
	s.heap[0] = u
	for i := 0; ; {
		child := 2*i + 1
		if child >= n {
			return
		}
		if child+1 < n && order(s.heap[child+1], s.heap[child]) > 0 {
			child++
		}
		if order(s.heap[child], s.heap[i]) <= 0 {
			return
		}
		s.heap[i], s.heap[child] = s.heap[child], s.heap[i]
		i = child
	}
}

// checkSegments refuses data that says nothing about segments.
func checkSegments(trainer string, d Data) error {
	if oldest, newest := bounds(d.Events.Time); d.Events.Len() > 0 && oldest == newest {
		return dataErrorf("All interactions have the same timestamp.")
	}
	if trainer != attributeAffinity {
		return nil
	}
	if d.Items == nil {
		return dataErrorf("Dataset group does not have a dataset of type %s.", schema.Items)
	}
	if !slices.ContainsFunc(d.Items.Columns, func(c Column) bool { return c.queried() }) {
		return dataErrorf("Items dataset has no non-textual, non-reserved column.")
	}
	return nil
}

// queried reports whether items can be asked for by the column.
func (c *Column) queried() bool {
	return (c.Kind == Levels || c.Kind == Number) && !schema.SameName(c.Name, "CREATION_TIMESTAMP")
}

// An Attribute is a value that a column of Items must have, or have among others.
type Attribute struct{ Column, Value string }

// A SegmentQuery asks for the users who are most likely to interact with an item or, of the recipe of attributes, with items that have all of some attributes.
type SegmentQuery struct {
	Item       string
	Attributes []Attribute
	N          int                    // number of users
	Keep       func(user string) bool // those who may appear; nil is everybody
}

func (m *Model) loadAffinity() error {
	a := &affinity{near: &rows{}, repeats: m.manifest.Settings["repeats"] == 1}
	var err [4]error
	a.near.offsets, err[0] = array[int64](m.mapping, "neighbour.offsets")
	a.near.item, err[1] = array[int32](m.mapping, "neighbour.item")
	a.near.value, err[2] = array[float32](m.mapping, "neighbour.value")
	m.count, err[3] = array[int64](m.mapping, "item.count")
	m.affinity = a
	return cmp.Or(err[:]...)
}

// Segment appends the answer to buf[:0]: users in descending order of affinity. The strings point into the model and are valid until it is closed. The error says to
// the customer what is wrong with the question. The model must be one of user segments.
func (m *Model) Segment(q SegmentQuery, buf []string) ([]string, error) {
	m.affinity.ready.Do(func() {
		m.affinity.held = newHolding(len(m.items), m.ev.Offsets, m.ev.Item)
		m.affinity.traits = newTraits(m.userRows, m.manifest.Settings["attributes.users"], m.affinity.held.events, m.profileRow)
		m.affinity.scratch.New = func() any { return m.affinity.newAudience() }
	})
	s := m.affinity.scratch.Get().(*audience)
	defer m.affinity.scratch.Put(s)
	if m.manifest.Recipe == attributeAffinity {
		items, err := m.having(q.Attributes)
		if err != nil {
			return nil, err
		}
		m.affinity.toItems(s, items)
	} else {
		i, known := m.Code(q.Item)
		if !known || m.count[i] == 0 && m.affinity.near.empty(i) {
			return nil, errors.New("The item has no interactions in the data that the solution version was trained on, nor attributes that say which items it is like.")
		}
		m.affinity.toItem(s, i)
	}
	var keep func(int32) bool
	if q.Keep != nil {
		keep = func(u int32) bool { return q.Keep(m.users.at(int(u))) }
	}
	buf = buf[:0]
	for _, u := range m.affinity.top(s, max(0, q.N), keep) {
		buf = append(buf, m.users.at(int(u)))
	}
	return buf, nil
}

// profileRow is the row of a user of the model in its Users dataset, -1 for none.
func (m *Model) profileRow(u int) int {
	if row, ok := m.profiles.find(m.users.at(u)); ok {
		return row
	}
	return -1
}

// having lists the items with events that have all the attributes, ascending.
func (m *Model) having(attributes []Attribute) (items []int32, err error) {
	if len(attributes) == 0 {
		return nil, errors.New("The query has no attributes.")
	}
	tests := make([]func(row int) bool, len(attributes))
	for n, a := range attributes {
		if tests[n], err = m.itemRows.test(a); err != nil {
			return nil, err
		}
	}
	row := -1
	for i := range m.items {
		if m.shown[i] == 0 {
			continue
		}
		row++
		if m.count[i] > 0 && !slices.ContainsFunc(tests, func(has func(int) bool) bool { return !has(row) }) {
			items = append(items, int32(i))
		}
	}
	if len(items) == 0 {
		return nil, errors.New("No item with interactions has these attributes in the data that the solution version was trained on.")
	}
	return items, nil
}

// test returns the test of rows for an attribute.
func (a *Attributes) test(of Attribute) (has func(row int) bool, err error) {
	c := a.column(of.Column)
	if c == nil || !c.queried() {
		return nil, errors.New("The query names a column of Items that the solution version was not trained on.")
	}
	if c.Kind == Levels {
		level, known := slices.BinarySearch(c.Level, of.Value)
		return func(row int) bool { return known && slices.Contains(c.Of(row), int32(level)) }, nil
	}
	n, err := strconv.ParseFloat(of.Value, 64)
	if err != nil {
		return nil, errors.New("The query compares a number of Items with something that is none.")
	}
	return func(row int) bool { return c.Number[row] == n || c.Number[row] == float64(float32(n)) }, nil
}
