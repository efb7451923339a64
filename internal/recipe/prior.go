package recipe

import (
	"math/bits"
	"slices"
)

// The prior is what is said about an item before anything is known about a user: its share of all events, of the first events of all users, and of
// recent events. Shares are counted in integers.

const (
	early     = 5  // events from the start of a history that count as early
	halfLives = 12 // the time between the first and the last event, in half-lives of recency
)

// shares are the items' shares of all events, of early ones and of recent ones; each sums to 1.
type shares struct{ all, early, late []float64 }

func (c *corpus) shares() shares {
	all, first, late := make([]int64, c.items), make([]int64, c.items), make([]int64, c.items)
	oldest, newest := bounds(c.time)
	for u := range c.users() {
		for at := c.offsets[u]; at < c.offsets[u+1]; at++ {
			i, w := c.item[at], c.weight[at]
			all[i] += w
			if at < c.offsets[u]+early {
				first[i] += w
			}
			late[i] += w >> lives(c.time[at], oldest, newest)
		}
	}
	return shares{normalized(all), normalized(first), normalized(late)}
}

// normalized divides by the sum.
func normalized(counts []int64) []float64 {
	sum := int64(0)
	for _, n := range counts {
		sum += n
	}
	out := make([]float64, len(counts))
	for i, n := range counts {
		out[i] = float64(n) / float64(max(1, sum))
	}
	return out
}

// mix is the prior under a choice, with its weight.
func (s *shares) mix(chosen choice) []float32 {
	p := make([]float32, len(s.all))
	for i := range p {
		lasting := (s.all[i] + s.early[i]) / 2
		p[i] = float32(chosen.prior * (float64(chosen.recency*s.late[i]) + float64((1-chosen.recency)*lasting)))
	}
	return p
}

// lives is how many half-lives before the newest time t is, in whole ones. Differences of any two times fit into 64 bits without a sign, and twelve of them into 128.
func lives(t, oldest, newest int64) uint64 {
	high, low := bits.Mul64(uint64(newest)-uint64(t), halfLives)
	whole, _ := bits.Div64(high, low, max(1, uint64(newest)-uint64(oldest)))
	return whole
}

func bounds(times []int64) (oldest, newest int64) {
	if len(times) == 0 {
		return 0, 0
	}
	return slices.Min(times), slices.Max(times)
}
