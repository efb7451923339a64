package behaviour

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// refusal is a rule of what a put refuses.
type refusal struct {
	rule, operation string
	in              M
	raw             bool
	want            answer
}

func TestEveryRuleOfWhatAPutRefuses(t *testing.T) {
	t.Parallel()
	c := openCounters(t)
	const invalid, absent = "InvalidInputException", "ResourceNotFoundException"
	one := func(path, constraint string) answer {
		return answer{400, invalid, "1 validation error detected: Value at '" + path + "' failed to satisfy constraint: " + constraint}
	}
	null := func(path string) answer {
		return answer{400, invalid, "1 validation error detected: Value null at '" + path + "' failed to satisfy constraint: Member must not be null"}
	}
	says := func(message string) answer { return answer{400, invalid, message} }
	const notFlat = "Properties must be one flat JSON object: keys with strings, numbers, booleans or null."
	long := strings.Repeat("x", 257)
	events := func(n int) M {
		return with(c.event("canary-1", nil), M{"eventList": slices.Repeat([]M{{"eventType": "v", "itemId": "i", "sentAt": 1}}, n)})
	}
	second := func(in M, member string, good M) M { // the bad record comes second
		return with(in, M{member: append([]M{good}, in[member].([]M)...)})
	}
	goodEvent := M{"eventType": "view", "itemId": "good", "sentAt": 1}
	event := func(more M) M { return second(c.event("canary-1", more), "eventList", goodEvent) }
	props := func(text string) M { return event(M{"properties": text}) }
	item := func(properties any) M { return second(c.item("bad", properties), "items", M{"itemId": "good"}) }
	user := func(properties any) M {
		return second(c.user("canary-bad", properties), "users", M{"userId": "canary-good"})
	}
	action := func(properties any) M {
		return second(c.action("bad", properties), "actions", M{"actionId": "good", "properties": `{"creationTimestamp":1}`})
	}
	actionEvent := func(more M) M {
		return second(c.actionEvent("canary-1", more), "actionInteractions", M{"actionId": "good", "sessionId": "canary-s", "timestamp": 1, "eventType": "Taken"})
	}
	noUsers := strings.Replace(c.strict.Items, "/ITEMS", "/USERS", 1)
	rows := []refusal{
		// The request.
		{"Q trackingId is required", "PutEvents", with(c.event("canary-1", nil), M{"trackingId": nil}), false, null("trackingId")},
		{"Q sessionId is required", "PutEvents", with(c.event("canary-1", nil), M{"sessionId": nil}), false, null("sessionId")},
		{"Q eventList is required", "PutEvents", with(c.event("canary-1", nil), M{"eventList": nil}), false, null("eventList")},
		{"5.2 at least one event", "PutEvents", events(0), false, one("eventList", "Member must have length greater than or equal to 1")},
		{"5.2 ten events at most", "PutEvents", events(11), false, one("eventList", "Member must have length less than or equal to 10")},
		{"2.4 userId of 256 characters at most", "PutEvents", c.event(long, nil), false, one("userId", "Member must have length less than or equal to 256")},
		{"2.4 userId is not empty", "PutEvents", c.event("", nil), false, one("userId", "Member must have length greater than or equal to 1")},
		{"2.4 sessionId of 256 characters at most", "PutEvents", with(c.event("canary-1", nil), M{"sessionId": long}), false, one("sessionId", "Member must have length less than or equal to 256")},
		{"5.2 eventType is required, also where the schema has no such field", "PutEvents", c.bare.event("canary-1", M{"eventType": nil}), false, null("eventList.1.member.eventType")},
		{"Q sentAt is required", "PutEvents", event(M{"sentAt": nil}), false, null("eventList.2.member.sentAt")},
		{"Q sentAt is a time", "PutEvents", event(M{"sentAt": "yesterday"}), true, one("eventList.2.member.sentAt", "Member must have type timestamp")},
		{"Q eventValue is a number", "PutEvents", event(M{"eventValue": "2"}), true, one("eventList.2.member.eventValue", "Member must have type double")},
		{"2.4 itemId of 256 characters at most", "PutEvents", event(M{"itemId": long}), false, one("eventList.2.member.itemId", "Member must have length less than or equal to 256")},
		{"Q impression: one item at least", "PutEvents", event(M{"impression": []string{}}), false, one("eventList.2.member.impression", "Member must have length greater than or equal to 1")},
		{"Q impression: 25 items at most", "PutEvents", event(M{"impression": slices.Repeat([]string{"i"}, 26)}), false, one("eventList.2.member.impression", "Member must have length less than or equal to 25")},
		{"Q eventAttributionSource is required", "PutEvents", event(M{"metricAttribution": M{}}), false, null("eventList.2.member.metricAttribution.eventAttributionSource")},
		{"Q recommendationId of 40 characters at most", "PutEvents", event(M{"recommendationId": strings.Repeat("r", 41)}), false, one("eventList.2.member.recommendationId", "Member must have length less than or equal to 40")},
		{"5.1 properties is a string", "PutEvents", event(M{"properties": M{"qty": 1}}), true, one("eventList.2.member.properties", "Member must have type string")},
		{"5.1 events: 1024 characters at most", "PutEvents", props(object(1025)), true, one("eventList.2.member.properties", "Member must have length less than or equal to 1024")},
		{"5.1 properties is not empty", "PutEvents", props(""), true, one("eventList.2.member.properties", "Member must have length greater than or equal to 1")},
		{"5.2 10 KB an event", "PutEvents", event(M{"impression": slices.Repeat([]string{strings.Repeat("日", 256)}, 25)}), false, says("eventList.2: The event is larger than 10 KB.")},
		{"2.4 an impression of 1000 characters at most", "PutEvents", event(M{"impression": slices.Repeat([]string{strings.Repeat("i", 256)}, 4)}), false,
			says("eventList.2: The ids of impression are longer than 1000 characters together.")},
		// The tracking id.
		{"errors 5: unknown tracking id", "PutEvents", with(c.event("canary-1", nil), M{"trackingId": "nobody"}), false, says("The tracking ID is unknown.")},
		{"5.2 that of an Action_Interactions dataset", "PutEvents", with(c.event("canary-1", nil), M{"trackingId": c.actionTracking}), false, says("The tracking ID is unknown.")},
		// An event.
		{"5.2 an event without any item", "PutEvents", event(M{"itemId": nil}), false, says("eventList.2: Field ITEM_ID has no value and its schema does not admit null.")},
		{"5.1 an itemId inside of the properties that is empty", "PutEvents", event(M{"itemId": nil, "properties": `{"itemId":""}`}), false, says("eventList.2: Field ITEM_ID has no value and its schema does not admit null.")},
		{"5.1 an itemId inside of the properties that is too long", "PutEvents", event(M{"itemId": nil, "properties": `{"itemId":"` + long + `"}`}), false, says("eventList.2: Length cannot be more than 256 characters for ITEM_ID.")},
		{"5.1 an object", "PutEvents", props(`["qty"]`), true, says("eventList.2: " + notFlat)},
		{"5.1 an object, not a string", "PutEvents", props(`"qty"`), true, says("eventList.2: " + notFlat)},
		{"5.1 an object, not null", "PutEvents", props(`null`), true, says("eventList.2: " + notFlat)},
		{"5.1 one object", "PutEvents", props(`{} {}`), true, says("eventList.2: " + notFlat)},
		{"5.1 a whole object", "PutEvents", props(`{"device":"canary`), true, says("eventList.2: " + notFlat)},
		{"5.1 no comma at the end", "PutEvents", props(`{"qty":1,}`), true, says("eventList.2: " + notFlat)},
		{"5.1 flat: no objects in it", "PutEvents", props(`{"device":{"a":"canary"}}`), false, says("eventList.2: " + notFlat)},
		{"5.1 flat: no lists in it", "PutEvents", props(`{"device":["canary"]}`), false, says("eventList.2: " + notFlat)},
		{"5.1 flat, also under keys without a field", "PutEvents", props(`{"colour":{}}`), false, says("eventList.2: " + notFlat)},
		{"5.1 a word for an integer", "PutEvents", props(`{"numRatings":"canary"}`), false, says("eventList.2: Field NUM_RATINGS: the value is not of type long.")},
		{"5.1 a fraction for an integer", "PutEvents", props(`{"qty":1.5}`), false, says("eventList.2: Field QTY: the value is not of type int.")},
		{"5.1 too great an integer", "PutEvents", props(`{"qty":2147483648}`), true, says("eventList.2: Field QTY: the value is not between -2147483648 and 2147483647.")},
		{"5.1 a boolean for an integer", "PutEvents", props(`{"qty":true}`), false, says("eventList.2: Field QTY: the value is not of type int.")},
		{"5.1 a word for a float", "PutEvents", props(`{"pricePaid":"canary"}`), false, says("eventList.2: Field PRICE_PAID: the value is not of type double.")},
		{"5.1 no number for a float", "PutEvents", props(`{"pricePaid":"NaN"}`), false, says("eventList.2: Field PRICE_PAID: the value is not of type double.")},
		{"5.1 a number for a boolean", "PutEvents", props(`{"isMember":1}`), false, says("eventList.2: Field IS_MEMBER: the value is not of type boolean.")},
		{"5.1 a value of another type under a member's name", "PutEvents", props(`{"eventValue":"canary"}`), false, says("eventList.2: Field EVENT_VALUE: the value is not of type float.")},
		{"2.4 a string of 1000 characters at most", "PutEvents", props(`{"device":"` + strings.Repeat("x", 1001) + `"}`), true, says("eventList.2: Length cannot be more than 1000 characters for DEVICE.")},
		{"5.1 a field that must not be null is missing", "PutEvents", c.strict.event("canary-1", M{"eventValue": 1, "properties": `{"pages":1}`}), false, says("eventList.1: Field DEVICE has no value and its schema does not admit null.")},
		{"5.1 a field that must not be null is null", "PutEvents", c.strict.event("canary-1", M{"eventValue": 1, "properties": `{"pages":null,"device":"tv"}`}), false, says("eventList.1: Field PAGES has no value and its schema does not admit null.")},
		{"2.1 an eventValue that no float holds", "PutEvents", event(M{"eventValue": 1e300}), false, says("eventList.2: Field EVENT_VALUE: the value is not of type float.")},
		{"5.1 a value that no float holds", "PutEvents", props(`{"eventValue":1e300}`), false, says("eventList.2: Field EVENT_VALUE: the value is not of type float.")},
		{"3 NUL in an id", "PutEvents", event(M{"itemId": "a\x00b"}), false, says("eventList.2: Field ITEM_ID: the text holds a NUL character.")},
		{"3 NUL in a user's id", "PutUsers", with(c.user("canary\x00", nil), nil), false, says("users.1: Field USER_ID: the text holds a NUL character.")},
		{"3 a field that must not be null is empty", "PutEvents", c.strict.event("canary-1", M{"eventValue": 1, "properties": `{"pages":1,"device":""}`}), false, says("eventList.1: Field DEVICE has no value and its schema does not admit null.")},
		{"5.1 a member that the schema must have is missing", "PutEvents", c.strict.event("canary-1", M{"properties": `{"pages":1,"device":"tv"}`}), false, says("eventList.1: Field EVENT_VALUE has no value and its schema does not admit null.")},
		// Items, users, actions.
		{"Q datasetArn is required", "PutItems", with(c.item("i", nil), M{"datasetArn": nil}), false, null("datasetArn")},
		{"errors 5: an ARN that is none", "PutItems", with(c.item("i", nil), M{"datasetArn": "items"}), false,
			answer{400, invalid, `1 validation error detected: Value 'items' at 'datasetArn' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:([a-z\d-]+):personalize:.*:.*:.+`}},
		{"Q itemId is required", "PutItems", with(c.item("i", nil), M{"items": []M{{}}}), false, null("items.1.member.itemId")},
		{"2.4 itemId of 256 characters at most", "PutItems", c.item(long, nil), false, one("items.1.member.itemId", "Member must have length less than or equal to 256")},
		{"2.4 userId of 256 characters at most", "PutUsers", c.user(long, nil), false, one("users.1.member.userId", "Member must have length less than or equal to 256")},
		{"2.4 actionId of 256 characters at most", "PutActions", c.action(long, nil), false, one("actions.1.member.actionId", "Member must have length less than or equal to 256")},
		{"5.3 at least one item", "PutItems", with(c.item("i", nil), M{"items": []M{}}), false, one("items", "Member must have length greater than or equal to 1")},
		{"5.3 ten items at most", "PutItems", with(c.item("i", nil), M{"items": slices.Repeat([]M{{"itemId": "i"}}, 11)}), false, one("items", "Member must have length less than or equal to 10")},
		{"5.3 ten users at most", "PutUsers", with(c.user("canary-1", nil), M{"users": slices.Repeat([]M{{"userId": "canary-1"}}, 11)}), false, one("users", "Member must have length less than or equal to 10")},
		{"5.3 ten actions at most", "PutActions", with(c.action("a", nil), M{"actions": slices.Repeat([]M{{"actionId": "a"}}, 11)}), false, one("actions", "Member must have length less than or equal to 10")},
		{"5.1 items: 32,000 characters at most", "PutItems", item(object(32_001)), true, one("items.2.member.properties", "Member must have length less than or equal to 32000")},
		{"5.1 users: 24,000 characters at most", "PutUsers", user(object(24_001)), true, one("users.2.member.properties", "Member must have length less than or equal to 24000")},
		{"5.1 actions: 32,000 characters at most", "PutActions", action(object(32_001)), true, one("actions.2.member.properties", "Member must have length less than or equal to 32000")},
		{"5.1 an item's properties are flat", "PutItems", item(`{"genres":["a","b"]}`), false, says("items.2: " + notFlat)},
		{"5.1 a word for a float of an item", "PutItems", item(`{"price":"dear"}`), false, says("items.2: Field PRICE: the value is not of type float.")},
		{"5.1 a word for an integer of a user", "PutUsers", user(`{"age":"canary"}`), false, says("users.2: Field AGE: the value is not of type int.")},
		{"5.3 a field that must not be null is missing", "PutItems", c.strict.item("i", `{"genres":"a"}`), false, says("items.1: Field PRICE has no value and its schema does not admit null.")},
		{"5.3 without properties it is missing too", "PutItems", c.strict.item("i", nil), false, says("items.1: Field PRICE has no value and its schema does not admit null.")},
		{"5.3 CREATION_TIMESTAMP of an action must not be null", "PutActions", action(`{"value":1}`), false, says("actions.2: Field CREATION_TIMESTAMP has no value and its schema does not admit null.")},
		{"2.4 VALUE is 10 at most", "PutActions", action(`{"creationTimestamp":1,"value":11}`), false, says("actions.2: Field VALUE: the value is not between 1 and 10.")},
		{"2.4 VALUE is 1 at least", "PutActions", action(`{"creationTimestamp":1,"value":0}`), false, says("actions.2: Field VALUE: the value is not between 1 and 10.")},
		{"2.4 REPEAT_FREQUENCY is 30 days at most", "PutActions", action(`{"creationTimestamp":1,"repeatFrequency":31}`), false, says("actions.2: Field REPEAT_FREQUENCY: the value is not between 0 and 30.")},
		{"5.3 a dataset of another type", "PutItems", with(c.item("i", nil), M{"datasetArn": c.People}), false,
			says("Resource Arn " + c.People + " is a dataset of type USERS. This operation needs one of type ITEMS.")},
		{"5.3 a dataset of another type", "PutUsers", with(c.user("canary-1", nil), M{"datasetArn": c.Interactions}), false,
			says("Resource Arn " + c.Interactions + " is a dataset of type INTERACTIONS. This operation needs one of type USERS.")},
		{"5.3 a dataset of another type", "PutActions", with(c.action("a", nil), M{"datasetArn": c.Items}), false,
			says("Resource Arn " + c.Items + " is a dataset of type ITEMS. This operation needs one of type ACTIONS.")},
		{"5.3 a dataset that is missing", "PutItems", with(c.item("i", nil), M{"datasetArn": c.Items + "X"}), false, answer{404, absent, "Resource Arn " + c.Items + "X does not exist."}},
		{"5.3 a dataset that is missing", "PutUsers", with(c.user("canary-1", nil), M{"datasetArn": noUsers}), false, answer{404, absent, "Resource Arn " + noUsers + " does not exist."}},
		{"5.3 what is no dataset", "PutActions", with(c.action("a", nil), M{"datasetArn": c.Group}), false, answer{404, absent, "Resource Arn " + c.Group + " does not exist."}},
		// Action interactions.
		{"Q trackingId is required", "PutActionInteractions", with(c.actionEvent("canary-1", nil), M{"trackingId": nil}), false, null("trackingId")},
		{"5.4 ten at most", "PutActionInteractions", with(c.actionEvent("canary-1", nil), M{"actionInteractions": slices.Repeat([]M{{"actionId": "a", "sessionId": "s", "timestamp": 1, "eventType": "Taken"}}, 11)}), false,
			one("actionInteractions", "Member must have length less than or equal to 10")},
		{"Q actionId is required", "PutActionInteractions", actionEvent(M{"actionId": nil}), false, null("actionInteractions.2.member.actionId")},
		{"Q sessionId is required", "PutActionInteractions", actionEvent(M{"sessionId": nil}), false, null("actionInteractions.2.member.sessionId")},
		{"Q timestamp is required", "PutActionInteractions", actionEvent(M{"timestamp": nil}), false, null("actionInteractions.2.member.timestamp")},
		{"Q eventType is required", "PutActionInteractions", actionEvent(M{"eventType": nil}), false, null("actionInteractions.2.member.eventType")},
		{"2.4 userId of 256 characters at most", "PutActionInteractions", actionEvent(M{"userId": long}), false, one("actionInteractions.2.member.userId", "Member must have length less than or equal to 256")},
		{"5.4 eventType is one of three", "PutActionInteractions", actionEvent(M{"eventType": "Clicked"}), false, says("actionInteractions.2: eventType must be Taken, Not Taken or Viewed.")},
		{"5.4 10 KB each", "PutActionInteractions", actionEvent(M{"impression": slices.Repeat([]string{strings.Repeat("日", 256)}, 25)}), false, says("actionInteractions.2: The event is larger than 10 KB.")},
		{"Q impression: 25 actions at most", "PutActionInteractions", actionEvent(M{"impression": slices.Repeat([]string{"a"}, 26)}), false, one("actionInteractions.2.member.impression", "Member must have length less than or equal to 25")},
		{"5.1 1024 characters at most", "PutActionInteractions", actionEvent(M{"properties": object(1025)}), true, one("actionInteractions.2.member.properties", "Member must have length less than or equal to 1024")},
		{"5.1 flat", "PutActionInteractions", actionEvent(M{"properties": `{"channel":[]}`}), true, says("actionInteractions.2: " + notFlat)},
		{"5.1 a word for a float", "PutActionInteractions", actionEvent(M{"properties": `{"amount":"canary"}`}), false, says("actionInteractions.2: Field AMOUNT: the value is not of type double.")},
		{"5.4 the tracking id of PutEvents", "PutActionInteractions", with(c.actionEvent("canary-1", nil), M{"trackingId": c.tracking}), false, answer{404, absent, "No Action_Interactions dataset has the given tracking ID."}},
		{"5.4 unknown tracking id", "PutActionInteractions", with(c.actionEvent("canary-1", nil), M{"trackingId": "nobody"}), false, answer{404, absent, "No Action_Interactions dataset has the given tracking ID."}},
	}
	for _, key := range []string{"userId", "USERID", "user_id", "sessionId", "SessionID", "eventType", "EVENT_TYPE", "timestamp", "TIMESTAMP", "recommendationId", "impression", "Impression"} {
		text := `{"` + key + `":"canary"}`
		message := ": Properties cannot hold the key " + key + ": it is a member of the request."
		rows = append(rows,
			refusal{"5.1 a key that events forbid: " + key, "PutEvents", props(text), false, says("eventList.2" + message)},
			refusal{"5.1 a key that action interactions forbid: " + key, "PutActionInteractions", actionEvent(M{"properties": text}), true, says("actionInteractions.2" + message)})
	}
	for _, r := range rows {
		if got := c.call(r.operation, r.in, r.raw); got != r.want {
			t.Errorf("%s %s:\n got %+v\nwant %+v", r.operation, r.rule, got, r.want)
		}
	}
	for _, arn := range []string{c.Interactions, c.Items, c.People, c.actions, c.actionInteractions, c.bare.Interactions, c.strict.Interactions, c.strict.Items} {
		if rows := c.Export(arn, "ALL"); len(rows) > 1 {
			t.Errorf("calls that were refused stored %d rows in %s", len(rows)-1, arn)
		}
	}
}

// While a dataset or an event tracker passes from one status to the next, records for it are refused. Which status a call met is known where the one before and
// the one after it are the same.
func TestPutsAreRefusedUnlessTheirDatasetIsActive(t *testing.T) {
	t.Parallel()
	e := &everything{Shop: shop.New(t, start(t, "--hold", "300ms"), "all", "")}
	// during sends a request as long as a resource is not ACTIVE, and asserts what it answers.
	during := func(noun, arn, operation string, in M, code, says string) {
		t.Helper()
		status := func() string {
			d, err := e.Describe(noun, arn)
			if err != nil {
				return "" // gone
			}
			return d["status"].(string)
		}
		met := 0
		for {
			before := status()
			if before == "ACTIVE" || before == "" {
				break
			}
			_, err := e.Call(operation, in)
			if status() != before {
				continue
			}
			var refused *server.APIError
			if !errors.As(err, &refused) || refused.Code != code || !strings.Contains(refused.Message, says) || !strings.Contains(refused.Message, before) {
				t.Errorf("%s while %s: %v", operation, before, err)
			}
			met++
		}
		if met == 0 {
			t.Logf("%s: the machine was too slow to meet a passing status", operation)
		}
	}
	const invalid, inUse = "InvalidInputException", "ResourceInUseException"
	create := func(kind, text string) string {
		return e.Must("CreateDataset", M{"name": e.Name(strings.ToLower(kind)), "datasetType": kind, "schemaArn": e.Schema(kind, text), "datasetGroupArn": e.Group})["datasetArn"].(string)
	}
	tracker := e.Must("CreateEventTracker", M{"name": "events", "datasetGroupArn": e.Group})
	e.tracking = tracker["trackingId"].(string)
	trackerARN := tracker["eventTrackerArn"].(string)
	during("eventTracker", trackerARN, "PutEvents", e.event("canary-1", nil), invalid, trackerARN)
	e.Wait("eventTracker", trackerARN)
	if m := e.Refused(invalid, "PutEvents", e.event("canary-1", nil)); m != "The dataset group of the event tracker has no Interactions dataset." {
		t.Errorf("PutEvents without a dataset: %q", m)
	}

	e.Items, e.People, e.actions = create("Items", itemsSchema), create("Users", usersSchema), create("Actions", actionsSchema)
	e.Interactions, e.actionInteractions = create("Interactions", interactionsSchema), create("Action_Interactions", actionInteractionsSchema)
	d, err := e.Describe("dataset", e.actionInteractions)
	if err != nil {
		t.Fatal(err)
	}
	e.actionTracking = d["trackingId"].(string)
	puts := []struct {
		arn, operation string
		in             M
		code           string
	}{
		{e.Items, "PutItems", e.item("i1", nil), inUse},
		{e.People, "PutUsers", e.user("canary-1", nil), inUse},
		{e.actions, "PutActions", e.action("a1", `{"creationTimestamp":1}`), inUse},
		{e.actionInteractions, "PutActionInteractions", e.actionEvent("canary-1", nil), inUse},
		{e.Interactions, "PutEvents", e.event("canary-1", nil), invalid},
	}
	meanwhile := func() {
		t.Helper()
		var each sync.WaitGroup
		for _, p := range puts {
			each.Go(func() { during("dataset", p.arn, p.operation, p.in, p.code, p.arn) })
		}
		each.Wait()
	}
	meanwhile()
	for _, p := range puts {
		e.Must(p.operation, p.in)
	}

	wide := e.Schema("wide", schema("Items", "ITEM_ID string", "GENRES string? categorical", "DESCRIPTION string? textual", "PRICE float?", "CREATION_TIMESTAMP long?", "NUM_RATINGS long?",
		"IN_STOCK boolean?", "BRAND string? categorical"))
	e.Must("UpdateDataset", M{"datasetArn": e.Items, "schemaArn": wide})
	during("dataset", e.Items, "PutItems", e.item("i1", nil), inUse, e.Items)
	e.Must("PutItems", e.item("i2", `{"brand":"b"}`))

	puts = puts[:4] // events wait for the event tracker
	for _, p := range puts {
		e.Must("DeleteDataset", M{"datasetArn": p.arn})
	}
	meanwhile()
	for _, p := range puts {
		e.Refused("ResourceNotFoundException", p.operation, p.in)
	}
	e.Must("DeleteEventTracker", M{"eventTrackerArn": trackerARN})
	during("eventTracker", trackerARN, "PutEvents", e.event("canary-1", nil), invalid, trackerARN)
	if m := e.Refused(invalid, "PutEvents", e.event("canary-1", nil)); m != "The tracking ID is unknown." {
		t.Errorf("PutEvents after its tracker is gone: %q", m)
	}
}

// The service admits ten calls a second for each dataset. A client that comes again gets through.
func TestUnderTheServicesLimitsADatasetTakesTenCallsASecond(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--limits", "aws"))
	put := func() *server.APIError {
		_, err := h.Call("PutItems", M{"datasetArn": h.Items, "items": []M{{"itemId": "i1"}}})
		var e *server.APIError
		if err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
		return e
	}
	deadline := time.Now().Add(time.Minute)
	refused := put()
	for ; refused == nil && time.Now().Before(deadline); refused = put() {
	}
	if refused == nil || refused.Code != "ThrottlingException" || refused.Status != 400 || refused.Message != "Rate exceeded." {
		t.Fatalf("call after call: %v", refused)
	}
	for ; refused != nil && time.Now().Before(deadline); refused = put() {
	}
	if refused != nil {
		t.Errorf("nobody gets through any more: %v", refused)
	}
}
