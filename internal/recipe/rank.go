package recipe

import (
	"cmp"
	"slices"
	"sync"
)

// ranker scores items for a history. It is what a personalization model serves with and what its evaluation measures.
//
// The relevance of an item is the decayed sum of the history's rows plus its prior. Only items that a row mentions, "touched" ones, need
// work; all others follow in the order of the prior, which is known beforehand. So the cost of a request does not grow with the catalogue.
type ranker struct {
	rows   *rows
	cold   *estimates  // nil for none
	tastes *userTastes // nil for none
	prior  []float32   // by item, already weighted
	order  []int32     // items with events or an estimate, by descending prior, ties by item
	scored int         // untouched items beyond so many of order have no score
	decay  []float32   // weight of the k-th newest event, from k = 0 on
	demote bool        // items of the history go to the end: nobody comes back to an item
	floor  float64     // relevance below which odds flatten out
	odds   float64     // sum of odds over order[:scored] by prior alone
	head   []float64   // and these odds, by place in order
	goal   *goal       // what counts beside relevance; nil for nothing
	carry  float32     // how far estimates of newcomers are carried, see cold.go

	scratch sync.Pool
}

const demotion = 1024 // taken from the relevance of demoted items: more than rows can add up to

// newRanker completes a ranker. order is byPrior's.
func newRanker(r *rows, prior []float32, order []int32, decay []float32, demote bool, scored int) *ranker {
	k := &ranker{rows: r, prior: prior, order: order, decay: decay, demote: demote, floor: 1.0 / float64(16*max(1, len(prior)))}
	k.scored = min(scored, len(order))
	k.head = make([]float64, k.scored)
	for n, i := range k.order[:k.scored] {
		k.head[n] = k.odd(prior[i])
		k.odds += k.head[n]
	}
	k.scratch.New = func() any { return &scratch{sum: make([]float32, len(prior)), state: make([]uint8, len(prior))} }
	return k
}

// byPrior lists the items with events by descending prior, ties by item.
func byPrior(prior []float32, count []int64) []int32 {
	var order []int32
	for i, n := range count {
		if n > 0 {
			order = append(order, int32(i))
		}
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Or(cmp.Compare(prior[b], prior[a]), cmp.Compare(a, b)) })
	return order
}

// scratch holds the touched items of one request; it is all zero between requests.
type scratch struct {
	sum     []float32
	state   []uint8
	touched []int32
	steps   []step
	values  []int32 // of the user's attributes, see userTastes
	top     []ranked

	newcomers *Newcomers // of the request; the codes of these items follow those of the model's
	trace     *trace     // records what is added to some items; nil but for explanations
}

type ranked struct {
	item      int32
	relevance float32
}

// Bits of scratch.state.
const (
	stateTouched = 1 << iota
	stateSeen
	stateEstimated
)

func (s *scratch) touch(item int32) {
	if s.state[item]&stateTouched == 0 {
		s.state[item] |= stateTouched
		s.touched = append(s.touched, item)
	}
}

func (k *ranker) acquire() *scratch { return k.scratch.Get().(*scratch) }

func (k *ranker) release(s *scratch) {
	for _, i := range s.touched {
		s.sum[i], s.state[i] = 0, 0
	}
	s.touched, s.top, s.values, s.newcomers, s.trace = s.touched[:0], s.top[:0], s.values[:0], nil, nil
	k.scratch.Put(s)
}

// relevance fills s with the touched items of a history, oldest first, and of s.values, in the given situations.
func (k *ranker) relevance(s *scratch, history []step, in ...situation) {
	k.sum(s, history)
	k.finish(s, in...)
}

// sum is the first half of relevance: it adds up rows.
func (k *ranker) sum(s *scratch, history []step) {
	for n, age := len(history), 0; age < min(n, len(k.decay)); age++ {
		h := history[n-1-age]
		s.trace.because(cause{step: n - 1 - age, value: -1})
		w := k.decay[age] * float32(float64(h.weight)/one)
		if near, weight, sum := k.sources(s, h.item); sum > 0 {
			for n, i := range near {
				s.add(k.rows, i, float32(w*float32(weight[n]/sum)))
			}
			continue
		}
		s.add(k.rows, h.item, w)
	}
	if w := tasteWeight(len(history)); w > 0 {
		for _, v := range s.values {
			s.trace.because(cause{step: -1, value: v})
			s.add(k.tastes.rows, v, w)
		}
	}
	if k.demote {
		for _, h := range history {
			if int(h.item) < len(k.prior) {
				s.touch(h.item)
				s.state[h.item] |= stateSeen
			}
		}
	}
}

// finish is the second half of relevance: it adds what is said of the items to whomever.
func (k *ranker) finish(s *scratch, in ...situation) {
	for i := range in { // what is often there, and what only is elsewhere
		for _, list := range [][]int32{in[i].head, k.order[:min(rowEntries, len(k.order))]} {
			for _, item := range list {
				s.touch(item)
			}
		}
	}
	for _, i := range s.touched {
		s.sum[i] += k.prior[i]
		for at := range in {
			if s.sum[i] > 0 {
				f := in[at].factor(i)
				s.sum[i] = float32(s.sum[i] * f)
				s.trace.multiply(i, at, f)
			}
		}
		if s.state[i]&stateSeen != 0 {
			s.sum[i] -= demotion
		}
	}
	if k.cold != nil {
		k.estimate(s)
	}
}

// save appends the sums of the touched items, restore sets them again; nothing may be touched between.
func (s *scratch) save(sums []float32) []float32 {
	for _, i := range s.touched {
		sums = append(sums, s.sum[i])
	}
	return sums
}

func (s *scratch) restore(sums []float32) {
	for n, i := range s.touched {
		s.sum[i] = sums[n]
	}
}

// add adds a row, with a weight: touch and a sum for each entry. This is where most of the time of a request goes, so it is written without a branch for the processor to
// guess: every item is noted, and the note of one that was touched before is overwritten by the next.
func (s *scratch) add(r *rows, row int32, w float32) {
	items, values := r.of(row)
	n := len(s.touched)
	s.touched = slices.Grow(s.touched, len(items))
	noted, sum := s.touched[:n+len(items)], s.sum
	state, values := s.state[:len(sum)], values[:len(items)]
	for j, i := range items {
		sum[i] += float32(w * values[j])
		noted[n] = i
		n += int(^state[i] & stateTouched)
		state[i] |= stateTouched
	}
	s.touched = s.touched[:n]
	s.trace.add(items, values, w)
}

// of is the relevance of one item after relevance has filled s.
func (k *ranker) of(s *scratch, item int32) float32 {
	if int(item) >= len(k.prior) {
		return s.newcomers.of(k, s, item-int32(len(k.prior)))
	}
	if k.cold.has(item) && s.state[item]&(stateEstimated|stateSeen) == 0 {
		return k.cold.of(k, s, k.cold.place[item])
	}
	if s.state[item]&stateTouched != 0 {
		return s.sum[item]
	}
	return k.prior[item]
}

// inList is what an item with events or an estimate is ordered by in a list without a goal, after relevance has filled s: as top has it, for which only the estimates count
// that relevance has looked at.
func (k *ranker) inList(s *scratch, item int32) float32 {
	if s.state[item]&stateTouched != 0 {
		return s.sum[item]
	}
	return k.prior[item]
}

// before orders by relevance, ties by item.
func before(a, b ranked) int {
	switch {
	case b.worse(a):
		return -1
	case a.worse(b):
		return 1
	}
	return 0
}

// worse reports whether r comes after another in a list.
func (r ranked) worse(than ranked) bool {
	return r.relevance < than.relevance || r.relevance == than.relevance && r.item > than.item
}

// top is the n most relevant of the items with scores that exclude does not take out, best first. The result is valid until s is released.
func (k *ranker) top(s *scratch, n int, exclude func(item int32) bool) []ranked {
	s.top = s.top[:0]
	if n == 0 {
		return nil
	}
	if k.goal != nil {
		k.topByGoal(s, n, exclude)
		slices.SortFunc(s.top, before)
		return s.top
	}
	for _, i := range s.touched {
		if len(s.top) < n || s.sum[i] >= s.top[0].relevance { // most are not among the best
			s.consider(ranked{i, s.sum[i]}, n, exclude)
		}
	}
	for _, i := range k.order[:k.scored] {
		if s.state[i]&stateTouched != 0 {
			continue
		}
		r := ranked{i, k.prior[i]}
		if len(s.top) == n && before(r, s.top[0]) >= 0 {
			break // and no later one either
		}
		s.consider(r, n, exclude)
	}
	slices.SortFunc(s.top, before)
	return s.top
}

// consider keeps the best n in a heap with the worst at the root.
func (s *scratch) consider(r ranked, n int, exclude func(item int32) bool) {
	full := len(s.top) == n
	if full && !s.top[0].worse(r) {
		return
	}
	if exclude != nil && exclude(r.item) {
		return
	}
	if !full {
		s.top = append(s.top, r)
		for i := len(s.top) - 1; i > 0 && s.top[i].worse(s.top[(i-1)/2]); i = (i - 1) / 2 {
			s.top[i], s.top[(i-1)/2] = s.top[(i-1)/2], s.top[i]
		}
		return
	}
	heap, at := s.top, 0 // the worst leaves, and r sinks to its place
	for {
		child := 2*at + 1
		if child >= n {
			break
		}
		if child+1 < n && heap[child+1].worse(heap[child]) {
			child++
		}
		if !heap[child].worse(r) {
			break
		}
		heap[at] = heap[child]
		at = child
	}
	heap[at] = r
}

// odd turns a relevance into odds: itself where it is well above zero, and ever smaller but positive below. The scores of a response are
// odds over their sum: the softmax of the logarithms.
func (k *ranker) odd(relevance float32) float64 {
	r := float64(relevance)
	if r >= k.floor {
		return r
	}
	return k.floor / (2 - r/k.floor)
}

// total is the sum of the odds of all items with scores.
func (k *ranker) total(s *scratch) float64 {
	if len(k.order) == 0 {
		return 1
	}
	if k.goal != nil {
		return k.totalByGoal(s)
	}
	sum := k.odds
	if k.scored < len(s.touched) { // the shorter way
		for n, i := range k.order[:k.scored] {
			if s.state[i]&stateTouched != 0 {
				sum -= k.head[n]
			}
		}
		for _, i := range s.touched {
			sum += k.odd(s.sum[i])
		}
		return sum
	}
	last := k.order[k.scored-1]
	for _, i := range s.touched {
		sum += k.odd(s.sum[i])
		if before(ranked{i, k.prior[i]}, ranked{last, k.prior[last]}) <= 0 { // counted in k.odds
			sum -= k.odd(k.prior[i])
		}
	}
	return sum
}
