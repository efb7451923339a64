package behaviour

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

func TestDeletionsThatOverlapRemoveEachRowOnce(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(100, 40, 3000, 72)
	h.LoadAll(d)
	h.Version(h.Solution("aws-user-personalization"))
	var jobs []string
	for n := range 5 {
		jobs = append(jobs, h.StartDeletion(d.Users[10*n:10*n+20]...))
	}
	total := 0.0
	for _, arn := range jobs {
		job := h.Wait("dataDeletionJob", arn)
		if job["status"] != "COMPLETED" {
			t.Fatalf("a deletion ended %v: %v", job["status"], job["failureReason"])
		}
		total += job["numDeleted"].(float64)
	}
	left := shop.Without(d.Interactions, d.Users[:60]...)
	if want := len(d.Interactions) - len(left) + 60; int(total) != want {
		t.Errorf("%v rows were deleted in all, want %d", total, want)
	}
	equalRows(t, "interactions", left, h.Export(h.Interactions, "ALL"))
	equalRows(t, "users", shop.Without(d.Profiles, d.Users[:60]...), h.Export(h.People, "ALL"))
	h.AssertNoBytesOf(d.Users[:60]...)
}

func TestASolutionThatIsDeletedWhileADeletionRebuildsItsModelsIsGone(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	d := shop.Generate(150, 80, 3000, 73)
	h.Load(h.Interactions, d.Interactions)
	for round := range 2 {
		solution := h.Solution("aws-user-personalization")
		for range 4 {
			h.Version(solution)
		}
		deletion := h.StartDeletion(d.Users[round])
		for len(h.ModelDirs()) < 5+round { // a successor is being written
			if job, err := h.Describe("dataDeletionJob", deletion); err != nil || job["status"] == "COMPLETED" {
				break
			}
		}
		h.Must("DeleteSolution", M{"solutionArn": solution})
		h.WatchGone("solution", solution)
		if job := h.Wait("dataDeletionJob", deletion); job["status"] != "COMPLETED" {
			t.Fatalf("the deletion ended %v: %v", job["status"], job["failureReason"])
		}
		if left, err := filepath.Glob(filepath.Join(h.Data, "store", "models", "*")); err != nil || len(left) > 0 {
			t.Errorf("round %d: %d model directories are left without a solution (%v)", round, len(left), err)
		}
		h.AssertNoBytesOf(d.Users[round])
	}
}

func TestADeletionReachesItsOwnGroupOnly(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	other := shop.New(t, h.Server, "other", "")
	other.Interactions, other.People = other.Dataset("Interactions", shop.InteractionsSchema), other.Dataset("Users", shop.UsersSchema)
	d := shop.Generate(40, 30, 600, 74)
	for _, g := range []*shop.Shop{h, other} {
		g.Load(g.Interactions, d.Interactions)
		g.Load(g.People, d.Profiles)
	}
	campaign := other.Make("CreateCampaign", "campaign", M{"name": "other", "solutionVersionArn": other.Version(other.Solution("aws-user-personalization-v2"))})
	before := other.Recommend(campaign, d.Users[0], 10)
	h.Forget(d.Users...)
	equalRows(t, "the group itself", d.Interactions[:1], h.Export(h.Interactions, "ALL"))
	equalRows(t, "interactions of another group", d.Interactions, other.Export(other.Interactions, "ALL"))
	equalRows(t, "users of another group", d.Profiles, other.Export(other.People, "ALL"))
	if after := other.Recommend(campaign, d.Users[0], 10); !slices.Equal(before, after) {
		t.Errorf("another group's campaign answers %v, before %v", after, before)
	}
}

func TestModelsThatNobodyServesForgetToo(t *testing.T) {
	t.Parallel()
	d := domains[1]
	h, events := d.open(t)
	recommender := func(name string) string {
		return h.Make("CreateRecommender", "recommender", M{"name": name, "datasetGroupArn": h.Group, "recipeArn": recipeARN + d.excluding,
			"recommenderConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	}
	stopped, running := recommender("stopped"), recommender("running")
	h.Must("StopRecommender", M{"recommenderArn": stopped})
	h.WatchFor("recommender", stopped, "INACTIVE")
	versions := []string{h.Version(h.Solution("aws-user-personalization")), h.Version(h.Solution("aws-popularity-count"))}
	gone := events[1][0]
	kept := itemsOf(events, events[2][0], d.done)
	deletion := h.StartDeletion(gone)
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "meanwhile", "solutionVersionArn": versions[0], "campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	if job := h.Wait("dataDeletionJob", deletion); job["status"] != "COMPLETED" {
		t.Fatalf("the deletion ended %v: %v", job["status"], job["failureReason"])
	}
	h.AssertNoBytesOf(gone)
	if n := len(h.ModelDirs()); n != 4 {
		t.Errorf("%d model directories for two versions and two recommenders", n)
	}
	h.Must("StartRecommender", M{"recommenderArn": stopped})
	h.WatchFor("recommender", stopped, "ACTIVE")
	for _, arn := range []string{stopped, running} {
		stranger := ask(h, arn, "canary-never-seen")
		if diff := cmp.Diff(stranger, ask(h, arn, gone)); diff != "" {
			t.Errorf("%s does not serve the deleted user as a stranger:\n%s", arn, diff)
		}
		if answer := ask(h, arn, events[2][0]); slices.ContainsFunc(kept, func(item string) bool { return slices.Contains(answer, item) }) {
			t.Errorf("%s has forgotten what somebody else did", arn)
		}
	}
	if !slices.Equal(h.Recommend(campaign, gone, 10), h.Recommend(campaign, "canary-never-seen", 10)) {
		t.Error("a campaign that was created meanwhile serves the deleted user")
	}
}
