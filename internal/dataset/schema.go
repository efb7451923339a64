package dataset

import "errors"

// ParseSchema parses and checks a schema.
func ParseSchema(text, domain string) (*Schema, error) {
	return nil, errors.New("ParseSchema: not built yet")
}

// ParseType reads a dataset type in any case.
func ParseType(s string) (Type, bool) { return "", false }

// Index returns the index of the field of exactly that name, or -1.
func (s *Schema) Index(name string) int { return -1 }

// Match is Index with underscores dropped and case ignored.
func (s *Schema) Match(name string) int { return -1 }

// UserField returns the index of USER_ID or -1.
func (s *Schema) UserField() int { return -1 }

// KeyField returns the index of the key or -1.
func (s *Schema) KeyField() int { return -1 }

// CanReplace checks an UpdateDataset.
func (s *Schema) CanReplace(next *Schema) error { return errors.New("CanReplace: not built yet") }

// Extend maps a row stored under old to s.
func (s *Schema) Extend(old *Schema, values []Value) []Value { return values }
