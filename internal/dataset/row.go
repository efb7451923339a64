package dataset

// Type is the kind of a dataset, in the spelling of its ARN.
type Type string

const (
	Interactions       Type = "INTERACTIONS"
	Items              Type = "ITEMS"
	Users              Type = "USERS"
	Actions            Type = "ACTIONS"
	ActionInteractions Type = "ACTION_INTERACTIONS"
)

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
	Values  []Value
	Source  Source
	Seq     int64
	Session string
	EventID string
}
