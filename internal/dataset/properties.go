package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// FromProperties makes a row of a record that came in by the events API. properties is the record's flat JSON object, or "" for none, whose keys match field
// names with underscores dropped and case ignored; given holds the values of the request's top-level members by field name, and wins. Keys and given names
// without a field are ignored, what is missing is null. The error is a text for the API's client that names the field and repeats no value.
func (s *Schema) FromProperties(given map[string]Value, properties string) ([]Value, error) {
	values := make([]Value, len(s.Fields))
	if properties != "" {
		if limit := s.maxProperties(); utf8.RuneCountInString(properties) > limit {
			return nil, fmt.Errorf("Properties cannot be longer than %d characters.", limit)
		}
		if err := s.readProperties(values, properties); err != nil {
			return nil, err
		}
	}
	for i, f := range s.Fields {
		if v, ok := given[f.Name]; ok {
			var err error
			if values[i], err = s.conform(i, v); err != nil {
				return nil, err
			}
		}
		if !values[i].Valid && !f.Nullable {
			return nil, fmt.Errorf("Field %s has no value and its schema does not admit null.", f.Name)
		}
	}
	return values, nil
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

// readProperties fills values from the object's members, in their order: of two keys for one field the later wins.
func (s *Schema) readProperties(values []Value, properties string) error {
	d := json.NewDecoder(strings.NewReader(properties))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errNotFlat
	}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return errNotFlat
		}
		if t, err = d.Token(); err != nil {
			return errNotFlat
		}
		if _, nested := t.(json.Delim); nested {
			return errNotFlat
		}
		if s.forbidsProperty(key) {
			return fmt.Errorf("Properties cannot hold the key %s: it is a member of the request.", key)
		}
		if i := s.Match(key); i >= 0 {
			if values[i], err = s.property(i, t); err != nil {
				return err
			}
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return errNotFlat
	}
	if _, err := d.Token(); err != io.EOF {
		return errNotFlat
	}
	return nil
}

var errNotFlat = errors.New("Properties must be one flat JSON object: keys with strings, numbers, booleans or null.")

// forbidsProperty reports whether an event's properties must not hold the key, because the request has a member for it. itemId and eventValue are not among
// them: older clients send them here.
func (s *Schema) forbidsProperty(key string) bool {
	if s.Type != Interactions && s.Type != ActionInteractions {
		return false
	}
	for _, name := range []string{"userId", "sessionId", "eventType", "timestamp", "recommendationId", "impression"} {
		if sameName(name, key) {
			return true
		}
	}
	return false
}

// property converts a JSON scalar to a field's type: strings hold numbers and booleans where the field wants them, and the other way round.
func (s *Schema) property(field int, token json.Token) (Value, error) {
	c := newCSVColumn(s, field)
	c.nullable = true // whether null will do is decided once all values are in
	var text string
	switch t := token.(type) {
	case nil:
		return Value{}, nil
	case bool:
		text = strconv.FormatBool(t)
	case json.Number:
		text = t.String()
		if n, ok := wholeNumber(text); ok && (c.kind == Int || c.kind == Long) {
			text = strconv.FormatInt(n, 10)
		}
	case string:
		text = t
	}
	return c.property(text)
}

func (c *csvColumn) property(text string) (v Value, err error) {
	cell := []byte(text)
	fault := noFault
	if bytes.IndexByte(cell, 0) >= 0 {
		fault = nulFault
	} else if !utf8.Valid(cell) {
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
