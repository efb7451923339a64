package serve

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

const (
	maxEventBytes = 10 << 10 // of one event as JSON
	maxImpression = 1000     // characters of the stored column; a longer one could not be imported again from an export
)

// record gathers the members of a request that have a field in the schema. Members without one are dropped.
type record struct {
	schema *schema.Schema
	given  []schema.Value // by field
}

func newRecord(s *schema.Schema) record {
	return record{s, make([]schema.Value, len(s.Fields))}
}

func (r record) str(field, s string) {
	if s != "" {
		r.set(field, schema.Value{Valid: true, Str: s})
	}
}

func (r record) int(field string, n int64) { r.set(field, schema.Value{Valid: true, Int: n}) }

func (r record) float(field string, f *float64) {
	if f != nil {
		r.set(field, schema.Value{Valid: true, Float: *f})
	}
}

func (r record) set(field string, v schema.Value) {
	if i := r.schema.Index(field); i >= 0 {
		r.given[i] = v
	}
}

// impression joins the shown items as the IMPRESSION column has them, where there is one.
func (r record) impression(ids []string) error {
	if len(ids) == 0 || r.schema.Index("IMPRESSION") < 0 {
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
func (r record) values(properties string) ([]schema.Value, error) {
	if err := rowtext.Complete(r.schema, r.given, properties); err != nil {
		return nil, api.Errorf(api.InvalidInput, "%s", err.Error())
	}
	return r.given, nil
}

// checkEvent refuses events that are too large. strings are all that the event holds beside numbers; only if the bytes that they can have at most, each written
// as an escape, do not settle it is the event written out and measured.
func checkEvent(event any, impression []string, strings ...string) error {
	most := 512 // the names of the members, the numbers
	for _, list := range [...][]string{impression, strings} {
		for _, s := range list {
			most += 6*len(s) + len(`"",`)
		}
	}
	if most <= maxEventBytes {
		return nil
	}
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
