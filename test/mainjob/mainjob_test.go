package mainjob

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
)

func TestTheMainJob(t *testing.T) {
	h := openShop(t, server.Start(t))
	d := generate(150, 80, 4000, 1)
	h.loadAll(d)

	if diff := cmp.Diff(lines(d.interactions), lines(h.export(h.interactions, "BULK"))); diff != "" {
		t.Errorf("an export differs from what was imported:\n%s", diff)
	}
	if diff := cmp.Diff(lines(d.items), lines(h.export(h.items, "ALL"))); diff != "" {
		t.Errorf("an export of items differs from what was imported:\n%s", diff)
	}

	solution := h.solution("aws-user-personalization-v2")
	version := h.version(solution)
	metrics := h.Must("GetSolutionMetrics", M{"solutionVersionArn": version})["metrics"].(M)
	popular := h.version(h.solution("aws-popularity-count"))
	baseline := h.Must("GetSolutionMetrics", M{"solutionVersionArn": popular})["metrics"].(M)
	const ndcg = "normalized_discounted_cumulative_gain_at_10"
	if metrics[ndcg].(float64) <= baseline[ndcg].(float64) {
		t.Errorf("NDCG@10 is %v, popularity alone reaches %v", metrics[ndcg], baseline[ndcg])
	}
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "front", "solutionVersionArn": version})

	t.Run("an event changes the next answer", func(t *testing.T) {
		tracking := h.tracker()
		const visitor = "canary-visitor-77aa"
		before := h.recommend(campaign, visitor, 10)
		h.Must("PutEvents", M{"trackingId": tracking, "userId": visitor, "sessionId": "s1",
			"eventList": []M{{"eventType": "view", "itemId": "item-0007", "sentAt": 1_800_000_000}}})
		after := h.recommend(campaign, visitor, 10)
		if slices.Equal(before, after) {
			t.Error("the answer is the same as before the event")
		}
		streamed := h.export(h.interactions, "PUT")
		want := [][]string{d.interactions[0], {visitor, "item-0007", "1800000000", "view", ""}}
		if diff := cmp.Diff(want, streamed); diff != "" {
			t.Errorf("export of streamed events:\n%s", diff)
		}
	})

	t.Run("deleted users are gone and nobody else", func(t *testing.T) {
		gone := []string{d.users[0], d.users[3], d.users[149], "canary-visitor-77aa"}
		left := without(d.interactions, gone...)
		want := len(d.interactions) - len(left) + 3 + 1 // three profiles, one event
		if got := h.forget(append(gone, gone[0], "nobody-at-all")...); got != want {
			t.Errorf("numDeleted is %d, want %d", got, want)
		}
		if diff := cmp.Diff(lines(left), lines(h.export(h.interactions, "ALL"))); diff != "" {
			t.Errorf("the rows of others changed:\n%s", diff)
		}
		if diff := cmp.Diff(lines(without(d.profiles, gone...)), lines(h.export(h.people, "ALL"))); diff != "" {
			t.Errorf("the profiles of others changed:\n%s", diff)
		}
		stranger := h.recommend(campaign, "someone-never-seen", 10)
		for i, user := range gone {
			if diff := cmp.Diff(stranger, h.recommend(campaign, user, 10)); diff != "" {
				t.Errorf("deleted user %d is not served as a stranger:\n%s", i, diff)
			}
		}
		if got := h.forget(gone...); got != 0 {
			t.Errorf("a second deletion removed %d rows", got)
		}
		h.assertNoBytesOf(gone...)
		// The state on disk is what counts: the same holds for the process that opens it next.
		if status := h.Stop(); status != 0 {
			t.Errorf("SIGTERM ended the server with status %d", status)
		}
		h.assertNoBytesOf(gone...)
		h.Restart()
		if diff := cmp.Diff(stranger, h.recommend(campaign, gone[0], 10)); diff != "" {
			t.Errorf("after a restart a deleted user is not served as a stranger:\n%s", diff)
		}
	})
}

// A model that a deletion rebuilt has the bytes of one that never saw the users.
func TestARebuiltModelEqualsOneThatNeverSawTheUsers(t *testing.T) {
	d := generate(150, 80, 4000, 2)
	gone := []string{d.users[1], d.users[2], d.users[77]}
	for _, recipe := range []string{"aws-user-personalization-v2", "aws-user-personalization", "aws-popularity-count"} {
		t.Run(recipe, func(t *testing.T) {
			erased := openShop(t, server.Start(t))
			erased.loadAll(d)
			erased.version(erased.solution(recipe))
			if erased.forget(gone...) == 0 {
				t.Fatal("nothing was deleted")
			}
			never := openShop(t, server.Start(t))
			never.load(never.interactions, without(d.interactions, gone...))
			never.load(never.items, d.items)
			never.version(never.solution(recipe))
			if diff := cmp.Diff(never.modelBytes(), erased.modelBytes()); diff != "" {
				t.Errorf("the arrays differ (SHA-256 by name):\n%s", diff)
			}
		})
	}
}
