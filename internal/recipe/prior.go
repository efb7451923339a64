package recipe

import "slices"

// The prior is what is said about an item before anything is known about a user: its share of all events, of the first events of all users, and of
// recent events. Shares are counted in integers.

const (
	early     = 5  // events from the start of a history that count as early
	halfLives = 12 // the time between the first and the last event, in half-lives of recency
)

// prior returns each item's mixture of shares; they sum to 1. recent says whether recency counts.
func (c *corpus) prior(recent bool) []float32 {
	all, first, late := make([]int64, c.items), make([]int64, c.items), make([]int64, c.items)
	var allSum, firstSum, lateSum int64
	oldest, newest := bounds(c.time)
	for u := range c.users() {
		for at := c.offsets[u]; at < c.offsets[u+1]; at++ {
			i, w := c.item[at], c.weight[at]
			all[i] += w
			allSum += w
			if at < c.offsets[u]+early {
				first[i] += w
				firstSum += w
			}
			age := (newest - c.time[at]) * halfLives / max(1, newest-oldest)
			late[i] += w >> age
			lateSum += w >> age
		}
	}
	p := make([]float32, c.items)
	if allSum == 0 {
		return p
	}
	for i := range p {
		share := [3]float64{float64(all[i]) / float64(allSum), float64(first[i]) / float64(firstSum), float64(late[i]) / float64(lateSum)}
		if recent && newest > oldest {
			p[i] = float32((share[0] + share[1] + share[2]) / 3)
		} else {
			p[i] = float32((share[0] + share[1]) / 2)
		}
	}
	return p
}

func bounds(times []int64) (oldest, newest int64) {
	if len(times) == 0 {
		return 0, 0
	}
	return slices.Min(times), slices.Max(times)
}
