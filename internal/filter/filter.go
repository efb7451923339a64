// Package filter is the filter expression language.
package filter

import (
	"errors"

	"github.com/palate-dev/palate/internal/dataset"
)

// Entity is what a filter selects.
type Entity uint8

const (
	ItemID Entity = iota
	ActionID
	UserID
)

// Filter is a parsed filter expression.
type Filter struct{}

// Parse parses an expression.
func Parse(expr string) (*Filter, error) { return nil, errors.New("Parse: not built yet") }

// Check checks a filter against the schemas of a dataset group.
func (f *Filter) Check(schemas map[dataset.Type]*dataset.Schema) error {
	return errors.New("Check: not built yet")
}

// Fields returns the distinct fields that the filter uses.
func (f *Filter) Fields() []string { return nil }

// Entity returns what the filter selects.
func (f *Filter) Entity() Entity { return 0 }

// UsesCurrentItem reports whether a test refers to CurrentItem.
func (f *Filter) UsesCurrentItem() bool { return false }

// Placeholders returns the distinct placeholder names.
func (f *Filter) Placeholders() []string { return nil }
