package filter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/schema"
)

// A Bound is a filter with the values of one request for its placeholders: what remains is to ask it about candidates. It is immutable.
type Bound struct {
	rules []boundRule
}

// boundRule is a rule with columns and operands in the form that evaluation wants.
type boundRule struct {
	index   int // of the rule in the filter
	exclude bool
	where   [][]check
	ifs     []check
}

// check is one test. A test on events compares types; one on a record compares the value of a column.
type check struct {
	op      op
	events  bool // the field is EVENT_TYPE
	entity  Entity
	column  int // of the schema that Bind was given
	kind    schema.Kind
	texts   []string // operands of a string, and types of events, folded
	numbers []quantity
	any     bool // the asterisk

	reference bool // the operand is a field of CurrentItem: this one
	column2   int
	kind2     schema.Kind
	null      bool // the reference is to a null
}

// Bind gives the placeholders of a checked filter their values. A value is a list of strings in double quotes, separated by commas; a quote in a string has a
// backslash before it. A text without quotes is one string, or, where numbers are wanted, numbers separated by commas. An expression with EXCLUDE whose placeholders
// do not all have values does not count; with INCLUDE that is an error, as is a value that does not fit. Errors are texts for the API's client.
//
// schemas must have all the fields that the filter reads; records that it is asked about have the order of their fields.
func (f *Filter) Bind(schemas map[schema.Type]*schema.Schema, values map[string]string) (*Bound, error) {
	given := map[string][]string{}
	bare := map[string]bool{}
	for _, name := range f.Placeholders() { // what else the request has is nothing to the filter
		list, quoted, err := parseValues(values[name])
		if err != nil {
			return nil, fmt.Errorf("The value of %s in filterValues %w.", name, err)
		}
		given[name], bare[name] = list, !quoted
	}
	b := &Bound{}
	for i := range f.rules {
		r, whole, err := f.rules[i].bind(schemas, given, bare)
		if err != nil {
			return nil, err
		}
		if r.index = i; whole {
			b.rules = append(b.rules, r)
		}
	}
	return b, nil
}

// bind reports whole = false if the rule is an EXCLUDE that lacks a value.
func (r *rule) bind(schemas map[schema.Type]*schema.Schema, given map[string][]string, bare map[string]bool) (out boundRule, whole bool, err error) {
	out.exclude = r.exclude
	for _, t := range r.tests() {
		if p, ok := t.operand.(*placeholder); ok && len(given[p.name]) == 0 {
			if r.exclude {
				return out, false, nil
			}
			return out, false, fmt.Errorf("filterValues must have a value for %s, because the filter includes by it.", p.name)
		}
	}
	one := func(t *test) (check, error) { return t.bind(r.entity, schemas, given, bare) }
	for _, conjunction := range r.where {
		checks, err := bindAll(conjunction, one)
		if err != nil {
			return out, false, err
		}
		out.where = append(out.where, checks)
	}
	out.ifs, err = bindAll(r.ifs, one)
	return out, true, err
}

func bindAll(tests []*test, bind func(*test) (check, error)) (checks []check, err error) {
	for _, t := range tests {
		c, err := bind(t)
		if err != nil {
			return nil, err
		}
		checks = append(checks, c)
	}
	return checks, nil
}

func (t *test) bind(e Entity, schemas map[schema.Type]*schema.Schema, given map[string][]string, bare map[string]bool) (c check, err error) {
	events, _ := datasetsOf(e)
	c.op, c.entity = t.op, e
	if c.events = !t.field.current && t.field.dataset == events; !c.events {
		if c.column, c.kind, err = t.field.bind(schemas); err != nil {
			return c, err
		}
	}
	switch o := t.operand.(type) {
	case *anything:
		c.any = true
	case *reference:
		c.reference = true
		c.column2, c.kind2, err = o.field.bind(schemas)
	case *list:
		var texts []string
		for _, l := range o.literals {
			texts = append(texts, l.text)
		}
		err = c.operands(texts)
	case *placeholder:
		texts := given[o.name]
		if bare[o.name] && c.kind.Numeric() && t.op.set() {
			texts = strings.Split(texts[0], ",")
		}
		if !t.op.set() && len(texts) != 1 {
			return c, fmt.Errorf("filterValues must have one value for %s, because the filter compares with it by %s.", o.name, t.op)
		}
		if err = c.operands(texts); err != nil {
			err = fmt.Errorf("filterValues must have numbers for %s, because the filter compares a number with it.", o.name)
		}
	}
	return c, err
}

func (x field) bind(schemas map[schema.Type]*schema.Schema) (int, schema.Kind, error) {
	s := schemas[x.dataset]
	if s != nil {
		if i := slices.IndexFunc(s.Fields, func(c schema.Field) bool { return strings.EqualFold(c.Name, x.name) }); i >= 0 {
			return i, s.Fields[i].Kind, nil
		}
	}
	return 0, 0, fmt.Errorf("The filter reads %s, which the dataset group does not have any more.", x)
}

// operands sets what the field is compared with.
func (c *check) operands(texts []string) error {
	for _, text := range texts {
		switch {
		case c.events:
			c.texts = append(c.texts, foldType(c.entity, text))
		case c.kind.Numeric():
			n, ok := parseNumber(c.kind, strings.TrimSpace(text))
			if !ok {
				return fmt.Errorf("%q is not a number", text)
			}
			c.numbers = append(c.numbers, n) // as written: records keep a float like a double
		default:
			c.texts = append(c.texts, text)
		}
	}
	return nil
}

// foldType makes types of events comparable: case does not count, nor, as the types of actions are spelled in several ways, do their spaces and underscores.
func foldType(e Entity, kind string) string {
	if e == ActionID {
		kind = spellings.Replace(kind)
	}
	return strings.ToLower(kind)
}

var spellings = strings.NewReplacer("_", "", " ", "")

// parseValues reads the value of a placeholder. quoted is false of a text without quotes, which is one string; nothing at all is no string.
func parseValues(text string) (list []string, quoted bool, err error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, false, nil
	}
	if text[0] != '"' {
		if strings.Contains(text, `"`) {
			return nil, false, fmt.Errorf("has a quote in the middle of a string")
		}
		return []string{text}, false, nil
	}
	for {
		var b strings.Builder
		i := 1
		for ; i < len(text) && text[i] != '"'; i++ {
			if text[i] == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\') {
				i++
			}
			b.WriteByte(text[i])
		}
		if i == len(text) {
			return nil, true, fmt.Errorf("has a string that is not closed")
		}
		list = append(list, b.String())
		text = strings.TrimSpace(text[i+1:])
		if text == "" {
			return list, true, nil
		}
		if text[0] != ',' {
			return nil, true, fmt.Errorf("has strings without a comma between them")
		}
		if text = strings.TrimSpace(text[1:]); text == "" || text[0] != '"' {
			return nil, true, fmt.Errorf("has a comma without a string in quotes behind it")
		}
	}
}
