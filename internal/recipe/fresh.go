package recipe

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/dataset"
)

// Fresh is what an automatic update knows of a group beyond the training: every item that there is by now, how often it was seen, and since when it is there. It is
// what exploration draws from in place of the model's own list; nothing else of an answer depends on it. It holds no user, but counts that users had a part in.
// What the attributes of new items say to a model are its Newcomers.
type Fresh struct {
	*novelty
}

// AdmitsItems reports whether automatic updates bring new items to the models of the entry: those of personalization, of which the ones for ranking explore nothing
// but can place an item that a list names.
func (e *Entry) AdmitsItems() bool {
	return (e.Has(AutomaticUpdates) || e.Type == PersonalizedRanking) && (e.TrainedAs == personalizationV1 || e.TrainedAs == personalizationV2)
}

// Shown tells what answers to requests of one dataset group showed.
type Shown interface {
	// Items lists what the answer of that recommendationId showed, nothing if the answer is not known.
	Items(recommendationID string) []string
	// Impressions yields every item that an event showed of which the rows do not tell, as often as it was shown.
	Impressions(yield func(item string)) error
}

// ReadFresh counts over the effective rows of a group's Interactions and, if there is one, Items dataset. An event counts once for its item and once for each
// item of its impression: the one that it brought or, if it brought none, what the answer showed that its RECOMMENDATION_ID names. shown may be nil.
func ReadFresh(ctx context.Context, effective func(context.Context, dataset.Table, func(dataset.Row) error) error, interactions dataset.Table, items *dataset.Table, shown Shown) (*Fresh, error) {
	found := map[string]*freshItem{}
	item := func(id string) *freshItem {
		f, ok := found[id]
		if !ok {
			f = &freshItem{}
			found[strings.Clone(id)] = f
		}
		return f
	}
	var newest int64
	key, at := interactions.Schema.Match("ITEM_ID"), interactions.Schema.Match("TIMESTAMP")
	impression, answer := interactions.Schema.Match("IMPRESSION"), interactions.Schema.Match("RECOMMENDATION_ID")
	dated := false
	err := effective(ctx, interactions, func(r dataset.Row) error {
		f, t := item(r.Values[key].Str), r.Values[at].Int
		if f.seen == 0 || t < f.appeared {
			f.appeared = t
		}
		f.seen++
		if !dated || t > newest {
			dated, newest = true, t
		}
		switch {
		case given(r, impression):
			for id := range strings.SplitSeq(r.Values[impression].Str, "|") {
				item(id).impressions++
			}
		case given(r, answer) && shown != nil:
			for _, id := range shown.Items(r.Values[answer].Str) {
				item(id).impressions++
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if shown != nil {
		if err := shown.Impressions(func(id string) { item(id).impressions++ }); err != nil {
			return nil, err
		}
	}
	if items != nil {
		id, created := items.Schema.KeyField(), items.Schema.Match("CREATION_TIMESTAMP")
		err := effective(ctx, *items, func(r dataset.Row) error {
			f := item(r.Values[id].Str)
			f.listed = true
			if given(r, created) {
				f.created, f.dated = r.Values[created].Int, true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	// What was only shown is no item: an impression may name anything.
	maps.DeleteFunc(found, func(_ string, f *freshItem) bool { return f.seen == 0 && !f.listed })
	ids := slices.Sorted(maps.Keys(found))
	seen, appeared := make([]int64, len(ids)), make([]int64, len(ids))
	for i, id := range ids {
		f := found[id]
		seen[i] = f.seen + f.impressions
		switch {
		case f.dated:
			appeared[i] = f.created
		case f.seen > 0:
			appeared[i] = f.appeared
		default:
			appeared[i] = newest
		}
	}
	return &Fresh{newNovelty(ids, seen, appeared, newest)}, nil
}

// given tells whether a row has a value in a field, -1 being none.
func given(r dataset.Row, field int) bool {
	return field >= 0 && field < len(r.Values) && r.Values[field].Valid
}

// freshItem is what the rows say about an item.
type freshItem struct {
	seen, impressions int64
	appeared          int64 // time of the first event
	created           int64 // CREATION_TIMESTAMP, if dated
	dated, listed     bool
}

// Update writes into to the model in from as it is, with fresh and newcomers, which may be nil, beside it: training mode UPDATE. Its Seq stays, for it has learnt
// from no more events. What an interrupted attempt left in to is destroyed first.
func Update(ctx context.Context, from string, fresh *Fresh, newcomers *Newcomers, to string) (*Manifest, error) {
	old, err := openMapping(from)
	if err != nil {
		return nil, err
	}
	defer old.close()
	m := old.manifest
	m.Config.Updated, m.Build = true, buildID()
	w, err := createModel(to, blob.Reserve)
	if err != nil {
		return nil, err
	}
	for _, a := range m.Arrays {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(a.Name, "fresh.") && !strings.HasPrefix(a.Name, "newcomer.") {
			w.copy(a, old.data[a.Name])
		}
	}
	putStrings(w, "fresh.item", fresh.ids)
	put(w, "fresh.seen", fresh.seen)
	put(w, "fresh.appeared", fresh.appeared)
	put(w, "fresh.newest", []int64{fresh.newest})
	newcomers.write(w)
	if err := w.commit(&m); err != nil {
		return nil, err
	}
	return &m, nil
}

// copy takes over an array of another model.
func (w *modelWriter) copy(a Array, data []byte) {
	if w.err != nil {
		return
	}
	if w.err = blob.CheckRoom(w.dir, int64(len(data))+w.reserve); w.err != nil {
		return
	}
	if w.err = createFile(filepath.Join(w.dir, a.Name), func(f io.Writer) error {
		_, err := f.Write(data)
		return err
	}); w.err == nil {
		w.arrays = append(w.arrays, a)
	}
}

// loadFresh reads what Update wrote.
func loadFresh(m *mapping) (*Fresh, error) {
	ids, err := table(m, "fresh.item")
	if err != nil {
		return nil, err
	}
	seen, err1 := array[int64](m, "fresh.seen")
	appeared, err2 := array[int64](m, "fresh.appeared")
	newest, err3 := array[int64](m, "fresh.newest")
	if err := cmp.Or(err1, err2, err3); err != nil {
		return nil, err
	}
	if len(seen) != ids.len() || len(appeared) != ids.len() || len(newest) != 1 {
		return nil, fmt.Errorf("open model: %w: lists of fresh items of different lengths", ErrCorrupt)
	}
	var list []string
	for i := range ids.len() {
		list = append(list, strings.Clone(ids.at(i)))
	}
	return &Fresh{newNovelty(list, seen, appeared, newest[0])}, nil
}
