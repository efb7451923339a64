package behaviour

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

// exploring deploys a version with all the exploration there is.
func exploring(h *shop.Shop, version string) (campaign string) {
	h.T.Helper()
	return h.Make("CreateCampaign", "campaign", M{"name": h.Name("campaign"), "solutionVersionArn": version,
		"campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "1", "explorationItemAgeCutOff": "30"}}})
}

// appears asks until an item is explored; ok is false if it is not in so many answers.
func appears(h *shop.Shop, campaign, item string, answers int) (ok bool) {
	h.T.Helper()
	for range answers {
		if slices.Contains(h.Recommend(campaign, "canary-anybody", 100), item) {
			return true
		}
	}
	return false
}

// eventually waits for something that the server does by itself.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Errorf("never happened: %s", what)
}

func newItem(id string) [][]string {
	return [][]string{{"ITEM_ID", "TITLE", "GENRES", "PRICE"}, {id, "New", "taste-0", "1"}}
}

func (s story) add(item string) { s.Imported(s.StartImport(s.Items, newItem(item), "INCREMENTAL")) }

// story is a shop with a model of user-personalization.
type story struct {
	*shop.Shop
	data     shop.Data
	solution string
}

func newStory(t *testing.T, args ...string) story {
	t.Helper()
	h := shop.Open(t, start(t, args...))
	d := shop.Generate(100, 60, 3000, 61)
	h.LoadAll(d)
	return story{h, d, h.Solution("aws-user-personalization")}
}

func TestNewItemsAreExploredAfterAnAutomaticUpdateAndNotBefore(t *testing.T) {
	t.Parallel()
	s := newStory(t, "--update-period", "200ms")
	first := s.Version(s.solution)
	older, metrics := exploring(s.Shop, first), s.Must("GetSolutionMetrics", M{"solutionVersionArn": first})
	s.add("new-1")
	eventually(t, "new-1 is explored", func() bool { return appears(s.Shop, older, "new-1", 20) })
	none := s.Make("CreateCampaign", "campaign", M{"name": "no-exploration", "solutionVersionArn": first,
		"campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	if appears(s.Shop, none, "new-1", 50) {
		t.Error("an item without a training stands in an answer without exploration")
	}
	s.Kill()
	s.Restart()
	eventually(t, "new-1 is explored after a kill", func() bool { return appears(s.Shop, older, "new-1", 20) })
	s.Forget(s.data.Users[:3]...)
	eventually(t, "new-1 is explored after a deletion", func() bool { return appears(s.Shop, older, "new-1", 20) })
	s.Version(s.solution) // is the newest now: updates are for it
	if diff := cmp.Diff(metrics["metrics"] != nil, true); diff != "" {
		t.Error(diff)
	}

	s.Args("--update-period", "0")
	s.Stop()
	s.Restart()
	s.add("new-2")
	if latest := exploring(s.Shop, s.solution+"/$LATEST"); appears(s.Shop, latest, "new-2", 100) || !appears(s.Shop, latest, "new-1", 100) {
		t.Error("without automatic updates a model does not explore exactly the items of its training")
	}
}

func TestTrainingModeUpdateKeepsTheModelAndAdmitsItems(t *testing.T) {
	t.Parallel()
	s := newStory(t, "--update-period", "200ms")
	in := M{"solutionArn": s.solution, "trainingMode": "UPDATE"}
	s.Refused("InvalidInputException", "CreateSolutionVersion", in)
	full := s.Version(s.solution)
	s.add("new-1")
	s.Load(s.Interactions, shop.Generate(100, 60, 4000, 62).Interactions) // other rows, which the model is not to learn from
	updated := s.Make("CreateSolutionVersion", "solutionVersion", in)
	d, err := s.Describe("solutionVersion", updated)
	if err != nil || d["trainingMode"] != "UPDATE" || d["trainingType"] != "MANUAL" || d["status"] != "ACTIVE" {
		t.Errorf("version %v, %v", d, err)
	}
	measured := func(version string) any {
		return s.Must("GetSolutionMetrics", M{"solutionVersionArn": version})["metrics"]
	}
	if diff := cmp.Diff(measured(full), measured(updated)); diff != "" {
		t.Errorf("the metrics are not those of the model that was taken over:\n%s", diff)
	}
	plain := func(version string) string {
		return s.Make("CreateCampaign", "campaign", M{"name": s.Name("plain"), "solutionVersionArn": version,
			"campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": "0"}}})
	}
	of, ou := plain(full), plain(updated)
	for _, user := range s.data.Users[:5] {
		if diff := cmp.Diff(fmt.Sprint(s.Answer(of, user, 20)), fmt.Sprint(s.Answer(ou, user, 20))); diff != "" {
			t.Errorf("the updated model answers otherwise:\n%s", diff)
		}
	}
	campaign := exploring(s.Shop, updated)
	if !appears(s.Shop, campaign, "new-1", 200) {
		t.Error("the updated model does not explore the new item")
	}
	s.add("new-2")
	time.Sleep(600 * time.Millisecond) // some periods of automatic updates, which rest
	if appears(s.Shop, campaign, "new-2", 100) || appears(s.Shop, exploring(s.Shop, full), "new-2", 100) {
		t.Error("automatic updates go on after an UPDATE")
	}

	began := s.Must("CreateSolutionVersion", in)["solutionVersionArn"].(string)
	deletion := s.StartDeletion(s.data.Users[:5]...)
	if d := s.Wait("dataDeletionJob", deletion); d["status"] != "COMPLETED" {
		t.Fatalf("deletion: %v", d)
	}
	if d := s.Wait("solutionVersion", began); d["status"] != "ACTIVE" {
		t.Fatalf("an update that met a deletion: %v", d)
	}
	if diff := cmp.Diff(measured(full), measured(began)); diff != "" {
		t.Errorf("an update that met a deletion did not take over the model without the users:\n%s", diff)
	}
	eventually(t, "the version that lost its items to a deletion gets automatic updates", func() bool { return appears(s.Shop, campaign, "new-2", 20) })

	s.Version(s.solution)
	s.add("new-3")
	latest := exploring(s.Shop, s.solution+"/$LATEST")
	eventually(t, "new-3 is explored after the next training", func() bool { return appears(s.Shop, latest, "new-3", 20) })

	for _, recipe := range []string{"aws-user-personalization-v2", "aws-sims", "aws-popularity-count", "aws-personalized-ranking"} {
		solution := s.Solution(recipe)
		s.Version(solution)
		s.Refused("InvalidInputException", "CreateSolutionVersion", M{"solutionArn": solution, "trainingMode": "UPDATE"})
	}
	s.Refused("InvalidInputException", "CreateSolutionVersion", M{"solutionArn": s.solution, "trainingMode": "AUTOTRAIN"})
}
