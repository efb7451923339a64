package recipe

import (
	"cmp"
	"context"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// Semantic similarity: what is alike by name and description. There is no language model behind it: a text is its words, and for the sake of their other forms
// also parts of words, weighted as content.go does: of names the sequences of four characters, of descriptions the first five characters of longer words, which
// do about as well as stemming and need no rules of a language (McNamee and Mayfield 2004). So it finds what shares vocabulary, and no synonyms.
//
// Neighbours are found once, at training, with the popularity and freshness of all items as they were then; a request may put them in order by these too.

const (
	gramLength = 4
	stemLength = 5
)

// nameTerms are the terms of a name: its words, and the grams of each with its ends marked.
func nameTerms(text string, do func(term string)) {
	words(text, func(word string) {
		do(word)
		marked := " " + word + " "
		for from := range marked {
			to, runes := from, 0
			for runes < gramLength && to < len(marked) {
				_, n := utf8.DecodeRuneInString(marked[to:])
				to += n
				runes++
			}
			if runes < gramLength {
				break
			}
			do("#" + marked[from:to])
		}
	})
}

// describingTerms are the terms of a description: its words and the beginnings of the longer ones.
func describingTerms(text string, do func(term string)) {
	words(text, func(word string) {
		do(word)
		runes := 0
		for at := range word {
			if runes == stemLength {
				do(word[:at] + "*")
				return
			}
			runes++
		}
	})
}

// semantics are the frozen properties of items that a request may weigh.
type semantics struct {
	popularity []float32 // by item: its users over those of the most popular item
	freshness  []float32 // by item: 1 − (age over that of the oldest item)
}

// Influence is how much popularity and freshness count beside similarity, 0 to 1 each.
type Influence struct{ Popularity, Freshness float64 }

// InfluenceOf reads a rankingInfluence.
func InfluenceOf(given map[string]float64) Influence {
	return Influence{Popularity: given["POPULARITY"], Freshness: given["FRESHNESS"]}
}

// trainSemantic measures and trains semantic similarity.
func (in *input) trainSemantic(ctx context.Context, m *Manifest, w *modelWriter, progress Progress) error {
	everybody := func(int) bool { return true }
	popular, users := in.popular(everybody)
	content := in.texts()
	order := in.allAfter(popular)
	index := newContentIndex(content, order, len(order), rowEntries)
	progress("attributes", 1, 1)
	best := newSelections(len(in.items), rowEntries)
	searches := make([]contentSearch, len(in.items)) // by worker
	err := vec.Parallel(ctx, len(in.items), func(i, worker int) {
		for _, e := range index.near(int32(i), &searches[worker]) {
			best[i].offer(e.item, e.value)
		}
	})
	if err != nil {
		return err
	}
	r := &relatedRows{rows: byValue(best), popular: popular}
	progress("similarities", int64(len(in.items)), int64(len(in.items)))
	s := in.semantics(popular, users)
	m.Metrics = in.measureSemantic(r, s)
	put(w, "item.popularity", s.popularity)
	put(w, "item.freshness", s.freshness)
	in.writeRelated(w, r)
	return nil
}

// texts makes the vectors of all items from their names and descriptions, which count alike.
func (in *input) texts() *vectors {
	var blocks []*block
	var useful []float64
	if in.itemRows != nil {
		for i := range in.itemRows.Columns {
			c, read := &in.itemRows.Columns[i], nameTerms
			switch c.Kind {
			case Text:
				read = describingTerms
			case Title:
			default:
				continue
			}
			if b, ok := c.block(read); ok {
				blocks, useful = append(blocks, b), append(useful, 1)
			}
		}
	}
	return combine(blocks, useful, in.itemRow())
}

// semantics computes popularity and freshness. An item without CREATION_TIMESTAMP is as old as its first event; one without events is new.
func (in *input) semantics(popular []int32, users []int64) *semantics {
	s := &semantics{popularity: make([]float32, len(in.items)), freshness: make([]float32, len(in.items))}
	for at, i := range popular {
		s.popularity[i] = float32(float64(users[at]) / float64(users[0]))
	}
	created := in.created()
	if len(created) == 0 {
		return s
	}
	oldest, newest := slices.Min(created), slices.Max(created)
	span := float64(newest) - float64(oldest)
	for i, at := range created {
		s.freshness[i] = 1
		if span > 0 {
			s.freshness[i] = float32((float64(at) - float64(oldest)) / span)
		}
	}
	return s
}

// created is the time from which each item is: its CREATION_TIMESTAMP, else its first event, else the last event of all or the newest item, whichever is later.
func (in *input) created() []int64 {
	count, first := in.appearances()
	newest := int64(math.MinInt64)
	if in.ev.Len() > 0 {
		_, newest = bounds(in.ev.Time)
	}
	created, known := make([]int64, len(in.items)), make([]bool, len(in.items))
	stamps, row := in.itemRows.column(creationTimestamp), in.itemRow()
	for i := range created {
		if created[i], known[i] = stamps.stamp(row[i]); !known[i] && count[i] > 0 {
			created[i], known[i] = first[i], true
		}
		if known[i] {
			newest = max(newest, created[i])
		}
	}
	for i := range created {
		if !known[i] {
			created[i] = newest
		}
	}
	return created
}

// creationTimestamp is the reserved column of the Items dataset.
const creationTimestamp = "CREATION_TIMESTAMP"

// stamp is the time that a column of times has in a row, which is -1 for no row; ok is false without one. The column may be nil.
func (c *Column) stamp(row int32) (at int64, ok bool) {
	if c == nil || row < 0 || !(math.Abs(c.Number[row]) < math.MaxInt64) { // NaN is none
		return 0, false
	}
	return int64(c.Number[row]), true
}

// measureSemantic asks for what is like each item of the Items dataset.
func (in *input) measureSemantic(r *relatedRows, s *semantics) map[string]float64 {
	var popularity, freshness, similarity float64
	var items, places int64
	shown := make([]bool, len(in.items))
	for i := range in.items {
		if in.listed[i] == 0 {
			continue
		}
		items++
		popularity += float64(s.popularity[i])
		freshness += float64(s.freshness[i])
		near, value := r.of(int32(i))
		for k := range min(depth, len(near)) {
			shown[near[k]] = true
			similarity += float64(value[k])
			places++
		}
	}
	covered := 0
	for _, is := range shown {
		if is {
			covered++
		}
	}
	return map[string]float64{
		"item_popularity": round4(popularity / float64(max(1, items))),
		"item_freshness":  round4(freshness / float64(max(1, items))),
		"item_similarity": round4(similarity / float64(max(1, places))),
		"coverage":        round4(float64(covered) / float64(max(1, len(in.items)))),
	}
}

func (m *Model) loadSemantic() error {
	s := &semantics{}
	var err [3]error
	err[0] = m.loadRelated()
	s.popularity, err[1] = array[float32](m.mapping, "item.popularity")
	s.freshness, err[2] = array[float32](m.mapping, "item.freshness")
	m.semantics = s
	return cmp.Or(err[:]...)
}

// influenced puts a row in the order of
//
//	similarity/(greatest of the row) + P popularity/(greatest of the row) + F freshness
//
// so that a weight of 1 lets the property count as much as similarity does.
func (s *semantics) influenced(items []int32, similarity []float32, by Influence) []int32 {
	most := s.mostPopular(items)
	list := make([]ranked, len(items))
	for k, i := range items {
		alike, popular, fresh := s.weigh(i, similarity[k], similarity[0], most, by)
		list[k] = ranked{i, float32(alike + popular + fresh)}
	}
	slices.SortFunc(list, before)
	out := make([]int32, len(list))
	for k, r := range list {
		out[k] = r.item
	}
	return out
}

// mostPopular is the greatest popularity of some items.
func (s *semantics) mostPopular(items []int32) (most float32) {
	for _, i := range items {
		most = max(most, s.popularity[i])
	}
	return most
}

// weigh returns what an item's similarity, popularity and freshness add up to its place.
func (s *semantics) weigh(item int32, similarity, greatest, most float32, by Influence) (alike, popular, fresh float64) {
	if most > 0 {
		popular = float64(by.Popularity * float64(s.popularity[item]/most))
	}
	return float64(similarity) / float64(greatest), popular, float64(by.Freshness * float64(s.freshness[item]))
}

// checkTexts refuses items that have nothing to be compared by.
func (d Data) checkTexts() error {
	if d.Items != nil {
		for i := range d.Items.Columns {
			for _, text := range d.Items.Columns[i].Text {
				if text != "" {
					return nil
				}
			}
		}
	}
	return dataErrorf("Items dataset has no items with a name or a description.")
}
