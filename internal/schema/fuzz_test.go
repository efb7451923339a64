package schema_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/palate-dev/palate/internal/hostile"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/schema/schematest"
)

// plainFields reads the fields of an Avro record that Parse has accepted, with the plainest of decoders.
func plainFields(t *testing.T, text string) (fields []schema.Field) {
	t.Helper()
	kinds := map[any]schema.Kind{"string": schema.String, "int": schema.Int, "long": schema.Long, "float": schema.Float, "double": schema.Double, "boolean": schema.Boolean}
	var record map[string]any
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		t.Fatal(err)
	}
	for _, x := range record["fields"].([]any) {
		x := x.(map[string]any)
		f := schema.Field{Name: x["name"].(string)}
		types, ok := x["type"].([]any)
		if !ok {
			types = []any{x["type"]}
		}
		for _, name := range types {
			if name == "null" {
				f.Nullable = true
			} else if f.Kind, ok = kinds[name]; !ok {
				t.Fatalf("type %v of field %s in %s", name, f.Name, text)
			}
		}
		f.Categorical, f.Textual, f.ItemName = x["categorical"] == true, x["textual"] == true, x["itemName"] == true
		fields = append(fields, f)
	}
	return fields
}

// FuzzParse holds that an accepted schema says what a plain decoder reads in its text, keeps the promises of the package, and can replace itself.
func FuzzParse(f *testing.F) {
	f.Add(schematest.Interactions, "")
	f.Add(schematest.Avro("Items", "ITEM_ID:string", "PRICE:float", "CATEGORY_L1:string/categorical", "D:string?/textual"), schema.Ecommerce)
	f.Add(schematest.Avro("Items", "ITEM_ID:string", "GENRES:string/categorical", "CREATION_TIMESTAMP:long"), schema.VideoOnDemand)
	f.Add(schematest.Avro("Actions", "ACTION_ID:string", "VALUE:long?", "CREATION_TIMESTAMP:long", "REPEAT_FREQUENCY:long?"), "")
	f.Add(schematest.Avro("Action_Interactions", "USER_ID:string", "ACTION_ID:string", "EVENT_TYPE:string", "TIMESTAMP:long"), "")
	f.Add(`{"type":"record","name":"Users","fields":[{"name":"USER_ID","type":["string"]},{"name":"a","type":["null","int"],"categorical":null}]}`, "")
	f.Add(`{"type":"record","name":"Users","fields":[{"name":"USER_ID","type":"string"},{"name":"_seq","type":"int"},{"name":"A_B","type":"int"},{"name":"ab","type":"int"}]}`, "")
	f.Fuzz(func(t *testing.T, text, domain string) {
		var s *schema.Schema
		var err error
		hostile.Bound(t, len(text), func() { s, err = schema.Parse(text, domain) })
		if err != nil {
			return
		}
		if diff := cmp.Diff(plainFields(t, text), s.Fields); diff != "" {
			t.Fatalf("%s: (-plain +Parse)\n%s", text, diff)
		}
		for i, field := range s.Fields {
			if s.Index(field.Name) != i || s.Match(field.Name) != i {
				t.Fatalf("field %s is not found by its name in %s", field.Name, text)
			}
			if schema.IsSystemColumn(field.Name) {
				t.Fatalf("field %s has the name of a system column", field.Name)
			}
		}
		if !s.Type.IsLog() && s.KeyField() < 0 {
			t.Fatalf("no key in %s", text)
		}
		if err := s.CanReplace(s); err != nil && (s.Type == schema.Items || s.Type == schema.Users) {
			t.Fatalf("%s cannot replace itself: %v", text, err)
		}
	})
}
