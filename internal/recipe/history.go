package recipe

import (
	"cmp"
	"slices"

	"github.com/palate-dev/palate/internal/dataset"
)

// step is one item of a user's history.
type step struct {
	item   int32
	weight int64 // in units of 2⁻¹⁶
	time   int64
}

// history appends the first n events of user u to steps, oldest first. Events of the same second stand in random order, for the order of their ids would
// be a pattern that is not there; the same item several times in a row is one step.
func (in *input) history(steps []step, u, n int) []step {
	return readHistory(steps, in.ev, &in.admit, draw(in.cfg.Seed, in.ev.Users[u]), u, n)
}

// readHistory is history for whoever has the events but not their users; key is the draw of the user's id.
func readHistory(steps []step, ev *dataset.Events, admit *admission, key uint64, u, n int) []step {
	base := len(steps)
	start := ev.Offsets[u]
	for at := start; at < start+int64(n); at++ {
		weight := int64(one)
		if len(admit.weights) > 0 {
			weight = admit.weight(ev.Types[ev.Type[at]], value(ev.Value[at]))
		}
		steps = append(steps, step{ev.Item[at], weight, ev.Time[at]})
	}
	shuffleTies(steps[base:], key)
	return append(steps[:base], collapse(steps[base:])...)
}

func shuffleTies(steps []step, key uint64) {
	for i := 0; i < len(steps); {
		j := i + 1
		for j < len(steps) && steps[j].time == steps[i].time {
			j++
		}
		if j-i > 1 {
			slices.SortStableFunc(steps[i:j], func(a, b step) int {
				return cmp.Compare(mix(key^uint64(a.item)), mix(key^uint64(b.item)))
			})
		}
		i = j
	}
}

// collapse makes one step, with the greatest weight, of neighbours with the same item.
func collapse(steps []step) []step {
	out := steps[:0]
	for _, s := range steps {
		if n := len(out); n > 0 && out[n-1].item == s.item {
			out[n-1].weight = max(out[n-1].weight, s.weight)
			out[n-1].time = s.time
			continue
		}
		out = append(out, s)
	}
	return out
}

// corpus is the training material of one fit: the histories of some of the users, and what they say about the data as a whole.
type corpus struct {
	sequences
	time   []int64  // beside sequences.item
	hidden [][]step // of each user, the end of the history that is not in the sequences

	ordered bool // events have an order in time worth learning
	baskets bool // most neighbouring events are at the same time
	repeats bool // users come back to items
}

// Thresholds of what the data as a whole says.
const (
	orderedShare = 1   // percent of neighbouring events at different times, below which order is noise
	repeatShare  = 100 // one event in so many must be a return to an item for returns to be a habit
)

// gather collects the histories of the users that use accepts.
func (in *input) gather(use func(u int) bool) *corpus {
	return in.gatherFirst(use, func(n int) int { return n })
}

// gatherFirst is gather for the first keep(n) steps of each history of n.
func (in *input) gatherFirst(use func(u int) bool, keep func(n int) int) *corpus {
	c := &corpus{sequences: sequences{items: len(in.items), offsets: make([]int64, 1, len(in.ev.Users)+1)}}
	n := int64(0)
	for u := range in.ev.Users {
		if use(u) {
			n += in.ev.Offsets[u+1] - in.ev.Offsets[u]
		}
	}
	c.item, c.weight, c.user, c.time = make([]int32, 0, n), make([]int64, 0, n), make([]int32, 0, n), make([]int64, 0, n)
	var steps []step
	var apart, pairs, returns int64
	seen := make([]int32, len(in.items)) // 1 + the last user who had the item
	for u := range in.ev.Users {
		if !use(u) {
			continue
		}
		n := int(in.ev.Offsets[u+1] - in.ev.Offsets[u])
		steps = in.history(steps[:0], u, n)
		kept := keep(len(steps))
		c.hidden = append(c.hidden, slices.Clone(steps[kept:]))
		steps = steps[:kept]
		for k, s := range steps {
			c.item = append(c.item, s.item)
			c.weight = append(c.weight, s.weight)
			c.user = append(c.user, int32(len(c.offsets)-1))
			c.time = append(c.time, s.time)
			if k > 0 {
				pairs++
				if s.time != steps[k-1].time {
					apart++
				}
				if seen[s.item] == int32(u)+1 {
					returns++
				}
			}
			seen[s.item] = int32(u) + 1
		}
		c.offsets = append(c.offsets, int64(len(c.item)))
	}
	c.ordered = apart*100 >= pairs*orderedShare && apart > 0
	c.baskets = apart*2 < pairs
	c.repeats = returns*repeatShare >= pairs && returns > 0
	return c
}
