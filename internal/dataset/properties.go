package dataset

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// Complete makes a row of a record that came in by the events API. values has an element for each field and holds what the request's top-level members gave;
// properties is the record's flat JSON object, or "" for none, whose keys match field names with underscores dropped and case ignored. A given value wins over
// a property, keys without a field are ignored, what is missing is null. The strings of values may share the memory of properties. The error is a text for the
// API's client that names the field and repeats no value.
func (s *Schema) Complete(values []Value, properties string) error {
	given := make([]bool, len(values))
	for i, v := range values {
		given[i] = v.Valid
	}
	if properties != "" {
		if limit := s.maxProperties(); len(properties) > limit && utf8.RuneCountInString(properties) > limit {
			return fmt.Errorf("Properties cannot be longer than %d characters.", limit)
		}
		if err := s.readProperties(values, given, properties); err != nil {
			return err
		}
	}
	for i := range values {
		if given[i] {
			var err error
			if values[i], err = s.conform(i, values[i]); err != nil {
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
func (s *Schema) maxProperties() int {
	switch s.Type {
	case Items, Actions:
		return 32_000
	case Users:
		return 24_000
	}
	return 1024
}

// readProperties fills the values that are not given from the object's members, in their order: of two keys for one field the later wins.
func (s *Schema) readProperties(values []Value, given []bool, properties string) error {
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
		if s.forbidsProperty(key) {
			return fmt.Errorf("Properties cannot hold the key %s: it is a member of the request.", key)
		}
		i := s.Match(key)
		if i < 0 {
			continue
		}
		read, err := s.property(i, v)
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
func (s *Schema) forbidsProperty(key string) bool {
	if s.Type != Interactions && s.Type != ActionInteractions {
		return false
	}
	return slices.ContainsFunc(forbiddenProperties[:], func(name string) bool { return sameName(name, key) })
}

var forbiddenProperties = [...]string{"userId", "sessionId", "eventType", "timestamp", "recommendationId", "impression"}

// property converts a JSON scalar to a field's type: strings hold numbers and booleans where the field wants them, and the other way round.
func (s *Schema) property(field int, v scalar) (Value, error) {
	if v.null {
		return Value{}, nil
	}
	c := newCSVColumn(s, field)
	c.nullable = true // whether null will do is decided once all values are in
	if v.number && (c.kind == Int || c.kind == Long) {
		if n, ok := wholeNumber(v.text); ok {
			v.text = strconv.FormatInt(n, 10)
		}
	}
	return c.property(v.text)
}

func (c *csvColumn) property(text string) (v Value, err error) {
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
func (s *Schema) conform(field int, v Value) (Value, error) {
	c := newCSVColumn(s, field)
	switch {
	case !v.Valid:
		return Value{}, nil
	case c.kind == String:
		c.nullable = true
		return c.property(v.Str)
	case (c.kind == Float || c.kind == Double) && (math.IsNaN(v.Float) || math.IsInf(v.Float, 0)):
		return Value{}, fmt.Errorf("Field %s: the value is not of type %s.", c.name, c.kind)
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
