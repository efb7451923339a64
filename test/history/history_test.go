package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/seeds"
	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

type M = server.M

func TestRandomHistories(t *testing.T) {
	seeds.Each(t, 2, 200, func(t *testing.T, r *rand.Rand) {
		hold := time.Duration(r.IntN(2)*20) * time.Millisecond // so that jobs last until the next ones come
		h := &history{t: t, r: r, s: server.Start(t, "--hold", hold.String())}
		h.groups = []*group{h.open(), h.open()}
		for range 4 {
			h.batch()
		}
		h.check()
	})
}

// A history is one server with two groups.
type history struct {
	t      *testing.T
	r      *rand.Rand
	s      *server.Server
	groups []*group
	opened int // groups so far, which gives each names of its own
}

// A group is a dataset group and what it may hold.
type group struct {
	*shop.Shop
	prefix   string // of all of its user ids
	schemas  [3]string
	datasets [3]string // ARNs
	tracker  string    // ARN
	tracking string
	solution string
	worlds   []*world
}

var types = [3]string{"Interactions", "Users", "Items"}

// open makes a group that nobody has used.
func (h *history) open() *group {
	h.opened++
	name := fmt.Sprint("g", h.opened)
	g := &group{Shop: shop.New(h.t, h.s, name, ""), prefix: "canary-" + name + "-", worlds: []*world{newWorld()}}
	for i, schema := range []string{shop.InteractionsSchema, shop.UsersSchema, shop.ItemsSchema} {
		g.schemas[i] = g.Schema(name+"-"+types[i], schema)
		g.create(i)
	}
	g.tracking = g.Tracker()
	for _, tracker := range g.Must("ListEventTrackers", M{"datasetGroupArn": g.Group})["eventTrackers"].([]any) {
		g.tracker = tracker.(M)["eventTrackerArn"].(string)
	}
	g.solution = g.Solution("aws-popularity-count")
	return g
}

func (g *group) create(i int) {
	g.T.Helper()
	g.datasets[i] = g.Make("CreateDataset", "dataset", M{"name": g.Name("dataset"), "datasetType": types[i], "schemaArn": g.schemas[i], "datasetGroupArn": g.Group})
}

// close deletes a group and everything in it, in an order that the API admits, and sees that nothing of it is left.
func (h *history) close(g *group) {
	h.t.Logf("%s: deleted", g.prefix)
	g.Must("DeleteSolution", M{"solutionArn": g.solution})
	g.Must("DeleteEventTracker", M{"eventTrackerArn": g.tracker})
	g.WatchGone("solution", g.solution)
	g.WatchGone("eventTracker", g.tracker)
	for _, i := range h.r.Perm(3) {
		g.Must("DeleteDataset", M{"datasetArn": g.datasets[i]})
	}
	for _, arn := range g.datasets {
		g.WatchGone("dataset", arn)
	}
	g.Must("DeleteDatasetGroup", M{"datasetGroupArn": g.Group})
	g.WatchGone("datasetGroup", g.Group)
	g.AssertNoBytesOf(g.prefix)
}

// A batch is a row of calls, and what is to be known at its end.
type batch struct {
	*group
	h             *history
	fixed, floats []event
	wait          []func() // for the end of each job
	importing     [3]bool
	fulls         map[int]int // the dataset of each FULL import, by its number
	jobs          int
	touched       map[string]int // user -> the last call that brought a row of his
	listed        map[string]int // user -> the call that deleted him
	calls         int
}

// batch makes a few calls about one group, waits for their jobs and compares what the group holds now with what it may hold.
func (h *history) batch() {
	which := h.r.IntN(len(h.groups))
	b := &batch{group: h.groups[which], h: h, touched: map[string]int{}, listed: map[string]int{}, fulls: map[int]int{}}
	other := 1 - which
	calls := 3 + h.r.IntN(6)
	closes := -1
	if h.r.IntN(3) == 0 {
		closes = h.r.IntN(calls)
	}
	for b.calls = range calls {
		if b.calls == closes {
			h.close(h.groups[other])
			h.groups[other] = h.open()
		}
		h.pick(map[int]func(){30: b.put, 22: b.load, 14: b.export, 16: b.forget, 8: b.train, 6: b.remove, 5: b.killed, 4: b.stopped, 12: b.overtaken})()
	}
	if h.r.IntN(3) == 0 {
		b.killed()
	}
	for _, wait := range b.wait {
		wait()
	}
	stored := b.stored()
	b.fixed = append(b.fixed, event{what: "all exports in the end", needs: -1, closed: true, do: func(w *world) bool { return w.shows(stored) }})
	before := b.worlds
	b.worlds = orders(before, b.fixed, b.floats)
	if len(b.worlds) == 0 {
		b.explain(before, stored)
	}
	for i, arn := range b.datasets {
		if arn == "" {
			b.create(i)
			for _, w := range b.worlds {
				w.tables[i] = newTable(nil)
			}
		}
	}
	for user, call := range b.listed {
		if last, ok := b.touched[user]; !ok || last < call {
			b.AssertNoBytesOf(user)
		}
	}
	if h.t.Failed() {
		h.t.FailNow()
	}
}

// pick chooses one of the functions, each as often as its weight says.
func (h *history) pick(of map[int]func()) func() {
	sum := 0
	for weight := range of {
		sum += weight
	}
	at := h.r.IntN(sum)
	for weight := range 100 { // in an order that the seed repeats
		if f, ok := of[weight]; ok {
			if at -= weight; at < 0 {
				return f
			}
		}
	}
	panic("unreachable")
}

// explain fails the test: it tells what of all that was seen would have to be otherwise, and how. The exports in the end are the last of fixed.
func (b *batch) explain(before []*world, stored map[view][]string) {
	b.T.Helper()
	blind := func(e event) event {
		do := e.do
		e.do = func(w *world) bool { do(w); return true }
		e.what += ", which saw something else"
		return e
	}
	end := len(b.fixed) - 1
	for _, withEnd := range []bool{false, true} {
		for f := range len(b.floats) + 1 {
			fixed, floats := slices.Clone(b.fixed), slices.Clone(b.floats)
			if withEnd {
				fixed[end] = blind(fixed[end])
			}
			if f < len(floats) {
				floats[f] = blind(floats[f])
			}
			left := orders(before, fixed, floats)
			if len(left) == 0 {
				continue
			}
			b.T.Errorf("no order of what the jobs do gives what was seen. This one comes near: %q", left[0].history)
			for of, seen := range stored {
				if diff := cmp.Diff(left[0].export(of.table, of.mode), seen); diff != "" {
					b.T.Errorf("%s %s (-that order +stored):\n%s", types[of.table], of.mode, diff)
				}
			}
			return
		}
	}
	b.T.Error("no order of what the jobs do gives what was seen, nor comes near")
}

// stored exports every dataset in every mode.
func (g *group) stored() map[view][]string {
	g.T.Helper()
	seen := map[view][]string{}
	read := map[view]func() [][]string{}
	for i, arn := range g.datasets {
		for _, mode := range []string{"ALL", "BULK", "PUT"} {
			if arn == "" {
				continue
			}
			job, prefix := g.StartExport(arn, mode)
			read[view{i, mode}] = func() [][]string {
				if d := g.Wait("datasetExportJob", job); d["status"] != "ACTIVE" {
					g.T.Fatalf("export: %v", d["failureReason"])
				}
				return shop.FromCSV(g.T, g.Download(g.Objects, prefix))
			}
		}
	}
	for of, rows := range read {
		seen[of] = rowsOf(rows())
	}
	return seen
}

// fix notes what has happened, float what will.
func (b *batch) fix(what string, do func(w *world) bool) *event {
	b.T.Logf("%s%d: %s", b.prefix, b.calls, what)
	b.fixed = append(b.fixed, event{what: what, after: -1, needs: -1, do: do})
	return &b.fixed[len(b.fixed)-1]
}

func (b *batch) float(what string, needs int, do func(w *world) bool) (id int) {
	b.floats = append(b.floats, event{what: what, after: len(b.fixed), needs: needs, do: do})
	return len(b.floats) - 1
}

func (b *batch) user() string { return fmt.Sprint(b.prefix, "u", b.h.r.IntN(6)) }
func (b *batch) item() string { return fmt.Sprint("item-", b.h.r.IntN(6)) }

// draw makes up a row of a dataset as a file has it.
func (b *batch) draw(table int) []string {
	r := b.h.r
	switch table {
	case interactions:
		return []string{b.user(), b.item(), fmt.Sprint(2_000_000_000 + r.IntN(9)), "view", []string{"", "1", "2.5"}[r.IntN(3)]}
	case people:
		return []string{b.user(), []string{"", "gold", "silver"}[r.IntN(3)]}
	}
	return []string{b.item(), []string{"", `A "title", quoted`}[r.IntN(2)], []string{"", "a|b"}[r.IntN(2)], []string{"", "1.5", "2"}[r.IntN(3)]}
}

func (b *batch) row(line []string, table int) row {
	if table != items {
		b.touched[line[0]] = b.calls
	}
	return row{cells: strings.Join(line, " ¦ "), key: line[0]}
}

// put streams a few records.
func (b *batch) put() {
	operation, in, to, rows := b.records()
	if to < 0 {
		return
	}
	if _, err := b.Call(operation, in); err != nil {
		b.T.Fatalf("%s: %v", operation, err)
	}
	b.fix(fmt.Sprintf("%s %q", operation, cells(rows)), func(w *world) bool { w.put(to, rows); return true })
}

// records draws a put. to is negative if the dataset is not there.
func (b *batch) records() (operation string, in M, to int, rows []row) {
	to = b.h.r.IntN(3)
	if b.datasets[to] == "" {
		return "", nil, -1, nil
	}
	n := 1 + b.h.r.IntN(4)
	switch to {
	case interactions:
		user, session := b.user(), fmt.Sprint(b.prefix, "s", b.h.r.IntN(3))
		in = M{"trackingId": b.tracking, "sessionId": session}
		if b.h.r.IntN(3) > 0 {
			in["userId"] = user
		} else {
			user = session
		}
		var list []M
		for range n {
			event := b.draw(to)
			event[0] = user
			e := M{"itemId": event[1], "sentAt": json.Number(event[2]), "eventType": event[3]}
			if event[4] != "" {
				e["properties"] = `{"eventValue":` + event[4] + `}`
			}
			list = append(list, e)
			r := b.row(event, to)
			r.session = session
			rows = append(rows, r)
		}
		in["eventList"] = list
		return "PutEvents", in, to, rows
	case people:
		var list []M
		for range n {
			user := b.draw(to)
			u := M{"userId": user[0]}
			if user[1] != "" {
				u["properties"] = `{"tier":"` + user[1] + `"}`
			}
			list, rows = append(list, u), append(rows, b.row(user, to))
		}
		return "PutUsers", M{"datasetArn": b.datasets[to], "users": list}, to, rows
	}
	var list []M
	for range n {
		item := b.draw(to)
		properties, err := json.Marshal(M{"title": item[1], "genres": item[2], "price": item[3]}) // what is empty is null
		if err != nil {
			b.T.Fatal(err)
		}
		list, rows = append(list, M{"itemId": item[0], "properties": string(properties)}), append(rows, b.row(item, to))
	}
	return "PutItems", M{"datasetArn": b.datasets[to], "items": list}, to, rows
}

// load starts an import.
func (b *batch) load() {
	b.loadInto(b.h.r.IntN(3), b.h.r.IntN(30))
}

// overtaken starts a larger import of rows with users and at once a deletion, which cuts while the import reads.
func (b *batch) overtaken() {
	b.loadInto(b.h.r.IntN(2), 1000)
	b.forget()
}

func (b *batch) loadInto(to, n int) {
	if b.datasets[to] == "" || b.jobs == 4 {
		return
	}
	mode := []string{"FULL", "INCREMENTAL"}[b.h.r.IntN(2)]
	file := [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"}, {"USER_ID", "TIER"}, {"ITEM_ID", "TITLE", "GENRES", "PRICE"}}[to : to+1]
	var rows []row
	for range n {
		line := b.draw(to)
		file, rows = append(file, line), append(rows, b.row(line, to))
	}
	name := b.Name("import")
	b.Upload(b.Objects, "in/"+name+".csv", shop.ToCSV(file))
	out, err := b.Call("CreateDatasetImportJob", M{"jobName": name, "datasetArn": b.datasets[to], "roleArn": shop.Role, "importMode": mode,
		"dataSource": M{"dataLocation": "s3://shop/in/" + name + ".csv"}})
	if refused(err, "ResourceInUseException") && b.importing[to] || refused(err, "InvalidInputException") && mode == "INCREMENTAL" {
		return
	}
	if err != nil {
		b.T.Fatalf("CreateDatasetImportJob: %v", err)
	}
	b.importing[to] = true
	b.jobs++
	id := len(b.floats)
	if mode == "FULL" {
		b.fulls[id] = to
	}
	b.fix(fmt.Sprintf("import %s of %d rows into %s is accepted", mode, len(rows), types[to]), func(w *world) bool { w.accept(id, to, mode == "FULL", rows); return true })
	begun := b.float("an import arrives in "+types[to], -1, func(w *world) bool { w.begin(id); return true })
	b.float("an import shows in "+types[to], begun, func(w *world) bool { w.commit(id); return true })
	b.ends("datasetImportJob", out["datasetImportJobArn"].(string), nil)
}

// export starts an export.
func (b *batch) export() {
	of := b.h.r.IntN(3)
	if b.datasets[of] == "" || b.jobs == 4 {
		return
	}
	b.jobs++
	mode := []string{"ALL", "BULK", "PUT"}[b.h.r.IntN(3)]
	arn, prefix := b.StartExport(b.datasets[of], mode)
	b.T.Logf("%s%d: export of %s %s", b.prefix, b.calls, types[of], mode)
	var seen []string
	b.float(fmt.Sprintf("an export of %s %s reads", types[of], mode), -1, func(w *world) bool { return slices.Equal(w.export(of, mode), seen) })
	b.ends("datasetExportJob", arn, func(M) { seen = rowsOf(shop.FromCSV(b.T, b.Download(b.Objects, prefix))) })
}

// forget starts a data deletion.
func (b *batch) forget() {
	if b.jobs == 4 {
		return
	}
	b.jobs++
	var users []string
	for range 1 + b.h.r.IntN(3) {
		user := b.user()
		users = append(users, user)
		b.listed[user] = b.calls
	}
	arn := b.StartDeletion(users...)
	b.T.Logf("%s%d: deletion of %q", b.prefix, b.calls, users)
	deleted := -1
	b.float(fmt.Sprintf("a deletion of %q cuts", users), -1, func(w *world) bool {
		least, most := w.forget(users, b.fulls)
		return least <= deleted && deleted <= most
	})
	b.ends("dataDeletionJob", arn, func(d M) {
		deleted = int(d["numDeleted"].(float64))
		b.T.Logf("%s: the deletion of %q deleted %d rows", b.prefix, users, deleted)
	})
}

// train starts a training, which too little data may fail.
func (b *batch) train() {
	if b.datasets[interactions] == "" {
		return
	}
	arn := b.Must("CreateSolutionVersion", M{"solutionArn": b.solution})["solutionVersionArn"].(string)
	b.T.Logf("%s%d: training", b.prefix, b.calls)
	b.wait = append(b.wait, func() {
		d := b.Wait("solutionVersion", arn)
		if reason, _ := d["failureReason"].(string); d["status"] != "ACTIVE" && !strings.HasPrefix(reason, "Dataset has fewer than") {
			b.T.Errorf("a training ended %v: %v", d["status"], reason)
		}
	})
}

// remove deletes the dataset of people or items, if no job of the group is under way.
func (b *batch) remove() {
	i := people + b.h.r.IntN(2)
	if b.datasets[i] == "" {
		return
	}
	_, err := b.Call("DeleteDataset", M{"datasetArn": b.datasets[i]})
	if refused(err, "ResourceInUseException") && len(b.wait) > 0 {
		return
	}
	if err != nil {
		b.T.Fatalf("DeleteDataset: %v", err)
	}
	b.WatchGone("dataset", b.datasets[i])
	b.datasets[i] = ""
	e := b.fix("the dataset of "+types[i]+" is deleted", func(w *world) bool { w.tables[i] = nil; return true })
	e.closed = true // else it would have been refused
}

// killed ends the process at a random moment, with a put under way, and starts another one.
func (b *batch) killed() {
	operation, in, to, rows := b.records()
	ended := make(chan error, 1)
	if to >= 0 {
		go func() { _, err := b.Call(operation, in); ended <- err }()
	}
	time.Sleep(time.Duration(b.h.r.Int64N(int64(20 * time.Millisecond)))) // the random moment is what is tested
	b.Kill()
	var err error
	if to >= 0 {
		err = <-ended
	}
	b.Restart()
	if to < 0 {
		b.T.Logf("%s%d: kill -9", b.prefix, b.calls)
		return
	}
	if e := (*server.APIError)(nil); errors.As(err, &e) {
		b.T.Fatalf("%s: %v", operation, err)
	}
	e := b.fix(fmt.Sprintf("kill -9 with a %s %q, which was answered %v", operation, cells(rows), err), func(w *world) bool { w.put(to, rows); return true })
	e.maybe = err != nil
}

// stopped ends the process as an operator does.
func (b *batch) stopped() {
	b.T.Logf("%s%d: restart", b.prefix, b.calls)
	if status := b.Stop(); status != 0 {
		b.T.Errorf("SIGTERM ended the server with status %d", status)
	}
	b.Restart()
}

// ends waits, at the end of the batch, for a job that must not fail.
func (b *batch) ends(noun, arn string, read func(d M)) {
	b.wait = append(b.wait, func() {
		d := b.Wait(noun, arn)
		if d["status"] != "ACTIVE" && d["status"] != "COMPLETED" {
			b.T.Fatalf("%s ended %v: %v", noun, d["status"], d["failureReason"])
		}
		if read != nil {
			read(d)
		}
	})
}

// check deletes all users of all groups, and then the groups.
func (h *history) check() {
	for _, g := range h.groups {
		var users []string
		for n := range 6 {
			users = append(users, fmt.Sprint(g.prefix, "u", n))
		}
		g.Forget(users...)
		g.AssertNoBytesOf(users...)
		stored := g.stored()
		if !slices.ContainsFunc(g.worlds, func(w *world) bool {
			w.forget(users, nil)
			return w.shows(stored)
		}) {
			h.t.Errorf("after everybody was deleted: %v", stored)
		}
		h.close(g)
	}
}

func cells(rows []row) (out []string) {
	for _, r := range rows {
		out = append(out, r.cells)
	}
	return out
}

func refused(err error, code string) bool {
	var e *server.APIError
	return errors.As(err, &e) && e.Code == code
}

// rowsOf is an export as the model has it.
func rowsOf(table [][]string) []string {
	var rows []string
	for _, line := range table[1:] {
		rows = append(rows, strings.Join(line, " ¦ "))
	}
	slices.Sort(rows)
	return rows
}
