package serve_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/hostile"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
)

const richInteractionFields = interactionFields + `,{"name":"IMPRESSION","type":["string","null"]},{"name":"RECOMMENDATION_ID","type":["string","null"]},` +
	`{"name":"EVENT_ATTRIBUTION_SOURCE","type":["string","null"]},{"name":"DEVICE","type":["string","null"],"categorical":true},{"name":"NUM_SEEN","type":["int","null"]}`

// stored reads every row of the table as text, sorted, with its session; null cells are "-".
func (w *world) stored(t dataset.Table) []string {
	w.t.Helper()
	var out []string
	err := w.engine.Rows(w.ctx, t, func(r dataset.Row) error {
		var b strings.Builder
		for i, v := range r.Values {
			if i > 0 {
				b.WriteByte(' ')
			}
			switch kind := t.Schema.Fields[i].Kind; {
			case !v.Valid:
				b.WriteByte('-')
			case kind == schema.String:
				b.WriteString(v.Str)
			case kind == schema.Float || kind == schema.Double:
				fmt.Fprint(&b, v.Float)
			default:
				fmt.Fprint(&b, v.Int)
			}
		}
		if r.Session != "" {
			b.WriteString(" @" + r.Session)
		}
		out = append(out, b.String())
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func TestEventIsStoredInTheFieldsOfItsSchema(t *testing.T) {
	full := api.Event{
		EventID: "e1", EventType: "Watch", EventValue: new(4.5), ItemID: "f1", SentAt: api.Time{Time: seconds(1_700_000_000).Add(900_000_000)},
		Properties: `{"device":"tv","numSeen":"12","colour":"red"}`, RecommendationID: "RID-1", Impression: []string{"f1", "f2"},
		MetricAttribution: &api.EventMetricAttribution{EventAttributionSource: "news"},
	}
	manyShown := full
	manyShown.Impression = slices.Repeat([]string{strings.Repeat("i", 60)}, 25) // too long for a column, which is not there
	inProperties := api.Event{EventType: "Watch", SentAt: seconds(1_700_000_000), Properties: `{"itemId":"f7","eventValue":3}`}
	both := api.Event{EventType: "Watch", ItemID: "f1", EventValue: new(1.0), SentAt: seconds(1_700_000_000), Properties: `{"itemId":"f7","eventValue":3}`}
	for name, row := range map[string]struct {
		fields, user string
		event        api.Event
		want         string
	}{
		"every member":                   {richInteractionFields, "ann", full, "ann f1 Watch 4.5 1700000000 f1|f2 RID-1 news tv 12 @s1"},
		"members without a field":        {`{"name":"USER_ID","type":"string"},{"name":"ITEM_ID","type":"string"},{"name":"TIMESTAMP","type":"long"}`, "ann", full, "ann f1 1700000000 @s1"},
		"impression without a field":     {interactionFields, "ann", manyShown, "ann f1 Watch 4.5 1700000000 @s1"},
		"anonymous":                      {interactionFields, "", full, "s1 f1 Watch 4.5 1700000000 @s1"},
		"item in properties":             {interactionFields, "ann", inProperties, "ann f7 Watch 3 1700000000 @s1"},
		"members win against properties": {interactionFields, "ann", both, "ann f1 Watch 1 1700000000 @s1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			table := w.dataset(schema.Interactions, "Interactions", row.fields, "")
			w.tracker()
			_, err := w.PutEvents(w.ctx, &api.PutEventsRequest{TrackingID: trackingID, UserID: row.user, SessionID: "s1", EventList: []api.Event{row.event}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{row.want}, w.stored(table)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBadEventStoresNothing(t *testing.T) {
	w := newWorld(t)
	table := w.dataset(schema.Interactions, "Interactions", interactionFields+`,{"name":"DEVICE","type":["string","null"],"categorical":true},{"name":"PAGES","type":"int"}`, "")
	w.tracker()
	good := api.Event{EventType: "Watch", ItemID: "f1", SentAt: seconds(1_700_000_000), Properties: `{"pages":1}`}
	with := func(f func(e *api.Event)) api.Event { e := good; f(&e); return e }
	for name, event := range map[string]api.Event{
		"no item":                   with(func(e *api.Event) { e.ItemID = "" }),
		"properties not JSON":       with(func(e *api.Event) { e.Properties = `{"pages":` }),
		"properties not an object":  with(func(e *api.Event) { e.Properties = `[1]` }),
		"nested properties":         with(func(e *api.Event) { e.Properties = `{"pages":{"a":1}}` }),
		"required property missing": with(func(e *api.Event) { e.Properties = `{}` }),
		"not a number":              with(func(e *api.Event) { e.Properties = `{"pages":"many"}` }),
		"userId in properties":      with(func(e *api.Event) { e.Properties = `{"pages":1,"USERID":"x"}` }),
		"timestamp in properties":   with(func(e *api.Event) { e.Properties = `{"pages":1,"timestamp":1}` }),
		"larger than 10 KB": with(func(e *api.Event) {
			e.Impression = strings.Split(strings.Repeat(strings.Repeat("é", 230)+" ", 25), " ")[:25]
		}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.PutEvents(w.ctx, &api.PutEventsRequest{TrackingID: trackingID, UserID: "ann", SessionID: "s1", EventList: []api.Event{good, event}})
			if code(err) != api.InvalidInput {
				t.Errorf("got %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), "eventList.2") {
				t.Errorf("the error does not name the second event: %v", err)
			}
		})
	}
	if got := w.stored(table); len(got) != 0 {
		t.Errorf("stored all the same: %q", got)
	}
}

func TestPutEventsKnowsNoErrorButInvalidInput(t *testing.T) {
	w := newWorld(t)
	put := func() error {
		_, err := w.PutEvents(w.ctx, &api.PutEventsRequest{TrackingID: trackingID, SessionID: "s1", EventList: []api.Event{
			{EventType: "Watch", ItemID: "f1", SentAt: seconds(1)},
		}})
		return err
	}
	if err := put(); code(err) != api.InvalidInput {
		t.Errorf("unknown tracking ID: %v", err)
	}
	w.tracker()
	if err := put(); code(err) != api.InvalidInput {
		t.Errorf("no dataset: %v", err)
	}
	w.dataset(schema.Interactions, "Interactions", interactionFields, "")
	if err := put(); err != nil {
		t.Errorf("all is there: %v", err)
	}
	w.status(datasetARN(schema.Interactions), meta.DeletePending)
	if err := put(); code(err) != api.InvalidInput {
		t.Errorf("dataset going: %v", err)
	}
	w.status(arnOf(meta.EventTracker, "d2e7ccdc"), meta.DeletePending)
	if err := put(); code(err) != api.InvalidInput {
		t.Errorf("tracker going: %v", err)
	}
}

func TestRepeatedEventTrainsOnce(t *testing.T) {
	w := newWorld(t)
	table := w.dataset(schema.Interactions, "Interactions", interactionFields, "")
	w.tracker()
	for i := range 2 {
		_, err := w.PutEvents(w.ctx, &api.PutEventsRequest{TrackingID: trackingID, UserID: "ann", SessionID: "s1", EventList: []api.Event{
			{EventID: "e1", EventType: "Watch", ItemID: "f1", SentAt: seconds(1_700_000_000 + int64(i))},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	events, err := w.engine.Events(w.ctx, table)
	if err != nil {
		t.Fatal(err)
	}
	if events.Len() != 1 {
		t.Errorf("training sees %d events, want 1", events.Len())
	}
}

func TestRecordReplacesTheOneBeforeAsAWhole(t *testing.T) {
	w := newWorld(t)
	table := w.dataset(schema.Items, "Items", itemFields, "")
	for _, properties := range []string{`{"title":"Alien","price":"9.5"}`, `{"TITLE":"Aliens","in_stock":true}`, ""} {
		_, err := w.PutItems(w.ctx, &api.PutItemsRequest{DatasetARN: datasetARN(schema.Items), Items: []api.Item{{ItemID: "f1", Properties: properties}}})
		if err != nil {
			t.Fatal(err)
		}
		row, ok, err := w.engine.Lookup(w.ctx, table, "f1")
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		title := row.Values[table.Schema.Index("TITLE")]
		price := row.Values[table.Schema.Index("PRICE")]
		stock := row.Values[table.Schema.Index("IN_STOCK")]
		switch properties {
		case "":
			if title.Valid || price.Valid || stock.Valid {
				t.Errorf("an empty record left %v %v %v", title, price, stock)
			}
		default:
			if strings.Contains(properties, "Aliens") && (title.Str != "Aliens" || price.Valid || stock.Int != 1) {
				t.Errorf("got %v %v %v", title, price, stock)
			}
		}
	}
	if got := w.stored(table); len(got) != 3 {
		t.Errorf("%d records stored, want all 3", len(got))
	}
}

func TestPutsOfUsersAndActionsAreStored(t *testing.T) {
	w := newWorld(t)
	users := w.dataset(schema.Users, "Users", `{"name":"USER_ID","type":"string"},{"name":"AGE","type":["int","null"]},{"name":"TIER","type":["string","null"],"categorical":true}`, "")
	actions := w.dataset(schema.Actions, "Actions", `{"name":"ACTION_ID","type":"string"},{"name":"VALUE","type":["long","null"]},{"name":"KIND","type":["string","null"],"categorical":true}`, "")
	if _, err := w.PutUsers(w.ctx, &api.PutUsersRequest{DatasetARN: datasetARN(schema.Users), Users: []api.User{
		{UserID: "ann", Properties: `{"age":"41","tier":"gold"}`}, {UserID: "bob"},
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.PutActions(w.ctx, &api.PutActionsRequest{DatasetARN: datasetARN(schema.Actions), Actions: []api.Action{
		{ActionID: "join", Properties: `{"value":5}`},
	}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ann 41 gold", "bob - -"}, w.stored(users)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"join 5 -"}, w.stored(actions)); diff != "" {
		t.Error(diff)
	}
}

func TestPutsNeedTheRightDatasetInTheRightStatus(t *testing.T) {
	w := newWorld(t)
	w.dataset(schema.Items, "Items", itemFields, "")
	put := func(arn string) error {
		_, err := w.PutItems(w.ctx, &api.PutItemsRequest{DatasetARN: arn, Items: []api.Item{{ItemID: "f1"}}})
		return err
	}
	items := datasetARN(schema.Items)
	if err := put(datasetARN(schema.Users)); code(err) != api.ResourceNotFound {
		t.Errorf("unknown dataset: %v", err)
	}
	if err := put(w.group); code(err) != api.ResourceNotFound {
		t.Errorf("ARN of a dataset group: %v", err)
	}
	if _, err := w.PutUsers(w.ctx, &api.PutUsersRequest{DatasetARN: items, Users: []api.User{{UserID: "ann"}}}); code(err) != api.InvalidInput {
		t.Errorf("users into items: %v", err)
	}
	for _, status := range []string{meta.UpdatePending, meta.UpdateInProgress} {
		w.status(items, status)
		if err := put(items); code(err) != api.ResourceInUse {
			t.Errorf("%s: %v", status, err)
		}
	}
	w.status(items, meta.Active)
	if err := put(items); err != nil {
		t.Errorf("ACTIVE again: %v", err)
	}
	w.status(items, meta.DeletePending)
	if err := put(items); code(err) != api.ResourceInUse {
		t.Errorf("deleting: %v", err)
	}
}

const actionFields = `{"name":"USER_ID","type":"string"},{"name":"ACTION_ID","type":"string"},{"name":"EVENT_TYPE","type":"string"},{"name":"TIMESTAMP","type":"long"},` +
	`{"name":"IMPRESSION","type":["string","null"]}`

func TestActionInteractionIsStoredAsGiven(t *testing.T) {
	const tracking = "99999999-2222-3333-4444-555555555555"
	w := newWorld(t)
	w.films()
	table := w.dataset(schema.ActionInteractions, "ActionInteractions", actionFields, tracking)
	put := func(tracking, user, kind string) error {
		_, err := w.PutActionInteractions(w.ctx, &api.PutActionInteractionsRequest{TrackingID: tracking, ActionInteractions: []api.ActionInteraction{
			{ActionID: "join", UserID: user, SessionID: "s1", Timestamp: seconds(7), EventType: kind, Impression: []string{"join", "leave"}},
		}})
		return err
	}
	var want []string
	for _, kind := range []string{"Taken", "TAKEN", "Not Taken", "NOT_TAKEN", "not taken", "viewed"} {
		if err := put(tracking, "ann", kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		want = append(want, "ann join "+kind+" 7 join|leave @s1")
	}
	if err := put(tracking, "", "Viewed"); err != nil {
		t.Error(err)
	}
	want = append(want, "s1 join Viewed 7 join|leave @s1")
	slices.Sort(want)
	if diff := cmp.Diff(want, w.stored(table)); diff != "" {
		t.Error(diff)
	}
	if err := put(tracking, "ann", "Bought"); code(err) != api.InvalidInput {
		t.Errorf("unknown event type: %v", err)
	}
	for _, wrong := range []string{trackingID, "none"} {
		if err := put(wrong, "ann", "Taken"); code(err) != api.ResourceNotFound {
			t.Errorf("tracking ID %s: %v", wrong, err)
		}
	}
	w.status(datasetARN(schema.ActionInteractions), meta.DeletePending)
	if err := put(tracking, "ann", "Taken"); code(err) != api.ResourceInUse {
		t.Errorf("deleting: %v", err)
	}
}

// FuzzPropertiesNeverBreakAnEvent puts an event with the input as its properties, and behind it one without an item, so that the call is refused and the store, whose
// work in the background would count as the cost of an input, stays empty.
func FuzzPropertiesNeverBreakAnEvent(f *testing.F) {
	w := newWorld(f)
	w.dataset(schema.Interactions, "Interactions", richInteractionFields, "")
	w.tracker()
	for _, seed := range []string{`{}`, `{"device":"tv","numSeen":12}`, `{"itemId":"f1","eventValue":"2"}`, `{"numSeen":1e3,"numSeen":null}`, `{"a":[1]}`, "{", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, properties string) {
		var err error
		hostile.Bound(t, len(properties), func() {
			_, err = w.PutEvents(w.ctx, &api.PutEventsRequest{TrackingID: trackingID, UserID: "ann", SessionID: "s1", EventList: []api.Event{
				{EventType: "Watch", ItemID: "f1", SentAt: seconds(1), Properties: properties},
				{EventType: "Watch", SentAt: seconds(1)},
			}})
		})
		if c := code(err); c != api.InvalidInput {
			t.Fatalf("%q: %v", properties, err)
		}
		accepted := strings.Contains(err.Error(), "eventList.2")
		if flat := (map[string]any{}); accepted && properties != "" && json.Unmarshal([]byte(properties), &flat) != nil {
			t.Errorf("%q was accepted", properties)
		}
		if !accepted && !strings.Contains(err.Error(), "eventList.1") {
			t.Errorf("%q: %v", properties, err)
		}
	})
}
