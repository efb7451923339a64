package rowtext

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/palate-dev/palate/internal/schema"
)

// Complete makes a row of a record that came in by the events API. values has an element for each field and holds what the request's top-level members gave;
// properties is the record's flat JSON object, or "" for none, whose keys match field names with underscores dropped and case ignored. A given value wins over
// a property, keys without a field are ignored, what is missing is null. The strings of values may share the memory of properties. The error is a text for the
// API's client that names the field and repeats no value.
func Complete(s *schema.Schema, values []schema.Value, properties string) error {
	given := make([]bool, len(values))
	for i, v := range values {
		given[i] = v.Valid
	}
	if properties != "" {
		if limit := maxProperties(s); len(properties) > limit && utf8.RuneCountInString(properties) > limit {
			return fmt.Errorf("Properties cannot be longer than %d characters.", limit)
		}
		if err := readProperties(s, values, given, properties); err != nil {
			return err
		}
	}
	for i := range values {
		if given[i] {
			var err error
			if values[i], err = conform(s, i, values[i]); err != nil {
				return err
			}
		}
		if !values[i].Valid && !s.Fields[i].Nullable {
			return fmt.Errorf("Field %s has no value and its schema does not admit null.", s.Fields[i].Name)
		}
	}
	return nil
}

// maxProperties is the limit on the characters of a properties object.
func maxProperties(s *schema.Schema) int {
	switch s.Type {
	case schema.Items, schema.Actions:
		return 32_000
	case schema.Users:
		return 24_000
	}
	return 1024
}

// readProperties fills the values that are not given from the object's members, in their order: of two keys for one field the later wins.
func readProperties(s *schema.Schema, values []schema.Value, given []bool, properties string) error {
	r := flatReader{s: properties}
	if !r.open() {
		return errNotFlat
	}
	for first := true; ; first = false {
		key, ok, err := r.more(first)
		if err != nil || !ok {
			return err
		}
		v, err := r.value()
		if err != nil {
			return err
		}
		if forbidsProperty(s, key) {
			return fmt.Errorf("Properties cannot hold the key %s: it is a member of the request.", key)
		}
		i := s.Match(key)
		if i < 0 {
			continue
		}
		read, err := property(s, i, v)
		if err != nil {
			return err
		}
		if !given[i] {
			values[i] = read
		}
	}
}

var errNotFlat = errors.New("Properties must be one flat JSON object: keys with strings, numbers, booleans or null.")

// forbidsProperty reports whether an event's properties must not hold the key, because the request has a member for it. itemId and eventValue are not among
// them: older clients send them here.
func forbidsProperty(s *schema.Schema, key string) bool {
	if s.Type != schema.Interactions && s.Type != schema.ActionInteractions {
		return false
	}
	return slices.ContainsFunc(forbiddenProperties[:], func(name string) bool { return schema.SameName(name, key) })
}

var forbiddenProperties = [...]string{"userId", "sessionId", "eventType", "timestamp", "recommendationId", "impression"}

// property converts a JSON scalar to a field's type: strings hold numbers and booleans where the field wants them, and the other way round.
func property(s *schema.Schema, field int, v scalar) (schema.Value, error) {
	if v.null {
		return schema.Value{}, nil
	}
	c := RuleOf(s, field)
	c.nullable = true // whether null will do is decided once all values are in
	if v.number && (c.kind == schema.Int || c.kind == schema.Long) {
		if n, ok := wholeNumber(v.text); ok {
			v.text = strconv.FormatInt(n, 10)
		}
	}
	return c.property(v.text)
}

func (c *Rule) property(text string) (v schema.Value, err error) {
	cell := unsafe.Slice(unsafe.StringData(text), len(text)) // parse only reads it
	fault := noFault
	if strings.IndexByte(text, 0) >= 0 {
		fault = nulFault
	} else if !utf8.ValidString(text) {
		fault = encodingFault
	} else {
		fault = c.parse(cell, &v)
	}
	switch fault {
	case noFault:
		return v, nil
	case lengthFault:
		return v, fmt.Errorf("Length cannot be more than %d characters for %s.", c.limit, c.name)
	}
	return v, fmt.Errorf("Field %s: %s.", c.name, lowerFirst(fault.cause(*c)))
}

// conform checks a value of the request against its field.
func conform(s *schema.Schema, field int, v schema.Value) (schema.Value, error) {
	c := RuleOf(s, field)
	switch {
	case !v.Valid:
		return schema.Value{}, nil
	case c.kind == schema.String:
		c.nullable = true
		return c.property(v.Str)
	case (c.kind == schema.Float || c.kind == schema.Double) && (math.IsNaN(v.Float) || math.IsInf(v.Float, 0)), c.kind == schema.Float && !fitsFloat(v.Float):
		return schema.Value{}, fmt.Errorf("Field %s: the value is not of type %s.", c.name, c.kind)
	}
	return v, nil
}

// wholeNumber reads a JSON number with an exponent, such as 1.5e9, that is a whole number.
func wholeNumber(text string) (int64, bool) {
	if !strings.ContainsAny(text, "eE") {
		return 0, false
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || x != math.Trunc(x) || math.Abs(x) > 1<<53 {
		return 0, false
	}
	return int64(x), true
}

func lowerFirst(text string) string { return strings.ToLower(text[:1]) + text[1:] }
