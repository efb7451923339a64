// Package schema knows what the rows of a dataset may hold: it parses the Avro record that a customer describes a dataset with and checks it against every rule
// of the API for its type and domain.
//
// A Schema that Parse returned never changes, has each field once (case and underscores do not tell names apart) and the key and reserved fields of its type,
// under the names and with the types that the API gives them. No field has the name of a column that tables keep for themselves.
package schema

import (
	"slices"
	"strings"
)

// Type is the kind of a dataset, in the spelling of its ARN.
type Type string

const (
	Interactions       Type = "INTERACTIONS"
	Items              Type = "ITEMS"
	Users              Type = "USERS"
	Actions            Type = "ACTIONS"
	ActionInteractions Type = "ACTION_INTERACTIONS"
)

// IsLog tells whether rows of a type are events: any number for a key.
func (t Type) IsLog() bool { return t == Interactions || t == ActionInteractions }

// HoldsUsers tells whether rows of a type belong to users, so that an erasure must visit them.
func (t Type) HoldsUsers() bool { return t == Users || t.IsLog() }

// Kind is the primitive type of a field.
type Kind uint8

const (
	String Kind = iota
	Int
	Long
	Float
	Double
	Boolean
)

// Field is one column of a schema.
type Field struct {
	Name        string // as in the schema, conventionally upper case
	Kind        Kind
	Nullable    bool
	Categorical bool
	Textual     bool
	ItemName    bool
}

// Schema is a parsed and checked dataset schema. Fields stand in schema order.
type Schema struct {
	Type   Type
	Domain string // "", "ECOMMERCE" or "VIDEO_ON_DEMAND"
	Fields []Field
}

// Value is one cell. Which member counts follows from the field's Kind: Str for String, Int for Int, Long and Boolean (0 or 1), Float for Float
// and Double. The zero Value is null.
type Value struct {
	Valid bool
	Str   string
	Int   int64
	Float float64
}

// The columns that every table has beside its schema's.
const (
	SourceColumn  = "_source"   // "BULK" or "PUT"
	SeqColumn     = "_seq"      // arrival order
	SessionColumn = "_session"  // streamed events: the session
	EventColumn   = "_event_id" // streamed events: the eventId
)

// SystemColumns lists them.
func SystemColumns() []string {
	return []string{SourceColumn, SeqColumn, SessionColumn, EventColumn}
}

// IsSystemColumn tells whether a name is that of a system column in any case.
func IsSystemColumn(name string) bool {
	return slices.ContainsFunc(SystemColumns(), func(s string) bool { return strings.EqualFold(s, name) })
}
