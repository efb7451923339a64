package serve

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
)

const (
	maxEventBytes = 10 << 10 // of one event as JSON
	maxImpression = 1000     // characters of the stored column; a longer one could not be imported again from an export
)

// record gathers the members of a request that have a field in the schema. Members without one are dropped.
type record struct {
	schema *dataset.Schema
	given  map[string]dataset.Value
}

func newRecord(s *dataset.Schema) record {
	return record{s, make(map[string]dataset.Value, len(s.Fields))}
}

func (r record) has(field string) bool { return r.schema.Index(field) >= 0 }

func (r record) str(field, s string) {
	if s != "" && r.has(field) {
		r.given[field] = dataset.Value{Valid: true, Str: s}
	}
}

func (r record) int(field string, n int64) {
	if r.has(field) {
		r.given[field] = dataset.Value{Valid: true, Int: n}
	}
}

func (r record) float(field string, f *float64) {
	if f != nil && r.has(field) {
		r.given[field] = dataset.Value{Valid: true, Float: *f}
	}
}

// impression joins the shown items as the IMPRESSION column has them, where there is one.
func (r record) impression(ids []string) error {
	if !r.has("IMPRESSION") {
		return nil
	}
	joined := strings.Join(ids, "|")
	if utf8.RuneCountInString(joined) > maxImpression {
		return api.Errorf(api.InvalidInput, "The ids of impression are longer than %d characters together.", maxImpression)
	}
	r.str("IMPRESSION", joined)
	return nil
}

// values completes the record with its properties.
func (r record) values(properties string) ([]dataset.Value, error) {
	v, err := r.schema.FromProperties(r.given, properties)
	if err != nil {
		return nil, api.Errorf(api.InvalidInput, "%s", err.Error())
	}
	return v, nil
}

// checkEvent refuses events that are too large.
func checkEvent(event any) error {
	b, err := api.Marshal(event)
	if err != nil {
		return fmt.Errorf("measure an event: %w", err)
	}
	if len(b) > maxEventBytes {
		return api.Errorf(api.InvalidInput, "The event is larger than %d KB.", maxEventBytes>>10)
	}
	return nil
}

// at says which element of a list an error is about. Only errors for the client carry it.
func at(member string, i int, err error) error {
	if e := (*api.Error)(nil); errors.As(err, &e) {
		return api.Errorf(e.Code, "%s.%d: %s", member, i+1, e.Message)
	}
	return err
}
