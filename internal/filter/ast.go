package filter

import (
	"strings"

	"github.com/palate-dev/palate/internal/schema"
)

// pos is a byte offset in the source.
type pos int

// rule is one INCLUDE or EXCLUDE expression.
type rule struct {
	pos     pos
	exclude bool
	entity  Entity
	where   [][]*test // a disjunction of conjunctions, all on one dataset
	ifs     []*test   // a conjunction on CurrentUser
}

// test compares a field with an operand.
type test struct {
	field   field
	op      op
	opPos   pos
	operand operand
}

// field is a column of a dataset, of the candidate's record or, if current, of the record of the user or item that the request names.
type field struct {
	pos     pos
	dataset schema.Type
	current bool
	name    string // as written
}

type op uint8

const (
	opIn op = iota
	opNotIn
	opEqual
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
)

func (o op) String() string {
	return [...]string{"IN", "NOT IN", "=", "!=", "<", "<=", ">", ">="}[o]
}

// ordered reports whether the operator compares by size.
func (o op) ordered() bool { return o >= opLess }

// set reports whether the operator takes a set.
func (o op) set() bool { return o <= opNotIn }

// operand is *list, *anything, *placeholder or *reference.
type operand interface {
	position() pos
	print(b *strings.Builder, set bool)
}

// list holds the literals of a set, or the single one of a comparison.
type list struct {
	pos      pos
	literals []literal
}

// anything is the asterisk: every event type.
type anything struct{ pos pos }

// placeholder takes its values from the request.
type placeholder struct {
	pos  pos
	name string // without the dollar sign
}

// reference is a field of CurrentItem.
type reference struct{ field field }

// literal is a string or a number.
type literal struct {
	pos    pos
	quoted bool
	text   string // of a string unescaped, of a number as written
}

func (l *list) position() pos        { return l.pos }
func (a *anything) position() pos    { return a.pos }
func (p *placeholder) position() pos { return p.pos }
func (r *reference) position() pos   { return r.field.pos }

// tests returns the rule's tests in the order of the source.
func (r *rule) tests() []*test {
	var all []*test
	for _, conjunction := range r.where {
		all = append(all, conjunction...)
	}
	return append(all, r.ifs...)
}

// key names the column whatever the case and the record it is read from.
func (f field) key() string { return string(f.dataset) + "." + strings.ToUpper(f.name) }

func (f field) String() string {
	for _, o := range owners {
		if o.dataset == f.dataset && o.current == f.current {
			return o.name + "." + f.name
		}
	}
	return f.name
}

func (r *rule) print(b *strings.Builder) {
	if r.exclude {
		b.WriteString("EXCLUDE ")
	} else {
		b.WriteString("INCLUDE ")
	}
	b.WriteString(r.entity.String() + " WHERE ")
	for i, conjunction := range r.where {
		if i > 0 {
			b.WriteString(" OR ")
		}
		printConjunction(b, conjunction)
	}
	if len(r.ifs) > 0 {
		b.WriteString(" IF ")
		printConjunction(b, r.ifs)
	}
}

func printConjunction(b *strings.Builder, tests []*test) {
	for i, t := range tests {
		if i > 0 {
			b.WriteString(" AND ")
		}
		b.WriteString(t.field.String() + " " + t.op.String() + " ")
		t.operand.print(b, t.op.set())
	}
}

func (l *list) print(b *strings.Builder, set bool) {
	if set {
		b.WriteByte('(')
		defer b.WriteByte(')')
	}
	for i, lit := range l.literals {
		if i > 0 {
			b.WriteString(", ")
		}
		lit.print(b)
	}
}

func (l literal) print(b *strings.Builder) {
	if !l.quoted {
		b.WriteString(l.text)
		return
	}
	b.WriteByte('"')
	for i := range len(l.text) {
		if c := l.text[i]; c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(l.text[i])
	}
	b.WriteByte('"')
}

func (*anything) print(b *strings.Builder, _ bool) { b.WriteString("(*)") }

func (p *placeholder) print(b *strings.Builder, set bool) {
	if set {
		b.WriteString("($" + p.name + ")")
		return
	}
	b.WriteString("$" + p.name)
}

func (r *reference) print(b *strings.Builder, _ bool) { b.WriteString(r.field.String()) }
