// Package shop is a dataset group on a running palate, filled with generated data and driven as a client drives it: import, export, training, deletion. It
// is what the tests of whole stories have in common. A step that has to succeed and does not ends the test.
package shop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/test/server"
)

// Role is the role of all jobs.
const Role = "arn:aws:iam::000000000000:role/palate"

// M is a JSON object.
type M = server.M

// The schemas of Open's datasets.
const (
	InteractionsSchema = `{"type":"record","name":"Interactions","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[
	{"name":"USER_ID","type":"string"},{"name":"ITEM_ID","type":"string"},{"name":"TIMESTAMP","type":"long"},
	{"name":"EVENT_TYPE","type":"string"},{"name":"EVENT_VALUE","type":["float","null"]}]}`

	ItemsSchema = `{"type":"record","name":"Items","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[
	{"name":"ITEM_ID","type":"string"},{"name":"TITLE","type":["string","null"]},{"name":"GENRES","type":["string","null"],"categorical":true},{"name":"PRICE","type":["float","null"]}]}`

	UsersSchema = `{"type":"record","name":"Users","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[
	{"name":"USER_ID","type":"string"},{"name":"TIER","type":["string","null"],"categorical":true}]}`
)

// A Shop is a dataset group with its datasets, and the bucket that its jobs read and write.
type Shop struct {
	*server.Server
	T                                  testing.TB
	Objects                            blob.Store // s3://shop
	Group, Interactions, Items, People string     // ARNs

	name, domain string
	made         int
}

// Open creates bucket, group and the three datasets of a custom group, with the schemas above.
func Open(t testing.TB, s *server.Server) *Shop {
	t.Helper()
	h := New(t, s, "shop", "")
	h.Interactions, h.Items, h.People = h.Dataset("Interactions", InteractionsSchema), h.Dataset("Items", ItemsSchema), h.Dataset("Users", UsersSchema)
	return h
}

// New creates bucket and group, without datasets. domain is "" for a custom group.
func New(t testing.TB, s *server.Server, name, domain string) *Shop {
	t.Helper()
	h := &Shop{Server: s, T: t, Objects: s.Bucket("shop"), name: name, domain: domain}
	h.Group = s.Make("CreateDatasetGroup", "datasetGroup", h.in(M{"name": name}))
	return h
}

// in adds the group's domain to a request.
func (h *Shop) in(request M) M {
	if h.domain != "" {
		request["domain"] = h.domain
	}
	return request
}

// Schema creates a schema of the group's domain.
func (h *Shop) Schema(name, text string) (arn string) {
	h.T.Helper()
	return h.Must("CreateSchema", h.in(M{"name": name, "schema": text}))["schemaArn"].(string)
}

// Dataset creates a schema and a dataset with it.
func (h *Shop) Dataset(kind, schema string) (arn string) {
	h.T.Helper()
	name := h.name + "-" + strings.ToLower(kind)
	return h.Make("CreateDataset", "dataset", M{"name": name, "datasetType": kind, "schemaArn": h.Schema(name, schema), "datasetGroupArn": h.Group})
}

// Name returns a name for one more thing of a kind.
func (h *Shop) Name(kind string) string {
	h.made++
	return fmt.Sprintf("%s-%s-%d", h.name, kind, h.made)
}

// StartImport uploads rows and starts their import.
func (h *Shop) StartImport(dataset string, rows [][]string, mode string) (arn string) {
	h.T.Helper()
	key := "in/" + h.Name("rows") + ".csv"
	h.Upload(h.Objects, key, ToCSV(rows))
	return h.StartImportOf(dataset, key, mode)
}

// StartImportOf starts the import of an object, or of a folder if key ends in a slash.
func (h *Shop) StartImportOf(dataset, key, mode string) (arn string) {
	h.T.Helper()
	return h.Must("CreateDatasetImportJob", M{"jobName": h.Name("import"), "datasetArn": dataset, "roleArn": Role, "importMode": mode,
		"dataSource": M{"dataLocation": "s3://shop/" + key}})["datasetImportJobArn"].(string)
}

// Load replaces the bulk rows of a dataset.
func (h *Shop) Load(dataset string, rows [][]string) {
	h.T.Helper()
	h.Imported(h.StartImport(dataset, rows, "FULL"))
}

// Imported waits for the end of an import.
func (h *Shop) Imported(arn string) {
	h.T.Helper()
	if d := h.Wait("datasetImportJob", arn); d["status"] != "ACTIVE" {
		h.T.Fatalf("import: %v", d["failureReason"])
	}
}

// LoadAll loads the three datasets of Open.
func (h *Shop) LoadAll(d Data) {
	h.T.Helper()
	h.Load(h.Interactions, d.Interactions)
	h.Load(h.Items, d.Items)
	h.Load(h.People, d.Profiles)
}

// StartExport starts an export and returns where its files will be.
func (h *Shop) StartExport(dataset, mode string) (arn, prefix string) {
	h.T.Helper()
	name := h.Name("export")
	arn = h.Must("CreateDatasetExportJob", M{"jobName": name, "datasetArn": dataset, "roleArn": Role, "ingestionMode": mode,
		"jobOutput": M{"s3DataDestination": M{"path": "s3://shop/out/"}}})["datasetExportJobArn"].(string)
	return arn, "out/" + name + "/"
}

// Export returns all rows of a dataset, header first.
func (h *Shop) Export(dataset, mode string) [][]string {
	h.T.Helper()
	arn, prefix := h.StartExport(dataset, mode)
	if d := h.Wait("datasetExportJob", arn); d["status"] != "ACTIVE" {
		h.T.Fatalf("export: %v", d["failureReason"])
	}
	return FromCSV(h.T, h.Download(h.Objects, prefix))
}

// StartDeletion uploads a list and starts its deletion job.
func (h *Shop) StartDeletion(users ...string) (arn string) {
	h.T.Helper()
	name := h.Name("forget")
	h.Upload(h.Objects, "forget/"+name+".csv", "USER_ID\n"+strings.Join(users, "\n")+"\n")
	return h.Must("CreateDataDeletionJob", M{"jobName": name, "datasetGroupArn": h.Group, "roleArn": Role,
		"dataSource": M{"dataLocation": "s3://shop/forget/" + name + ".csv"}})["dataDeletionJobArn"].(string)
}

// Forget deletes users and returns numDeleted.
func (h *Shop) Forget(users ...string) int {
	h.T.Helper()
	d := h.Wait("dataDeletionJob", h.StartDeletion(users...))
	if d["status"] != "COMPLETED" {
		h.T.Fatalf("deletion: %v %v", d["status"], d["failureReason"])
	}
	return int(d["numDeleted"].(float64))
}

// Solution creates a solution that trains on demand only.
func (h *Shop) Solution(recipe string) string {
	h.T.Helper()
	return h.Make("CreateSolution", "solution", M{"name": h.Name("solution"), "datasetGroupArn": h.Group,
		"recipeArn": "arn:aws:personalize:::recipe/" + recipe, "performAutoTraining": false})
}

// Version trains a solution.
func (h *Shop) Version(solution string) string {
	h.T.Helper()
	return h.Make("CreateSolutionVersion", "solutionVersion", M{"solutionArn": solution})
}

// Recommend returns the ids of the campaign's answer.
func (h *Shop) Recommend(campaign, user string, n int) (items []string) {
	h.T.Helper()
	for _, item := range h.Answer(campaign, user, n) {
		items = append(items, item["itemId"].(string))
	}
	return items
}

// Answer returns the campaign's answer. One in which user-personalization-v2 explores, as it does once in a while and at random, is asked for again.
func (h *Shop) Answer(campaign, user string, n int) (items []M) {
	h.T.Helper()
	out := h.Must("GetRecommendations", M{"campaignArn": campaign, "userId": user, "numResults": n})
	for _, item := range out["itemList"].([]any) {
		if reasons, ok := item.(M)["reason"].([]any); ok && slices.Contains(reasons, any("Exploration")) {
			return h.Answer(campaign, user, n)
		}
		items = append(items, item.(M))
	}
	return items
}

// Tracker creates the event tracker and returns its tracking id.
func (h *Shop) Tracker() string {
	h.T.Helper()
	out := h.Must("CreateEventTracker", M{"name": h.name + "-events", "datasetGroupArn": h.Group})
	h.Wait("eventTracker", out["eventTrackerArn"].(string))
	return out["trackingId"].(string)
}

// Watch polls a resource and returns each status it saw, in order, with the last description.
func (h *Shop) Watch(noun, arn string) (seen []string, last M) {
	h.T.Helper()
	return h.WatchFor(noun, arn, "ACTIVE", "COMPLETED", "CREATE FAILED", "FAILED")
}

// WatchFor is Watch until one of the given statuses is seen.
func (h *Shop) WatchFor(noun, arn string, last ...string) (seen []string, d M) {
	h.T.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		d, err := h.Describe(noun, arn)
		if err != nil {
			h.T.Fatal(err)
		}
		if seen = note(seen, d); slices.Contains(last, seen[len(seen)-1]) {
			return seen, d
		}
	}
	h.T.Fatalf("%s never ended: %v", arn, seen)
	return nil, nil
}

// WatchGone polls a resource that is being deleted until it is not found, and returns each status it saw.
func (h *Shop) WatchGone(noun, arn string) (seen []string) {
	h.T.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		d, err := h.Describe(noun, arn)
		if e := (*server.APIError)(nil); errors.As(err, &e) && e.Code == "ResourceNotFoundException" {
			return seen
		}
		if err != nil {
			h.T.Fatal(err)
		}
		seen = note(seen, d)
	}
	h.T.Fatalf("%s never went: %v", arn, seen)
	return nil
}

// note appends the status of d if it is another one than before.
func note(seen []string, d M) []string {
	status := d["status"].(string)
	if len(seen) > 0 && seen[len(seen)-1] == status {
		return seen
	}
	return append(seen, status)
}

// Refused asserts that a call answers an exception, and returns its message.
func (h *Shop) Refused(code, operation string, in any) string {
	h.T.Helper()
	_, err := h.Call(operation, in)
	var e *server.APIError
	if !errors.As(err, &e) || e.Code != code {
		h.T.Fatalf("%s answered %v, want %s", operation, err, code)
	}
	return e.Message
}
