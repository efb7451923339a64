package recipe

import (
	"math"

	"github.com/palate-dev/palate/internal/dataset"
)

// candidates is how many of the items that nothing in a history points to get a score from user-personalization-v2, the most popular ones.
const candidates = 500

// Recommend appends the answer to q to buf[:0]: at most q.N items, best first.
func (m *Model) Recommend(q Query, buf []Scored) []Scored {
	buf = buf[:0]
	if q.N <= 0 {
		return buf
	}
	exclude := q.Excluded
	if exclude == nil && q.Exclude != nil {
		exclude = func(item int32) bool { return q.Exclude(m.items[item]) }
	}
	if m.related != nil {
		return m.listRelated(&q, exclude, buf)
	}
	if m.ranker == nil {
		return m.listPopular(q.N, exclude, buf)
	}
	s := m.ask(&q)
	defer m.ranker.release(s)
	m.ranker.estimate(s)
	s.allowed = q.Allowed
	list := m.ranker.top(s, q.N, exclude)
	buf = m.score(s, list, buf)
	if m.manifest.Recipe == personalizationV2 {
		buf = m.pad(s, q.N, exclude, buf)
	}
	return m.explore(s, &q, buf)
}

// ask finds what is relevant to q. Lists need ranker.estimate after it. The result must be released.
func (m *Model) ask(q *Query) *scratch {
	if q.Newcomers == nil {
		q.Newcomers = m.newcomers
	}
	s := m.ranker.acquire()
	s.newcomers, s.trace = q.Newcomers, q.trace
	s.steps = m.steps(s.steps[:0], q)
	m.taste(s, q)
	m.ranker.sum(s, s.steps)
	m.ranker.finish(s, m.situations(q.Context)...)
	return s
}

// Rank orders the items of a list for the user of q, each once: those with events by relevance, with scores that sum to 1; then, without scores, those that
// the model knows by their attributes, by relevance, and the others as they stand.
// The model must be one of personalization.
func (m *Model) Rank(q Query, list []string, buf []Scored) []Scored {
	buf = buf[:0]
	s := m.ask(&q)
	defer m.ranker.release(s)
	var others map[string]bool // those that were met of which the model has no code
	var unknown []string
	sum := 0.0
	s.codes = m.codes.findAll(list, s.codes[:0])
	for n, id := range list {
		i, known := m.knownAs(q.Newcomers, id, s.codes[n])
		if 0 <= i && int(i) < len(m.items) {
			if s.state[i]&stateGiven != 0 {
				continue
			}
			s.flag(i, stateGiven)
		} else {
			if others[id] {
				continue
			}
			if others == nil {
				others = map[string]bool{}
			}
			others[id] = true
		}
		if m.excluded(&q, i, id) {
			continue
		}
		if !known {
			unknown = append(unknown, id)
			continue
		}
		r := m.ranker.at(s, i)
		if int(i) >= len(m.items) || m.count[i] == 0 {
			s.cold = append(s.cold, r)
			continue
		}
		s.top = append(s.top, r)
		sum += m.ranker.share(r)
	}
	s.order(s.top)
	for _, r := range s.top {
		buf = append(buf, Scored{Item: m.items[r.item], Score: round7(m.ranker.share(r) / sum), HasScore: true})
	}
	s.order(s.cold)
	for _, r := range s.cold {
		buf = append(buf, Scored{Item: m.name(q.Newcomers, r.item)})
	}
	for _, id := range unknown {
		buf = append(buf, Scored{Item: id})
	}
	return buf
}

// excluded reports whether q takes out an item; code is what known returns for it.
func (m *Model) excluded(q *Query, code int32, id string) bool {
	if q.Excluded != nil && 0 <= code && int(code) < len(m.items) {
		return q.Excluded(code)
	}
	return q.Exclude != nil && q.Exclude(id)
}

// listPopular is the same for everybody.
func (m *Model) listPopular(n int, exclude func(int32) bool, buf []Scored) []Scored {
	for _, i := range m.popular {
		if len(buf) == n {
			break
		}
		if exclude == nil || !exclude(i) {
			buf = append(buf, Scored{Item: m.items[i]})
		}
	}
	return buf
}

// steps is the user's history: what was trained on, then what came since. Items that the model does not know are passed over.
func (m *Model) steps(steps []step, q *Query) []step {
	if q.Known {
		if u, ok := m.users.find(q.User); ok {
			n := int(m.ev.Offsets[u+1] - m.ev.Offsets[u])
			steps = readHistory(steps, &m.ev, &m.admit, draw(m.manifest.Config.Seed, q.User), u, n)
		}
	}
	for i := range q.Live {
		if s, ok := m.liveStep(&q.Live[i], q.Newcomers); ok {
			steps = append(steps, s)
		}
	}
	return collapse(steps)
}

func (m *Model) liveStep(e *dataset.LiveEvent, n *Newcomers) (step, bool) {
	weight := m.admit.weight(e.Type, e.Value)
	item, known := m.known(n, e.Item)
	return step{item, weight, e.Time}, known && weight > 0
}

// score turns relevance into scores: each item's odds over the odds of all items with scores, so that these sum to 1.
func (m *Model) score(s *scratch, list []ranked, buf []Scored) []Scored {
	total := m.ranker.total(s)
	for _, r := range list {
		share := m.ranker.share(r) / total
		buf = append(buf, Scored{Item: m.items[r.item], Score: round7(share), HasScore: true})
	}
	return buf
}

func round7(v float64) float64 { return math.Round(float64(v*1e7)) / 1e7 }

// pad fills a list that a filter has left short with popular items, which have no score.
func (m *Model) pad(s *scratch, n int, exclude func(int32) bool, buf []Scored) []Scored {
	for _, i := range m.ranker.order[m.ranker.scored:] {
		if len(buf) >= n {
			break
		}
		if !s.has(i) && (exclude == nil || !exclude(i)) {
			buf = append(buf, Scored{Item: m.items[i], Reason: "Popular item"})
		}
	}
	return buf
}
