package recipe

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"sync"

	"github.com/palate-dev/palate/internal/recipe/vec"
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
	padded []float32   // prior to the end of its last line
	every  []int32     // the numbers of all lines
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
	k.padded = make([]float32, lines(len(prior))*vec.Line)
	k.prior = k.padded[:copy(k.padded, prior)]
	for l := range lines(len(prior)) {
		k.every = append(k.every, int32(l))
	}
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

// scratch holds the touched items of one request. Between requests every sum is vec.NotAdded, and all else is zero.
type scratch struct {
	sum     []float32 // by item, to the end of the last line: what rows add until finish, afterwards the relevance, and vec.Nothing or vec.NotAdded of items that are not touched
	lines   []int32   // of sum, those with touched items
	every   bool      // these are all lines, the ranker's
	own     []int32   // memory of lines
	marks   []uint8   // by line: 1 for those in lines, if they are not all
	gain    []float32 // what the request adds to the priors of items that the user has not had; filled where items are estimated by others
	state   []uint8
	flagged []int32 // items whose state is not zero
	seen    []int32 // items of the history, where they are demoted
	steps   []step
	addends []addend
	values  []int32 // of the user's attributes, see userTastes
	top     []ranked
	merged  []ranked // memory of top
	cold    []ranked // of a ranking: items without events
	codes   []int32  // and the codes of its list
	places  []int32  // of the estimates of a list
	keys    []packed

	allowed []uint64  // a bit for each item that may be in the list; nil for all, or if only exclude tells
	kept    []float32 // the lines one after the other, with vec.Nothing in the place of those that may not

	newcomers *Newcomers // of the request; the codes of these items follow those of the model's
	trace     *trace     // records what is added to some items; nil but for explanations
}

// addend is a row that a request adds up.
type addend struct {
	row    vec.Row
	weight float32
	why    cause
}

func newScratch(items int) *scratch {
	lines := lines(items)
	return &scratch{sum: slices.Repeat([]float32{vec.NotAdded}, lines*vec.Line), marks: make([]uint8, (lines+7)&^7), state: make([]uint8, items)}
}

// lines is how many lines so many items take.
func lines(items int) int { return (items + vec.Line - 1) / vec.Line }

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

const (
	notAdded = 1 << 31    // the bits of vec.NotAdded
	nothing  = 0xff800000 // and of vec.Nothing
)

// has reports whether an item is touched.
func (s *scratch) has(item int32) bool {
	v := math.Float32bits(s.sum[item])
	return v != notAdded && v != nothing
}

// touched yields the items that are touched, after finish.
func (s *scratch) touched(yield func(item int32) bool) {
	for at := 0; at < len(s.lines); at++ {
		next, high := vec.Reaching(s.sum, s.lines[at:], noFloor)
		if at += next; high == 0 {
			return
		}
		for first := s.lines[at] * vec.Line; high != 0; high &= high - 1 {
			if !yield(first + int32(bits.TrailingZeros32(high))) {
				return
			}
		}
	}
}

// enter makes the line of an item one of those of the request, and reports whether it was none.
func (s *scratch) enter(item int32) bool {
	l := item / vec.Line
	if s.every || s.marks[l] == 1 {
		return false
	}
	s.marks[l] = 1
	s.lines = append(s.lines, l)
	return true
}

// touch adds nothing to the sum of an item, before finish.
func (s *scratch) touch(item int32) {
	s.enter(item)
	s.sum[item] += 0
}

// set makes v the relevance of an item, after finish.
func (s *scratch) set(item int32, v float32) {
	if s.enter(item) {
		vec.Fill(s.sum, []int32{item / vec.Line}, vec.Nothing)
	}
	s.sum[item] = v
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
	vec.Fill(s.sum, s.lines, vec.NotAdded)
	if s.gain != nil {
		vec.Fill(s.gain, s.lines, 0)
	}
	if !s.every {
		for _, l := range s.lines {
			s.marks[l] = 0
		}
		s.own = s.lines[:0]
	}
	s.lines, s.every = nil, false
	s.flagged, s.seen, s.top, s.cold, s.values = s.flagged[:0], s.seen[:0], s.top[:0], s.cold[:0], s.values[:0]
	s.newcomers, s.trace, s.allowed = nil, nil, nil
	k.scratch.Put(s)
}

// relevance fills s with the touched items of a history, oldest first, and of s.values, in the given situations, as lists need it.
func (k *ranker) relevance(s *scratch, history []step, in ...situation) {
	k.sum(s, history)
	k.finish(s, in...)
	k.estimate(s)
}

// sum is the first step of relevance: it adds up rows.
func (k *ranker) sum(s *scratch, history []step) {
	entries := k.find(s, history)
	marks := s.marks
	if s.every = entries > perLine*len(k.every); s.every {
		marks, s.lines = nil, k.every
	}
	for n, t := range s.addends {
		next := vec.Row{}
		if n+1 < len(s.addends) {
			next = s.addends[n+1].row
		}
		vec.SparseAdd(s.sum, marks, t.row, t.weight, next)
		s.trace.add(&t)
	}
	if !s.every {
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

// perLine is how many entries of rows there must be for each line of sums so that it is faster to take all lines for touched than to mark those that are. It decides
// nothing but speed, and in which order odds are added up.
const perLine = 4

// find lists the rows that speak for a history and for s.values, and counts their entries.
func (k *ranker) find(s *scratch, history []step) (entries int) {
	s.addends = s.addends[:0]
	add := func(r *rows, row int32, w float32, why cause) {
		items, values := r.of(row)
		entries += len(items)
		s.addends = append(s.addends, addend{vec.Row{Item: items, Value: values}, w, why})
	}
	for n, age := len(history), 0; age < min(n, len(k.decay)); age++ {
		h, why := history[n-1-age], cause{step: n - 1 - age, value: -1}
		w := k.decay[age] * float32(float64(h.weight)/one)
		if near, weight, sum := k.sources(s, h.item); sum > 0 {
			for n, i := range near {
				add(k.rows, i, float32(w*float32(weight[n]/sum)), why)
			}
			continue
		}
		add(k.rows, h.item, w, why)
	}
	if w := tasteWeight(len(history)); w > 0 {
		for _, v := range s.values {
			add(k.tastes.rows, v, w, cause{step: -1, value: v})
		}
	}
	return entries
}

// collect lists the lines that are marked, ascending.
func (s *scratch) collect() {
	s.lines = s.own[:0]
	for at := 0; at < len(s.marks); at += 8 {
		for marked := binary.LittleEndian.Uint64(s.marks[at:]); marked != 0; marked &= marked - 1 {
			s.lines = append(s.lines, int32(at+bits.TrailingZeros64(marked)/8))
		}
	}
}

// finish is the second step of relevance: it adds what is said of the items to whomever.
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
		s.gain = make([]float32, len(s.sum))
	}
	gain := s.gain
	if !estimates {
		gain = nil
	}
	vec.Finish(s.sum, gain, k.padded, s.lines)
	if len(in) > 0 {
		for i := range s.touched {
			v := s.sum[i]
			for at := range in {
				if v > 0 {
					f := in[at].factor(i)
					v = float32(v * f)
					s.trace.multiply(i, at, f)
				}
			}
			s.sum[i] = v
			if estimates {
				gain[i] = v - k.prior[i]
			}
		}
	}
	for _, i := range s.seen {
		s.sum[i] -= demotion
		if estimates {
			gain[i] = 0
		}
	}
}

// estimates reports whether a request can ask for items that are estimated by others.
func (k *ranker) estimates(s *scratch) bool { return k.cold != nil || s.newcomers != nil }

// save appends the sums of the lines, restore sets them again; no line may be entered between.
func (s *scratch) save(sums []float32) []float32 {
	for _, l := range s.lines {
		sums = append(sums, s.sum[int(l)*vec.Line:][:vec.Line]...)
	}
	return sums
}

func (s *scratch) restore(sums []float32) {
	for n, l := range s.lines {
		copy(s.sum[int(l)*vec.Line:][:vec.Line], sums[n*vec.Line:])
	}
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

// odd turns a relevance into odds: itself where it is well above zero, and ever smaller but positive below. The scores of a response are
// odds over their sum: the softmax of the logarithms.
func (k *ranker) odd(relevance float32) float64 { return vec.Odd(float64(relevance), k.floor) }

// total is the sum of the odds of all items with scores.
func (k *ranker) total(s *scratch) float64 {
	if len(k.order) == 0 {
		return 1
	}
	if k.goal != nil {
		return k.totalByGoal(s)
	}
	sum := k.odds + vec.Odds(s.sum, s.lines, k.floor)
	if k.scored < len(s.lines)*vec.Line { // the shorter way
		for n, i := range k.order[:k.scored] { // of those that are touched; which ones these are cannot be guessed, so that there is no branch
			v := math.Float32bits(s.sum[i])
			touched := -uint64(v^notAdded) & -uint64(v^nothing) // below zero if it is
			sum -= math.Float64frombits(math.Float64bits(k.head[n]) & uint64(int64(touched)>>63))
		}
		return sum
	}
	last := k.order[k.scored-1]
	for i := range s.touched {
		if before(ranked{i, k.prior[i]}, ranked{last, k.prior[last]}) <= 0 { // counted in k.odds
			sum -= k.odd(k.prior[i])
		}
	}
	return sum
}
