package dataset

import "github.com/palate-dev/palate/internal/schema"

// Source says how a row came in.
type Source uint8

const (
	Bulk Source = iota // a dataset import job
	Put                // the events API
)

// Row is one record. Values has the length and order of the schema's fields.
//
// Seq is the arrival order over the whole dataset group: it decides which record of an item or user is the newest, and what an erasure with cut C covers.
// Session and EventID are set on streamed interactions and action interactions only; they are stored beside the schema's columns and never exported.
type Row struct {
	Values  []schema.Value
	Source  Source
	Seq     int64
	Session string
	EventID string
}
