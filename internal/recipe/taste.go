package recipe

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// What users of whom only attributes are known may like: for each value l of a categorical column of the Users dataset, or of a numeric one in bins, what users with
// that value had. The prior p_i of item i grows by
//
//	p_i · n_l / (n_l + m) · (P(l | i) / P(l) − 1),   P(l | i) = (n_il + doubt P(l)) / (n_i + doubt)
//
// for each value that a user has: by Bayes' rule, as for situations (situation.go), but the values add up where it would multiply, because columns that say the
// same, such as country and language, are no more than one proof. Here n_il are the users with the value who had the item, n_i and n_l their sums over values and
// over items, P(l) the share of the value in the whole, and m as much as doubt users have: neither an item nor a value with few users is believed. It only moves the
// prior, so it counts the less the longer the history is.
const (
	tasteDoubt  = 10 // users that the whole is worth against those with an item or a value
	tasteBins   = 8  // of a numeric column, at most
	tasteValues = 64 // of a user, at most: the first ones, column by column
	tasteSteps  = 2  // steps of a history that weigh as much as the attributes
	tasteLast   = 20 // steps beyond which attributes are passed over
)

// userTastes are what the values of the users' attributes say.
type userTastes struct {
	columns []tasteColumn // by column of the Users dataset
	rows    *rows         // by value: by how much the priors of items grow
}

// tasteColumn numbers the values of a column.
type tasteColumn struct {
	*Column
	edge  []float64 // of bins: a number is in bin b if b edges are not greater
	first int32     // the column's first value
}

func newTastes(a *Attributes, edges func(column int) []float64) *userTastes {
	t := &userTastes{}
	for i := range a.Columns {
		t.columns = append(t.columns, tasteColumn{Column: &a.Columns[i], edge: edges(i), first: t.size()})
	}
	return t
}

// size is the number of values of all columns.
func (t *userTastes) size() int32 {
	if len(t.columns) == 0 {
		return 0
	}
	last := &t.columns[len(t.columns)-1]
	return last.first + last.values()
}

// values is how many values the column has: none for one that tells nobody apart.
func (c *tasteColumn) values() int32 {
	switch {
	case c.Kind == Levels:
		return int32(len(c.Level))
	case len(c.edge) > 0:
		return int32(len(c.edge)) + 1
	}
	return 0
}

// of appends the values of a row of the Users dataset.
func (c *tasteColumn) of(values []int32, row int) []int32 {
	switch {
	case c.Kind == Levels:
		for _, l := range c.Of(row) {
			values = append(values, c.first+l)
		}
	case len(c.edge) > 0:
		if n := c.Number[row]; finite(n) {
			values = append(values, c.first+int32(sort.Search(len(c.edge), func(b int) bool { return c.edge[b] > n })))
		}
	}
	return values
}

func finite(n float64) bool { return !math.IsNaN(n) && !math.IsInf(n, 0) }

// of appends the values of a row of the Users dataset; none for a negative row.
func (t *userTastes) of(values []int32, row int) []int32 {
	if t == nil || row < 0 {
		return values
	}
	for i := range t.columns {
		values = t.columns[i].of(values, row)
	}
	return values[:min(len(values), tasteValues)]
}

// binEdges are quantiles of a numeric column, each greater than its least number.
func binEdges(c *Column) (edges []float64) {
	if c.Kind != Number {
		return nil
	}
	var sorted []float64
	for _, n := range c.Number {
		if finite(n) {
			sorted = append(sorted, n)
		}
	}
	slices.Sort(sorted)
	for b := 1; b < tasteBins && len(sorted) > 0; b++ {
		edge := sorted[b*len(sorted)/tasteBins]
		if edge > sorted[0] && (len(edges) == 0 || edge > edges[len(edges)-1]) {
			edges = append(edges, edge)
		}
	}
	return edges
}

// userRow is the row of a user of the events in the Users dataset, -1 for none.
func (in *input) userRow(u int) int {
	if row, ok := slices.BinarySearch(in.userRows.ids(), in.ev.Users[u]); ok {
		return row
	}
	return -1
}

// learnTastes counts over the users that use accepts; nil without a Users dataset.
func (in *input) learnTastes(prior []float32, use func(u int) bool) *userTastes {
	if in.userRows == nil {
		return nil
	}
	t := newTastes(in.userRows, func(column int) []float64 { return binEdges(&in.userRows.Columns[column]) })
	n := len(in.items)
	counts := &tasteCounts{of: make([]int32, n), all: make([]int32, n), last: make([]int64, n)}
	var best []selection
	for k := range t.columns {
		best = append(best, in.learnColumn(&t.columns[k], counts, prior, use)...)
	}
	t.rows = flatten(best)
	return t
}

// tasteCounts is the working memory of learnColumn, by item.
type tasteCounts struct {
	of, all []int32 // users with the value, users with any; zero between columns
	last    []int64 // the visit in which the item was met last
	visit   int64
}

// each calls do with every item that the user had, once.
func (t *tasteCounts) each(in *input, u int32, do func(item int32)) {
	t.visit++
	for at := in.ev.Offsets[u]; at < in.ev.Offsets[u+1]; at++ {
		if i := in.ev.Item[at]; t.last[i] != t.visit {
			t.last[i] = t.visit
			do(i)
		}
	}
}

// learnColumn makes the rows of a column's values.
func (in *input) learnColumn(c *tasteColumn, t *tasteCounts, prior []float32, use func(u int) bool) []selection {
	best := newSelections(int(c.values()), rowEntries)
	having := make([][]int32, len(best)) // users by value
	var values, met []int32
	pairs, people := int64(0), int64(0)
	for u := range in.ev.Users {
		row := in.userRow(u)
		if row < 0 || !use(u) {
			continue
		}
		if values = c.of(values[:0], row); len(values) == 0 {
			continue
		}
		for _, v := range values {
			having[v-c.first] = append(having[v-c.first], int32(u))
		}
		people++
		t.each(in, int32(u), func(i int32) {
			if t.all[i] == 0 {
				met = append(met, i)
			}
			t.all[i]++
			pairs++
		})
	}
	slices.SortFunc(met, func(a, b int32) int { return cmp.Or(cmp.Compare(t.all[b], t.all[a]), cmp.Compare(a, b)) })
	frequent := met[:min(len(met), rowEntries)] // what is said of them if nobody with the value had them
	whole := float64(tasteDoubt*float64(pairs)) / float64(max(1, people))
	for v, users := range having {
		if len(users) < 2 { // one user would be all that there is to know of the value
			continue
		}
		had, sum := []int32(nil), int64(0)
		for _, u := range users {
			t.each(in, u, func(i int32) {
				if t.of[i] == 0 {
					had = append(had, i)
				}
				t.of[i]++
				sum++
			})
		}
		share, trust := float64(sum)/float64(pairs), float64(sum)/(float64(sum)+whole)
		offer := func(i int32) {
			given := (float64(t.of[i]) + float64(tasteDoubt*share)) / float64(t.all[i]+tasteDoubt)
			best[v].offer(i, float32(float64(prior[i])*float64(trust*(given/share-1))))
		}
		best[v].keep = min(rowEntries, 2*len(had)) // so that many values with few users do not outgrow the data
		for _, i := range frequent[:min(len(frequent), best[v].keep)] {
			if t.of[i] == 0 {
				offer(i)
			}
		}
		for _, i := range had {
			offer(i)
		}
		for _, i := range had {
			t.of[i] = 0
		}
	}
	for _, i := range met {
		t.all[i] = 0
	}
	return best
}

// tasteWeight is what attributes count beside a history of so many steps, from 1 to 0.
func tasteWeight(steps int) float32 {
	if steps > tasteLast {
		return 0
	}
	return tasteSteps / float32(tasteSteps+steps)
}

// taste notes what the model knows of the attributes of the user of q.
func (m *Model) taste(s *scratch, q *Query) {
	if m.ranker.tastes == nil || !q.Known {
		return
	}
	if row, ok := m.profiles.find(q.User); ok {
		s.values = m.ranker.tastes.of(s.values, row)
	}
}

// write puts the tastes into a model.
func (t *userTastes) write(w *modelWriter) {
	if t == nil {
		return
	}
	var edges []float64
	offsets := []int64{0}
	for _, c := range t.columns {
		edges = append(edges, c.edge...)
		offsets = append(offsets, int64(len(edges)))
	}
	put(w, "taste.edge.offsets", offsets)
	put(w, "taste.edge", edges)
	put(w, "taste.offsets", t.rows.offsets)
	put(w, "taste.item", t.rows.item)
	put(w, "taste.value", t.rows.value)
}

// loadTastes reads what write wrote; nil if there is nothing.
func loadTastes(m *mapping, users *Attributes) (*userTastes, error) {
	if users == nil {
		return nil, nil
	}
	var errs [5]error
	r := &rows{}
	offsets, err := array[int64](m, "taste.edge.offsets")
	errs[0] = err
	edges, err := array[float64](m, "taste.edge")
	errs[1] = err
	r.offsets, errs[2] = array[int64](m, "taste.offsets")
	r.item, errs[3] = array[int32](m, "taste.item")
	r.value, errs[4] = array[float32](m, "taste.value")
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if len(offsets) != len(users.Columns)+1 || !slices.IsSorted(offsets) || offsets[0] < 0 || offsets[len(offsets)-1] > int64(len(edges)) {
		return nil, fmt.Errorf("open model: %w: bins of users' attributes", ErrCorrupt)
	}
	t := newTastes(users, func(column int) []float64 { return edges[offsets[column]:offsets[column+1]] })
	if t.rows = r; len(r.offsets) != int(t.size())+1 {
		return nil, fmt.Errorf("open model: %w: tastes of users", ErrCorrupt)
	}
	return t, nil
}
