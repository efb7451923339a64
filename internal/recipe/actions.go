package recipe

import (
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/dataset"
)

// Next best action: the probability that a user takes an action within the optimization period.
//
// Every time that an action was shown to a user is an example: taken if a TAKEN of the same user and action follows within the period. A TAKEN that nothing
// preceded is an example, too. With p the action's share of taken examples, shrunk towards that of all actions, the score of an action for a user is
//
//	s = p + Σ w_k x_k
//
// where each feature x_k says by how much some share of taken examples exceeds p: of the user's own answers to all actions and to this one, and the mean over the
// items that he had to do with last, their attributes and his own, of the share among examples with the same item or attribute. Shares are shrunk towards p as
// by a Beta prior of a fixed weight. The weights w are a ridge regression of taken-p on x over all examples, in closed form, drawn to usualWeights, in which an example's own outcome is
// left out of the shares in its features. Last, s is calibrated: the examples are sorted into bins of s and the share of each bin is made monotone (pool adjacent
// violators, Ayer et al. 1955), between whose middles the probability is linear.
//
// All counts and the sums of the regression are integers, so that their order cannot matter.

const (
	actionWindow  = 6 * 7 * daySeconds // before the latest interaction with an action: what decides whether an action has a score
	actionFewest  = 50                 // interactions of either outcome that a score takes
	actionItems   = 10                 // latest items of a user that count
	actionBins    = 48                 // of the calibration, each 1/binsPerOne wide, from binsBelow of them below 0 on: regression may leave [0, 1]
	binsPerOne    = 32
	binsBelow     = 8
	sharePrior    = 20.0 // examples that the prior of a share weighs,
	answerPrior   = 3.0  // of one of the user's own answers
	binPrior      = 16.0 // and of a bin's
	actionRidge   = 1.0
	actionShown   = 5 // length of the lists of which precision and recall are measured: the default of requests
	actionFeature = 5 // number of features

	ownShare, ownActionShare, itemShare, itemLevelShare, userLevelShare = 0, 1, 2, 3, 4
)

// reaction is what an event with an action says.
type reaction uint8

const (
	viewed reaction = iota
	notTaken
	taken
)

// reactionOf reads an event type in any of its spellings. Unknown ones, which only bulk data can have, say no more than that the action was seen.
func reactionOf(kind string) reaction {
	switch strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "").Replace(kind)) {
	case "taken":
		return taken
	case "nottaken":
		return notTaken
	}
	return viewed
}

// outcomes counts examples.
type outcomes struct{ shown, taken int64 }

func (o *outcomes) add(is bool) {
	o.shown++
	if is {
		o.taken++
	}
}

// over is by how much the share of taken exceeds p, shrunk towards p by a prior of that weight.
func (o outcomes) over(p, prior float64) float64 {
	return (float64(o.taken)+float64(prior*p))/(float64(o.shown)+prior) - p
}

// example is one time that an action was shown.
type example struct {
	user, action int32
	time         int64
	taken        bool
	own, ownThis outcomes // the user's answers before
}

// examples appends those of one user of acted.
func examples(list []example, acted *dataset.Events, kinds []reaction, u int, period int64) []example {
	type open struct{ at []int }
	pending, answers, all := map[int32]*open{}, map[int32]outcomes{}, outcomes{}
	for at := acted.Offsets[u]; at < acted.Offsets[u+1]; at++ {
		a, now, is := acted.Item[at], acted.Time[at], kinds[acted.Type[at]] == taken
		o := pending[a]
		if o == nil {
			o = &open{}
			pending[a] = o
		}
		answered := false
		if is {
			for _, e := range o.at {
				if age(now, list[e].time) <= period {
					list[e].taken, answered = true, true
				}
			}
			o.at = o.at[:0]
		}
		if !answered {
			if !is {
				o.at = append(o.at, len(list))
			}
			list = append(list, example{user: int32(u), action: a, time: now, taken: is, own: all, ownThis: answers[a]})
		}
		all.add(is)
		this := answers[a]
		this.add(is)
		answers[a] = this
	}
	return list
}

// tokens are what is known of a user at some time, by group: codes of items, of levels of items, of levels of users, each ascending and once.
type tokens [3][]int32

// actionSpace codes tokens.
type actionSpace struct {
	itemRow                []int32 // the row of an item's attributes, -1 for none
	itemRows, userRows     *Attributes
	itemLevels, userLevels []int32 // code of the first level of each column, -1 for columns that are not levels
	size                   int32
}

func newActionSpace(items int, itemRow []int32, itemRows, userRows *Attributes) *actionSpace {
	s := &actionSpace{itemRow: itemRow, itemRows: itemRows, userRows: userRows, size: int32(items)}
	code := func(a *Attributes) (first []int32) {
		if a == nil {
			return nil
		}
		for i := range a.Columns {
			if a.Columns[i].Kind != Levels {
				first = append(first, -1)
				continue
			}
			first = append(first, s.size)
			s.size += int32(len(a.Columns[i].Level))
		}
		return first
	}
	s.itemLevels, s.userLevels = code(itemRows), code(userRows)
	return s
}

// of codes the latest items, newest last, and the attributes of a user, whose row is -1 if there are none.
func (s *actionSpace) of(items []int32, userRow int32) (t tokens) {
	for _, i := range slices.Backward(items) {
		if len(t[0]) == actionItems {
			break
		}
		if !slices.Contains(t[0], i) {
			t[0] = append(t[0], i)
		}
	}
	level := func(g int, a *Attributes, first []int32, row int32) {
		if a == nil || row < 0 {
			return
		}
		for c, from := range first {
			if from >= 0 {
				for _, l := range a.Columns[c].Of(int(row)) {
					t[g] = append(t[g], from+l)
				}
			}
		}
	}
	for _, i := range t[0] {
		if int(i) < len(s.itemRow) {
			level(1, s.itemRows, s.itemLevels, s.itemRow[i])
		}
	}
	level(2, s.userRows, s.userLevels, userRow)
	for g := range t {
		slices.Sort(t[g])
		t[g] = slices.Compact(t[g])
	}
	return t
}

// tokenRows are the outcomes of examples by token and action: the rows of tokens, actions ascending.
type tokenRows struct {
	offsets      []int64
	action       []int32
	shown, taken []int64
}

func (r *tokenRows) of(token, action int32) outcomes {
	from, to := r.offsets[token], r.offsets[token+1]
	if at, ok := slices.BinarySearch(r.action[from:to], action); ok {
		return outcomes{r.shown[from+int64(at)], r.taken[from+int64(at)]}
	}
	return outcomes{}
}

// actionModel is what scores actions.
type actionModel struct {
	counts      []outcomes // by action, of examples
	all         outcomes
	scored      []uint8 // 1 for an action with enough interactions of both outcomes
	rows        *tokenRows
	weights     []float64
	calibration []float64 // by bin
}

// share is the action's share of taken examples, shrunk towards that of all.
func (m *actionModel) share(o, all outcomes) float64 {
	everywhere := (float64(all.taken) + 1) / (float64(all.shown) + 2)
	return everywhere + o.over(everywhere, sharePrior)
}

// features of one action for a user. left is the example whose outcome must not show in them, nil outside of the training.
func (m *actionModel) features(a int32, t *tokens, own, ownThis outcomes, left *example) (x [actionFeature]float64, p float64) {
	leave := func(o outcomes) outcomes {
		if left != nil && o.shown > 0 {
			o.shown--
			if left.taken {
				o.taken--
			}
		}
		return o
	}
	p = m.share(leave(m.counts[a]), leave(m.all))
	x[ownShare], x[ownActionShare] = own.over(p, answerPrior), ownThis.over(p, answerPrior)
	for g, list := range t {
		if len(list) == 0 {
			continue
		}
		sum := 0.0
		for _, token := range list {
			sum += leave(m.rows.of(token, a)).over(p, sharePrior)
		}
		x[itemShare+g] = sum / float64(len(list))
	}
	return x, p
}

// raw is the score before its calibration, which may lie beyond 0 and 1.
func (m *actionModel) raw(x *[actionFeature]float64, p float64) float64 {
	for k, w := range m.weights {
		p += float64(w * x[k])
	}
	return p
}

// bin is the place of a score among the bins, in bins from the middle of the first one.
func bin(s float64) float64 {
	return min(actionBins-1, max(0, float64(s*binsPerOne)+(binsBelow-0.5)))
}

// propensity is the probability that the action is taken, 0 without a score.
func (m *actionModel) propensity(a int32, t *tokens, own, ownThis outcomes) float64 {
	if m.scored[a] == 0 {
		return 0
	}
	x, p := m.features(a, t, own, ownThis, nil)
	return m.calibrated(m.raw(&x, p))
}

// calibrated is linear between the middles of the bins and flat beyond the outer ones.
func (m *actionModel) calibrated(s float64) float64 {
	at := bin(s)
	low := min(actionBins-2, int(at))
	part := at - float64(low)
	return m.calibration[low] + float64(part*(m.calibration[low+1]-m.calibration[low]))
}
