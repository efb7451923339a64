package filter

import (
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/schema"
)

const currentUser = schema.Users // the dataset that CurrentUser is a record of

func (f *Filter) errorf(at pos, format string, args ...any) error {
	return (&scanner{src: f.source}).errorf(at, format, args...)
}

// checkCombinations holds the rules that need no schema.
func (f *Filter) checkCombinations() error {
	for i := range f.rules {
		r := &f.rules[i]
		if r.entity != f.Entity() {
			return f.errorf(r.pos, "all expressions of a filter must have the same entity, the first has %s", f.Entity())
		}
		if r.entity == UserID && len(r.ifs) > 0 {
			return f.errorf(r.ifs[0].field.pos, "expressions on UserID cannot have an IF condition")
		}
		for _, t := range r.tests() {
			if err := f.checkCombination(r, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// datasetsOf lists what WHERE may test: the events of the entity, and its records.
func datasetsOf(e Entity) (events, records schema.Type) {
	switch e {
	case ActionID:
		return schema.ActionInteractions, schema.Actions
	case UserID:
		return schema.Interactions, schema.Users
	}
	return schema.Interactions, schema.Items
}

func (f *Filter) checkCombination(r *rule, t *test) error {
	events, records := datasetsOf(r.entity)
	of := r.where[0][0].field.dataset
	if !t.field.current {
		if t.field.dataset != events && t.field.dataset != records {
			return f.errorf(t.field.pos, "%s cannot be tested in an expression on %s", t.field, r.entity)
		}
		if t.field.dataset != of {
			return f.errorf(t.field.pos, "all tests of an expression must be on the same dataset; join another expression by |")
		}
	}
	if _, ok := t.operand.(*reference); ok {
		if r.entity != ItemID || of != schema.Items {
			return f.errorf(t.operand.position(), "CurrentItem can be used in expressions on ItemID that test Items only")
		}
		if t.op == opNotIn {
			return f.errorf(t.operand.position(), "CurrentItem cannot be used with NOT IN")
		}
	}
	if !t.field.current && t.field.dataset == events {
		return f.checkEventTest(t)
	}
	if _, ok := t.operand.(*anything); ok {
		return f.errorf(t.operand.position(), "the asterisk can be used with EVENT_TYPE only")
	}
	return nil
}

// checkEventTest checks a test on an interactions dataset, and reads the quoted asterisk as the bare one.
func (f *Filter) checkEventTest(t *test) error {
	if !strings.EqualFold(t.field.name, "EVENT_TYPE") {
		return f.errorf(t.field.pos, "EVENT_TYPE is the only field of interactions that can be tested, not %s", t.field.name)
	}
	if !t.op.set() && t.op != opEqual {
		return f.errorf(t.opPos, "EVENT_TYPE can be tested with IN and NOT IN only")
	}
	if l, ok := t.operand.(*list); ok && t.op.set() && len(l.literals) == 1 && l.literals[0].quoted && l.literals[0].text == "*" {
		t.operand = &anything{pos: l.literals[0].pos}
	}
	if _, ok := t.operand.(*anything); ok && t.op == opNotIn {
		return f.errorf(t.operand.position(), "the asterisk cannot be used with NOT IN")
	}
	return nil
}

// Check compares the filter with the schemas of a dataset group: datasets exist, fields exist, types fit, placeholders stand where they may. The error is an
// *Error for the first fault of the first of these kinds.
func (f *Filter) Check(schemas map[schema.Type]*schema.Schema) error {
	for _, check := range []func(*test, map[schema.Type]*schema.Schema) error{f.checkDatasets, f.checkFields, f.checkTypes, f.checkPlaceholders} {
		for _, t := range f.tests() {
			if err := check(t, schemas); err != nil {
				return err
			}
		}
	}
	return nil
}

// fields returns the fields of the test.
func (t *test) fields() []field {
	if ref, ok := t.operand.(*reference); ok {
		return []field{t.field, ref.field}
	}
	return []field{t.field}
}

func (f *Filter) checkDatasets(t *test, schemas map[schema.Type]*schema.Schema) error {
	for _, x := range t.fields() {
		if schemas[x.dataset] == nil {
			return f.errorf(x.pos, "the dataset group has no dataset of type %s", x.dataset)
		}
	}
	return nil
}

// column finds the schema's field: ignoring case, but not underscores.
func (x field) column(schemas map[schema.Type]*schema.Schema) (schema.Field, bool) {
	fields := schemas[x.dataset].Fields
	i := slices.IndexFunc(fields, func(c schema.Field) bool { return strings.EqualFold(c.Name, x.name) })
	if i < 0 {
		return schema.Field{}, false
	}
	return fields[i], true
}

func (f *Filter) checkFields(t *test, schemas map[schema.Type]*schema.Schema) error {
	for _, x := range t.fields() {
		if _, ok := x.column(schemas); !ok {
			return f.errorf(x.pos, "the schema of the dataset of type %s has no field %s", x.dataset, x.name)
		}
	}
	return nil
}

func (f *Filter) checkTypes(t *test, schemas map[schema.Type]*schema.Schema) error {
	for _, x := range t.fields() {
		c, _ := x.column(schemas)
		switch {
		case c.Kind == schema.Boolean:
			return f.errorf(x.pos, "%s is a boolean field; boolean fields cannot be used in filters", x)
		case c.Textual:
			return f.errorf(x.pos, "%s is a textual field; textual fields cannot be used in filters", x)
		case x.dataset == schema.Actions && slices.Contains([]string{"EXPIRATION_TIMESTAMP", "ACTION_EXPIRATION_TIMESTAMP", "REPEAT_FREQUENCY"}, c.Name):
			return f.errorf(x.pos, "%s is applied automatically and cannot be used in filters", x)
		}
	}
	c, _ := t.field.column(schemas)
	if t.op.ordered() && !c.Kind.Numeric() {
		return f.errorf(t.opPos, "%s is a string field; operator %s needs a number", t.field, t.op)
	}
	switch o := t.operand.(type) {
	case *reference:
		if other, _ := o.field.column(schemas); other.Kind.Numeric() != c.Kind.Numeric() {
			return f.errorf(o.field.pos, "%s and %s have types that cannot be compared", t.field, o.field)
		}
	case *list:
		for _, lit := range o.literals {
			if _, ok := parseNumber(c.Kind, lit.text); c.Kind.Numeric() && !ok {
				return f.errorf(lit.pos, "%s is compared with numbers only", t.field)
			}
			if !c.Kind.Numeric() && !lit.quoted {
				return f.errorf(lit.pos, "%s is compared with strings only; strings are written in double quotes", t.field)
			}
		}
	}
	return nil
}

func (f *Filter) checkPlaceholders(t *test, _ map[schema.Type]*schema.Schema) error {
	if p, ok := t.operand.(*placeholder); ok && t.op == opNotIn {
		err := (&scanner{src: f.source}).errorf(p.pos, "Placeholders are not allowed with NOT_IN operator.")
		err.Symbol = "$" + p.name
		return err
	}
	return nil
}
