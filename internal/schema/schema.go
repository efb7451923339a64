package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Domains of a dataset group. A custom group has none.
const (
	Ecommerce     = "ECOMMERCE"
	VideoOnDemand = "VIDEO_ON_DEMAND"
)

// String returns the kind's name in a schema.
func (k Kind) String() string {
	return [...]string{"string", "int", "long", "float", "double", "boolean"}[k]
}

// Numeric reports whether values of the kind are numbers.
func (k Kind) Numeric() bool { return k == Int || k == Long || k == Float || k == Double }

func parseKind(name string) (Kind, bool) {
	for k := String; k <= Boolean; k++ {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}

// ParseType reads a dataset type in any case and with or without underscores: "Interactions", "ACTION_INTERACTIONS", "ActionInteractions".
func ParseType(s string) (Type, bool) {
	for _, t := range []Type{Interactions, Items, Users, Actions, ActionInteractions} {
		if SameName(string(t), s) {
			return t, true
		}
	}
	return "", false
}

// SameName compares two names as the API does where it says that field names must differ: underscores dropped, ASCII case ignored.
func SameName(a, b string) bool {
	i, j := 0, 0
	for {
		for i < len(a) && a[i] == '_' {
			i++
		}
		for j < len(b) && b[j] == '_' {
			j++
		}
		if i == len(a) || j == len(b) {
			return i == len(a) && j == len(b)
		}
		if lowerASCII(a[i]) != lowerASCII(b[j]) {
			return false
		}
		i++
		j++
	}
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// Index returns the index of the field with exactly that name, or -1.
func (s *Schema) Index(name string) int {
	return slices.IndexFunc(s.Fields, func(f Field) bool { return f.Name == name })
}

// Match returns the index of the field whose name is the same once underscores are dropped and case is ignored, or -1: numRatings matches NUM_RATINGS.
// A schema has at most one.
func (s *Schema) Match(name string) int {
	return slices.IndexFunc(s.Fields, func(f Field) bool { return SameName(f.Name, name) })
}

// KeyField returns the index of the field that identifies a row of Users, Items or Actions, and -1 for event logs, whose rows have no key.
func (s *Schema) KeyField() int {
	switch s.Type {
	case Users:
		return s.Index("USER_ID")
	case Items:
		return s.Index("ITEM_ID")
	case Actions:
		return s.Index("ACTION_ID")
	}
	return -1
}

// CanReplace says why next cannot take the place of s in a dataset: only Items and Users can change, all fields stay as they are, new ones admit null.
// The error is a text for the API's client.
func (s *Schema) CanReplace(next *Schema) error {
	if s.Type != Items && s.Type != Users {
		return fmt.Errorf("The schema of a dataset of type %s cannot be replaced: only Items and Users datasets can be updated.", s.Type)
	}
	if next.Type != s.Type {
		return fmt.Errorf("The new schema is for datasets of type %s, the dataset has type %s.", next.Type, s.Type)
	}
	if next.Domain != s.Domain {
		return fmt.Errorf("The domain of the new schema differs from the domain of the current schema.")
	}
	for _, f := range s.Fields {
		i := next.Index(f.Name)
		if i < 0 {
			return fmt.Errorf("The new schema must keep field %s of the current schema.", f.Name)
		}
		if next.Fields[i] != f {
			return fmt.Errorf("The new schema must keep the type and the attributes of field %s.", f.Name)
		}
	}
	for _, f := range next.Fields {
		if s.Index(f.Name) < 0 && !f.Nullable {
			return fmt.Errorf("Field %s of the new schema must admit null: rows stored before have no value for it.", f.Name)
		}
	}
	return nil
}

// Parse parses the Avro record that describes a dataset and checks it against every rule of the API for its type and domain ("" for custom groups).
// The error is a text for the API's client; it names the field and the rule.
func Parse(text, domain string) (*Schema, error) {
	if domain != "" && domain != Ecommerce && domain != VideoOnDemand {
		return nil, schemaErrorf("unknown domain %q", domain)
	}
	var record map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			return nil, schemaErrorf("the text is not JSON: %v at byte %d", err, syntax.Offset)
		}
		return nil, schemaErrorf("the text is not a JSON object")
	}
	var kind, name string
	if json.Unmarshal(record["type"], &kind) != nil || kind != "record" {
		return nil, schemaErrorf(`"type" must be "record"`)
	}
	if json.Unmarshal(record["name"], &name) != nil {
		return nil, schemaErrorf(`"name" must be a string`)
	}
	t, ok := ParseType(name)
	if !ok {
		return nil, schemaErrorf(`"name" must be one of Interactions, Items, Users, Actions, ActionInteractions`)
	}
	if domain != "" && (t == Actions || t == ActionInteractions) {
		return nil, schemaErrorf("domain dataset groups have no datasets of type %s", t)
	}
	var fields []json.RawMessage
	if json.Unmarshal(record["fields"], &fields) != nil || len(fields) == 0 {
		return nil, schemaErrorf(`"fields" must be a list of fields`)
	}
	s := &Schema{Type: t, Domain: domain}
	for i, raw := range fields {
		f, err := parseSchemaField(raw, i)
		if err != nil {
			return nil, err
		}
		s.Fields = append(s.Fields, f)
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, nil
}

func schemaErrorf(format string, args ...any) error {
	return fmt.Errorf("Schema is not valid: "+format+".", args...)
}

var fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z\d_]*$`)

const maxFieldName = 150

func parseSchemaField(raw json.RawMessage, i int) (f Field, err error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || members == nil {
		return f, schemaErrorf("field %d is not an object", i+1)
	}
	if json.Unmarshal(members["name"], &f.Name) != nil {
		return f, schemaErrorf(`field %d has no "name"`, i+1)
	}
	if !fieldName.MatchString(f.Name) || len(f.Name) > maxFieldName {
		return f, schemaErrorf("the name of field %d must start with a letter or underscore, hold only letters, digits and underscores, and have at most %d characters", i+1, maxFieldName)
	}
	if IsSystemColumn(f.Name) {
		return f, schemaErrorf("field %s: palate keeps a column of its own under this name", f.Name)
	}
	if f.Kind, f.Nullable, err = parseFieldType(members["type"]); err != nil {
		return f, schemaErrorf("field %s: %v", f.Name, err)
	}
	for _, a := range []struct {
		name string
		set  *bool
	}{{"categorical", &f.Categorical}, {"textual", &f.Textual}, {"itemName", &f.ItemName}} {
		if raw, ok := members[a.name]; ok && json.Unmarshal(raw, a.set) != nil {
			return f, schemaErrorf("field %s: attribute %q must be true or false", f.Name, a.name)
		}
	}
	return f, nil
}

// parseFieldType reads "long", ["long"] or a union of one primitive and null in either order.
func parseFieldType(raw json.RawMessage) (k Kind, nullable bool, err error) {
	var names []string
	if len(raw) > 0 && raw[0] == '"' {
		names = make([]string, 1)
		err = json.Unmarshal(raw, &names[0])
	} else {
		err = json.Unmarshal(raw, &names)
	}
	notType := fmt.Errorf(`"type" must be string, int, long, float, double or boolean, or a list of one of them and "null"`)
	if err != nil || len(names) == 0 || len(names) > 2 {
		return 0, false, notType
	}
	if len(names) == 2 {
		i := slices.Index(names, "null")
		if i < 0 {
			return 0, false, notType
		}
		names, nullable = slices.Delete(names, i, i+1), true
	}
	k, ok := parseKind(names[0])
	if !ok {
		return 0, false, notType
	}
	return k, nullable, nil
}

// check holds the rules that need the whole schema.
func (s *Schema) check() error {
	for i, f := range s.Fields {
		for _, g := range s.Fields[:i] {
			if SameName(f.Name, g.Name) {
				return schemaErrorf("fields %s and %s have the same name (case and underscores do not count)", g.Name, f.Name)
			}
		}
		if err := s.checkAttributes(f); err != nil {
			return err
		}
	}
	metadata := s.Fields
	for _, r := range reservedFields(s.Type, s.Domain) {
		i := s.Match(r.name)
		if i < 0 {
			if r.required {
				return schemaErrorf("required field %s is missing", r.name)
			}
			continue
		}
		if err := r.check(s.Fields[i]); err != nil {
			return err
		}
		metadata = slices.DeleteFunc(slices.Clone(metadata), func(f Field) bool { return f.Name == r.name && !r.metadata })
	}
	return s.checkMetadata(metadata)
}

func (s *Schema) checkAttributes(f Field) error {
	if (f.Categorical || f.Textual || f.ItemName) && f.Kind != String {
		return schemaErrorf("field %s: only string fields can be categorical, textual or itemName", f.Name)
	}
	if f.Categorical && f.Textual {
		return schemaErrorf("field %s cannot be both categorical and textual", f.Name)
	}
	if (f.Textual || f.ItemName) && s.Type != Items {
		return schemaErrorf("field %s: only Items datasets have textual and itemName fields", f.Name)
	}
	for _, g := range s.Fields {
		if g.Name != f.Name && f.Textual && g.Textual {
			return schemaErrorf("fields %s and %s are both textual: a schema can have one textual field", f.Name, g.Name)
		}
		if g.Name != f.Name && f.ItemName && g.ItemName {
			return schemaErrorf("fields %s and %s are both itemName: a schema can have one item name", f.Name, g.Name)
		}
	}
	return nil
}

// checkMetadata checks the fields that are neither keys nor reserved, except for reserved ones that count as metadata.
func (s *Schema) checkMetadata(metadata []Field) error {
	limit := map[Type]int{Users: 25, Items: 100, Actions: 10, Interactions: 5, ActionInteractions: 5}[s.Type]
	if n := len(metadata); n > limit {
		return schemaErrorf("%d metadata fields, a dataset of type %s can have %d", n, s.Type, limit)
	}
	if s.Type == Interactions || s.Type == ActionInteractions {
		return nil
	}
	usable := func(f Field) bool { return f.Categorical || f.Textual || f.Kind.Numeric() }
	if !slices.ContainsFunc(metadata, usable) {
		what := "a categorical string or a number"
		if s.Type == Items {
			what = "a categorical or textual string or a number"
		}
		return schemaErrorf("a dataset of type %s needs at least one metadata field that is %s", s.Type, what)
	}
	return nil
}

// reservedField is a name that the API gives a meaning to.
type reservedField struct {
	name     string
	kinds    []Kind
	required bool
	nullable bool // may be a union with null
	shape    fieldShape
	metadata bool // counts as a metadata field all the same
}

type fieldShape uint8

const (
	plainShape fieldShape = iota
	categoricalShape
	textualShape
)

func (r reservedField) check(f Field) error {
	if f.Name != r.name {
		return schemaErrorf("field %s: the name is reserved and must be written %s", f.Name, r.name)
	}
	if !slices.Contains(r.kinds, f.Kind) || f.Nullable && !r.nullable {
		return schemaErrorf("field %s must have type %s", f.Name, r.typeText())
	}
	if f.Categorical != (r.shape == categoricalShape) {
		return schemaErrorf("field %s must %sbe categorical", f.Name, map[bool]string{true: "", false: "not "}[r.shape == categoricalShape])
	}
	if f.Textual != (r.shape == textualShape) {
		return schemaErrorf("field %s must %sbe textual", f.Name, map[bool]string{true: "", false: "not "}[r.shape == textualShape])
	}
	return nil
}

func (r reservedField) typeText() string {
	var names []string
	for _, k := range r.kinds {
		names = append(names, k.String())
	}
	text := strings.Join(names, " or ")
	if r.nullable {
		text += `, alone or in a list with "null"`
	}
	return text
}

// Keyword reports whether a word is the name of a reserved field of interactions, which is no value of one, whatever its case.
func Keyword(word string) bool {
	return slices.ContainsFunc(reservedFields(Interactions, ""), func(r reservedField) bool { return strings.EqualFold(r.name, word) })
}

// reservedFields returns the required and reserved fields of a type. Leniencies beside the documented types: EVENT_TYPE of custom interactions may be null
// and EVENT_VALUE a double (both are in use), CREATION_TIMESTAMP of ECOMMERCE items may be a float (one page of the guide says so), and the expiry of an
// action has the two names that the guide gives it.
func reservedFields(t Type, domain string) []reservedField {
	required := func(name string, k Kind) reservedField {
		return reservedField{name: name, kinds: []Kind{k}, required: true}
	}
	optional := func(name string, kinds ...Kind) reservedField {
		return reservedField{name: name, kinds: kinds, nullable: true}
	}
	category := func(name string) reservedField {
		return reservedField{name: name, kinds: []Kind{String}, nullable: true, shape: categoricalShape, metadata: true}
	}
	description := reservedField{name: "PRODUCT_DESCRIPTION", kinds: []Kind{String}, nullable: true, shape: textualShape, metadata: true}

	switch t {
	case Interactions:
		eventType := optional("EVENT_TYPE", String)
		if domain != "" {
			eventType = required("EVENT_TYPE", String)
		}
		return []reservedField{
			required("USER_ID", String), required("ITEM_ID", String), required("TIMESTAMP", Long), eventType, optional("EVENT_VALUE", Float, Double),
			optional("IMPRESSION", String), optional("RECOMMENDATION_ID", String), optional("EVENT_ATTRIBUTION_SOURCE", String),
		}
	case ActionInteractions:
		return []reservedField{
			required("USER_ID", String), required("ACTION_ID", String), required("EVENT_TYPE", String), required("TIMESTAMP", Long),
			optional("IMPRESSION", String), optional("RECOMMENDATION_ID", String),
		}
	case Users:
		fields := []reservedField{required("USER_ID", String)}
		if domain == VideoOnDemand {
			fields = append(fields, category("SUBSCRIPTION_MODEL"))
		}
		return fields
	case Actions:
		value, repeat := optional("VALUE", Long), optional("REPEAT_FREQUENCY", Long)
		value.metadata, repeat.metadata = true, true
		created := optional("CREATION_TIMESTAMP", Long)
		created.nullable = false
		return []reservedField{
			required("ACTION_ID", String), created, value, optional("TYPE", String), optional("EXPIRATION_TIMESTAMP", Long), optional("ACTION_EXPIRATION_TIMESTAMP", Long), repeat,
		}
	}
	switch domain {
	case Ecommerce:
		price, level1 := required("PRICE", Float), category("CATEGORY_L1")
		price.metadata = true
		level1.required, level1.nullable = true, false
		return []reservedField{
			required("ITEM_ID", String), price, level1, category("CATEGORY_L2"), category("CATEGORY_L3"), description,
			optional("CREATION_TIMESTAMP", Long, Float), category("AGE_GROUP"), category("ADULT"), category("GENDER"),
		}
	case VideoOnDemand:
		genres := category("GENRES")
		genres.required, genres.nullable = true, false
		return []reservedField{
			required("ITEM_ID", String), genres, required("CREATION_TIMESTAMP", Long), optional("PRICE", Float), optional("DURATION", Float), optional("AVERAGE_RATING", Float),
			category("GENRE_L2"), category("GENRE_L3"), description, category("CONTENT_OWNER"), category("CONTENT_CLASSIFICATION"),
		}
	}
	return []reservedField{required("ITEM_ID", String), optional("CREATION_TIMESTAMP", Long)}
}
