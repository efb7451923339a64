package filter

import (
	"slices"
	"strconv"
)

// A Compiled is a Selection for the candidates of Columns, by their codes. It lets pass what the Selection does; that one is the plain reading of the rules,
// and tests hold the two against each other.
type Compiled struct {
	columns  *Columns
	rules    []compiledRule
	includes bool
	kept     *bitset // those that pass, where every rule has bits or a list; nil elsewhere
}

// compiledRule holds of the candidates of a bit set, of those in a list, or of those whose records pass the tests.
type compiledRule struct {
	exclude bool
	bits    bitset
	listed  []int32   // a rule on events: sorted
	events  bool      // whether it is one
	where   [][]check // of a rule without a bit set
}

// On prepares the selection for the candidates of columns, of which the user of the request has events of the types in types; the types of a candidate that
// is not there are none. It is nil if the columns do not hold all fields that the filter reads. The caller must call Done when it has asked all it wants; until then
// no record of the columns changes.
func (s *Selection) On(c *Columns, types map[int32][]string) *Compiled {
	for i := range s.rules {
		if !c.has(s.rules[i].where) {
			return nil
		}
	}
	c.mu.RLock()
	out := &Compiled{columns: c, includes: s.includes, rules: make([]compiledRule, len(s.rules))}
	for i := range s.rules {
		from, to := &s.rules[i], &out.rules[i]
		to.exclude = from.exclude
		switch {
		case from.where[0][0].events:
			to.events = true
			for code, kinds := range types {
				if anyOf(from.where, Candidate{Types: kinds}) {
					to.listed = append(to.listed, code)
				}
			}
			slices.Sort(to.listed)
		default:
			to.bits, to.where = c.rule(from.where), from.where
		}
	}
	out.combine()
	return out
}

// combine puts the rules together, so that each candidate costs one look.
func (s *Compiled) combine() {
	if slices.ContainsFunc(s.rules, func(r compiledRule) bool { return r.bits == nil && !r.events }) {
		return
	}
	kept, _ := s.columns.spare.Get().(*bitset)
	if kept == nil {
		b := newBitset(s.columns.n)
		kept = &b
	}
	b := *kept
	for i := range b {
		b[i] = ^uint64(0)
		if s.includes {
			b[i] = 0
		}
	}
	for _, exclude := range []bool{false, true} { // what is excluded is out, whoever includes it
		for i := range s.rules {
			switch r := &s.rules[i]; {
			case r.exclude != exclude:
			case r.events:
				for _, code := range r.listed {
					b.put(code, !exclude)
				}
			case exclude:
				b.without(r.bits)
			default:
				b.or(r.bits)
			}
		}
	}
	s.kept = kept
}

// Done lets go of the columns. Nothing may be asked any more.
func (s *Compiled) Done() {
	if s.kept != nil {
		s.columns.spare.Put(s.kept)
		s.kept = nil
	}
	s.columns.mu.RUnlock()
}

// Keeps reports whether the filter lets the candidate of that code pass.
func (s *Compiled) Keeps(code int32) bool {
	if s.kept != nil {
		return s.kept.has(code)
	}
	return s.keeps(code)
}

// Drops is the opposite of Keeps.
func (s *Compiled) Drops(code int32) bool { return !s.Keeps(code) }

// Kept has a bit for each candidate that Keeps lets pass, from the least of each word on, if these are known; else it is nil. It is valid until Done.
func (s *Compiled) Kept() []uint64 {
	if s.kept == nil {
		return nil
	}
	return *s.kept
}

// keeps asks one rule after the other.
func (s *Compiled) keeps(code int32) bool {
	included := !s.includes
	for i := range s.rules {
		r := &s.rules[i]
		if included && !r.exclude {
			continue
		}
		if s.holds(r, code) {
			if r.exclude {
				return false
			}
			included = true
		}
	}
	return included
}

func (s *Compiled) holds(r *compiledRule, code int32) bool {
	switch {
	case r.bits != nil:
		return r.bits.has(code)
	case r.events:
		_, ok := slices.BinarySearch(r.listed, code)
		return ok
	}
	return s.columns.any(r.where, code)
}

// any reports whether one of the conjunctions of tests on records holds of a candidate.
func (c *Columns) any(where [][]check, code int32) bool {
	for _, conjunction := range where {
		all := true
		for i := range conjunction {
			if all = c.holds(&conjunction[i], code); !all {
				break
			}
		}
		if all {
			return true
		}
	}
	return false
}

// name appends a text that says what a test on records asks.
func (c *check) name(b []byte) []byte {
	b = strconv.AppendInt(b, int64(c.column), 10)
	b = append(b, ' ', byte('0'+c.op))
	if c.null {
		b = append(b, '0')
	}
	for _, n := range c.numbers {
		b = append(append(b, ' '), n.String()...)
	}
	for _, t := range c.texts {
		b = strconv.AppendQuote(b, t)
	}
	return b
}
