package recipe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/recipe/vec"
)

// Newcomers are items that came to the Items dataset after a model was trained, and what the model makes of their attributes: for each the items with events that
// are most like it, by which it is estimated as an item without events is at a training (cold.go). They are of use to that model only. What users did is in them
// only by way of the model: which attributes tell items apart, and which items have events.
type Newcomers struct {
	ids  []string  // sorted
	near rows      // by newcomer: items of the model, the nearest first, with weights that sum to 1
	aim  []float64 // by newcomer: the attribute that answers are optimized for, NaN for none
}

// newcomerEntries bounds what the neighbours of all newcomers take: of very many each has fewer.
const newcomerEntries = 1 << 23

// Newcomers finds them in the effective rows of the group's Items dataset. The result is nil if there are none of which the model knows anything alike. It is a
// function of the model and the rows, whatever their order.
func (m *Model) Newcomers(ctx context.Context, effective func(context.Context, dataset.Table, func(dataset.Row) error) error, items dataset.Table) (*Newcomers, error) {
	if m.ranker == nil || m.itemRows == nil || len(m.useful) == 0 {
		return nil, nil
	}
	var trained []int32 // the item of each row of itemRows
	for i, listed := range m.shown {
		if listed == 1 {
			trained = append(trained, int32(i))
		}
	}
	b := m.itemRows.continued(items.Schema, len(trained))
	err := effective(ctx, items, func(r dataset.Row) error {
		if _, known := m.Code(r.Values[b.key].Str); !known {
			b.Add(r.Values)
		}
		return nil
	})
	if err != nil || len(b.ids) == len(trained) {
		return nil, err
	}
	all := b.joined(len(trained))
	near, err := m.resembling(ctx, all, trained)
	if err != nil {
		return nil, err
	}
	n := &Newcomers{near: rows{offsets: []int64{0}}}
	for at, of := range near {
		row := len(trained) + at
		if len(of) == 0 {
			continue
		}
		n.ids, n.aim = append(n.ids, all.IDs[row]), append(n.aim, m.aim(all, row))
		n.near.append(of)
	}
	if len(n.ids) == 0 {
		return nil, nil
	}
	return n, nil
}

// resembling finds for each of the rows after those of trained items the items that are most like it, weighted.
func (m *Model) resembling(ctx context.Context, a *Attributes, trained []int32) ([][]entry, error) {
	alike := a.vectors(m.useful)
	var warm []int32
	for row, i := range trained {
		if terms, _ := alike.of(int32(row)); len(terms) > 0 && m.count[i] >= coldEvents {
			warm = append(warm, int32(row))
		}
	}
	slices.SortStableFunc(warm, func(a, b int32) int { return cmp.Compare(m.count[trained[b]], m.count[trained[a]]) })
	found := make([][]entry, len(a.IDs)-len(trained))
	x := newContentIndex(alike, warm, len(found), nearest(len(found), newcomerEntries))
	work := make([]contentSearch, len(found)) // by worker
	err := vec.Parallel(ctx, len(found), func(n, worker int) {
		near := x.near(int32(len(trained)+n), &work[worker])
		for k := range near {
			near[k].item = trained[near[k].item]
		}
		slices.SortFunc(near, func(a, b entry) int { return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.item, b.item)) })
		found[n] = sharpen(near)
	})
	return found, err
}

// vectors makes the vectors of all rows from the columns that are useful, see input.content.
func (a *Attributes) vectors(useful []float64) *vectors {
	var blocks []*block
	var weight []float64
	for i := range a.Columns {
		if useful[i] == 0 {
			continue
		}
		if b, ok := a.Columns[i].block(words); ok {
			blocks, weight = append(blocks, b), append(weight, useful[i])
		}
	}
	row := make([]int32, len(a.IDs))
	for r := range row {
		row[r] = int32(r)
	}
	return combine(blocks, weight, row)
}

// aim is what answers are optimized for in a row, NaN for none.
func (m *Model) aim(a *Attributes, row int) float64 {
	if o := m.manifest.Config.Objective; o != nil {
		if c := a.column(o.Attribute); c != nil && c.Kind == Number {
			return c.Number[row]
		}
	}
	return math.NaN()
}

// find is the place of an item.
func (n *Newcomers) find(id string) (at int, ok bool) {
	if n == nil {
		return 0, false
	}
	return slices.BinarySearch(n.ids, id)
}

// of is the relevance of a newcomer, after relevance has filled s.
func (n *Newcomers) of(k *ranker, s *scratch, at int32) float32 {
	near, weight := n.near.of(at)
	prior := float32(0)
	for n, i := range near {
		prior += float32(weight[n] * k.prior[i])
	}
	return float32(k.carry * (prior + s.gained(near, weight)))
}

// known finds an item's code in a request: that of the model, or for a newcomer one beyond those, else -1. ok is false for an item of which nothing is known.
func (m *Model) known(n *Newcomers, id string) (code int32, ok bool) {
	code, _ = m.Code(id)
	return m.knownAs(n, id, code)
}

// knownAs is known for whoever has the item's code in the model, -1 for none.
func (m *Model) knownAs(n *Newcomers, id string, code int32) (int32, bool) {
	if code >= 0 {
		return code, m.count[code] > 0 || m.estimated(code)
	}
	if at, found := n.find(id); found {
		return int32(len(m.items) + at), true
	}
	return -1, false
}

// name is the id of an item with a code.
func (m *Model) name(n *Newcomers, item int32) string {
	if at := int(item) - len(m.items); at >= 0 {
		return n.ids[at]
	}
	return m.items[item]
}

// write puts newcomers into a model.
func (n *Newcomers) write(w *modelWriter) {
	if n == nil {
		return
	}
	putStrings(w, "newcomer.item", n.ids)
	put(w, "newcomer.near.offsets", n.near.offsets)
	put(w, "newcomer.near.item", n.near.item)
	put(w, "newcomer.near.weight", n.near.value)
	put(w, "newcomer.aim", n.aim)
}

// loadNewcomers reads what write wrote; nil if there is nothing.
func loadNewcomers(m *mapping, items int) (*Newcomers, error) {
	if _, ok := m.data["newcomer.aim"]; !ok {
		return nil, nil
	}
	ids, err := table(m, "newcomer.item")
	if err != nil {
		return nil, err
	}
	n := &Newcomers{}
	for i := range ids.len() {
		n.ids = append(n.ids, strings.Clone(ids.at(i)))
	}
	var errs [4]error
	n.near.offsets, errs[0] = array[int64](m, "newcomer.near.offsets")
	n.near.item, errs[1] = array[int32](m, "newcomer.near.item")
	n.near.value, errs[2] = array[float32](m, "newcomer.near.weight")
	n.aim, errs[3] = array[float64](m, "newcomer.aim")
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if len(n.aim) != len(n.ids) || len(n.near.offsets) != len(n.ids)+1 || !slices.IsSorted(n.near.offsets) || n.near.offsets[len(n.ids)] != int64(len(n.near.item)) ||
		len(n.near.item) != len(n.near.value) || slices.ContainsFunc(n.near.item, func(i int32) bool { return i < 0 || int(i) >= items }) {
		return nil, fmt.Errorf("open model: %w: newcomers", ErrCorrupt)
	}
	return n, nil
}
