package recipe

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
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
	k.scratch.New = func() any { return newScratch(len(prior)) }
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

// scratch holds the touched items of one request. Between requests every sum is notTouched, and all else is zero.
type scratch struct {
	sum     []float32
	lines   []uint8   // by line of sums: 1 if something was added to one of them by addMany, until collect
	gain    []float32 // what the request adds to the priors of items that the user has not had; filled where items are estimated by others
	touched []int32
	state   []uint8
	flagged []int32 // items whose state is not zero
	seen    []int32 // items of the history, where they are demoted
	steps   []step
	values  []int32 // of the user's attributes, see userTastes
	top     []ranked
	cold    []ranked // of a ranking: items without events
	keys    []packed

	newcomers *Newcomers // of the request; the codes of these items follow those of the model's
	trace     *trace     // records what is added to some items; nil but for explanations
}

// A line is as many sums as a line of the cache holds.
const (
	lineBits = 4
	line     = 1 << lineBits
)

// notTouched is the sum of an item that no row mentions: the negative zero. Nothing is lost by it, as adding it changes no number. What is added must not be a negative zero
// itself; adding zero makes a positive one of it.
var notTouched = float32(math.Copysign(0, -1))

const notTouchedBits = 1 << 31

func newScratch(items int) *scratch {
	lines := (items + 8*line - 1) &^ (8*line - 1) / line // a multiple of eight
	return &scratch{sum: slices.Repeat([]float32{notTouched}, lines*line), lines: make([]uint8, lines), state: make([]uint8, items)}
}

type ranked struct {
	item      int32
	relevance float32
}

// Bits of scratch.state.
const (
	stateSeen = 1 << iota
	stateEstimated
	stateGiven // was met in the list of a ranking
)

// has reports whether an item is touched.
func (s *scratch) has(item int32) bool { return math.Float32bits(s.sum[item]) != notTouchedBits }

func (s *scratch) touch(item int32) {
	if !s.has(item) {
		s.sum[item] = 0
		s.touched = append(s.touched, item)
	}
}

// flag sets a bit of an item's state.
func (s *scratch) flag(item int32, bit uint8) {
	if s.state[item] == 0 {
		s.flagged = append(s.flagged, item)
	}
	s.state[item] |= bit
}

func (k *ranker) acquire() *scratch { return k.scratch.Get().(*scratch) }

func (k *ranker) release(s *scratch) {
	for _, i := range s.flagged {
		s.state[i] = 0
	}
	for _, i := range s.touched {
		s.sum[i] = notTouched
	}
	if s.gain != nil {
		for _, i := range s.touched {
			s.gain[i] = 0
		}
	}
	s.touched, s.flagged, s.seen, s.top, s.cold, s.values = s.touched[:0], s.flagged[:0], s.seen[:0], s.top[:0], s.cold[:0], s.values[:0]
	s.newcomers, s.trace = nil, nil
	k.scratch.Put(s)
}

// relevance fills s with the touched items of a history, oldest first, and of s.values, in the given situations.
func (k *ranker) relevance(s *scratch, history []step, in ...situation) {
	k.sum(s, history)
	k.finish(s, in...)
}

// sum is the first half of relevance: it adds up rows.
func (k *ranker) sum(s *scratch, history []step) {
	add, many := (*scratch).add, k.many(history)
	if many {
		add = (*scratch).addMany
	}
	for n, age := len(history), 0; age < min(n, len(k.decay)); age++ {
		h := history[n-1-age]
		s.trace.because(cause{step: n - 1 - age, value: -1})
		w := k.decay[age] * float32(float64(h.weight)/one)
		if near, weight, sum := k.sources(s, h.item); sum > 0 {
			for n, i := range near {
				add(s, k.rows, i, float32(w*float32(weight[n]/sum)))
			}
			continue
		}
		add(s, k.rows, h.item, w)
	}
	if w := tasteWeight(len(history)); w > 0 {
		for _, v := range s.values {
			s.trace.because(cause{step: -1, value: v})
			add(s, k.tastes.rows, v, w)
		}
	}
	if many {
		s.collect()
	}
	if k.demote {
		for _, h := range history {
			if int(h.item) < len(k.prior) && s.state[h.item]&stateSeen == 0 {
				s.touch(h.item)
				s.flag(h.item, stateSeen)
				s.seen = append(s.seen, h.item)
			}
		}
	}
}

// perLine is how many entries of rows there must be for each line of sums so that addMany and collect are faster than add. It decides nothing but speed, and in which
// order items are noted.
const perLine = 6

// many tells whether the rows of a history are long beside the catalogue.
func (k *ranker) many(history []step) bool {
	entries := 0
	for _, h := range history[max(0, len(history)-len(k.decay)):] {
		if int(h.item) < len(k.prior) {
			entries += int(k.rows.offsets[h.item+1] - k.rows.offsets[h.item])
		}
	}
	return entries*line > perLine*len(k.prior)
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
	estimates := k.estimates(s)
	if estimates && s.gain == nil {
		s.gain = make([]float32, len(k.prior))
	}
	for _, i := range s.touched {
		prior := k.prior[i]
		v := s.sum[i] + prior
		for at := range in {
			if v > 0 {
				f := in[at].factor(i)
				v = float32(v * f)
				s.trace.multiply(i, at, f)
			}
		}
		s.sum[i] = v
		if estimates {
			s.gain[i] = v - prior
		}
	}
	for _, i := range s.seen {
		s.sum[i] -= demotion
		if estimates {
			s.gain[i] = 0
		}
	}
	if k.cold != nil {
		k.estimate(s)
	}
}

// estimates reports whether a request can ask for items that are estimated by others.
func (k *ranker) estimates(s *scratch) bool { return k.cold != nil || s.newcomers != nil }

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

// add adds a row, with a weight. This is where most of the time of a request goes, so it is written without a branch for the processor to guess: every item is noted, and
// the note of one that was touched before is overwritten by the next.
func (s *scratch) add(r *rows, row int32, w float32) {
	items, values := r.of(row)
	n := len(s.touched)
	s.touched = slices.Grow(s.touched, len(items))
	noted, sum, v := s.touched[:n+len(items)], s.sum, values[:len(items)]
	for j, i := range items {
		old := sum[i]
		noted[n] = i
		n += 1 - touches(old)
		sum[i] = old + (float32(w*v[j]) + 0)
	}
	s.touched = s.touched[:n]
	s.trace.add(items, values, w)
}

// touches is 1 for the sum of an item that is touched, 0 for that of another.
func touches(sum float32) int { return int(-uint64(math.Float32bits(sum)^notTouchedBits) >> 63) }

// addMany is add where the rows of a request mention most of the catalogue: that an item is touched is noted for its line only, until collect, and two entries are loaded
// at a time, which are of different items.
func (s *scratch) addMany(r *rows, row int32, w float32) {
	items, values := r.of(row)
	sum, lines := s.sum, s.lines
	i, v := items, values
	for len(i) >= 2 && len(v) >= 2 {
		a, b := i[0], i[1]
		x, y := sum[a]+(float32(w*v[0])+0), sum[b]+(float32(w*v[1])+0)
		lines[a>>lineBits], lines[b>>lineBits] = 1, 1
		sum[a], sum[b] = x, y
		i, v = i[2:], v[2:]
	}
	if len(i) == 1 {
		sum[i[0]] += float32(w*v[0]) + 0
		lines[i[0]>>lineBits] = 1
	}
	s.trace.add(items, values, w)
}

// collect notes the items that addMany has touched, ascending.
func (s *scratch) collect() {
	n := 0
	for at := 0; at < len(s.lines); at += 8 {
		marked := binary.LittleEndian.Uint64(s.lines[at:])
		if marked == 0 {
			continue
		}
		binary.LittleEndian.PutUint64(s.lines[at:], 0)
		s.touched = slices.Grow(s.touched[:n], 8*line)
		noted := s.touched[:cap(s.touched)]
		for ; marked != 0; marked &= marked - 1 {
			first := (at + bits.TrailingZeros64(marked)/8) * line
			for k, v := range s.sum[first : first+line] {
				noted[n] = int32(first + k)
				n += touches(v)
			}
		}
	}
	s.touched = s.touched[:n]
}

// of is the relevance of one item after relevance has filled s.
func (k *ranker) of(s *scratch, item int32) float32 {
	if int(item) >= len(k.prior) {
		return s.newcomers.of(k, s, item-int32(len(k.prior)))
	}
	if k.cold.has(item) && s.state[item]&(stateEstimated|stateSeen) == 0 {
		return k.cold.of(k, s, k.cold.place[item])
	}
	if s.has(item) {
		return s.sum[item]
	}
	return k.prior[item]
}

// inList is what an item with events or an estimate is ordered by in a list without a goal, after relevance has filled s: as top has it, for which only the estimates count
// that relevance has looked at.
func (k *ranker) inList(s *scratch, item int32) float32 {
	if s.has(item) {
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

// key is a number that is the smaller, the earlier r stands in a list: before in one comparison.
func (r ranked) key() packed {
	bits := math.Float32bits(r.relevance + 0) // of the two zeros the positive one
	if bits>>31 == 0 {
		bits ^= math.MaxInt32 // the greater a positive number, the smaller its key; bits of negative ones are in this order already
	}
	return packed(bits)<<32 | packed(uint32(r.item))
}

// order sorts a list that is long, best first.
func (s *scratch) order(list []ranked) {
	s.keys = s.keys[:0]
	for _, r := range list {
		s.keys = append(s.keys, r.key())
	}
	sortByItem(s.keys) // by their upper half, which is the relevance
	for from, to := 0, 0; from < len(s.keys); from = to {
		for to = from + 1; to < len(s.keys) && s.keys[to]>>32 == s.keys[from]>>32; to++ {
		}
		slices.Sort(s.keys[from:to])
	}
	for n, key := range s.keys {
		bits := uint32(key >> 32)
		if bits>>31 == 0 {
			bits ^= math.MaxInt32
		}
		list[n] = ranked{int32(uint32(key)), math.Float32frombits(bits)}
	}
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
		if s.has(i) {
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
			if s.has(i) {
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
