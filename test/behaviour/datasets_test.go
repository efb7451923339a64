package behaviour

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/shop"
)

// The schemas of all five types, with a field of every kind.
var (
	interactionsSchema = schema("Interactions", "USER_ID string", "ITEM_ID string", "TIMESTAMP long", "EVENT_TYPE string", "EVENT_VALUE float?", "IMPRESSION string?",
		"RECOMMENDATION_ID string?", "EVENT_ATTRIBUTION_SOURCE string?", "DEVICE string? categorical", "NUM_RATINGS long?", "IS_MEMBER boolean?", "PRICE_PAID double?", "QTY int?")
	usersSchema   = schema("Users", "USER_ID string", "TIER string? categorical", "AGE int?", "SCORE double?", "BIG_NUMBER long?", "IS_ACTIVE boolean?", "NOTE string?")
	itemsSchema   = schema("Items", "ITEM_ID string", "GENRES string? categorical", "DESCRIPTION string? textual", "PRICE float?", "CREATION_TIMESTAMP long?", "NUM_RATINGS long?", "IN_STOCK boolean?")
	actionsSchema = schema("Actions", "ACTION_ID string", "VALUE long?", "TYPE string?", "EXPIRATION_TIMESTAMP long?", "REPEAT_FREQUENCY long?", "CREATION_TIMESTAMP long",
		"CATEGORY string? categorical", "WEIGHT double?", "IS_NEW boolean?")
	actionInteractionsSchema = schema("ActionInteractions", "USER_ID string", "ACTION_ID string", "EVENT_TYPE string", "TIMESTAMP long", "IMPRESSION string?",
		"RECOMMENDATION_ID string?", "CHANNEL string? categorical", "AMOUNT double?", "IS_PUSH boolean?")
)

// everything is a custom group with all five datasets.
type everything struct {
	*shop.Shop
	actions, actionInteractions string // ARNs
	tracking, actionTracking    string
}

func openEverything(t *testing.T, args ...string) *everything {
	t.Helper()
	e := &everything{Shop: shop.New(t, start(t, args...), "all", "")}
	e.Interactions, e.People, e.Items = e.Dataset("Interactions", interactionsSchema), e.Dataset("Users", usersSchema), e.Dataset("items", itemsSchema)
	e.actions, e.actionInteractions = e.Dataset("ACTIONS", actionsSchema), e.Dataset("Action_Interactions", actionInteractionsSchema)
	e.tracking = e.Tracker()
	d, err := e.Describe("dataset", e.actionInteractions)
	if err != nil {
		t.Fatal(err)
	}
	e.actionTracking = d["trackingId"].(string)
	return e
}

const (
	awkward  = `com,ma "quoted" back\slash \"both\" 'single' \u000A \\ ünï 日本語 🎬`
	greatest = "9223372036854775807"
	least    = "-9223372036854775808"
)

// bulk are rows of every type that hold every awkward value.
func (e *everything) bulk() map[string][][]string {
	return map[string][][]string{
		e.Interactions: {
			{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE", "IMPRESSION", "RECOMMENDATION_ID", "EVENT_ATTRIBUTION_SOURCE", "DEVICE", "NUM_RATINGS", "IS_MEMBER", "PRICE_PAID", "QTY"},
			{"canary-1", "i1", "1700000000", "view", "0.1", "i1|i2|i3", "RID-1", awkward, "tv|phone", greatest, "true", "16777217.5", "2147483647"},
			{"canary-1", "i1", "1700000001", "buy", "", "", "", "", "", "", "", "", ""},
			{"canary-2, \"Two\"", awkward, "0", awkward, "-3.25", "|", "", "a", "", least, "false", "1e-07", "-2147483648"},
			{"canary-日本", " i 3 ", "253402300799", "view", "5", "", "", "", " ", "0", "", "0.30000000000000004", "0"},
		},
		e.People: {
			{"USER_ID", "TIER", "AGE", "SCORE", "BIG_NUMBER", "IS_ACTIVE", "NOTE"},
			{"canary-1", "gold|silver", "41", "0.1", greatest, "true", awkward},
			{"canary-2, \"Two\"", "", "", "", "", "", ""},
			{"canary-日本", awkward, "-1", "-123456789.123456", least, "false", strings.Repeat("ü", 1000)},
		},
		e.Items: {
			{"ITEM_ID", "GENRES", "DESCRIPTION", "PRICE", "CREATION_TIMESTAMP", "NUM_RATINGS", "IN_STOCK"},
			{"i1", "Action|Drama", "A long, \"quoted\" text\twith a tab", "19.99", "1600000000", greatest, "true"},
			{awkward, "", "", "", "", "", ""},
			{strings.Repeat("長", 256), "x", awkward, "123456.789", "0", least, "false"},
		},
		e.actions: {
			{"ACTION_ID", "VALUE", "TYPE", "EXPIRATION_TIMESTAMP", "REPEAT_FREQUENCY", "CREATION_TIMESTAMP", "CATEGORY", "WEIGHT", "IS_NEW"},
			{"a1", "10", awkward, "1900000000", "30", "1600000000", "push|mail", "2.5", "true"},
			{awkward, "", "", "", "", "1", "", "", ""},
		},
		e.actionInteractions: {
			{"USER_ID", "ACTION_ID", "EVENT_TYPE", "TIMESTAMP", "IMPRESSION", "RECOMMENDATION_ID", "CHANNEL", "AMOUNT", "IS_PUSH"},
			{"canary-1", "a1", "Taken", "1700000000", "a1|a2", "RID-2", awkward, "99.95", "true"},
			{"canary-1", awkward, "NOT_TAKEN", "1700000001", "", "", "", "", ""},
		},
	}
}

// put sends rows of every type and returns what they have to look like in an export.
func (e *everything) put() map[string][][]string {
	put := map[string][][]string{}
	for arn, rows := range e.bulk() {
		put[arn] = rows[:1]
	}
	add := func(arn string, row ...string) { put[arn] = append(put[arn], row) }

	e.Must("PutEvents", M{"trackingId": e.tracking, "userId": "canary-3", "sessionId": "canary-s3", "eventList": []M{
		{"eventType": "view", "itemId": awkward, "sentAt": 1_700_000_100, "eventValue": 0.7, "recommendationId": "RID-9", "impression": []string{"i1", "i2"},
			"metricAttribution": M{"eventAttributionSource": "mail"}, "eventId": "e1",
			"properties": `{"device":"tv|phone","numRatings":9223372036854775807,"IS_MEMBER":true,"price_paid":"0.1","qty":"12","nobodyKnows":1}`},
		{"eventType": "buy", "itemId": "i2", "sentAt": 1_700_000_101.9, "properties": `{"NUM_RATINGS":"-5","isMember":"false","PricePaid":1e-7,"Qty":3.0,"device":null}`},
		{"eventType": "view", "sentAt": "2023-11-14T22:15:02Z", "properties": `{"itemId":"i3","eventValue":"4.5","num_ratings":7,"device":"line\nbreak, \"q\" \\"}`},
	}})
	add(e.Interactions, "canary-3", awkward, "1700000100", "view", "0.7", "i1|i2", "RID-9", "mail", "tv|phone", greatest, "true", "0.1", "12")
	add(e.Interactions, "canary-3", "i2", "1700000101", "buy", "", "", "", "", "", "-5", "false", "1e-07", "3")
	add(e.Interactions, "canary-3", "i3", "1700000102", "view", "4.5", "", "", "", "line\nbreak, \"q\" \\", "7", "", "", "")

	e.Must("PutUsers", M{"datasetArn": e.People, "users": []M{
		{"userId": "canary-3", "properties": `{"tier":"gold","age":"30","score":2.5,"bigNumber":"9223372036854775807","IS_ACTIVE":"true","note":"` + `\"x\", \\ y"}`},
		{"userId": "canary-4, \"Four\""},
		{"userId": "canary-1", "properties": `{"TIER":"silver","big_number":-1}`},
	}})
	add(e.People, "canary-3", "gold", "30", "2.5", greatest, "true", `"x", \ y`)
	add(e.People, "canary-4, \"Four\"", "", "", "", "", "", "")
	add(e.People, "canary-1", "silver", "", "", "-1", "", "")

	e.Must("PutItems", M{"datasetArn": e.Items, "items": []M{
		{"itemId": "i9", "properties": `{"genres":"a|b","description":"d","price":"1.5","creationTimestamp":1600000000,"numRatings":0,"inStock":false}`},
		{"itemId": "i1", "properties": `{"Price":2}`},
	}})
	add(e.Items, "i9", "a|b", "d", "1.5", "1600000000", "0", "false")
	add(e.Items, "i1", "", "", "2", "", "", "")

	e.Must("PutActions", M{"datasetArn": e.actions, "actions": []M{
		{"actionId": "a9", "properties": `{"value":"1","type":"t","expirationTimestamp":5,"repeatFrequency":"7","creationTimestamp":1,"category":"c","weight":"0.25","isNew":true}`},
		{"actionId": "a1", "properties": `{"CREATION_TIMESTAMP":"2"}`},
	}})
	add(e.actions, "a9", "1", "t", "5", "7", "1", "c", "0.25", "true")
	add(e.actions, "a1", "", "", "", "", "2", "", "", "")

	e.Must("PutActionInteractions", M{"trackingId": e.actionTracking, "actionInteractions": []M{
		{"actionId": "a9", "userId": "canary-3", "sessionId": "canary-s3", "timestamp": 1_700_000_200, "eventType": "Not taken", "recommendationId": "RID-3",
			"impression": []string{"a9", "a1"}, "eventId": "e1", "properties": `{"channel":"x","AMOUNT":5,"is_push":"false"}`},
		{"actionId": "a1", "sessionId": "canary-s4", "timestamp": 1_700_000_201, "eventType": "VIEWED"},
	}})
	add(e.actionInteractions, "canary-3", "a9", "Not taken", "1700000200", "a9|a1", "RID-3", "x", "5", "false")
	add(e.actionInteractions, "canary-s4", "a1", "VIEWED", "1700000201", "", "", "", "", "")
	return put
}

// newest leaves of the rows with one id the last.
func newest(rows [][]string) [][]string {
	out := [][]string{rows[0]}
	for i, row := range rows[1:] {
		if !slices.ContainsFunc(rows[i+2:], func(later []string) bool { return later[0] == row[0] }) {
			out = append(out, row)
		}
	}
	return out
}

func TestEveryTypeOfDatasetGivesBackWhatItWasGiven(t *testing.T) {
	t.Parallel()
	e := openEverything(t)
	bulk := e.bulk()
	for arn, rows := range bulk {
		e.Load(arn, rows)
	}
	for arn, rows := range bulk {
		equalRows(t, arn+" BULK", rows, e.Export(arn, "BULK"))
		equalRows(t, arn+" PUT before anything was put", rows[:1], e.Export(arn, "PUT"))
	}
	put := e.put()
	for arn, rows := range bulk {
		equalRows(t, arn+" BULK after puts", rows, e.Export(arn, "BULK"))
		equalRows(t, arn+" PUT", put[arn], e.Export(arn, "PUT"))
		all := append(slices.Clone(rows), put[arn][1:]...)
		if arn == e.Items || arn == e.People || arn == e.actions {
			all = newest(all)
		}
		equalRows(t, arn+" ALL", all, e.Export(arn, "ALL"))
	}

	t.Run("an export can be imported again", func(t *testing.T) {
		for arn := range bulk {
			exported, prefix := e.StartExport(arn, "ALL")
			if d := e.Wait("datasetExportJob", exported); d["status"] != "ACTIVE" {
				t.Fatalf("export: %v", d["failureReason"])
			}
			want := shop.FromCSV(t, e.Download(e.Objects, prefix))
			e.Imported(e.StartImportOf(arn, prefix, "FULL"))
			equalRows(t, arn, want, e.Export(arn, "BULK"))
			equalRows(t, arn+" PUT, which a FULL import leaves alone", put[arn], e.Export(arn, "PUT"))
		}
	})
}

func TestRowsThatAreEqualAreExportedOnceAndRecordsOfOneIDAsTheModeSays(t *testing.T) {
	t.Parallel()
	e := openEverything(t)
	interactions, users := e.bulk()[e.Interactions], e.bulk()[e.People]
	event := interactions[2] // canary-1 bought i1
	e.Load(e.Interactions, append(slices.Clone(interactions), event, event))
	old, other := []string{"canary-9", "gold", "", "", "", "", ""}, []string{"canary-9", "silver", "", "", "", "", ""}
	e.Load(e.People, append(slices.Clone(users), old, other, old, other))
	send := func(eventID string, properties string) {
		e.Must("PutEvents", M{"trackingId": e.tracking, "userId": event[0], "sessionId": "canary-s", "eventList": []M{
			{"eventType": event[3], "itemId": event[1], "sentAt": 1_700_000_001, "eventId": eventID, "properties": properties}}})
	}
	for range 2 {
		send("same", "{}") // equal to the imported row
	}
	send("other", "{}")
	send("other", `{"qty":1}`) // the id of an earlier event, but not equal to it
	withQty := append(slices.Clone(event[:12]), "1")
	for _, tier := range []string{"bronze", "gold", "bronze"} {
		e.Must("PutUsers", M{"datasetArn": e.People, "users": []M{{"userId": "canary-9", "properties": `{"tier":"` + tier + `"}`}}})
	}
	bronze := []string{"canary-9", "bronze", "", "", "", "", ""}

	equalRows(t, "events BULK", interactions, e.Export(e.Interactions, "BULK"))
	equalRows(t, "events PUT", [][]string{interactions[0], event, withQty}, e.Export(e.Interactions, "PUT"))
	equalRows(t, "events ALL", append(slices.Clone(interactions), withQty), e.Export(e.Interactions, "ALL"))
	equalRows(t, "users BULK", append(slices.Clone(users), old, other), e.Export(e.People, "BULK"))
	equalRows(t, "users PUT", [][]string{users[0], bronze, old}, e.Export(e.People, "PUT"))
	equalRows(t, "users ALL", append(slices.Clone(users), bronze), e.Export(e.People, "ALL"))
}

func TestAnIncrementalImportReplacesRecordsAndAddsEvents(t *testing.T) {
	t.Parallel()
	e := openEverything(t)
	incremental := func(arn string) M {
		return M{"jobName": e.Name("import"), "datasetArn": arn, "roleArn": shop.Role, "importMode": "INCREMENTAL", "dataSource": M{"dataLocation": "s3://shop/x.csv"}}
	}
	if m := e.Refused("InvalidInputException", "CreateDatasetImportJob", incremental(e.Items)); !strings.Contains(m, "INCREMENTAL") {
		t.Errorf("the first import of a dataset as INCREMENTAL: %q", m)
	}
	add := func(arn string, rows ...[]string) {
		t.Helper()
		e.Imported(e.StartImport(arn, append([][]string{e.bulk()[arn][0]}, rows...), "INCREMENTAL"))
	}
	items, events := e.bulk()[e.Items], e.bulk()[e.Interactions]
	e.Load(e.Items, items)
	e.Load(e.Interactions, events)
	e.Must("PutItems", M{"datasetArn": e.Items, "items": []M{{"itemId": "i8", "properties": `{"price":8}`}}})

	replaced, added, over := []string{"i1", "", "", "5", "", "", ""}, []string{"i7", "", "", "7", "", "", ""}, []string{"i8", "x", "", "", "", "", ""}
	add(e.Items, replaced, added, over)
	equalRows(t, "items", append(slices.Clone(items[:1]), items[2], items[3], replaced, added, over), e.Export(e.Items, "ALL"))
	e.Must("PutItems", M{"datasetArn": e.Items, "items": []M{{"itemId": "i1", "properties": `{"price":6}`}}})
	put := []string{"i1", "", "", "6", "", "", ""}
	equalRows(t, "items after a put", append(slices.Clone(items[:1]), items[2], items[3], put, added, over), e.Export(e.Items, "ALL"))
	e.Load(e.Items, [][]string{items[0], items[2]})
	put8 := []string{"i8", "", "", "8", "", "", ""}
	equalRows(t, "items after a FULL import", [][]string{items[0], items[2], put, put8}, e.Export(e.Items, "ALL"))

	another := []string{"canary-5", "i1", "1700000009", "view", "", "", "", "", "", "", "", "", ""}
	add(e.Interactions, another, another, events[1], events[3])
	for _, mode := range []string{"BULK", "ALL"} {
		equalRows(t, "events "+mode, append(slices.Clone(events), another), e.Export(e.Interactions, mode))
	}
}

func TestAFolderIsImportedWholeWhateverItsHeadersLookLike(t *testing.T) {
	t.Parallel()
	e := openEverything(t)
	header := e.bulk()[e.Items][0]
	e.Upload(e.Objects, "folder/a.csv", "price,Extra,GENRES,item_id,Description,creation_timestamp,NUM_RATINGS,In_Stock\r\n1.50,ignored,\"a|b\",i1,\"with \"\"both\"\" \\\"kinds\\\"\",,3.0,true\r\n")
	e.Upload(e.Objects, "folder/b.CSV", "\xef\xbb\xbfprice,Extra,GENRES,item_id,Description,creation_timestamp,NUM_RATINGS,In_Stock\n,\"quoted, \\\\ extra\",,i2,,0,,false") // no line end at the end
	e.Upload(e.Objects, "folder/deep/c.csv", "nothing,of,interest\n")
	e.Upload(e.Objects, "folder/readme.txt", "nothing of interest")
	e.Imported(e.StartImportOf(e.Items, "folder/", "FULL"))
	want := [][]string{header, {"i1", "a|b", `with "both" "kinds"`, "1.5", "", "3", "true"}, {"i2", "", "", "", "0", "", "false"}}
	equalRows(t, "items", want, e.Export(e.Items, "ALL"))

	e.Upload(e.Objects, "folder/c.csv", strings.Join(header, ",")+"\ni3,,,,,,\n")
	if reason := failure(e.Shop, "datasetImportJob", e.StartImportOf(e.Items, "folder/", "FULL")); !strings.HasPrefix(reason, "Column headers do not match across input files.") {
		t.Errorf("headers that differ: %q", reason)
	}
	e.Upload(e.Objects, "more/a.csv", "PRICE,GENRES,DESCRIPTION,CREATION_TIMESTAMP,IN_STOCK,ITEM_ID\n")
	if reason := failure(e.Shop, "datasetImportJob", e.StartImportOf(e.Items, "more/", "FULL")); reason != "Input CSV is missing the following columns:[NUM_RATINGS]." {
		t.Errorf("a column that is missing: %q", reason)
	}
	e.Upload(e.Objects, "bad/a.csv", strings.Join(header, ",")+"\ni3,,,,,,\n")
	e.Upload(e.Objects, "bad/b.csv", strings.Join(header, ",")+"\ni3,,,,,,\ni4,,,dear,,,\n")
	if reason := failure(e.Shop, "datasetImportJob", e.StartImportOf(e.Items, "bad/", "FULL")); !strings.Contains(reason, "bad/b.csv line 3, column PRICE") {
		t.Errorf("a bad value in the second file: %q", reason)
	}
	equalRows(t, "items after failures", want, e.Export(e.Items, "ALL"))
}

// What goes wrong is told by file, line and column, never by a value: it could be the id of a user. That nothing else tells it either is what start looks to.
func TestAFailureSaysWhereAndNeverWho(t *testing.T) {
	t.Parallel()
	e := openEverything(t)
	users, events := strings.Join(e.bulk()[e.People][0], ","), strings.Join(e.bulk()[e.Interactions][0], ",")
	long := "canary-" + strings.Repeat("x", 300)
	for n, c := range []struct{ arn, text, says string }{
		{e.People, users + "\n" + long + ",,,,,,\n", "Length cannot be more than 256 characters for USER_ID."},
		{e.People, users + "\ncanary-1,,canary-2,,,,\n", "line 2, column AGE"},
		{e.People, users + "\ncanary-1,,,,,,\n,canary-2,,,,,\n", "line 3, column USER_ID"},
		{e.People, users + "\n\"canary-1,,,,,,\n", "line 2, column USER_ID"},
		{e.People, users + "\n\"canary-1\"canary,,,,,,\n", "line 2, column USER_ID"},
		{e.People, users + "\ncanary-1\xff,,,,,,\n", "line 2, column USER_ID"},
		{e.People, users + "\ncanary-1,canary-2\n", "The line has 2 values, the header has 7 columns"},
		{e.People, "canary-1,gold,,,,,\n", "missing the following columns"},
		{e.Interactions, events + "\ncanary-1,i1,canary-2,view,,,,,,,,,\n", "line 2, column TIMESTAMP"},
		{e.Interactions, events + "\ncanary-1,i1,1,view,,,,,,,canary,,\n", "line 2, column IS_MEMBER"},
	} {
		key := fmt.Sprintf("bad/%d.csv", n)
		e.Upload(e.Objects, key, c.text)
		if reason := failure(e.Shop, "datasetImportJob", e.StartImportOf(c.arn, key, "FULL")); !strings.Contains(reason, c.says) {
			t.Errorf("import %d: %q, want %q in it", n, reason, c.says)
		}
	}
	for n, c := range []struct{ text, says string }{
		{"canary-1\ncanary-2\n", "Data deletion input must have a single USER_ID column."},
		{"USER_ID\ncanary-1,canary-2\n", "Data deletion input must have a single USER_ID column."},
		{"USER_ID\ncanary-1\n" + long + "\n", "Length cannot be more than 256 characters for USER_ID."},
		{"USER_ID\n\"canary-1\n", "line 2, column USER_ID"},
	} {
		key := fmt.Sprintf("forget/bad-%d.csv", n)
		e.Upload(e.Objects, key, c.text)
		arn := e.Must("CreateDataDeletionJob", M{"jobName": e.Name("bad"), "datasetGroupArn": e.Group, "roleArn": shop.Role,
			"dataSource": M{"dataLocation": "s3://shop/" + key}})["dataDeletionJobArn"].(string)
		if reason := failure(e.Shop, "dataDeletionJob", arn); !strings.Contains(reason, c.says) {
			t.Errorf("deletion %d: %q, want %q in it", n, reason, c.says)
		}
	}
}
