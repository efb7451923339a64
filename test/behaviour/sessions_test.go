package behaviour

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

// visit sends one view; user is "" for a visitor who has not signed in.
func visit(h *shop.Shop, tracking, user, session, item string, second int) {
	h.T.Helper()
	in := M{"trackingId": tracking, "sessionId": session, "eventList": []M{{"eventType": "view", "itemId": item, "sentAt": 2_000_000_000 + second}}}
	if user != "" {
		in["userId"] = user
	}
	h.Must("PutEvents", in)
}

func TestAnAnonymousVisitorIsPersonalizedAndBecomesTheUserAtTraining(t *testing.T) {
	t.Parallel()
	d := shop.Generate(80, 40, 2000, 51)
	const user, visitor, session = "canary-signed-in", "canary-visitor", "canary-session-1"
	open := func() (h *shop.Shop, tracking, campaign, solution string) {
		h = shop.Open(t, start(t))
		h.Load(h.Interactions, d.Interactions)
		solution = h.Solution("aws-user-personalization-v2")
		campaign = h.Make("CreateCampaign", "campaign", M{"name": "front", "solutionVersionArn": h.Version(solution)})
		return h, h.Tracker(), campaign, solution
	}
	h, tracking, campaign, solution := open()
	stranger := h.Recommend(campaign, user, 10)
	visit(h, tracking, "", session, "item-0003", 0)
	visit(h, tracking, "", session, "item-0007", 1)
	anonymous := h.Recommend(campaign, session, 10)
	if slices.Equal(anonymous, stranger) {
		t.Error("two events of an anonymous visitor change nothing")
	}
	visit(h, tracking, user, session, "item-0011", 2)
	signedIn := h.Recommend(campaign, user, 10)
	if diff := cmp.Diff(anonymous, h.Recommend(campaign, session, 10)); diff != "" {
		t.Errorf("the session was joined to the user before a training:\n%s", diff)
	}
	visit(h, tracking, "", "canary-session-2", "item-0001", 3) // somebody who never signs in

	twin, twinTracking, _, twinSolution := open()
	visit(twin, twinTracking, user, session, "item-0003", 0)
	visit(twin, twinTracking, user, session, "item-0007", 1)
	visit(twin, twinTracking, user, session, "item-0011", 2)
	visit(twin, twinTracking, "", "canary-session-2", "item-0001", 3)

	version, twinVersion := h.Version(solution), twin.Version(twinSolution)
	if diff := cmp.Diff(twin.ModelBytesOfNewest(), h.ModelBytesOfNewest()); diff != "" {
		t.Errorf("a FULL training does not give the session to the user (SHA-256 by array):\n%s", diff)
	}
	trained := func(h *shop.Shop, version string) string {
		return h.Make("CreateCampaign", "campaign", M{"name": "trained", "solutionVersionArn": version})
	}
	after, twinAfter := trained(h, version), trained(twin, twinVersion)
	merged := h.Recommend(after, user, 10)
	if diff := cmp.Diff(twin.Recommend(twinAfter, user, 10), merged); diff != "" {
		t.Errorf("the user is served otherwise than one who was signed in from the start:\n%s", diff)
	}
	if slices.Equal(merged, signedIn) && slices.Equal(merged, stranger) {
		t.Error("the merged history changes nothing")
	}
	header := d.Interactions[0]
	streamed := [][]string{header, {session, "item-0003", "2000000000", "view", ""}, {session, "item-0007", "2000000001", "view", ""},
		{user, "item-0011", "2000000002", "view", ""}, {"canary-session-2", "item-0001", "2000000003", "view", ""}}
	equalRows(t, "an export, which shows events as they came", streamed, h.Export(h.Interactions, "PUT"))

	if n := h.Forget(user); n != 3 {
		t.Errorf("numDeleted is %d, want the user's event and the two of his session", n)
	}
	equalRows(t, "after the deletion", [][]string{header, streamed[4]}, h.Export(h.Interactions, "PUT"))
	h.AssertNoBytesOf(user, session)
	for _, gone := range []string{user, session} {
		if diff := cmp.Diff(h.Recommend(after, "canary-never-seen", 10), h.Recommend(after, gone, 10)); diff != "" {
			t.Errorf("he is not served as a stranger:\n%s", diff)
		}
	}
	visit(h, tracking, "", session, "item-0020", 9)
	equalRows(t, "the session's id used again", [][]string{header, streamed[4], {session, "item-0020", "2000000009", "view", ""}}, h.Export(h.Interactions, "PUT"))
	if n := h.Forget("canary-session-2", visitor); n != 1 {
		t.Errorf("a deletion by the id of a session removed %d rows, want 1", n)
	}
}

// A filter of a batch job sees what requests see: the events of a session become its user's at a training and not before.
func TestBatchFiltersJoinSessionsAtTrainingsOnly(t *testing.T) {
	t.Parallel()
	const user, session = "canary-signed-in", "canary-session-1"
	h := shop.Open(t, start(t))
	h.Load(h.Interactions, shop.Generate(80, 40, 2000, 52).Interactions)
	solution, tracking := h.Solution("aws-user-personalization-v2"), h.Tracker()
	unseen := h.Make("CreateFilter", "filter", M{"name": "unseen", "datasetGroupArn": h.Group, "filterExpression": `EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("view")`})
	version := h.Version(solution)
	visit(h, tracking, "", session, "item-0003", 0)
	visit(h, tracking, user, session, "item-0011", 1)
	visit(h, tracking, "", session, "item-0007", 2)
	answers := func(version, item string) bool {
		t.Helper()
		lines := h.Batch(shop.Inference, version, M{"numResults": 40, "filterArn": unseen}, `{"userId":"`+user+`"}`)
		if len(lines) != 1 {
			t.Fatalf("the result has %d lines", len(lines))
		}
		return strings.Contains(lines[0], `"`+item+`"`)
	}
	if answers(version, "item-0011") || !answers(version, "item-0003") || !answers(version, "item-0007") {
		t.Error("before a training the filter does not keep the session apart")
	}
	version = h.Version(solution)
	visit(h, tracking, "", session, "item-0005", 3)
	if answers(version, "item-0011") || answers(version, "item-0003") || answers(version, "item-0007") {
		t.Error("after a training the filter does not know the session")
	}
	if !answers(version, "item-0005") {
		t.Error("what the session did after the training is joined")
	}
}

func TestActionInteractionsOfASessionGoWithItsUser(t *testing.T) {
	t.Parallel()
	e := openEverything(t)
	act := func(user string, n int) {
		in := M{"actionId": fmt.Sprint("a", n), "sessionId": "canary-session", "timestamp": n, "eventType": "Viewed"}
		if user != "" {
			in["userId"] = user
		}
		e.Must("PutActionInteractions", M{"trackingId": e.actionTracking, "actionInteractions": []M{in}})
	}
	act("", 1)
	act("canary-1", 2)
	act("canary-2", 3)
	e.Must("PutEvents", M{"trackingId": e.tracking, "sessionId": "canary-session", "eventList": []M{{"eventType": "view", "itemId": "i1", "sentAt": 4}}})
	e.Must("PutUsers", M{"datasetArn": e.People, "users": []M{{"userId": "canary-1"}, {"userId": "canary-2"}}})
	if n := e.Forget("canary-1"); n != 4 {
		t.Errorf("numDeleted is %d, want profile, action and the two anonymous events of the session", n)
	}
	header := e.bulk()[e.actionInteractions][0]
	equalRows(t, "action interactions", [][]string{header, {"canary-2", "a3", "Viewed", "3", "", "", "", "", ""}}, e.Export(e.actionInteractions, "ALL"))
	equalRows(t, "interactions", e.bulk()[e.Interactions][:1], e.Export(e.Interactions, "ALL"))
	equalRows(t, "users", [][]string{e.bulk()[e.People][0], {"canary-2", "", "", "", "", "", ""}}, e.Export(e.People, "ALL"))
	e.AssertNoBytesOf("canary-1")
}
