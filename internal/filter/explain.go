package filter

import (
	"slices"
	"strconv"
	"strings"

	"github.com/palate-dev/palate/internal/schema"
)

// A Verdict is what one rule of a filter makes of one candidate.
type Verdict struct {
	Rule    string     `json:"rule"`
	Skipped string     `json:"skipped,omitempty"` // why the rule does not count in the request
	Holds   bool       `json:"holds"`             // for the candidate: some conjunction of Tests holds
	Tests   [][]Tested `json:"tests,omitempty"`   // a disjunction of conjunctions
	If      []Tested   `json:"if,omitempty"`      // tests on the user of the request
}

// Tested is one test with what it found.
type Tested struct {
	Test  string   `json:"test"`
	Found []string `json:"found"`          // the value of the field, or the types of the user's events with the candidate; none for null
	With  []string `json:"with,omitempty"` // the values of the request that stand for a placeholder or for CurrentItem
	Holds bool     `json:"holds"`
}

// Explain tells rule by rule what the filter, bound to a request's values, makes of a candidate, and whether it lets it pass: what For and Keeps say, by the same
// tests.
func (f *Filter) Explain(b *Bound, subject Subject, c Candidate) (verdicts []Verdict, keeps bool) {
	counts := b.For(subject)
	of := func(rules []boundRule, index int) *boundRule {
		at := slices.IndexFunc(rules, func(r boundRule) bool { return r.index == index })
		if at < 0 {
			return nil
		}
		return &rules[at]
	}
	for i := range f.rules {
		rule := &f.rules[i]
		var text strings.Builder
		rule.print(&text)
		v := Verdict{Rule: text.String()}
		bound, counting := of(b.rules, i), of(counts.rules, i)
		if bound != nil {
			v.If = explainAll(rule.ifs, bound.ifs, Candidate{Record: subject.User})
		}
		switch {
		case bound == nil:
			v.Skipped = "The request has no value for a placeholder of it."
		case counting == nil && subject.Anonymous:
			v.Skipped = "The request names no user, whom IF asks about."
		case counting == nil:
			v.Skipped = "What IF asks for does not hold for the user."
		default:
			v.Holds = anyOf(counting.where, c)
			for k := range rule.where {
				v.Tests = append(v.Tests, explainAll(rule.where[k], counting.where[k], c))
			}
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, counts.Keeps(c)
}

func explainAll(tests []*test, checks []check, c Candidate) (out []Tested) {
	for i := range checks {
		t, x := tests[i], &checks[i]
		var text strings.Builder
		printConjunction(&text, []*test{t})
		e := Tested{Test: text.String(), Found: x.found(c), Holds: x.holds(c)}
		if _, literal := t.operand.(*list); !literal {
			e.With = x.operandTexts()
		}
		out = append(out, e)
	}
	return out
}

// found is what a test looks at.
func (c *check) found(of Candidate) []string {
	if c.events {
		return append([]string{}, of.Types...)
	}
	v := of.Record.field(c.column)
	switch {
	case !v.Valid:
		return []string{}
	case c.kind == schema.Int || c.kind == schema.Long:
		return []string{strconv.FormatInt(v.Int, 10)}
	case c.kind.Numeric():
		return []string{strconv.FormatFloat(v.Float, 'g', -1, 64)}
	}
	return []string{v.Str}
}

func (c *check) operandTexts() []string {
	texts := slices.Compact(slices.Clone(c.texts))
	for _, n := range c.numbers {
		texts = append(texts, n.String())
	}
	return texts
}
