package rowtext_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/schema/schematest"
)

// fromProperties completes a row of which some fields are given by name; others of those names are left out.
func fromProperties(s *schema.Schema, given map[string]schema.Value, properties string) ([]schema.Value, error) {
	values := make([]schema.Value, len(s.Fields))
	for name, v := range given {
		if i := s.Index(name); i >= 0 {
			values[i] = v
		}
	}
	if err := rowtext.Complete(s, values, properties); err != nil {
		return nil, err
	}
	return values, nil
}

func TestFromPropertiesConvertsScalarsToTheFieldsType(t *testing.T) {
	s := schematest.Parse(t, schematest.Avro("Items", "ITEM_ID:string", "NUM_RATINGS:int?", "CATEGORY_L1:string?/categorical", "PRICE:float?", "LIVE:boolean?"), "")
	id := map[string]schema.Value{"ITEM_ID": str("i"), "NOT_A_FIELD": str("dropped")}
	var null schema.Value
	for _, c := range []struct {
		properties string
		want       [4]schema.Value
	}{
		{``, [4]schema.Value{}},
		{`{}`, [4]schema.Value{}},
		{`{"numRatings": 12, "categoryL1": "a|b", "price": 9.5, "live": true}`, [4]schema.Value{integer(12), str("a|b"), decimal(9.5), integer(1)}},
		{`{"NUM_RATINGS": "12", "category_l1": 7, "PRICE": "9.5", "Live": "false"}`, [4]schema.Value{integer(12), str("7"), decimal(9.5), integer(0)}},
		{`{"numRatings": 1.2e1, "categoryL1": true, "price": 1}`, [4]schema.Value{integer(12), str("true"), decimal(1), null}},
		{`{"numRatings": 12.0, "categoryL1": 1.50}`, [4]schema.Value{integer(12), str("1.50"), null, null}},
		{`{"numRatings": null, "categoryL1": "", "price": ""}`, [4]schema.Value{}},
		{`{"numRatings": 1, "num_ratings": 2}`, [4]schema.Value{integer(2), null, null, null}},
		{`{"unknown": 1, "itemId": "overruled", "categoryL1": "日\n本"}`, [4]schema.Value{null, str("日\n本"), null, null}},
	} {
		got, err := fromProperties(s, id, c.properties)
		if err != nil {
			t.Errorf("%s: %v", c.properties, err)
			continue
		}
		if diff := cmp.Diff(append([]schema.Value{str("i")}, c.want[:]...), got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.properties, diff)
		}
	}
}

func TestFromPropertiesRefusesWhatDoesNotFit(t *testing.T) {
	s := schematest.Parse(t, schematest.Avro("Items", "ITEM_ID:string", "NUM_RATINGS:int", "GENRE:string?/categorical", "PRICE:float?", "LIVE:boolean?"), "")
	good := map[string]schema.Value{"ITEM_ID": str("i"), "NUM_RATINGS": integer(1)}
	const notFlat = "Properties must be one flat JSON object: keys with strings, numbers, booleans or null."
	for _, c := range []struct {
		given      map[string]schema.Value
		properties string
		want       string
	}{
		{good, `[]`, notFlat},
		{good, `"a"`, notFlat},
		{good, `null`, notFlat},
		{good, `{`, notFlat},
		{good, `{"a":1}}`, notFlat},
		{good, `{"a":1,}`, notFlat},
		{good, `{"a"}`, notFlat},
		{good, `{"a":[1]}`, notFlat},
		{good, `{"genre":["a","b"]}`, notFlat},
		{good, `{"a":{"b":1}}`, notFlat},
		{good, `{"numRatings":"CANARY"}`, "Field NUM_RATINGS: the value is not of type int."},
		{good, `{"numRatings":1.5}`, "Field NUM_RATINGS: the value is not of type int."},
		{good, `{"numRatings":1e10}`, "Field NUM_RATINGS: the value is not between -2147483648 and 2147483647."},
		{good, `{"numRatings":true}`, "Field NUM_RATINGS: the value is not of type int."},
		{good, `{"price":"NaN"}`, "Field PRICE: the value is not of type float."},
		{good, `{"live":1}`, "Field LIVE: the value is not of type boolean."},
		{good, `{"genre":"a\u0000"}`, "Field GENRE: the text holds a NUL character."},
		{good, `{"genre":"` + strings.Repeat("é", 1001) + `"}`, "Length cannot be more than 1000 characters for GENRE."},
		{good, `{"a":"` + strings.Repeat("é", 32_000) + `"}`, "Properties cannot be longer than 32000 characters."},
		{map[string]schema.Value{"ITEM_ID": str("i")}, `{}`, "Field NUM_RATINGS has no value and its schema does not admit null."},
		{map[string]schema.Value{"NUM_RATINGS": integer(1)}, ``, "Field ITEM_ID has no value and its schema does not admit null."},
		{map[string]schema.Value{"ITEM_ID": str(""), "NUM_RATINGS": integer(1)}, ``, "Field ITEM_ID has no value and its schema does not admit null."},
		{map[string]schema.Value{"ITEM_ID": str(strings.Repeat("x", 257)), "NUM_RATINGS": integer(1)}, ``, "Length cannot be more than 256 characters for ITEM_ID."},
		{map[string]schema.Value{"ITEM_ID": str("i\xff"), "NUM_RATINGS": integer(1)}, ``, "Field ITEM_ID: the text is not valid UTF-8."},
		{map[string]schema.Value{"ITEM_ID": str("i"), "NUM_RATINGS": integer(1), "PRICE": decimal(math.Inf(1))}, ``, "Field PRICE: the value is not of type float."},
	} {
		_, err := fromProperties(s, c.given, c.properties)
		if err == nil || err.Error() != c.want {
			t.Errorf("%.60s: %v, want %s", c.properties, err, c.want)
		}
	}
}

func TestEventPropertiesMustNotRepeatMembersOfTheRequest(t *testing.T) {
	s := schematest.Parse(t, schematest.Interactions, "")
	given := map[string]schema.Value{"USER_ID": str("u"), "TIMESTAMP": integer(9), "EVENT_TYPE": str("watch"), "IMPRESSION": str("a|b")}
	for _, key := range []string{"userId", "USER_ID", "sessionId", "EventType", "timestamp", "recommendation_id", "IMPRESSION"} {
		_, err := fromProperties(s, given, fmt.Sprintf(`{"itemId":"i",%q:"CANARY"}`, key))
		if want := "Properties cannot hold the key " + key + ": it is a member of the request."; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	got, err := fromProperties(s, given, `{"itemId":"inside","eventValue":"4.5"}`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]schema.Value{str("u"), str("inside"), integer(9), str("watch"), decimal(4.5)}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	given["ITEM_ID"], given["EVENT_VALUE"] = str("top"), decimal(2)
	if got, err = fromProperties(s, given, `{"itemId":"inside","eventValue":"4.5"}`); err != nil || got[1].Str != "top" || got[4].Float != 2 {
		t.Errorf("top-level members do not win: %v, %v", got, err)
	}
	if _, err = fromProperties(s, given, `{"a":"`+strings.Repeat("x", 1020)+`"}`); err == nil {
		t.Error("1028 characters of event properties were accepted")
	}
	users := schematest.Parse(t, schematest.Avro("Users", "USER_ID:string", "TIMESTAMP:long?"), "")
	if got, err = fromProperties(users, map[string]schema.Value{"USER_ID": str("u")}, `{"timestamp":5}`); err != nil || got[1].Int != 5 {
		t.Errorf("a user's timestamp field: %v, %v", got, err)
	}
}
