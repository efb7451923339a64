package recipe

import "slices"

// A trace records, while a request is answered, what is added to the relevance of some items, and what for. It is written by the code that serves, so that what it
// says cannot differ from what is served. A nil trace records nothing.
type trace struct {
	items map[int32]*traced
}

// cause is what something is added for: a step of the history or a value of the user's attributes; the other one is negative.
type cause struct {
	step  int
	value int32
}

// traced is what happened to the sum of one item: terms were added, then the prior, then the whole was multiplied.
type traced struct {
	terms   []gain
	factors []situated
}

type gain struct {
	cause
	adds float32
}

// situated is what one situation of the request made of the sum.
type situated struct {
	situation int
	factor    float32
}

// newTrace watches some items.
func newTrace(items ...int32) *trace {
	t := &trace{items: map[int32]*traced{}}
	for _, i := range items {
		t.items[i] = &traced{}
	}
	return t
}

// add notes a row, items ascending, that is added.
func (t *trace) add(a *addend) {
	if t == nil {
		return
	}
	for i, watched := range t.items {
		if at, ok := slices.BinarySearch(a.row.Item, i); ok {
			watched.terms = append(watched.terms, gain{a.why, float32(a.weight * a.row.Value[at])})
		}
	}
}

func (t *trace) multiply(item int32, situation int, factor float32) {
	if t == nil {
		return
	}
	if watched := t.items[item]; watched != nil {
		watched.factors = append(watched.factors, situated{situation, factor})
	}
}

// gains yields what the request adds to an item's prior, cause by cause and then situation by situation: together they are the item's sum less its prior, but for the
// rounding of float32.
func (t *trace) gains(item int32, prior float32, each func(c cause, situation int, value float64)) {
	watched := t.items[item]
	if watched == nil {
		return
	}
	sum := float64(prior)
	for _, g := range watched.terms {
		each(g.cause, -1, float64(g.adds))
		sum += float64(g.adds)
	}
	for _, s := range watched.factors {
		more := sum * (float64(s.factor) - 1)
		each(cause{-1, -1}, s.situation, more)
		sum += more
	}
}
