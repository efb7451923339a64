package mainjob

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

func TestTheMainJob(t *testing.T) {
	h := shop.Open(t, server.Start(t))
	d := shop.Generate(150, 80, 4000, 1)
	h.LoadAll(d)

	if diff := cmp.Diff(shop.Lines(d.Interactions), shop.Lines(h.Export(h.Interactions, "BULK"))); diff != "" {
		t.Errorf("an export differs from what was imported:\n%s", diff)
	}
	if diff := cmp.Diff(shop.Lines(d.Items), shop.Lines(h.Export(h.Items, "ALL"))); diff != "" {
		t.Errorf("an export of items differs from what was imported:\n%s", diff)
	}

	solution := h.Solution("aws-user-personalization-v2")
	version := h.Version(solution)
	metrics := h.Must("GetSolutionMetrics", server.M{"solutionVersionArn": version})["metrics"].(server.M)
	popular := h.Version(h.Solution("aws-popularity-count"))
	baseline := h.Must("GetSolutionMetrics", server.M{"solutionVersionArn": popular})["metrics"].(server.M)
	const ndcg = "normalized_discounted_cumulative_gain_at_10"
	if metrics[ndcg].(float64) <= baseline[ndcg].(float64) {
		t.Errorf("NDCG@10 is %v, popularity alone reaches %v", metrics[ndcg], baseline[ndcg])
	}
	campaign := h.Make("CreateCampaign", "campaign", server.M{"name": "front", "solutionVersionArn": version})

	t.Run("an event changes the next answer", func(t *testing.T) {
		tracking := h.Tracker()
		const visitor = "canary-visitor-77aa"
		before := h.Recommend(campaign, visitor, 10)
		h.Must("PutEvents", server.M{"trackingId": tracking, "userId": visitor, "sessionId": "s1",
			"eventList": []server.M{{"eventType": "view", "itemId": "item-0007", "sentAt": 2_000_000_000}}})
		after := h.Recommend(campaign, visitor, 10)
		if slices.Equal(before, after) {
			t.Error("the answer is the same as before the event")
		}
		streamed := h.Export(h.Interactions, "PUT")
		want := [][]string{d.Interactions[0], {visitor, "item-0007", "2000000000", "view", ""}}
		if diff := cmp.Diff(want, streamed); diff != "" {
			t.Errorf("export of streamed events:\n%s", diff)
		}
	})

	t.Run("deleted users are gone and nobody else", func(t *testing.T) {
		gone := []string{d.Users[0], d.Users[3], d.Users[149], "canary-visitor-77aa"}
		left := shop.Without(d.Interactions, gone...)
		want := len(d.Interactions) - len(left) + 3 + 1 // three profiles, one event
		if got := h.Forget(append(gone, gone[0], "nobody-at-all")...); got != want {
			t.Errorf("numDeleted is %d, want %d", got, want)
		}
		if diff := cmp.Diff(shop.Lines(left), shop.Lines(h.Export(h.Interactions, "ALL"))); diff != "" {
			t.Errorf("the rows of others changed:\n%s", diff)
		}
		if diff := cmp.Diff(shop.Lines(shop.Without(d.Profiles, gone...)), shop.Lines(h.Export(h.People, "ALL"))); diff != "" {
			t.Errorf("the profiles of others changed:\n%s", diff)
		}
		stranger := h.Recommend(campaign, "someone-never-seen", 10)
		for i, user := range gone {
			if diff := cmp.Diff(stranger, h.Recommend(campaign, user, 10)); diff != "" {
				t.Errorf("deleted user %d is not served as a stranger:\n%s", i, diff)
			}
		}
		if got := h.Forget(gone...); got != 0 {
			t.Errorf("a second deletion removed %d rows", got)
		}
		h.AssertNoBytesOf(gone...)
		// The state on disk is what counts: the same holds for the process that opens it next.
		if status := h.Stop(); status != 0 {
			t.Errorf("SIGTERM ended the server with status %d", status)
		}
		h.AssertNoBytesOf(gone...)
		h.Restart()
		if diff := cmp.Diff(stranger, h.Recommend(campaign, gone[0], 10)); diff != "" {
			t.Errorf("after a restart a deleted user is not served as a stranger:\n%s", diff)
		}
	})
}

// A model that a deletion rebuilt has the bytes of one that never saw the users.
func TestARebuiltModelEqualsOneThatNeverSawTheUsers(t *testing.T) {
	d := shop.Generate(150, 80, 4000, 2)
	gone := []string{d.Users[1], d.Users[2], d.Users[77]}
	for _, recipe := range []string{"aws-user-personalization-v2", "aws-user-personalization", "aws-popularity-count"} {
		t.Run(recipe, func(t *testing.T) {
			erased := shop.Open(t, server.Start(t))
			erased.LoadAll(d)
			erased.Version(erased.Solution(recipe))
			if erased.Forget(gone...) == 0 {
				t.Fatal("nothing was deleted")
			}
			never := shop.Open(t, server.Start(t))
			never.Load(never.Interactions, shop.Without(d.Interactions, gone...))
			never.Load(never.Items, d.Items)
			never.Load(never.People, shop.Without(d.Profiles, gone...))
			never.Version(never.Solution(recipe))
			if diff := cmp.Diff(never.ModelBytes(), erased.ModelBytes()); diff != "" {
				t.Errorf("the arrays differ (SHA-256 by name):\n%s", diff)
			}
		})
	}
}

// A training that runs while a deletion takes effect leaves no trace of the users, not even on disk, when the deletion is COMPLETED.
func TestADeletionOvertakesTheTrainingsUnderWay(t *testing.T) {
	s := shop.Open(t, server.Start(t))
	d := shop.Generate(200, 150, 6_000, 13)
	s.LoadAll(d)
	solution := s.Solution("aws-user-personalization-v2")
	for round := range 3 {
		gone := d.Users[3*round : 3*round+3]
		version := s.Must("CreateSolutionVersion", server.M{"solutionArn": solution})["solutionVersionArn"].(string)
		s.Forget(gone...)
		s.AssertNoBytesOf(gone...)
		if v := s.Wait("solutionVersion", version); v["status"] != "ACTIVE" {
			t.Fatalf("round %d: training ended %v: %v", round, v["status"], v["failureReason"])
		}
		s.AssertNoBytesOf(gone...)
	}
}
