package recipe

// What the attributes of users say about a segment. Let c_l be how often, among the users and the items that are asked for, a user with value l of a column has
// such an item, c the sum over the column's values, and P(l) the share of l in all that users have. A user's affinity, to which that of the average user is added so
// that nobody has none, is multiplied by
//
//	1 + θ Σ_l (P(l | asked) / P(l) − 1),   P(l | asked) = (c_l + doubt P(l)) / (c + doubt)
//
// over the values that he has, and by leastTrait at least: by Bayes' rule, but values add up where it would multiply, as in taste.go. θ is chosen by the data,
// because who did much has said himself what his attributes say of others; it is 0 where they do not help.

const leastTrait = 0.05

// traits are the values of the attributes of those who can be in a segment.
type traits struct {
	weight  float64   // θ
	offsets []int64   // by user, into value
	value   []int32   // numbered over all columns
	column  []int32   // of each value
	share   []float64 // P(l)
	columns int
}

// newTraits reads the rows of the users: -1 for one without. had counts what each user has. nil without attributes or weight.
func newTraits(a *Attributes, weight float64, had []int64, row func(u int) int) *traits {
	if a == nil || weight == 0 {
		return nil
	}
	all := newTastes(a, func(column int) []float64 { return binEdges(&a.Columns[column]) })
	t := &traits{weight: weight, offsets: make([]int64, 1, len(had)+1), share: make([]float64, all.size()), columns: len(all.columns)}
	for k := range all.columns {
		for range all.columns[k].values() {
			t.column = append(t.column, int32(k))
		}
	}
	times := make([]int64, all.size())
	for u, n := range had {
		t.value = append(t.value, all.of(nil, row(u))...)
		for _, l := range t.value[t.offsets[u]:] {
			times[l] += n
		}
		t.offsets = append(t.offsets, int64(len(t.value)))
	}
	whole := t.byColumn(times)
	for l, n := range times {
		if n > 0 {
			t.share[l] = float64(n) / float64(whole[t.column[l]])
		}
	}
	return t
}

// of are the values of a user.
func (t *traits) of(u int32) []int32 { return t.value[t.offsets[u]:t.offsets[u+1]] }

// byColumn adds up the counts of the values of each column.
func (t *traits) byColumn(times []int64) []int64 {
	sums := make([]int64, t.columns)
	for l, n := range times {
		sums[t.column[l]] += n
	}
	return sums
}

// tilt multiplies the affinities in s, to the items, by what the users' attributes say.
func (t *traits) tilt(s *audience, h *holding, items []int32) {
	if t == nil {
		return
	}
	times := make([]int64, len(t.share))
	for _, j := range items {
		for _, u := range h.of(j) {
			for _, l := range t.of(u) {
				times[l]++
			}
		}
	}
	whole := t.byColumn(times)
	gain := make([]float64, len(times))
	for l, n := range times {
		if t.share[l] > 0 {
			given := (float64(n) + float64(tasteDoubt*t.share[l])) / float64(whole[t.column[l]]+tasteDoubt)
			gain[l] = float64(t.weight * float64(given/t.share[l]-1))
		}
	}
	average := 0.0
	for _, score := range s.score {
		average += float64(score)
	}
	if average /= float64(len(s.score)); average == 0 { // only attributes speak
		average = 1
	}
	for u, score := range s.score {
		factor := 1.0
		for _, l := range t.of(int32(u)) {
			factor += gain[l]
		}
		s.score[u] = float32((float64(score) + average) * max(leastTrait, factor))
	}
}
