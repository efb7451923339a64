package behaviour

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

// tribes is a cinema whose users have a tribe, which decides their taste; the last of them have done nothing yet, nor has anybody seen the last films. In every round of
// events each film of a taste is seen as often as places has it, so that what is popular leaves little to chance.
func tribes(t *testing.T) (h *shop.Shop, d shop.Data, novices, novelties []string) {
	t.Helper()
	h = shop.New(t, start(t), "tribes", "")
	places := []int{0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}
	h.Interactions, h.Items = h.Dataset("Interactions", shop.InteractionsSchema), h.Dataset("Items", filmSchema)
	h.People = h.Dataset("Users", schema("Users", "USER_ID string", "TRIBE string? categorical", "AGE int?", "NOTE string?"))
	d = shop.Generate(8*len(places), 60, 0, 9)
	r := rand.New(rand.NewPCG(9, 1))
	for e, shift := range r.Perm(24) {
		for user, id := range d.Users {
			taste := user % 4
			if r.IntN(10) == 0 {
				taste = r.IntN(4)
			}
			item := fmt.Sprintf("item-%04d", 4*places[(user/4+shift)%len(places)]+taste)
			d.Interactions = append(d.Interactions, []string{id, item, fmt.Sprint(1_700_000_000 + 60*len(d.Users)*e + user), "view", ""})
		}
	}
	d.Items, d.Profiles = [][]string{filmHeader}, [][]string{{"USER_ID", "TRIBE", "AGE", "NOTE"}}
	for n := range 60 {
		d.Items = append(d.Items, film(fmt.Sprintf("item-%04d", n), n))
	}
	for n := range 8 {
		novelties = append(novelties, fmt.Sprintf("new-%d", n))
		d.Items = append(d.Items, film(novelties[n], n))
	}
	person := func(id string, taste int) {
		d.Profiles = append(d.Profiles, []string{id, fmt.Sprintf("tribe-%d", taste), fmt.Sprint(20 + 10*taste), "of no matter"})
	}
	for n, user := range d.Users {
		person(user, n%4)
	}
	for n := range 8 {
		novices = append(novices, fmt.Sprintf("canary-novice-%d", n))
		person(novices[n], n%4)
	}
	h.LoadAll(d)
	return h, d, novices, novelties
}

// tasteOf is the taste that an item is made for, by its number.
func tasteOf(t *testing.T, item string) int {
	t.Helper()
	n, err := strconv.Atoi(item[strings.LastIndexByte(item, '-')+1:]) // decimal, whatever zeros stand before it
	if err != nil {
		t.Fatal(err)
	}
	return n % 4
}

// What nobody has seen is ordered by what it is, and recommended to those who like such things.
func TestUnseenItemsAreKnownByTheirAttributes(t *testing.T) {
	t.Parallel()
	h, d, _, novelties := tribes(t)
	version := h.Version(h.Solution("aws-personalized-ranking-v2"))
	ranking := h.Make("CreateCampaign", "campaign", M{"name": "ranking", "solutionVersionArn": version})
	rank := func(campaign, user string) (items []string) {
		for _, x := range h.Must("GetPersonalizedRanking", M{"campaignArn": campaign, "userId": user, "inputList": novelties})["personalizedRanking"].([]any) {
			items = append(items, x.(M)["itemId"].(string))
		}
		return items
	}
	for n, user := range d.Users[:8] {
		ranked := rank(ranking, user)
		for _, item := range ranked[:2] {
			if tasteOf(t, item) != n%4 {
				t.Errorf("a user of taste %d has unseen films in the order %v", n%4, ranked)
				break
			}
		}
	}
	if got, want := batch(h, version, nil, fmt.Sprintf(`{"userId":%q,"itemList":["%s"]}`, d.Users[0], strings.Join(novelties, `","`)))[0].Output.RecommendedItems, rank(ranking, d.Users[0]); !slices.Equal(got, want) {
		t.Errorf("a batch ranks %v, a request %v", got, want)
	}

	still := M{"itemExplorationConfig": M{"explorationWeight": "0"}}
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "recs", "solutionVersionArn": h.Version(h.Solution("aws-user-personalization")), "campaignConfig": still})
	found := 0
	for n, user := range d.Users[:20] {
		for place, item := range h.Recommend(campaign, user, 25) {
			if slices.Contains(novelties, item) && tasteOf(t, item) == n%4 {
				found++
				if place == 0 {
					t.Errorf("%s, which nobody has seen, is recommended first", item)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("20 users get %d unseen films of their taste", found)
	}

	blind := solutionOf(h, "aws-personalized-ranking", M{"solutionConfig": M{"trainingDataConfig": M{"excludedDatasetColumns": M{
		"ITEMS": []string{"GENRES", "DIRECTOR", "PLOT", "PRICE", "CREATION_TIMESTAMP"}}}}})
	campaign = h.Make("CreateCampaign", "campaign", M{"name": "blind", "solutionVersionArn": h.Version(blind)})
	if diff := cmp.Diff(novelties, rank(campaign, d.Users[0])); diff != "" {
		t.Errorf("columns that are excluded order unseen films (-as given +got)\n%s", diff)
	}
}

// Who has done nothing yet gets what users with the same attributes like, until he is deleted.
func TestUsersWithoutHistoryAreKnownByTheirAttributes(t *testing.T) {
	t.Parallel()
	h, _, novices, _ := tribes(t)
	still := M{"itemExplorationConfig": M{"explorationWeight": "0"}}
	version := h.Version(h.Solution("aws-user-personalization"))
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "recs", "solutionVersionArn": version, "campaignConfig": still})
	ranking := h.Make("CreateCampaign", "campaign", M{"name": "ranking", "solutionVersionArn": h.Version(h.Solution("aws-personalized-ranking"))})
	fits := func(user string, taste int) (n int) {
		for _, item := range h.Recommend(campaign, user, 8) {
			if tasteOf(t, item) == taste {
				n++
			}
		}
		return n
	}
	plain := h.Recommend(campaign, "nobody", 8)
	for taste := range 4 {
		if got := fits("nobody", taste); got != 2 {
			t.Errorf("a stranger gets %d of 8 films of taste %d", got, taste)
		}
	}
	for n, user := range novices {
		if got := fits(user, n%4); got < 6 {
			t.Errorf("%d of 8 films are of the taste of a user's tribe", got)
		}
		list := []string{fmt.Sprintf("item-%04d", (n+1)%4), fmt.Sprintf("item-%04d", n%4)}
		out := h.Must("GetPersonalizedRanking", M{"campaignArn": ranking, "userId": user, "inputList": list})
		if first := out["personalizedRanking"].([]any)[0].(M)["itemId"]; first != list[1] {
			t.Errorf("ranked first for a user of tribe %d: %v", n%4, first)
		}
	}
	lines := batch(h, version, M{"numResults": 8, "batchInferenceJobConfig": still}, fmt.Sprintf(`{"userId":%q}`, novices[0]))
	if got, want := lines[0].Output.RecommendedItems, h.Recommend(campaign, novices[0], 8); !slices.Equal(got, want) {
		t.Errorf("a batch recommends %v, a request %v", got, want)
	}

	gone := novices[:2]
	h.Forget(gone...)
	h.AssertNoBytesOf(gone...)
	if diff := cmp.Diff(plain, h.Recommend(campaign, gone[0], 8)); diff != "" {
		t.Errorf("who was deleted is not a stranger (-stranger +deleted)\n%s", diff)
	}
	if got := fits(novices[2], 2); got < 6 {
		t.Errorf("after the deletion of others %d of 8 films are of the taste of a user's tribe", got)
	}
}
