package recipe

import (
	"cmp"
	"slices"
	"sort"
)

// Exploration shows new items before the data speaks for them. Each place of a list but the first is given to an explored item with a
// small probability, in proportion to the exploration weight. Which item is drawn with a probability in proportion to
//
//	odds(i) · tickets / (1 + n_i)
//
// with n_i how often item i was seen, in events and impressions, and its odds those that the request's user takes it, by the item's own rows or by the estimate
// from its attributes: what is shown in vain gives way to others, and nobody explores what is not for him. Of the whole product one would have to estimate
// all new items for each request; so contest of them are drawn by the tickets and one of these by the odds, which tends to the same distribution (sampling importance
// resampling, Rubin 1987). An item of which nothing is known has the mean odds of the others. The explored item takes the score of the item it pushes down.
// All draws follow from the request's seed.
const (
	exploreShare = 0.2   // of the places, at exploration weight 1
	exploreV2    = 0.001 // of the places, for user-personalization-v2
	cutOffV2     = 30    // days
	contest      = 32
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
	n := &novelty{ids: ids, seen: seen, appeared: appeared, newest: newest, order: make([]int32, 0, len(ids)), tickets: make([]int64, 0, len(ids))}
	for i := range ids {
		n.order = append(n.order, int32(i))
	}
	slices.SortFunc(n.order, func(a, b int32) int { return cmp.Or(cmp.Compare(appeared[b], appeared[a]), cmp.Compare(a, b)) })
	sum := int64(0)
	for _, i := range n.order {
		sum += max(1, tickets/(1+seen[i]))
		n.tickets = append(n.tickets, sum)
	}
	return n
}

// drawItem draws one item not older than the cut-off in days; ok is false if there is none.
func (n *novelty) drawItem(cutOff float64, bits uint64) (id string, ok bool) {
	end := sort.Search(len(n.order), func(k int) bool { return !n.recent(cutOff, int(n.order[k])) })
	if end == 0 {
		return "", false
	}
	ticket := int64(bits % uint64(n.tickets[end-1]))
	at := sort.Search(end, func(k int) bool { return n.tickets[k] > ticket })
	return n.ids[n.order[at]], true
}

// recent reports whether an item is not older than the cut-off in days.
func (n *novelty) recent(cutOff float64, item int) bool {
	return float64(n.appeared[item]) >= float64(n.newest)-float64(cutOff*daySeconds)
}

// explores is the share of the places that q gives to items not older than the cut-off in days.
func (m *Model) explores(q *Query) (share, cutOff float64) {
	if m.manifest.Recipe == personalizationV2 {
		return exploreV2, cutOffV2
	}
	return exploreShare * q.ExplorationWeight, q.CutOff
}

// explore puts new items in some places of the list. s holds what is relevant to q.
func (m *Model) explore(s *scratch, q *Query, list []Scored) []Scored {
	share, cutOff := m.explores(q)
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
		id, ok := m.drawNew(s, q, novel, cutOff, bits, list)
		if !ok {
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

// drawNew draws a new item, which the user may have and has not; ok is false if there is none, or if the one that was drawn is in the list: others do not
// gain by that, or few new items would be shown however often they were before.
func (m *Model) drawNew(s *scratch, q *Query, novel *novelty, cutOff float64, bits uint64, list []Scored) (id string, ok bool) {
	var ids [contest]string
	var odds [contest]float64 // 0 for those of which nothing is known
	n, known, sum := 0, 0, 0.0
	for range contest {
		bits = mix(bits)
		id, ok := novel.drawItem(cutOff, bits)
		if !ok {
			return "", false
		}
		item, estimated := m.known(q.Newcomers, id)
		if m.excluded(q, item, id) || estimated && m.had(s, item) {
			continue
		}
		ids[n], odds[n] = id, 0
		if estimated {
			odds[n] = m.ranker.odd(m.ranker.of(s, item))
			known++
			sum += odds[n]
		}
		n++
	}
	mean := 1.0
	if known > 0 {
		mean = sum / float64(known)
	}
	ticket := uniform(mix(bits)) * float64(float64(sum)+float64(n-known)*mean)
	for k := range n {
		if odds[k] == 0 {
			odds[k] = mean
		}
		if ticket -= odds[k]; ticket < 0 || k == n-1 {
			return ids[k], !slices.ContainsFunc(list, func(s Scored) bool { return s.Item == ids[k] })
		}
	}
	return "", false
}

// had tells whether an item is in the history and nobody comes back to an item.
func (m *Model) had(s *scratch, item int32) bool {
	return m.ranker.demote && slices.ContainsFunc(s.steps, func(h step) bool { return h.item == item })
}
