package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/schema/schematest"
)

// numbered returns n fields of a pattern with one %d.
func numbered(n int, pattern string) (fields []string) {
	for i := range n {
		fields = append(fields, fmt.Sprintf(pattern, i))
	}
	return fields
}

func TestParseKeepsFieldsInOrderWithTheirTypesAndAttributes(t *testing.T) {
	s := schematest.Parse(t, `{"type":"record","name":"Items","doc":"ignored","fields":[
		{"name":"ITEM_ID","type":["string"]},
		{"name":"GENRES","type":["null","string"],"categorical":true},
		{"name":"Title","type":["string","null"],"itemName":true,"categorical":false},
		{"name":"PLOT","type":"string","textual":true},
		{"name":"YEAR","type":"int"},{"name":"PRICE","type":"double"},{"name":"LIVE","type":["boolean","null"]},
		{"name":"CREATION_TIMESTAMP","type":"long"}]}`, "")
	want := &schema.Schema{Type: schema.Items, Fields: []schema.Field{
		{Name: "ITEM_ID"},
		{Name: "GENRES", Nullable: true, Categorical: true},
		{Name: "Title", Nullable: true, ItemName: true},
		{Name: "PLOT", Textual: true},
		{Name: "YEAR", Kind: schema.Int}, {Name: "PRICE", Kind: schema.Double}, {Name: "LIVE", Kind: schema.Boolean, Nullable: true},
		{Name: "CREATION_TIMESTAMP", Kind: schema.Long},
	}}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for name, want := range map[string]int{"TITLE": -1, "Title": 2, "": -1} {
		if got := s.Index(name); got != want {
			t.Errorf("Index(%q) = %d, want %d", name, got, want)
		}
	}
	for name, want := range map[string]int{"creationTimestamp": 7, "title": 2, "Ti_tle": 2, "titles": -1, "": -1} {
		if got := s.Match(name); got != want {
			t.Errorf("Match(%q) = %d, want %d", name, got, want)
		}
	}
}

func TestParseAcceptsTheGuidesSchemas(t *testing.T) {
	for _, c := range []struct {
		domain string
		text   string
	}{
		{"", schematest.Avro("Interactions", "USER_ID:string", "ITEM_ID:string", "TIMESTAMP:long")},
		{"", schematest.Avro("Interactions", "USER_ID:string", "ITEM_ID:string", "TIMESTAMP:long", "EVENT_TYPE:string?", "EVENT_VALUE:double", "IMPRESSION:string?", "RECOMMENDATION_ID:string?", "EVENT_ATTRIBUTION_SOURCE:string?",
			"A:string/categorical", "B:int", "C:string?", "D:float", "E:boolean")},
		{"", schematest.Avro("Users", "USER_ID:string", "AGE:int")},
		{"", schematest.Avro("Users", append([]string{"USER_ID:string"}, numbered(25, "F%d:int")...)...)},
		{"", schematest.Avro("Items", "ITEM_ID:string", "PLOT:string?/textual", "CREATION_TIMESTAMP:long?")},
		{"", schematest.Avro("Items", append([]string{"ITEM_ID:string"}, numbered(100, "F%d:string/categorical")...)...)},
		{"", schematest.Avro("Items", "ITEM_ID:string", "USER_ID:string/categorical")},
		{"", schematest.Avro("Actions", "ACTION_ID:string", "VALUE:long?", "CREATION_TIMESTAMP:long", "TYPE:string?", "EXPIRATION_TIMESTAMP:long?", "REPEAT_FREQUENCY:long?")},
		{"", schematest.Avro("Actions", "ACTION_ID:string", "ACTION_EXPIRATION_TIMESTAMP:long", "LEVEL:string/categorical")},
		{"", schematest.Avro("ActionInteractions", "USER_ID:string", "ACTION_ID:string", "EVENT_TYPE:string", "TIMESTAMP:long", "IMPRESSION:string?")},
		{"", schematest.Avro("Action_Interactions", "USER_ID:string", "ACTION_ID:string", "EVENT_TYPE:string", "TIMESTAMP:long")},
		{schema.Ecommerce, schematest.Avro("Interactions", "USER_ID:string", "ITEM_ID:string", "TIMESTAMP:long", "EVENT_TYPE:string")},
		{schema.Ecommerce, schematest.Avro("Users", "USER_ID:string", "MEMBERSHIP_STATUS:string/categorical")},
		{schema.Ecommerce, schematest.Avro("Items", "ITEM_ID:string", "PRICE:float", "CATEGORY_L1:string/categorical")},
		{schema.Ecommerce, schematest.Avro("Items", "ITEM_ID:string", "PRICE:float", "CATEGORY_L1:string/categorical", "CATEGORY_L2:string?/categorical", "CATEGORY_L3:string?/categorical", "PRODUCT_DESCRIPTION:string?/textual",
			"CREATION_TIMESTAMP:float", "AGE_GROUP:string?/categorical", "ADULT:string?/categorical", "GENDER:string?/categorical")},
		{schema.VideoOnDemand, schematest.Avro("Users", "USER_ID:string", "SUBSCRIPTION_MODEL:string/categorical")},
		{schema.VideoOnDemand, schematest.Avro("Items", "ITEM_ID:string", "GENRES:string/categorical", "CREATION_TIMESTAMP:long")},
		{schema.VideoOnDemand, schematest.Avro("Items", "ITEM_ID:string", "GENRES:string/categorical", "CREATION_TIMESTAMP:long", "PRICE:float?", "DURATION:float", "AVERAGE_RATING:float?", "GENRE_L2:string?/categorical",
			"GENRE_L3:string?/categorical", "PRODUCT_DESCRIPTION:string/textual", "CONTENT_OWNER:string/categorical", "CONTENT_CLASSIFICATION:string?/categorical")},
	} {
		if _, err := schema.Parse(c.text, c.domain); err != nil {
			t.Errorf("domain %q, %s: %v", c.domain, c.text, err)
		}
	}
}

func TestParseNamesTheFieldAndTheRuleThatIsBroken(t *testing.T) {
	items := func(fields ...string) string {
		return schematest.Avro("Items", append([]string{"ITEM_ID:string", "YEAR:int"}, fields...)...)
	}
	interactions := func(fields ...string) string {
		return schematest.Avro("Interactions", append([]string{"USER_ID:string", "ITEM_ID:string", "TIMESTAMP:long"}, fields...)...)
	}
	raw := func(fields string) string { return `{"type":"record","name":"Items","fields":[` + fields + `]}` }
	for _, c := range []struct{ domain, text, want string }{
		{"", `{"type":"record",}`, "the text is not JSON: invalid character '}' looking for beginning of object key string at byte 18"},
		{"", `[]`, "the text is not a JSON object."},
		{"", items() + "x", "the text is not JSON"},
		{"", `{"type":"enum","name":"Items"}`, `"type" must be "record"`},
		{"", `{"type":"record","name":7}`, `"name" must be a string`},
		{"", schematest.Avro("Films", "ITEM_ID:string"), `"name" must be one of Interactions, Items, Users, Actions, ActionInteractions`},
		{"", `{"type":"record","name":"Items","fields":{}}`, `"fields" must be a list of fields`},
		{"", raw(``), `"fields" must be a list of fields`},
		{"", raw(`"ITEM_ID"`), "field 1 is not an object"},
		{"", raw(`null`), "field 1 is not an object"},
		{"", raw(`{"type":"string"}`), `field 1 has no "name"`},
		{"", raw(`{"name":"1ST","type":"string"}`), "the name of field 1 must start with a letter or underscore"},
		{"", raw(`{"name":"` + strings.Repeat("A", 151) + `","type":"string"}`), "at most 150 characters"},
		{"", raw(`{"name":"A"}`), `field A: "type" must be`},
		{"", raw(`{"name":"A","type":[]}`), `field A: "type" must be`},
		{"", raw(`{"name":"A","type":"bytes"}`), `field A: "type" must be`},
		{"", raw(`{"name":"A","type":"null"}`), `field A: "type" must be`},
		{"", raw(`{"name":"A","type":["null","null"]}`), `field A: "type" must be`},
		{"", raw(`{"name":"A","type":["int","string"]}`), `field A: "type" must be`},
		{"", raw(`{"name":"A","type":["int","null","string"]}`), `field A: "type" must be`},
		{"", raw(`{"name":"A","type":{"type":"array","items":"string"}}`), `field A: "type" must be`},
		{"", raw(`{"name":"A","type":"string","categorical":"yes"}`), `field A: attribute "categorical" must be true or false`},

		{"", items("GENRES_FIELD_1:int", "GENRESFIELD1:int"), "fields GENRES_FIELD_1 and GENRESFIELD1 have the same name"},
		{"", items("A:int", "a:int"), "fields A and a have the same name"},
		{"", items("A:int/categorical"), "field A: only string fields can be categorical"},
		{"", items("A:string/textual", "B:string/textual"), "fields A and B are both textual"},
		{"", items("A:string/itemName", "B:string/itemName"), "fields A and B are both itemName"},
		{"", raw(`{"name":"ITEM_ID","type":"string"},{"name":"A","type":"string","categorical":true,"textual":true}`), "field A cannot be both categorical and textual"},
		{"", schematest.Avro("Users", "USER_ID:string", "A:string/textual"), "field A: only Items datasets have textual"},

		{"", schematest.Avro("Interactions", "USER_ID:string", "ITEM_ID:string"), "required field TIMESTAMP is missing"},
		{"", schematest.Avro("Users", "ITEM_ID:string", "A:int"), "required field USER_ID is missing"},
		{"", schematest.Avro("Items", "item_id:string", "A:int"), "field item_id: the name is reserved and must be written ITEM_ID"},
		{"", schematest.Avro("Interactions", "USER_ID:string?", "ITEM_ID:string", "TIMESTAMP:long"), "field USER_ID must have type string."},
		{"", schematest.Avro("Interactions", "USER_ID:string", "ITEM_ID:string", "TIMESTAMP:int"), "field TIMESTAMP must have type long."},
		{"", interactions("EVENT_VALUE:string"), `field EVENT_VALUE must have type float or double, alone or in a list with "null".`},
		{"", interactions("EVENT_TYPE:string/categorical"), "field EVENT_TYPE must not be categorical"},
		{"", schematest.Avro("ActionInteractions", "USER_ID:string", "ACTION_ID:string", "EVENT_TYPE:string?", "TIMESTAMP:long"), "field EVENT_TYPE must have type string."},
		{"", items("CREATION_TIMESTAMP:string"), "field CREATION_TIMESTAMP must have type long"},

		{"", schematest.Avro("Users", "USER_ID:string", "A:string"), "a dataset of type USERS needs at least one metadata field that is a categorical string or a number"},
		{"", schematest.Avro("Items", "ITEM_ID:string", "CREATION_TIMESTAMP:long", "A:boolean"), "a dataset of type ITEMS needs at least one metadata field"},
		{"", schematest.Avro("Actions", "ACTION_ID:string", "TYPE:string"), "a dataset of type ACTIONS needs at least one metadata field"},
		{"", schematest.Avro("Users", append([]string{"USER_ID:string"}, numbered(26, "F%d:int")...)...), "26 metadata fields, a dataset of type USERS can have 25"},
		{"", schematest.Avro("Items", append([]string{"ITEM_ID:string"}, numbered(101, "F%d:int")...)...), "101 metadata fields, a dataset of type ITEMS can have 100"},
		{"", schematest.Avro("Actions", append([]string{"ACTION_ID:string"}, numbered(11, "F%d:int")...)...), "11 metadata fields, a dataset of type ACTIONS can have 10"},
		{"", interactions(numbered(6, "F%d:int")...), "6 metadata fields, a dataset of type INTERACTIONS can have 5"},

		{"BANKING", items(), `unknown domain "BANKING"`},
		{schema.Ecommerce, schematest.Avro("Actions", "ACTION_ID:string", "A:int"), "domain dataset groups have no datasets of type ACTIONS"},
		{schema.Ecommerce, interactions(), "required field EVENT_TYPE is missing"},
		{schema.Ecommerce, interactions("EVENT_TYPE:string?"), "field EVENT_TYPE must have type string."},
		{schema.Ecommerce, schematest.Avro("Items", "ITEM_ID:string", "CATEGORY_L1:string/categorical"), "required field PRICE is missing"},
		{schema.Ecommerce, schematest.Avro("Items", "ITEM_ID:string", "PRICE:double", "CATEGORY_L1:string/categorical"), "field PRICE must have type float."},
		{schema.Ecommerce, schematest.Avro("Items", "ITEM_ID:string", "PRICE:float", "CATEGORY_L1:string"), "field CATEGORY_L1 must be categorical"},
		{schema.Ecommerce, schematest.Avro("Items", "ITEM_ID:string", "PRICE:float", "CATEGORY_L1:string/categorical", "PRODUCT_DESCRIPTION:string"), "field PRODUCT_DESCRIPTION must be textual"},
		{schema.VideoOnDemand, schematest.Avro("Items", "ITEM_ID:string", "GENRES_L1:string/categorical", "CREATION_TIMESTAMP:long"), "required field GENRES is missing"},
		{schema.VideoOnDemand, schematest.Avro("Users", "USER_ID:string", "SUBSCRIPTION_MODEL:string"), "field SUBSCRIPTION_MODEL must be categorical"},
	} {
		_, err := schema.Parse(c.text, c.domain)
		if err == nil {
			t.Errorf("accepted, want an error that says %s: %s", c.want, c.text)
		} else if !strings.HasPrefix(err.Error(), "Schema is not valid: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v\nwant an error that says %s", err, c.want)
		}
	}
}

func TestParseTypeIgnoresCaseAndUnderscores(t *testing.T) {
	for s, want := range map[string]schema.Type{
		"Interactions": schema.Interactions, "ITEMS": schema.Items, "users": schema.Users, "Actions": schema.Actions,
		"ActionInteractions": schema.ActionInteractions, "action_interactions": schema.ActionInteractions, "Action": "", "": "", "_": "",
	} {
		if got, ok := schema.ParseType(s); got != want || ok != (want != "") {
			t.Errorf("ParseType(%q) = %q, %v", s, got, ok)
		}
	}
}

func TestKeyFieldFollowsTheType(t *testing.T) {
	for _, c := range []struct {
		text string
		key  int
	}{
		{schematest.Avro("Interactions", "ITEM_ID:string", "USER_ID:string", "TIMESTAMP:long"), -1},
		{schematest.Avro("ActionInteractions", "ACTION_ID:string", "EVENT_TYPE:string", "USER_ID:string", "TIMESTAMP:long"), -1},
		{schematest.Avro("Users", "AGE:int", "USER_ID:string"), 1},
		{schematest.Avro("Items", "YEAR:int", "USER_ID:string", "ITEM_ID:string"), 2},
		{schematest.Avro("Actions", "VALUE:long", "ACTION_ID:string"), 1},
	} {
		s := schematest.Parse(t, c.text, "")
		if s.KeyField() != c.key {
			t.Errorf("%s: key field %d, want %d", s.Type, s.KeyField(), c.key)
		}
	}
}

func TestCanReplaceAllowsOnlyNewNullableFields(t *testing.T) {
	old := schematest.Parse(t, schematest.Avro("Items", "ITEM_ID:string", "YEAR:int", "GENRE:string?/categorical"), "")
	for _, c := range []struct{ text, want string }{
		{schematest.Avro("Items", "ITEM_ID:string", "YEAR:int", "GENRE:string?/categorical"), ""},
		{schematest.Avro("Items", "PRICE:float?", "GENRE:string?/categorical", "ITEM_ID:string", "YEAR:int"), ""},
		{schematest.Avro("Items", "ITEM_ID:string", "YEAR:int"), "must keep field GENRE"},
		{schematest.Avro("Items", "ITEM_ID:string", "YEAR:long", "GENRE:string?/categorical"), "must keep the type and the attributes of field YEAR"},
		{schematest.Avro("Items", "ITEM_ID:string", "YEAR:int", "GENRE:string/categorical"), "must keep the type and the attributes of field GENRE"},
		{schematest.Avro("Items", "ITEM_ID:string", "YEAR:int", "GENRE:string?"), "must keep the type and the attributes of field GENRE"},
		{schematest.Avro("Items", "ITEM_ID:string", "YEAR:int", "GENRE:string?/categorical", "PRICE:float"), "Field PRICE of the new schema must admit null"},
		{schematest.Avro("Users", "USER_ID:string", "YEAR:int"), "the dataset has type ITEMS"},
	} {
		err := old.CanReplace(schematest.Parse(t, c.text, ""))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
	log := schematest.Parse(t, schematest.Interactions, "")
	if err := log.CanReplace(log); err == nil {
		t.Error("the schema of an Interactions dataset was replaceable")
	}
	shop := schematest.Parse(t, schematest.Avro("Users", "USER_ID:string", "A:string/categorical"), schema.Ecommerce)
	custom := schematest.Parse(t, schematest.Avro("Users", "USER_ID:string", "A:string/categorical"), "")
	if err := custom.CanReplace(shop); err == nil {
		t.Error("a schema of another domain was accepted")
	}
}
