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

// novelty lists the items by age, the newest first.
type novelty struct {
	ids            []string
	seen, appeared []int64 // by item: how often it was seen, and the time since when it is there
	newest         int64   // time of the newest event of all

	order   []int32
	tickets []int64 // sum over order up to and including this one
}

func newNovelty(ids []string, seen, appeared []int64, newest int64) *novelty {
	n := &novelty{ids: ids, seen: seen, appeared: appeared, newest: newest}
	for i := range ids {
		n.order = append(n.order, int32(i))
	}
	slices.SortStableFunc(n.order, func(a, b int32) int { return cmp.Compare(appeared[b], appeared[a]) })
	sum := int64(0)
	for _, i := range n.order {
		sum += max(1, tickets/(1+seen[i]))
		n.tickets = append(n.tickets, sum)
	}
	return n
}

// drawItem draws one item not older than the cut-off in days; ok is false if there is none.
func (n *novelty) drawItem(cutOff float64, bits uint64) (id string, ok bool) {
	oldest := float64(n.newest) - float64(cutOff*daySeconds)
	end := sort.Search(len(n.order), func(k int) bool { return float64(n.appeared[n.order[k]]) < oldest })
	if end == 0 {
		return "", false
	}
	ticket := int64(bits % uint64(n.tickets[end-1]))
	at := sort.Search(end, func(k int) bool { return n.tickets[k] > ticket })
	return n.ids[n.order[at]], true
}

// explore puts new items in some places of the list.
func (m *Model) explore(q *Query, list []Scored) []Scored {
	share, cutOff := exploreShare*q.ExplorationWeight, q.CutOff
	if m.manifest.Recipe == personalizationV2 {
		share, cutOff = exploreV2, cutOffV2
	}
	if q.RequestSeed == 0 || share <= 0 {
		return list
	}
	novel := m.novel
	if q.Fresh != nil {
		novel = q.Fresh.novelty
	}
	for place := 1; place < len(list); place++ {
		bits := mix(q.RequestSeed + uint64(place))
		if uniform(bits) >= share {
			continue
		}
		id, ok := novel.drawItem(cutOff, mix(bits))
		if !ok || q.Exclude != nil && q.Exclude(id) || slices.ContainsFunc(list, func(s Scored) bool { return s.Item == id }) {
			continue
		}
		explored := Scored{Item: id, Score: list[place].Score, HasScore: list[place].HasScore, Reason: "Exploration"}
		list = slices.Insert(list, place, explored)
		if len(list) > q.N {
			list = list[:q.N]
		}
	}
	return list
}
