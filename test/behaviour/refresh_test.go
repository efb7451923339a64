package behaviour

import (
	"fmt"
	"slices"
	"strings"
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

// newcomers are items of each taste that come after a training, some by import and some by PutItems.
func (s story) newcomers(tastes, each int) (ids []string) {
	s.T.Helper()
	rows := [][]string{{"ITEM_ID", "TITLE", "GENRES", "PRICE"}}
	var puts []M
	for n := range tastes * each {
		id, genres := fmt.Sprintf("new-%d", n), fmt.Sprintf("taste-%d|all", n%tastes)
		ids = append(ids, id)
		if n%2 == 0 {
			rows = append(rows, []string{id, "New", genres, "1"})
		} else {
			puts = append(puts, M{"itemId": id, "properties": fmt.Sprintf(`{"TITLE":"New","GENRES":%q,"PRICE":1}`, genres)})
		}
	}
	s.Must("PutItems", M{"datasetArn": s.Items, "items": puts})
	s.Imported(s.StartImport(s.Items, rows, "INCREMENTAL"))
	return ids
}

// exploredIn counts the newcomers in many answers, by item.
func (s story) exploredIn(campaign, user string, answers int) map[string]int {
	s.T.Helper()
	found := map[string]int{}
	for range answers {
		for _, item := range s.Recommend(campaign, user, 25) {
			if strings.HasPrefix(item, "new-") {
				found[item]++
			}
		}
	}
	return found
}

func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// What came after the training is explored by those who may like it, more with a greater weight and less the more often it was shown in vain; a ranking places
// it by its attributes; a deletion takes none of that away.
func TestNewItemsAreAdmittedByTheirAttributes(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t, "--update-period", "200ms"), "admission", "")
	h.Interactions = h.Dataset("Interactions", schema("Interactions", "USER_ID string", "ITEM_ID string", "TIMESTAMP long", "EVENT_TYPE string", "EVENT_VALUE float?", "IMPRESSION string?"))
	h.Items, h.People = h.Dataset("Items", shop.ItemsSchema), h.Dataset("Users", shop.UsersSchema)
	d := shop.Generate(100, 60, 3000, 61)
	for i, row := range d.Interactions {
		d.Interactions[i] = append(row, []string{"IMPRESSION", ""}[min(i, 1)])
	}
	h.LoadAll(d)
	s := story{h, d, h.Solution("aws-user-personalization")}
	version := s.Version(s.solution)
	weighted := func(weight string) string {
		return s.Make("CreateCampaign", "campaign", M{"name": s.Name("campaign"), "solutionVersionArn": version,
			"campaignConfig": M{"itemExplorationConfig": M{"explorationWeight": weight}}})
	}
	none, some, all := weighted("0"), weighted("0.3"), weighted("1")
	ranking := s.Make("CreateCampaign", "campaign", M{"name": "ranking", "solutionVersionArn": s.Version(s.Solution("aws-personalized-ranking"))})

	const tastes, each = 4, 3
	ids := s.newcomers(tastes, each)
	const taste = 2
	user := s.data.Users[taste]
	placed := func(user string, taste int) bool {
		answer := s.Must("GetPersonalizedRanking", M{"campaignArn": ranking, "userId": user, "inputList": append([]string{"nowhere", "item-0000"}, ids...)})["personalizedRanking"].([]any)
		var order []string
		for _, x := range answer {
			order = append(order, x.(M)["itemId"].(string))
		}
		if _, scored := answer[1].(M)["score"]; scored || order[0] != "item-0000" {
			t.Errorf("newcomers do not come without scores after what was trained on: %v", answer)
		}
		return order[len(order)-1] == "nowhere" && !slices.ContainsFunc(order[1:1+each], func(id string) bool { return tasted(ids, id, tastes) != taste })
	}
	eventually(t, "a ranking places newcomers by their attributes", func() bool { return placed(user, taste) })
	eventually(t, "newcomers are explored", func() bool { return total(s.exploredIn(all, user, 20)) > 0 })

	const answers = 100
	few, many := s.exploredIn(some, user, answers), s.exploredIn(all, user, answers)
	if n := total(s.exploredIn(none, user, 20)); n > 0 {
		t.Errorf("%d items without a training stand in answers without exploration", n)
	}
	if total(few) == 0 || total(many) < 2*total(few) {
		t.Errorf("in %d answers there are %d newcomers at weight 0.3, %d at 1", answers, total(few), total(many))
	}
	own := 0
	for id, n := range many {
		if tasted(ids, id, tastes) == taste {
			own += n
		}
	}
	if own*5 < 2*total(many) { // were they drawn without regard to the user it would be one in four
		t.Errorf("of %d explored items %d are of the user's taste", total(many), own)
	}

	tracker, tired := s.Tracker(), ids[taste]
	for n := range 4 {
		var events []M
		for k := range 10 {
			events = append(events, M{"eventType": "view", "itemId": "item-0001", "sentAt": 1_700_180_000 + 10*n + k, "impression": []string{tired}})
		}
		s.Must("PutEvents", M{"trackingId": tracker, "sessionId": "session", "userId": "canary-bored", "eventList": events})
	}
	eventually(t, "what was shown in vain gives way", func() bool { return s.exploredIn(all, user, 40)[tired] <= many[tired]/10 })

	s.Forget("canary-bored", s.data.Users[7])
	eventually(t, "a ranking places newcomers after a deletion", func() bool { return placed(user, taste) })
	eventually(t, "impressions of a deleted user are forgotten", func() bool { return s.exploredIn(all, user, 40)[tired] > many[tired]/10 })
}

// tasted is the taste of a newcomer.
func tasted(ids []string, id string, tastes int) int { return slices.Index(ids, id) % tastes }
