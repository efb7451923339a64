package recipe

import (
	"math"
	"slices"
)

// Fixed point: weights are int64 in units of 2⁻¹⁶, products of two weights in units of 2⁻³². Sums of integers commute, so counting may run on any
// number of cores and in any order; and a sum over users minus one user's terms is the sum without that user.
const (
	fixed = 16
	one   = 1 << fixed
)

// sequences are the users' histories as the counts see them, oldest first.
type sequences struct {
	items   int
	offsets []int64 // len(users)+1
	item    []int32
	weight  []int64 // of the event, in units of 2⁻¹⁶
	user    []int32 // the sequence an event belongs to
}

func (s *sequences) users() int { return len(s.offsets) - 1 }

// postings lists for each item where it occurs.
type postings struct {
	offsets []int64
	at      []int32
}

func (p *postings) of(item int) []int32 { return p.at[p.offsets[item]:p.offsets[item+1]] }

// invert lists for each of n items the indices into item at which it stands.
func invert(item []int32, n int) *postings {
	p := &postings{offsets: make([]int64, n+1), at: make([]int32, len(item))}
	for _, i := range item {
		p.offsets[i+1]++
	}
	for i := range n {
		p.offsets[i+1] += p.offsets[i]
	}
	next := slices.Clone(p.offsets[:n])
	for at, i := range item {
		p.at[next[i]] = int32(at)
		next[i]++
	}
	return p
}

// window holds the decayed sums over pairs of events that stand close together in a history.
//
// With w(k) the weight of the event k steps before a target, h the decayed history in front of a target and e the target itself, it counts the
// rows of HᵀH and of HᵀE over all positions of all users. Events p and q, d apart, meet in the history of every target within reach of both, so
// their term of HᵀH is a partial sum of w(s)w(s+d), which is tabulated. To both are added, with the weight back, the same sums over histories that are
// read backwards: where order says little, a transition against it says nearly as much as one along it, and there are as many of them again.
type window struct {
	seq   *sequences
	where *postings
	decay []int64   // decay[k] = w(k), from k = 1 on
	meet  [][]int64 // meet[d][m] = sum of w(s)w(s+d) over s = 1..m, in units of 2⁻¹⁶
	back  int64     // in units of 2⁻¹⁶
}

func newWindow(seq *sequences, where *postings, decay []int64, back int64) *window {
	reach := len(decay) - 1
	w := &window{seq: seq, where: where, decay: decay, meet: make([][]int64, reach), back: back}
	for d := range w.meet {
		w.meet[d] = make([]int64, reach-d+1)
		sum := int64(0)
		for m := 1; m <= reach-d; m++ {
			sum += decay[m] * decay[m+d]
			w.meet[d][m] = sum >> fixed
		}
	}
	return w
}

func (w *window) reach() int { return len(w.decay) - 1 }

// geometric is the decay g^(k-1), g in units of 2⁻¹⁶, for k = 1..reach, or up to the last k for which it is not negligible: what is left out of sums costs nothing.
func geometric(g int64, reach int) []int64 {
	decay := []int64{0}
	for v := int64(one); len(decay) <= reach && v >= negligibleDecay; v = (v*g + one/2) >> fixed {
		decay = append(decay, v)
	}
	return decay
}

const negligibleDecay = one / 128

// fading is the decay of regressions with order: most of it is geometric in g and lets the newest events decide what comes next, and a share of lasting falls so
// slowly, with the fourth root of g, that older events together still say what a user likes.
func fading(g int64, reach int) []int64 {
	fast := geometric(g, reach)
	slow := geometric(int64(math.Sqrt(math.Sqrt(float64(g)/one))*one), reach)
	for k := range slow {
		slow[k] = slow[k] * lasting >> fixed
		if k < len(fast) {
			slow[k] += fast[k] * (one - lasting) >> fixed
		}
		if k > 0 && slow[k] < negligibleDecay {
			return slow[:k]
		}
	}
	return slow
}

const lasting = one / 5

// gram counts row i of HᵀH, in units of 2⁻³².
func (w *window) gram(i int, c *counter) {
	reach := w.reach()
	c.expect(len(w.where.of(i)) * reach)
	for _, at := range w.where.of(i) {
		p := int(at)
		user := w.seq.user[p]
		first, end := int(w.seq.offsets[user]), int(w.seq.offsets[user+1])
		for q := max(first, p-reach+1); q < min(end, p+reach); q++ {
			early, late := min(p, q), max(p, q)
			d := late - early
			after, before := min(end-1-late, reach-d), min(early-first, reach-d) // targets
			met := w.meet[d][after] + w.meet[d][before]*w.back>>fixed
			c.add(w.seq.item[q], met*(w.seq.weight[p]*w.seq.weight[q]>>fixed))
		}
	}
}

// own is what the events of item i add to its diagonal element of HᵀH each by itself, in the same units.
func (w *window) own(i int) int64 {
	sum := int64(0)
	for _, at := range w.where.of(i) {
		p := int(at)
		user := w.seq.user[p]
		after, before := min(int(w.seq.offsets[user+1])-1-p, w.reach()), min(p-int(w.seq.offsets[user]), w.reach())
		sum += (w.meet[0][after] + w.meet[0][before]*w.back>>fixed) * (w.seq.weight[p] * w.seq.weight[p] >> fixed)
	}
	return sum
}

// into counts column j of HᵀE, in units of 2⁻³²: from where users came to item j.
func (w *window) into(j int, c *counter) { w.around(j, c, one, w.back) }

// from counts row i of HᵀE, in units of 2⁻³²: where users went from item i.
func (w *window) from(i int, c *counter) { w.around(i, c, w.back, one) }

// around counts what stands before and after an item, each with its weight.
func (w *window) around(i int, c *counter, before, after int64) {
	c.expect(len(w.where.of(i)) * w.reach())
	for _, at := range w.where.of(i) {
		p := int(at)
		user := w.seq.user[p]
		first, end := int(w.seq.offsets[user]), int(w.seq.offsets[user+1])
		for q := max(first, p-w.reach()); before > 0 && q < p; q++ {
			c.add(w.seq.item[q], (w.decay[p-q]*before>>fixed)*(w.seq.weight[p]*w.seq.weight[q]>>fixed))
		}
		for q := p + 1; after > 0 && q < min(end, p+w.reach()+1); q++ {
			c.add(w.seq.item[q], (w.decay[q-p]*after>>fixed)*(w.seq.weight[p]*w.seq.weight[q]>>fixed))
		}
	}
}

// baskets are the users' sets of items, without order, for co-occurrence.
type baskets struct {
	seq    sequences // distinct items of a user, ascending, without weights
	weight []int64   // of a user
	where  *postings
}

// basketSize caps a user's set at the newest items, because co-occurrence costs the square of it.
const basketSize = 1000

// newBaskets makes the sets. damp gives a user of n items the weight 1/√n instead of 1, so that those who took everything say less.
func newBaskets(s *sequences, damp bool) *baskets {
	if damp {
		return newWeightedBaskets(s, halfDamped)
	}
	return newWeightedBaskets(s, undamped)
}

// newWeightedBaskets makes the sets. A user of n items has the weight of n.
func newWeightedBaskets(s *sequences, weight func(n int) int64) *baskets {
	b := &baskets{seq: sequences{items: s.items, offsets: make([]int64, 1, len(s.offsets))}, weight: make([]int64, s.users())}
	b.seq.item, b.seq.user = make([]int32, 0, len(s.item)), make([]int32, 0, len(s.item))
	latest := make([]int32, s.items) // 1 + the last user who had the item
	for u := range s.users() {
		from := len(b.seq.item)
		history := s.item[s.offsets[u]:s.offsets[u+1]]
		for k := len(history) - 1; k >= 0 && len(b.seq.item) < from+basketSize; k-- {
			if i := history[k]; latest[i] != int32(u)+1 {
				latest[i] = int32(u) + 1
				b.seq.item = append(b.seq.item, i)
				b.seq.user = append(b.seq.user, int32(u))
			}
		}
		slices.Sort(b.seq.item[from:])
		b.weight[u] = weight(max(1, len(b.seq.item)-from))
		b.seq.offsets = append(b.seq.offsets, int64(len(b.seq.item)))
	}
	b.where = invert(b.seq.item, s.items)
	return b
}

// undamped lets every user weigh the same by event.
func undamped(int) int64 { return one }

// halfDamped lets users of many items weigh less by event but more in all: 1/√n.
func halfDamped(n int) int64 { return int64(math.Round(one / math.Sqrt(float64(n)))) }

// damped lets every user weigh the same in all: 1/n.
func damped(n int) int64 { return max(1, one/int64(n)) }

// together counts row i of the co-occurrence matrix, in units of 2⁻¹⁶, the diagonal included.
func (b *baskets) together(i int, c *counter) {
	b.count(i, c, func(at int32) []int32 { return b.set(b.seq.user[at]) })
}

// onward is together from the diagonal on: as the matrix is symmetric, the rows of all items say everything so, in half of the time.
func (b *baskets) onward(i int, c *counter) {
	b.count(i, c, func(at int32) []int32 { return b.seq.item[at:b.seq.offsets[b.seq.user[at]+1]] }) // sets ascend
}

// set is the set of a user.
func (b *baskets) set(u int32) []int32 { return b.seq.item[b.seq.offsets[u]:b.seq.offsets[u+1]] }

// count adds up some of the items that the users of item i have, each with its user's weight.
func (b *baskets) count(i int, c *counter, some func(at int32) []int32) {
	terms := 0
	for _, at := range b.where.of(i) {
		terms += len(some(at))
	}
	c.expect(terms)
	for _, at := range b.where.of(i) {
		w := b.weight[b.seq.user[at]]
		if set := some(at); c.full {
			for _, j := range set {
				c.sum[j] += w
			}
		} else {
			for _, j := range set {
				c.add(j, w)
			}
		}
	}
}

// own is the diagonal element of item i, in the same units.
func (b *baskets) own(i int) int64 {
	sum := int64(0)
	for _, at := range b.where.of(i) {
		sum += b.weight[b.seq.user[at]]
	}
	return sum
}

// size is the number of users who have item i.
func (b *baskets) size(i int) int { return len(b.where.of(i)) }
