package recipe

import (
	"cmp"
	"strings"

	"github.com/palate-dev/palate/internal/dataset"
)

// servedActions is an open next-best-action model.
type servedActions struct {
	actionModel
	ids    []string
	listed []uint8 // 1 for the actions of the Actions dataset
	index  map[string]int32
	actors stringTable
	acted  dataset.Events // Users is left empty; Item are indices into ids
	kinds  []reaction
	space  *actionSpace
}

func (m *Model) loadActions() error {
	var errs [17]error
	s := &servedActions{index: map[string]int32{}}
	var ids, kinds stringTable
	ids, errs[0] = table(m.mapping, "action")
	kinds, errs[1] = table(m.mapping, "reaction")
	s.actors, errs[2] = table(m.mapping, "actor")
	s.acted.Offsets, errs[3] = array[int64](m.mapping, "acted.offsets")
	s.acted.Item, errs[4] = array[int32](m.mapping, "acted.action")
	s.acted.Type, errs[5] = array[uint16](m.mapping, "acted.type")
	s.acted.Time, errs[6] = array[int64](m.mapping, "acted.time")
	shown, err := array[int64](m.mapping, "action.shown")
	errs[7] = err
	taken, err := array[int64](m.mapping, "action.taken")
	errs[8] = err
	s.scored, errs[9] = array[uint8](m.mapping, "action.scored")
	s.rows = &tokenRows{}
	s.rows.offsets, errs[10] = array[int64](m.mapping, "token.offsets")
	s.rows.action, errs[11] = array[int32](m.mapping, "token.action")
	s.rows.shown, errs[12] = array[int64](m.mapping, "token.shown")
	s.rows.taken, errs[13] = array[int64](m.mapping, "token.taken")
	s.weights, errs[14] = array[float64](m.mapping, "weight")
	s.calibration, errs[15] = array[float64](m.mapping, "calibration")
	s.listed, errs[16] = array[uint8](m.mapping, "action.listed")
	if err := cmp.Or(errs[:]...); err != nil {
		return err
	}
	if m.count, err = array[int64](m.mapping, "item.count"); err != nil {
		return err
	}
	for i := range ids.len() {
		s.ids = append(s.ids, strings.Clone(ids.at(i)))
		s.index[s.ids[i]] = int32(i)
		s.counts = append(s.counts, outcomes{shown[i], taken[i]})
		s.all = outcomes{s.all.shown + shown[i], s.all.taken + taken[i]}
	}
	for i := range kinds.len() {
		s.acted.Types = append(s.acted.Types, strings.Clone(kinds.at(i)))
		s.kinds = append(s.kinds, reactionOf(kinds.at(i)))
	}
	row := make([]int32, len(m.items))
	next := int32(0)
	for i, shown := range m.shown {
		row[i] = -1
		if shown == 1 {
			row[i] = next
			next++
		}
	}
	s.space = newActionSpace(len(m.items), row, m.itemRows, m.userRows)
	m.acts = s
	return nil
}

// Acted is what the user of q did with actions, oldest first: up to the training, and since.
func (m *Model) Acted(q *ActionQuery) []dataset.LiveEvent {
	var events []dataset.LiveEvent
	s := m.acts
	if u, ok := s.actors.find(q.User); ok && q.Acting {
		for at := s.acted.Offsets[u]; at < s.acted.Offsets[u+1]; at++ {
			events = append(events, dataset.LiveEvent{Time: s.acted.Time[at], Item: s.ids[s.acted.Item[at]], Type: s.acted.Types[s.acted.Type[at]]})
		}
	}
	return append(events, q.Acted...)
}

// ActionQuery is one request for actions: Query, and what the user did with actions.
type ActionQuery struct {
	Query
	Acting bool                // whether what he did with actions up to the training may be used
	Acted  []dataset.LiveEvent // what he did with actions since
}

// actor is what is known of the user of a request.
type actor struct {
	tokens  tokens
	own     outcomes            // his answers to all actions
	answers map[string]outcomes // and to each
}

func (m *Model) actor(q *ActionQuery) (known actor) {
	known.answers = map[string]outcomes{}
	for _, e := range m.Acted(q) {
		is := reactionOf(e.Type) == taken
		known.own.add(is)
		this := known.answers[e.Item]
		this.add(is)
		known.answers[e.Item] = this
	}
	var items []int32
	userRow := int32(-1)
	if q.Known {
		if u, ok := m.users.find(q.User); ok {
			items = append(items, m.ev.Item[m.ev.Offsets[u]:m.ev.Offsets[u+1]]...)
		}
		if m.userRows != nil {
			if r, ok := m.profiles.find(q.User); ok {
				userRow = int32(r)
			}
		}
	}
	for _, e := range q.Live {
		if i, ok := m.Code(e.Item); ok {
			items = append(items, i)
		}
	}
	known.tokens = m.acts.space.of(items, userRow)
	return known
}

// Propensities returns the probability, rounded to seven decimals, that the user takes each of the actions; 0 for one that the model cannot tell it of. The model
// must be one of next-best-action.
func (m *Model) Propensities(q *ActionQuery, actions []string) []float64 {
	known := m.actor(q)
	out := make([]float64, len(actions))
	for k, id := range actions {
		if a, ok := m.acts.index[id]; ok {
			out[k] = round7(m.acts.propensity(a, &known.tokens, known.own, known.answers[id]))
		}
	}
	return out
}
