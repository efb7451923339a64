package filter

import (
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/schema"
)

// A Record is a row of Items, Users or Actions in the order of the schema that Bind was given. Values that it is too short for are null; a record that does not
// exist is nil, so that all its fields are null.
type Record []schema.Value

func (r Record) field(i int) schema.Value {
	if i < len(r) {
		return r[i]
	}
	return schema.Value{}
}

// A Subject is what a request names.
type Subject struct {
	Anonymous bool   // the request names no user: expressions with IF do not count
	User      Record // CurrentUser
	Item      Record // CurrentItem
}

// A Candidate is an item, an action or a user that the filter is asked about.
type Candidate struct {
	Record Record
	// Types are the types of the events that interaction datasets count: of an item or an action those that the user of the request has with it among his newest
	// (see Recent), of a user all of his.
	Types []string
}

// A Selection is a filter for the candidates of one request.
type Selection struct {
	rules    []boundRule
	includes bool // some rule includes: what none of them includes is out
}

// For leaves the rules whose IF holds for the subject, with the values of its item in the place of CurrentItem.
func (b *Bound) For(s Subject) *Selection {
	out := &Selection{}
	for _, r := range b.rules {
		if len(r.ifs) > 0 && (s.Anonymous || !all(r.ifs, Candidate{Record: s.User})) {
			continue
		}
		r.where = slices.Clone(r.where)
		for i, conjunction := range r.where {
			if slices.ContainsFunc(conjunction, func(c check) bool { return c.reference }) {
				r.where[i] = slices.Clone(conjunction)
				for k := range r.where[i] {
					r.where[i][k].resolve(s.Item)
				}
			}
		}
		out.rules = append(out.rules, r)
		out.includes = out.includes || !r.exclude
	}
	return out
}

// resolve replaces a reference to CurrentItem by its value.
func (c *check) resolve(item Record) {
	if !c.reference {
		return
	}
	v := item.field(c.column2)
	switch {
	case !v.Valid:
		c.null = true
	case c.kind2.Numeric():
		c.numbers = []quantity{number(c.kind2, v)}
	case c.op.set():
		c.texts = append([]string{v.Str}, strings.Split(v.Str, "|")...)
	default:
		c.texts = []string{v.Str}
	}
}

// Keeps reports whether the filter lets a candidate pass: some INCLUDE holds, or there is none that counts, and no EXCLUDE holds.
func (s *Selection) Keeps(c Candidate) bool {
	included := !s.includes
	for i := range s.rules {
		r := &s.rules[i]
		if included && !r.exclude {
			continue
		}
		if anyOf(r.where, c) {
			if r.exclude {
				return false
			}
			included = true
		}
	}
	return included
}

func anyOf(where [][]check, c Candidate) bool {
	return slices.ContainsFunc(where, func(conjunction []check) bool { return all(conjunction, c) })
}

func all(checks []check, c Candidate) bool {
	for i := range checks {
		if !checks[i].holds(c) {
			return false
		}
	}
	return true
}

// holds evaluates one test. Of null every comparison is false, but NOT IN and != are true.
func (c *check) holds(of Candidate) bool {
	if c.events {
		return c.holdsOfEvents(of.Types)
	}
	v := of.Record.field(c.column)
	if !v.Valid || c.null {
		return c.ofNull()
	}
	if c.kind.Numeric() {
		return c.holdsOfNumber(number(c.kind, v))
	}
	return c.holdsOfText(v.Str)
}

func (c *check) ofNull() bool { return c.op == opNotIn || c.op == opNotEqual }

// holdsOfText asks whether the text, or one of its elements, is an operand.
func (c *check) holdsOfText(text string) bool {
	found := slices.Contains(c.texts, text)
	if !found && strings.Contains(text, "|") {
		for element := range strings.SplitSeq(text, "|") {
			found = found || slices.Contains(c.texts, element)
		}
	}
	return found == (c.op == opIn || c.op == opEqual)
}

// holdsOfEvents asks whether there is an event of one of the types, or with NOT IN one of another type.
func (c *check) holdsOfEvents(kinds []string) bool {
	return slices.ContainsFunc(kinds, func(kind string) bool { return c.holdsOfEvent(foldType(c.entity, kind)) })
}

// holdsOfEvent asks this of one event, whose type is folded.
func (c *check) holdsOfEvent(kind string) bool {
	return c.any || slices.Contains(c.texts, kind) == (c.op != opNotIn)
}

func (c *check) holdsOfNumber(n quantity) bool {
	if c.op.set() {
		return slices.Contains(c.numbers, n) == (c.op == opIn)
	}
	order := n.compare(c.numbers[0])
	switch c.op {
	case opEqual:
		return order == 0
	case opNotEqual:
		return order != 0
	case opLess:
		return order < 0
	case opLessEqual:
		return order <= 0
	case opGreater:
		return order > 0
	}
	return order >= 0
}

// An Event is an interaction of the user of a request, with an item or an action.
type Event struct{ Of, Type string }

// Recent collects, by item or action, the types of the newest events of each type, of a user's events from the oldest to the newest: what tests on
// interactions look at in his requests. most bounds the events of one type; 0 is no bound.
func Recent(e Entity, events []Event, most int) map[string][]string {
	return recent(e, events, most, func(string) bool { return true })
}

// Recent is Recent without the events of which no test of the filter holds: what it keeps does not depend on them, and they are most.
func (b *Bound) Recent(e Entity, events []Event, most int) map[string][]string {
	return recent(e, events, most, b.asks)
}

// asks reports whether a test of some rule holds of events of a type, which is folded.
func (b *Bound) asks(kind string) bool {
	for i := range b.rules {
		for _, conjunction := range b.rules[i].where {
			for k := range conjunction {
				if c := &conjunction[k]; c.events && c.holdsOfEvent(kind) {
					return true
				}
			}
		}
	}
	return false
}

func recent(e Entity, events []Event, most int, wanted func(kind string) bool) map[string][]string {
	types := map[string][]string{}
	seen := map[string]int{}
	for _, ev := range slices.Backward(events) {
		kind := foldType(e, ev.Type)
		if !wanted(kind) {
			continue
		}
		if seen[kind]++; most > 0 && seen[kind] > most {
			continue
		}
		if !slices.Contains(types[ev.Of], kind) {
			types[ev.Of] = append(types[ev.Of], kind)
		}
	}
	return types
}

// NeedsUser reports whether a test needs the request to name a user.
func (f *Filter) NeedsUser() bool {
	events, _ := datasetsOf(f.Entity())
	return f.Entity() != UserID && slices.ContainsFunc(f.tests(), func(t *test) bool { return t.field.dataset == currentUser || t.field.dataset == events })
}

// ReadsEvents reports whether a test is on interactions.
func (f *Filter) ReadsEvents() bool {
	events, _ := datasetsOf(f.Entity())
	return slices.ContainsFunc(f.tests(), func(t *test) bool { return t.field.dataset == events })
}

// Narrow returns the schemas of the datasets whose records the filter reads, with only the fields that it reads, in their order. Bind accepts them, so that
// records need not hold more.
func (f *Filter) Narrow(schemas map[schema.Type]*schema.Schema) map[schema.Type]*schema.Schema {
	reads := f.Fields()
	narrow := map[schema.Type]*schema.Schema{}
	for t, s := range schemas {
		if t.IsLog() {
			continue
		}
		fields := slices.DeleteFunc(slices.Clone(s.Fields), func(c schema.Field) bool {
			return !slices.Contains(reads, field{dataset: t, name: c.Name}.key())
		})
		if len(fields) > 0 {
			narrow[t] = &schema.Schema{Type: t, Domain: s.Domain, Fields: fields}
		}
	}
	return narrow
}
