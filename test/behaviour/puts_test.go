//lint:file-ignore SA1019 version 1 of the SDK is what customers still run, and the only Go client of the events API: it is tested because it is old.

package behaviour

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/private/protocol/json/jsonutil"
	"github.com/aws/aws-sdk-go/service/personalizeevents"
	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/sdk"
	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// counters are the datasets of the puts of these tests: one group whose schemas have every field, one whose schemas have only what must be, and one with fields
// that must not be null.
type counters struct {
	*everything
	bare, strict *everything
	events       *personalizeevents.PersonalizeEvents
}

func openCounters(t *testing.T) *counters {
	t.Helper()
	c := &counters{everything: openEverything(t)}
	c.bare = &everything{Shop: shop.New(t, c.Server, "bare", "")}
	c.bare.Interactions = c.bare.Dataset("Interactions", schema("Interactions", "USER_ID string", "ITEM_ID string", "TIMESTAMP long"))
	c.bare.actionInteractions = c.bare.Dataset("Action_Interactions", schema("ActionInteractions", "USER_ID string", "ACTION_ID string", "EVENT_TYPE string", "TIMESTAMP long"))
	c.strict = &everything{Shop: shop.New(t, c.Server, "strict", "")}
	c.strict.Interactions = c.strict.Dataset("Interactions", schema("Interactions", "USER_ID string", "ITEM_ID string", "TIMESTAMP long", "EVENT_TYPE string", "EVENT_VALUE float", "PAGES int", "DEVICE string categorical"))
	c.strict.Items = c.strict.Dataset("Items", schema("Items", "ITEM_ID string", "PRICE float", "GENRES string? categorical"))
	for _, e := range []*everything{c.bare, c.strict} {
		e.tracking = e.Tracker()
	}
	d, err := c.Describe("dataset", c.bare.actionInteractions)
	if err != nil {
		t.Fatal(err)
	}
	c.bare.actionTracking = d["trackingId"].(string)
	clients, err := sdk.New(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.events = clients.Events
	c.events.Handlers.Validate.Clear() // what is wrong shall reach the server
	return c
}

// An answer is how a put ended.
type answer struct {
	status        int
	code, message string
}

// call sends a request through the SDK's client, or as it stands if raw: the client can send neither properties that are no JSON object nor, in them, a number
// that no double holds.
func (c *counters) call(operation string, in M, raw bool) answer {
	c.T.Helper()
	if raw {
		_, err := c.Call(operation, in)
		var e *server.APIError
		switch {
		case err == nil:
			return answer{status: 200}
		case !errors.As(err, &e):
			c.T.Fatal(err)
		}
		return answer{e.Status, e.Code, e.Message}
	}
	text, err := json.Marshal(in)
	if err != nil {
		c.T.Fatal(err)
	}
	read := func(into any) {
		if err := jsonutil.UnmarshalJSON(into, bytes.NewReader(text)); err != nil {
			c.T.Fatalf("the client cannot send %s: %v", text, err)
		}
	}
	var req *request.Request
	switch operation {
	case "PutEvents":
		in := &personalizeevents.PutEventsInput{}
		read(in)
		req, _ = c.events.PutEventsRequest(in)
	case "PutItems":
		in := &personalizeevents.PutItemsInput{}
		read(in)
		req, _ = c.events.PutItemsRequest(in)
	case "PutUsers":
		in := &personalizeevents.PutUsersInput{}
		read(in)
		req, _ = c.events.PutUsersRequest(in)
	case "PutActions":
		in := &personalizeevents.PutActionsInput{}
		read(in)
		req, _ = c.events.PutActionsRequest(in)
	case "PutActionInteractions":
		in := &personalizeevents.PutActionInteractionsInput{}
		read(in)
		req, _ = c.events.PutActionInteractionsRequest(in)
	}
	err = req.Send()
	var e awserr.RequestFailure
	switch {
	case err == nil:
		if req.HTTPResponse.ContentLength != 0 {
			c.T.Errorf("%s answered with a body of %d bytes", operation, req.HTTPResponse.ContentLength)
		}
		return answer{status: req.HTTPResponse.StatusCode}
	case !errors.As(err, &e):
		c.T.Fatal(err)
	}
	return answer{e.StatusCode(), e.Code(), e.Message()}
}

// with returns m with other members; nil takes one away.
func with(m, more M) M {
	out := M{}
	for _, from := range []M{m, more} {
		for k, v := range from {
			if out[k] = v; v == nil {
				delete(out, k)
			}
		}
	}
	return out
}

// The requests of one record that is right but for what more says of the record.

func (e *everything) event(user string, more M) M {
	return M{"trackingId": e.tracking, "userId": user, "sessionId": "canary-s", "eventList": []M{with(M{"eventType": "view", "itemId": "i1", "sentAt": 1_700_000_000}, more)}}
}

func (e *everything) item(id string, properties any) M {
	return M{"datasetArn": e.Items, "items": []M{with(M{"itemId": id}, M{"properties": properties})}}
}

func (e *everything) user(id string, properties any) M {
	return M{"datasetArn": e.People, "users": []M{with(M{"userId": id}, M{"properties": properties})}}
}

func (e *everything) action(id string, properties any) M {
	return M{"datasetArn": e.actions, "actions": []M{with(M{"actionId": id}, M{"properties": properties})}}
}

func (e *everything) actionEvent(user string, more M) M {
	return M{"trackingId": e.actionTracking, "actionInteractions": []M{
		with(M{"actionId": "a1", "userId": user, "sessionId": "canary-s", "timestamp": 1_700_000_000, "eventType": "Taken"}, more)}}
}

// object is a flat JSON object of so many characters, with a key that no schema has.
func object(characters int) string {
	return `{"x":"` + strings.Repeat("ü", characters-len(`{"x":""}`)) + `"}`
}

// stored is a rule of what a put stores: the rows whose first field is the id.
type stored struct {
	rule, operation string
	in              M
	raw             bool
	dataset, id     string
	want            [][]string
}

func TestEveryRuleOfWhatAPutStores(t *testing.T) {
	t.Parallel()
	c := openCounters(t)
	var rules []stored
	n := 0
	// add takes the request of an id of its own. Cells of want are named by their fields; fields that are not named are null.
	add := func(rule, operation, dataset, fields string, raw bool, in func(id string) M, want ...map[string]string) {
		n++
		id := fmt.Sprint(canary, "-rule-", n)
		s := stored{rule: rule, operation: operation, in: in(id), raw: raw, dataset: dataset, id: id}
		for _, cells := range want {
			var row []string
			for _, field := range strings.Fields(fields) {
				row = append(row, cells[field])
			}
			row[0] = id
			s.want = append(s.want, row)
		}
		rules = append(rules, s)
	}
	header := func(arn string) string { return strings.Join(c.bulk()[arn][0], " ") }
	type row = map[string]string
	base := row{"ITEM_ID": "i1", "TIMESTAMP": "1700000000", "EVENT_TYPE": "view"}
	but := func(cells row, more row) row {
		out := row{}
		for _, from := range []row{cells, more} {
			for k, v := range from {
				out[k] = v
			}
		}
		return out
	}
	event := func(rule string, raw bool, more M, want row) {
		add(rule, "PutEvents", c.Interactions, header(c.Interactions), raw, func(id string) M { return c.event(id, more) }, but(base, want))
	}
	properties := func(rule string, raw bool, text string, want row) { event(rule, raw, M{"properties": text}, want) }

	event("5.2 userId, itemId, eventType, sentAt become USER_ID, ITEM_ID, EVENT_TYPE, TIMESTAMP", false, nil, nil)
	event("5.2 sentAt: seconds, the fraction is dropped", false, M{"sentAt": 1_700_000_007.999}, row{"TIMESTAMP": "1700000007"})
	event("5.2 eventValue becomes EVENT_VALUE", false, M{"eventValue": 4.5}, row{"EVENT_VALUE": "4.5"})
	event("5.2 impression becomes IMPRESSION, joined", false, M{"impression": []string{"i3", "i1", "i2"}}, row{"IMPRESSION": "i3|i1|i2"})
	event("events 2: the item itself need not be in the impression", false, M{"impression": []string{"i9"}}, row{"IMPRESSION": "i9"})
	event("5.2 recommendationId becomes RECOMMENDATION_ID, also if unknown", false, M{"recommendationId": "RID-nobody-knows"}, row{"RECOMMENDATION_ID": "RID-nobody-knows"})
	event("5.2 attribution becomes EVENT_ATTRIBUTION_SOURCE", false, M{"metricAttribution": M{"eventAttributionSource": "news letter"}}, row{"EVENT_ATTRIBUTION_SOURCE": "news letter"})
	event("events 2: explicit and implicit impressions together", false, M{"impression": []string{"i2"}, "recommendationId": "RID-1"}, row{"IMPRESSION": "i2", "RECOMMENDATION_ID": "RID-1"})
	for _, key := range []string{"numRatings", "NUM_RATINGS", "num_ratings", "NumRatings", "numratings", "_NUM__ratings"} {
		properties("5.1 keys match fields without underscores and case: "+key, false, `{"`+key+`":12}`, row{"NUM_RATINGS": "12"})
	}
	properties("5.1 a string becomes an integer", false, `{"numRatings":"12"}`, row{"NUM_RATINGS": "12"})
	properties("5.1 a string becomes a float", false, `{"pricePaid":"0.1"}`, row{"PRICE_PAID": "0.1"})
	properties("5.1 a string becomes a boolean", false, `{"isMember":"true"}`, row{"IS_MEMBER": "true"})
	properties("5.1 a boolean", false, `{"isMember":false}`, row{"IS_MEMBER": "false"})
	properties("5.1 a number becomes a string", false, `{"device":12.5}`, row{"DEVICE": "12.5"})
	properties("5.1 a boolean becomes a string", false, `{"device":true}`, row{"DEVICE": "true"})
	properties("5.1 the greatest long", true, `{"numRatings":9223372036854775807}`, row{"NUM_RATINGS": greatest})
	properties("5.1 a whole float for an integer", true, `{"qty":3.0,"numRatings":1.5e3}`, row{"QTY": "3", "NUM_RATINGS": "1500"})
	properties("5.1 keys without a field are ignored", false, `{"colour":"red","qty":1}`, row{"QTY": "1"})
	properties("5.1 null, and what is not there, is null", false, `{"qty":null}`, nil)
	properties("5.1 an empty object", false, `{}`, nil)
	properties("3 an empty string is null", false, `{"device":""}`, nil)
	properties("5.1 white space around everything", true, " \n{ \"qty\" : 1 ,\t\"device\" : \"tv\" } ", row{"QTY": "1", "DEVICE": "tv"})
	properties("5.1 events: 1024 characters", true, object(1024), nil)
	event("5.1 itemId inside of the properties", false, M{"itemId": nil, "properties": `{"itemId":"i7"}`}, row{"ITEM_ID": "i7"})
	properties("5.1 eventValue inside of the properties", false, `{"eventValue":"2.5"}`, row{"EVENT_VALUE": "2.5"})
	event("5.1 members win over properties", false, M{"eventValue": 1, "properties": `{"itemId":"i7","EVENT_VALUE":2}`}, row{"EVENT_VALUE": "1"})
	event("2.4 a string of 1000 characters", false, M{"properties": `{"device":"` + strings.Repeat("日", 1000) + `"}`}, row{"DEVICE": strings.Repeat("日", 1000)})
	event("2.4 an id of 256 characters", false, M{"itemId": strings.Repeat("日", 256)}, row{"ITEM_ID": strings.Repeat("日", 256)})
	event("5.2 an id that holds quotes, commas and more", false, M{"itemId": awkward}, row{"ITEM_ID": awkward})
	event("5.2 impression: 25 items", false, M{"impression": slices.Repeat([]string{"i1"}, 25)}, row{"IMPRESSION": strings.Join(slices.Repeat([]string{"i1"}, 25), "|")})

	add("5.2 ten events in a call", "PutEvents", c.Interactions, header(c.Interactions), false, func(id string) M {
		in := c.event(id, nil)
		in["eventList"] = nil
		var list []M
		for i := range 10 {
			list = append(list, M{"eventType": "view", "itemId": fmt.Sprint("i", i), "sentAt": i})
		}
		return with(in, M{"eventList": list})
	}, func() (want []row) {
		for i := range 10 {
			want = append(want, row{"ITEM_ID": fmt.Sprint("i", i), "EVENT_TYPE": "view", "TIMESTAMP": fmt.Sprint(i)})
		}
		return want
	}()...)
	add("5.2 of events with equal timestamp and properties one is kept", "PutEvents", c.Interactions, header(c.Interactions), false, func(id string) M {
		e := M{"eventType": "view", "itemId": "i1", "sentAt": 1_700_000_000, "properties": `{"qty":1}`}
		return with(c.event(id, nil), M{"eventList": []M{e, with(e, M{"eventId": "another"}), with(e, M{"properties": `{"QTY":"1"}`}), with(e, M{"properties": `{"qty":2}`})}})
	}, but(base, row{"QTY": "1"}), but(base, row{"QTY": "2"}))
	add("3.2 an eventId that came before: stored, not trained on", "PutEvents", c.Interactions, header(c.Interactions), false, func(id string) M {
		e := M{"eventType": "view", "itemId": "i1", "sentAt": 1_700_000_000, "eventId": "one " + id}
		return with(c.event(id, nil), M{"eventList": []M{e, with(e, M{"itemId": "i2"})}})
	}, base, but(base, row{"ITEM_ID": "i2"}))
	add("5.2 an event without userId is stored under its session", "PutEvents", c.Interactions, header(c.Interactions), false, func(id string) M {
		return with(c.event("", nil), M{"userId": nil, "sessionId": id})
	}, base)
	add("5.2 members without a field are dropped", "PutEvents", c.bare.Interactions, "USER_ID ITEM_ID TIMESTAMP", false, func(id string) M {
		return c.bare.event(id, M{"eventValue": 1, "impression": []string{"i1"}, "recommendationId": "RID-1", "metricAttribution": M{"eventAttributionSource": "mail"}, "properties": `{"qty":1}`})
	}, base)
	add("5.1 fields that must not be null, from members and properties", "PutEvents", c.strict.Interactions, "USER_ID ITEM_ID TIMESTAMP EVENT_TYPE EVENT_VALUE PAGES DEVICE", false, func(id string) M {
		return c.strict.event(id, M{"eventValue": 0, "properties": `{"pages":"7","device":"tv"}`})
	}, but(base, row{"EVENT_VALUE": "0", "PAGES": "7", "DEVICE": "tv"}))

	item := func(rule string, raw bool, properties any, want row) {
		add(rule, "PutItems", c.Items, header(c.Items), raw, func(id string) M { return c.item(id, properties) }, want)
	}
	item("5.3 an item", false, `{"genres":"a|b","description":"d","price":"1.5","creationTimestamp":1600000000,"numRatings":0,"inStock":false}`,
		row{"GENRES": "a|b", "DESCRIPTION": "d", "PRICE": "1.5", "CREATION_TIMESTAMP": "1600000000", "NUM_RATINGS": "0", "IN_STOCK": "false"})
	item("5.3 without properties all is null", false, nil, nil)
	item("5.1 items: 32,000 characters", true, object(32_000), nil)
	item("2.4 a longer text is cut", false, `{"description":"`+strings.Repeat("é", 20_001)+`"}`, row{"DESCRIPTION": strings.Repeat("é", 20_000)})
	item("5.1 keys that only events forbid", false, `{"userId":"u","sessionId":"s","eventType":"e","timestamp":1,"recommendationId":"r","impression":"i","itemId":"other"}`, nil)
	add("5.3 the last of two records in a call", "PutItems", c.Items, header(c.Items), false, func(id string) M {
		return M{"datasetArn": c.Items, "items": []M{{"itemId": id, "properties": `{"price":1,"genres":"a"}`}, {"itemId": id, "properties": `{"price":2}`}}}
	}, row{"PRICE": "2"})
	add("5.3 ten items in a call", "PutItems", c.Items, header(c.Items), false, func(id string) M {
		list := []M{{"itemId": id}}
		for i := range 9 {
			list = append(list, M{"itemId": fmt.Sprint(id, "-", i)})
		}
		return M{"datasetArn": c.Items, "items": list}
	}, nil)
	add("5.3 a user", "PutUsers", c.People, header(c.People), false, func(id string) M { return c.user(id, `{"tier":"gold","AGE":41,"score":"2.5","isActive":true}`) },
		row{"TIER": "gold", "AGE": "41", "SCORE": "2.5", "IS_ACTIVE": "true"})
	add("5.1 users: 24,000 characters", "PutUsers", c.People, header(c.People), true, func(id string) M { return c.user(id, object(24_000)) }, nil)
	add("5.3 an action", "PutActions", c.actions, header(c.actions), false, func(id string) M {
		return c.action(id, `{"value":10,"repeatFrequency":30,"creationTimestamp":1,"expirationTimestamp":"2","type":"t","category":"a|b"}`)
	}, row{"VALUE": "10", "REPEAT_FREQUENCY": "30", "CREATION_TIMESTAMP": "1", "EXPIRATION_TIMESTAMP": "2", "TYPE": "t", "CATEGORY": "a|b"})
	add("5.1 actions: 32,000 characters", "PutActions", c.actions, header(c.actions), true, func(id string) M {
		return c.action(id, `{"creationTimestamp":1,`+object(32_000 - len(`"creationTimestamp":1,`))[1:])
	}, row{"CREATION_TIMESTAMP": "1"})

	acted := row{"ACTION_ID": "a1", "TIMESTAMP": "1700000000", "EVENT_TYPE": "Taken"}
	actionEvent := func(rule string, raw bool, more M, want row) {
		add(rule, "PutActionInteractions", c.actionInteractions, header(c.actionInteractions), raw, func(id string) M { return c.actionEvent(id, more) }, but(acted, want))
	}
	for _, kind := range []string{"Taken", "TAKEN", "taken", "Not Taken", "Not taken", "NOT_TAKEN", "not_taken", "NotTaken", "Viewed", "VIEWED"} {
		actionEvent("5.4 eventType is stored as given: "+kind, false, M{"eventType": kind}, row{"EVENT_TYPE": kind})
	}
	actionEvent("5.4 timestamp: epoch seconds", false, M{"timestamp": 1_700_000_001.9}, row{"TIMESTAMP": "1700000001"})
	actionEvent("5.4 impression, recommendationId and properties are stored", false,
		M{"impression": []string{"a1", "a2"}, "recommendationId": "RID-1", "properties": `{"channel":"mail","AMOUNT":"1.5","is_push":true}`},
		row{"IMPRESSION": "a1|a2", "RECOMMENDATION_ID": "RID-1", "CHANNEL": "mail", "AMOUNT": "1.5", "IS_PUSH": "true"})
	actionEvent("5.1 action interactions: 1024 characters", true, M{"properties": object(1024)}, nil)
	actionEvent("5.1 members win over properties of action interactions", false, M{"properties": `{"actionId":"a7","eventValue":3,"itemId":"i1"}`}, nil)
	add("5.4 without userId it is stored under its session", "PutActionInteractions", c.actionInteractions, header(c.actionInteractions), false, func(id string) M {
		return c.actionEvent("", M{"userId": nil, "sessionId": id})
	}, acted)
	add("5.4 members without a field are dropped", "PutActionInteractions", c.bare.actionInteractions, "USER_ID ACTION_ID EVENT_TYPE TIMESTAMP", false, func(id string) M {
		return c.bare.actionEvent(id, M{"impression": []string{"a1"}, "recommendationId": "RID-1", "properties": `{"amount":1}`})
	}, acted)
	add("5.4 ten action interactions in a call", "PutActionInteractions", c.actionInteractions, header(c.actionInteractions), false, func(id string) M {
		var list []M
		for i := range 10 {
			list = append(list, M{"actionId": fmt.Sprint("a", i), "userId": id, "sessionId": "canary-s", "timestamp": i, "eventType": "Viewed"})
		}
		return M{"trackingId": c.actionTracking, "actionInteractions": list}
	}, func() (want []row) {
		for i := range 10 {
			want = append(want, row{"ACTION_ID": fmt.Sprint("a", i), "EVENT_TYPE": "Viewed", "TIMESTAMP": fmt.Sprint(i)})
		}
		return want
	}()...)

	for _, r := range rules {
		if got := c.call(r.operation, r.in, r.raw); got != (answer{status: 200}) {
			t.Errorf("%s: %+v", r.rule, got)
		}
	}
	exports := map[string][][]string{}
	for _, r := range rules {
		rows, ok := exports[r.dataset]
		if !ok {
			mode := "PUT"
			if r.operation != "PutEvents" && r.operation != "PutActionInteractions" {
				mode = "ALL" // one record of each id
			}
			rows = c.Export(r.dataset, mode)
			exports[r.dataset] = rows
		}
		if diff := cmp.Diff(shop.Lines(append(rows[:1:1], r.want...)), shop.Lines(append(rows[:1:1], rowsOf(rows, r.id)...))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", r.rule, diff)
		}
	}
}
