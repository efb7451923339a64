package mainjob

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/test/server"
)

const role = "arn:aws:iam::000000000000:role/palate"

type M = server.M

const interactionsSchema = `{"type":"record","name":"Interactions","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[
	{"name":"USER_ID","type":"string"},{"name":"ITEM_ID","type":"string"},{"name":"TIMESTAMP","type":"long"},
	{"name":"EVENT_TYPE","type":"string"},{"name":"EVENT_VALUE","type":["float","null"]}]}`

const itemsSchema = `{"type":"record","name":"Items","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[
	{"name":"ITEM_ID","type":"string"},{"name":"TITLE","type":["string","null"]},{"name":"GENRES","type":["string","null"],"categorical":true},{"name":"PRICE","type":["float","null"]}]}`

const usersSchema = `{"type":"record","name":"Users","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[
	{"name":"USER_ID","type":"string"},{"name":"TIER","type":["string","null"],"categorical":true}]}`

// data is a generated shop: users of a few tastes, items of the same tastes, events in order of time. The same arguments give the same data.
type data struct {
	users        []string
	interactions [][]string // with header
	items        [][]string
	profiles     [][]string
}

func generate(users, items, events int, seed uint64) data {
	const tastes = 4
	r := rand.New(rand.NewPCG(seed, 1))
	d := data{
		interactions: [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"}},
		items:        [][]string{{"ITEM_ID", "TITLE", "GENRES", "PRICE"}},
		profiles:     [][]string{{"USER_ID", "TIER"}},
	}
	for u := range users {
		id := fmt.Sprintf("canary-user-%04d-%08x", u, r.Uint32())
		d.users = append(d.users, id)
		d.profiles = append(d.profiles, []string{id, []string{"gold", "silver"}[u%2]})
	}
	for i := range items {
		d.items = append(d.items, []string{fmt.Sprintf("item-%04d", i), fmt.Sprintf("The \"%d\"th, of its kind", i), fmt.Sprintf("taste-%d|all", i%tastes), fmt.Sprint(float64(i) + 0.99)})
	}
	for e := range events {
		u := e % users
		if e >= 2*users { // everybody has two events, then some have many
			u = int(float64(users) * r.Float64() * r.Float64())
		}
		i := int(float64(items) * r.Float64() * r.Float64())
		if r.IntN(10) > 0 {
			i = i/tastes*tastes + u%tastes
		}
		value := ""
		if r.IntN(3) > 0 {
			value = fmt.Sprint(1 + r.IntN(5))
		}
		d.interactions = append(d.interactions, []string{d.users[u], fmt.Sprintf("item-%04d", min(i, items-1)), fmt.Sprint(1_700_000_000 + 60*e), "view", value})
	}
	return d
}

// without drops the rows of some users.
func without(rows [][]string, users ...string) [][]string {
	return slices.DeleteFunc(slices.Clone(rows), func(row []string) bool { return slices.Contains(users, row[0]) })
}

func toCSV(rows [][]string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	w.WriteAll(rows)
	return b.String()
}

// fromCSV parses exported files, whose quotes are escaped by a backslash.
func fromCSV(t testing.TB, texts []string) (rows [][]string) {
	t.Helper()
	for n, text := range texts {
		parsed, err := csv.NewReader(strings.NewReader(strings.ReplaceAll(text, `\"`, `""`))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			parsed = parsed[1:]
		}
		rows = append(rows, parsed...)
	}
	return rows
}

// lines makes rows comparable as a multiset; the header stays first.
func lines(rows [][]string) []string {
	out := make([]string, len(rows))
	for i, row := range rows {
		out[i] = strings.Join(row, "|")
	}
	slices.Sort(out[1:])
	return out
}

// shop is a dataset group on a running server.
type shop struct {
	*server.Server
	t                                  testing.TB
	bucket                             blob.Store
	group, interactions, items, people string // ARNs
	jobs                               int
}

// openShop creates bucket, group, schemas and datasets.
func openShop(t testing.TB, s *server.Server) *shop {
	t.Helper()
	h := &shop{Server: s, t: t, bucket: s.Bucket("shop")}
	h.group = s.Make("CreateDatasetGroup", "datasetGroup", M{"name": "shop"})
	dataset := func(kind, schema string) string {
		name := strings.ToLower(kind)
		arn := s.Must("CreateSchema", M{"name": name, "schema": schema})["schemaArn"]
		return s.Make("CreateDataset", "dataset", M{"name": name, "datasetType": kind, "schemaArn": arn, "datasetGroupArn": h.group})
	}
	h.interactions, h.items, h.people = dataset("Interactions", interactionsSchema), dataset("Items", itemsSchema), dataset("Users", usersSchema)
	return h
}

func (h *shop) name(kind string) string {
	h.jobs++
	return fmt.Sprintf("%s-%d", kind, h.jobs)
}

// startImport uploads rows and starts their import.
func (h *shop) startImport(dataset string, rows [][]string, mode string) (arn string) {
	h.t.Helper()
	name := h.name("import")
	h.Upload(h.bucket, "in/"+name+".csv", toCSV(rows))
	return h.Must("CreateDatasetImportJob", M{"jobName": name, "datasetArn": dataset, "roleArn": role, "importMode": mode,
		"dataSource": M{"dataLocation": "s3://shop/in/" + name + ".csv"}})["datasetImportJobArn"].(string)
}

func (h *shop) load(dataset string, rows [][]string) {
	h.t.Helper()
	if d := h.Wait("datasetImportJob", h.startImport(dataset, rows, "FULL")); d["status"] != "ACTIVE" {
		h.t.Fatalf("import: %v", d["failureReason"])
	}
}

func (h *shop) loadAll(d data) {
	h.t.Helper()
	h.load(h.interactions, d.interactions)
	h.load(h.items, d.items)
	h.load(h.people, d.profiles)
}

// startExport starts an export and returns where its files will be.
func (h *shop) startExport(dataset, mode string) (arn, prefix string) {
	h.t.Helper()
	name := h.name("export")
	arn = h.Must("CreateDatasetExportJob", M{"jobName": name, "datasetArn": dataset, "roleArn": role, "ingestionMode": mode,
		"jobOutput": M{"s3DataDestination": M{"path": "s3://shop/out/"}}})["datasetExportJobArn"].(string)
	return arn, "out/" + name + "/"
}

// export returns all rows of a dataset, header first.
func (h *shop) export(dataset, mode string) [][]string {
	h.t.Helper()
	arn, prefix := h.startExport(dataset, mode)
	if d := h.Wait("datasetExportJob", arn); d["status"] != "ACTIVE" {
		h.t.Fatalf("export: %v", d["failureReason"])
	}
	return fromCSV(h.t, h.Download(h.bucket, prefix))
}

// startDeletion uploads a list and starts its deletion job.
func (h *shop) startDeletion(users ...string) (arn string) {
	h.t.Helper()
	name := h.name("forget")
	h.Upload(h.bucket, "forget/"+name+".csv", "USER_ID\n"+strings.Join(users, "\n")+"\n")
	return h.Must("CreateDataDeletionJob", M{"jobName": name, "datasetGroupArn": h.group, "roleArn": role,
		"dataSource": M{"dataLocation": "s3://shop/forget/" + name + ".csv"}})["dataDeletionJobArn"].(string)
}

// forget deletes users and returns numDeleted.
func (h *shop) forget(users ...string) int {
	h.t.Helper()
	d := h.Wait("dataDeletionJob", h.startDeletion(users...))
	if d["status"] != "COMPLETED" {
		h.t.Fatalf("deletion: %v %v", d["status"], d["failureReason"])
	}
	return int(d["numDeleted"].(float64))
}

// solution creates a solution that trains on demand only.
func (h *shop) solution(recipe string) string {
	h.t.Helper()
	return h.Make("CreateSolution", "solution", M{"name": strings.TrimPrefix(recipe, "aws-"), "datasetGroupArn": h.group,
		"recipeArn": "arn:aws:personalize:::recipe/" + recipe, "performAutoTraining": false})
}

func (h *shop) version(solution string) string {
	h.t.Helper()
	return h.Make("CreateSolutionVersion", "solutionVersion", M{"solutionArn": solution})
}

// recommend returns the ids of the campaign's answer.
func (h *shop) recommend(campaign, user string, n int) (items []string) {
	h.t.Helper()
	out := h.Must("GetRecommendations", M{"campaignArn": campaign, "userId": user, "numResults": n})
	for _, item := range out["itemList"].([]any) {
		items = append(items, item.(M)["itemId"].(string))
	}
	return items
}

// tracker creates the event tracker and returns its tracking id.
func (h *shop) tracker() string {
	h.t.Helper()
	out := h.Must("CreateEventTracker", M{"name": "events", "datasetGroupArn": h.group})
	h.Wait("eventTracker", out["eventTrackerArn"].(string))
	return out["trackingId"].(string)
}
