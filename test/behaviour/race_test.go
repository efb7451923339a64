package behaviour

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// A stream is one sender of events, each about an item of its own, so that every event can be told apart.
type stream struct {
	user string

	mu   sync.Mutex
	sent []string // items of the events that were acknowledged
}

// run sends until ctx ends. Every other event comes without the user, in the same session. The server never goes down here, so every event is acknowledged.
func (s *stream) run(ctx context.Context, t *testing.T, h *shop.Shop, tracking string) {
	for n := 0; ctx.Err() == nil; n++ {
		item := fmt.Sprintf("%s-%d", s.user[len(canary)+1:], len(s.acked()))
		in := M{"trackingId": tracking, "sessionId": s.user + "-session", "eventList": []M{{"eventType": "view", "itemId": item, "sentAt": 2_000_000_000 + n}}}
		if n%2 == 0 {
			in["userId"] = s.user
		}
		if _, err := h.Call("PutEvents", in); err != nil {
			t.Errorf("PutEvents: %v", err)
			return
		}
		s.mu.Lock()
		s.sent = append(s.sent, item)
		s.mu.Unlock()
	}
}

func (s *stream) acked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// The users of the listed streams, and all of one part of the imported users, are deleted while everything else goes on.
func TestADeletionAmongAllOtherWorkForgetsItsUsersAndNobodyElse(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(150, 60, 3000, 71)
	h.LoadAll(d)
	tracking := h.Tracker()
	solution := h.Solution("aws-user-personalization-v2")
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "front", "solutionVersionArn": h.Version(solution)})
	others := []*stream{{user: "canary-other-0"}, {user: "canary-other-1"}}
	left := d.Interactions
	for round := range 2 {
		gone := d.Users[20*round : 20*round+20]
		h.Load(h.Interactions, left)

		listed := []*stream{{user: fmt.Sprint("canary-listed-", round, "-a")}, {user: fmt.Sprint("canary-listed-", round, "-b")}}
		going := &stream{user: fmt.Sprint("canary-going-", round)} // sends before, while and after
		all, stopAll := context.WithCancel(t.Context())
		before, stopListed := context.WithCancel(all)
		var senders, listedSenders sync.WaitGroup
		for _, s := range listed {
			listedSenders.Go(func() { s.run(before, t, h, tracking) })
		}
		for _, s := range append(others, going) {
			senders.Go(func() { s.run(all, t, h, tracking) })
		}
		senders.Go(func() {
			for n := 0; all.Err() == nil; n++ {
				if _, err := h.Call("GetRecommendations", M{"campaignArn": campaign, "userId": d.Users[n%len(d.Users)]}); err != nil {
					t.Errorf("GetRecommendations: %v", err)
					return
				}
			}
		})
		// An import of rows of the users, a training on them and an export are accepted first.
		imported := h.StartImport(h.Interactions, slices.Concat(left[:1], left[len(left)-500:], rowsOf(left, gone...)), "INCREMENTAL")
		training := h.Must("CreateSolutionVersion", M{"solutionArn": solution})["solutionVersionArn"].(string)
		exported, _ := h.StartExport(h.Interactions, "ALL")
		profiles := h.StartImport(h.People, shop.Without(d.Profiles, d.Users[:20*round]...), "FULL")

		stopListed()
		listedSenders.Wait()
		covered := going.acked()
		list := append(slices.Clone(gone), going.user)
		for _, s := range listed {
			list = append(list, s.user)
		}
		deletion := h.StartDeletion(list...)
		later := h.Must("CreateSolutionVersion", M{"solutionArn": solution})["solutionVersionArn"].(string)
		job := h.Wait("dataDeletionJob", deletion)
		if job["status"] != "COMPLETED" {
			t.Fatalf("round %d: the deletion ended %v: %v", round, job["status"], job["failureReason"])
		}
		afterwards := h.Export(h.Interactions, "ALL")
		visit(h, tracking, listed[0].user, "canary-new-session", "back-again", 0)
		stopAll()
		senders.Wait()
		h.Imported(imported)
		h.Imported(profiles)
		for noun, arn := range map[string]string{"solutionVersion": training, "datasetExportJob": exported} {
			if d := h.Wait(noun, arn); d["status"] != "ACTIVE" {
				t.Errorf("round %d: %s ended %v: %v", round, noun, d["status"], d["failureReason"])
			}
		}
		if d := h.Wait("solutionVersion", later); d["status"] != "ACTIVE" {
			t.Errorf("round %d: the training after the deletion was asked for ended %v: %v", round, d["status"], d["failureReason"])
		}

		for _, rows := range [][][]string{afterwards, h.Export(h.Interactions, "ALL")} {
			items := set(column(rows, "ITEM_ID"))
			for _, s := range listed {
				for _, item := range s.acked() {
					if items[item] {
						t.Fatalf("round %d: an event of a deleted user, or of his session, is exported", round)
					}
				}
			}
			for _, item := range covered {
				if items[item] {
					t.Fatalf("round %d: an event that was acknowledged before the deletion was asked for is exported", round)
				}
			}
			users := set(column(rows, "USER_ID"))
			for _, user := range gone {
				if users[user] {
					t.Fatalf("round %d: an imported row of a deleted user is exported", round)
				}
			}
		}
		final := h.Export(h.Interactions, "ALL")
		items := set(column(final, "ITEM_ID"))
		for _, s := range others {
			for _, item := range s.acked() {
				if !items[item] {
					t.Fatalf("round %d: %d events of others were acknowledged, one of them is lost", round, len(s.acked()))
				}
			}
		}
		back := rowsOf(final, listed[0].user)
		if len(back) != 1 || back[0][1] != "back-again" {
			t.Errorf("round %d: after the deletion the new user of an old id has %d rows", round, len(back))
		}
		left = shop.Without(left, gone...)
		equalRows(t, "profiles of the others", shop.Without(d.Profiles, d.Users[:20*round+20]...), h.Export(h.People, "ALL"))
		h.AssertNoBytesOf(append(slices.Clone(gone), listed[1].user)...)
		visitor := h.Recommend(campaign, "canary-never-seen", 10)
		if !slices.Equal(h.Recommend(campaign, gone[0], 10), visitor) {
			t.Errorf("round %d: a deleted user is not served as a stranger", round)
		}
		t.Logf("round %d: numDeleted %v, events %d + %d + %d", round, job["numDeleted"], len(listed[0].acked())+len(listed[1].acked()), len(going.acked()), len(others[0].acked())+len(others[1].acked()))
	}
}

// rowsOf keeps the rows of some users, without header.
func rowsOf(rows [][]string, users ...string) (kept [][]string) {
	for _, row := range rows[1:] {
		if slices.Contains(users, row[0]) {
			kept = append(kept, row)
		}
	}
	return kept
}

func set(values []string) map[string]bool {
	has := map[string]bool{}
	for _, v := range values {
		has[v] = true
	}
	return has
}

func TestOneOfManyCreatesOfANameSucceedsAndQuotasAreExact(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t, "--limits", "aws"), "group", "")
	many := func(operation string, request func(n int) M) map[string]int {
		answers, mu := map[string]int{}, sync.Mutex{}
		var calls sync.WaitGroup
		for n := range 20 {
			calls.Go(func() {
				code := "created"
				if _, err := h.Call(operation, request(n)); err != nil {
					code = err.(*server.APIError).Code
				}
				mu.Lock()
				answers[code]++
				mu.Unlock()
			})
		}
		calls.Wait()
		return answers
	}
	for operation, request := range map[string]func(int) M{
		"CreateSchema":       func(int) M { return M{"name": "s", "schema": shop.UsersSchema} },
		"CreateEventTracker": func(n int) M { return M{"name": fmt.Sprint("t", n), "datasetGroupArn": h.Group} },
	} {
		if diff := cmp.Diff(map[string]int{"created": 1, "ResourceAlreadyExistsException": 19}, many(operation, request)); diff != "" {
			t.Errorf("%s:\n%s", operation, diff)
		}
	}
	groups := many("CreateDatasetGroup", func(n int) M { return M{"name": fmt.Sprint("g", n)} })
	if diff := cmp.Diff(map[string]int{"created": 4, "LimitExceededException": 16}, groups); diff != "" {
		t.Errorf("a sixth dataset group among many:\n%s", diff)
	}
}

// Records that come while their dataset is deleted and made again, time after time, are stored or refused, and the server has no other answer.
func TestPutsAndTheDeletionOfTheirDatasetMeet(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t), "meet", "")
	text := h.Schema("users", shop.UsersSchema)
	open := func() (arn string) {
		return h.Make("CreateDataset", "dataset", M{"name": "users", "datasetType": "Users", "schemaArn": text, "datasetGroupArn": h.Group})
	}
	h.People = open()
	all, stop := context.WithCancel(t.Context())
	var senders sync.WaitGroup
	for sender := range 4 {
		senders.Go(func() {
			for n := 0; all.Err() == nil; n++ {
				_, err := h.Call("PutUsers", M{"datasetArn": h.People, "users": []M{{"userId": fmt.Sprint("canary-", sender, "-", n)}}})
				if err == nil {
					continue
				}
				var e *server.APIError
				if !errors.As(err, &e) || e.Code != "ResourceInUseException" && e.Code != "ResourceNotFoundException" && e.Code != "InvalidInputException" {
					t.Errorf("PutUsers: %v", err)
					return
				}
			}
		})
	}
	for range 10 {
		h.Must("DeleteDataset", M{"datasetArn": h.People})
		h.WatchGone("dataset", h.People)
		open()
	}
	stop()
	senders.Wait()
	h.Must("PutUsers", M{"datasetArn": h.People, "users": []M{{"userId": "canary-last"}}})
	if users := column(h.Export(h.People, "ALL"), "USER_ID"); !slices.Contains(users, "canary-last") {
		t.Error("the last record is not there")
	}
	h.Must("DeleteDataset", M{"datasetArn": h.People})
	h.WatchGone("dataset", h.People)
	h.AssertNoBytesOf(canary)
}
