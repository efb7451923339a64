package recipe

import (
	"cmp"
	"slices"
	"sort"
)

// Exploration shows new items before the data speaks for them. Each place of a list but the first is given to an explored item with a
// small probability, in proportion to the exploration weight; which item is a lottery among those that are new, with fewer tickets for those
// that have been seen more. The explored item takes the score of the item it pushes down. All draws follow from the request's seed.
const (
	exploreShare = 0.2   // of the places, at exploration weight 1
	exploreV2    = 0.001 // of the places, for user-personalization-v2
	cutOffV2     = 30    // days
	tickets      = 1 << 20
	daySeconds   = 24 * 60 * 60
)

// novelty lists the items by age, the newest first. Items without events are newest.
type novelty struct {
	item    []int32
	first   []int64 // time of the first event, or of the newest event of all
	tickets []int64 // sum over the items up to and including this one
	newest  int64
}

func newNovelty(count, first []int64, newest int64) *novelty {
	n := &novelty{newest: newest}
	appeared := func(i int32) int64 {
		if count[i] == 0 {
			return newest
		}
		return first[i]
	}
	for i := range count {
		n.item = append(n.item, int32(i))
	}
	slices.SortStableFunc(n.item, func(a, b int32) int { return cmp.Compare(appeared(b), appeared(a)) })
	sum := int64(0)
	for _, i := range n.item {
		sum += max(1, tickets/(1+count[i]))
		n.first = append(n.first, appeared(i))
		n.tickets = append(n.tickets, sum)
	}
	return n
}

// drawItem draws one item not older than the cut-off in days; ok is false if there is none.
func (n *novelty) drawItem(cutOff float64, bits uint64) (item int32, ok bool) {
	oldest := float64(n.newest) - float64(cutOff*daySeconds)
	end := sort.Search(len(n.first), func(i int) bool { return float64(n.first[i]) < oldest })
	if end == 0 {
		return 0, false
	}
	ticket := int64(bits % uint64(n.tickets[end-1]))
	at := sort.Search(end, func(i int) bool { return n.tickets[i] > ticket })
	return n.item[at], true
}

// explore puts new items in some places of the list.
func (m *Model) explore(q *Query, exclude func(int32) bool, list []Scored) []Scored {
	share, cutOff := exploreShare*q.ExplorationWeight, q.CutOff
	if m.manifest.Recipe == personalizationV2 {
		share, cutOff = exploreV2, cutOffV2
	}
	if q.RequestSeed == 0 || share <= 0 {
		return list
	}
	for place := 1; place < len(list); place++ {
		bits := mix(q.RequestSeed + uint64(place))
		if uniform(bits) >= share {
			continue
		}
		i, ok := m.novel.drawItem(cutOff, mix(bits))
		if !ok || exclude != nil && exclude(i) || slices.ContainsFunc(list, func(s Scored) bool { return s.Item == m.items[i] }) {
			continue
		}
		explored := Scored{Item: m.items[i], Score: list[place].Score, HasScore: list[place].HasScore, Reason: "Exploration"}
		list = slices.Insert(list, place, explored)
		if len(list) > q.N {
			list = list[:q.N]
		}
	}
	return list
}
