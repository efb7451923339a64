package serve_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
)

func seconds(s int64) api.Time { return api.NewTime(time.Unix(s, 0)) }

const personalization = "aws-user-personalization"

func TestKnownUserGetsItemsOfTheirCircleWithScores(t *testing.T) {
	w := newWorld(t)
	c := w.campaign(w.version(w.films(), personalization), certain())

	list := w.ask(c, "u01")
	if len(list) != 25 {
		t.Fatalf("got %d items, want the default of 25", len(list))
	}
	sum := 0.0
	for i, p := range list {
		if p.Score == nil {
			t.Fatalf("item %d has no score", i)
		}
		if i > 0 && *p.Score > *list[i-1].Score {
			t.Errorf("item %d has a higher score than the one before", i)
		}
		if r := math.Round(*p.Score*1e7) / 1e7; r != *p.Score {
			t.Errorf("score %v has more than seven decimals", *p.Score)
		}
		sum += *p.Score
	}
	if sum <= 0 || sum > 1.00001 {
		t.Errorf("scores of 25 items sum to %v, want at most 1", sum)
	}
	for _, id := range ids(list)[:4] {
		if id < "f12" || id > "f23" {
			t.Errorf("u01 of circle 1 gets %s among the best four", id)
		}
	}
	if again := w.ask(c, "u01"); !cmp.Equal(list, again) {
		t.Error("without exploration the same question got another answer")
	}
}

func TestUnknownUserGetsAnAnswer(t *testing.T) {
	w := newWorld(t)
	c := w.campaign(w.version(w.films(), personalization), certain())
	list := w.ask(c, "nobody")
	if len(list) == 0 || list[0].Score == nil {
		t.Fatalf("an unknown user got %d items", len(list))
	}
}

func TestAnswersHaveTheirOwnID(t *testing.T) {
	w := newWorld(t)
	c := w.campaign(w.version(w.films(), personalization), nil)
	form := regexp.MustCompile(`^RID-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 3 {
		out, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01"})
		if err != nil {
			t.Fatal(err)
		}
		if !form.MatchString(out.RecommendationID) || seen[out.RecommendationID] {
			t.Errorf("recommendationId %q", out.RecommendationID)
		}
		seen[out.RecommendationID] = true
	}
}

func TestPopularityIsTheSameForEveryoneAndHasNoScores(t *testing.T) {
	w := newWorld(t)
	c := w.campaign(w.version(w.films(), "aws-popularity-count"), nil)
	list := w.ask(c, "") // the recipe needs no user
	for _, p := range list {
		if p.Score != nil || p.Reason != nil {
			t.Fatalf("item %s has a score or a reason", p.ItemID)
		}
	}
	for _, user := range []string{"u00", "u01", "nobody"} {
		if diff := cmp.Diff(ids(list), ids(w.ask(c, user))); diff != "" {
			t.Errorf("%s gets another list: %s", user, diff)
		}
	}
}

func TestRecommenderHasNoScores(t *testing.T) {
	w := newWorld(t)
	r := w.recommender(w.films(), "aws-vod-top-picks", nil)
	list := w.askRecommender(r, "u01")
	if len(list) == 0 {
		t.Fatal("no items")
	}
	for _, p := range list {
		if p.Score != nil || p.Reason != nil {
			t.Fatalf("item %s has a score or a reason", p.ItemID)
		}
	}
}

func TestUseCaseLeavesOutWhatTheUserWatched(t *testing.T) {
	w := newWorld(t)
	films := w.films()
	r := w.recommender(films, "aws-vod-top-picks", nil)
	w.watch("u01", "s1", "f30", "watch", 1_700_100_000) // the type is compared ignoring case
	w.watch("u01", "s1", "f31", "Click", 1_700_100_001)

	got := w.all(api.GetRecommendationsRequest{RecommenderARN: r, UserID: "u01"})
	for _, id := range []string{"f12", "f13", "f18", "f30"} {
		if slices.Contains(got, id) {
			t.Errorf("u01 watched %s and gets it again", id)
		}
	}
	if !slices.Contains(got, "f31") {
		t.Error("f31, which u01 only clicked, is left out")
	}
	c := w.campaign(w.version(films, personalization), certain())
	if got := w.all(api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01"}); len(got) != 36 {
		t.Errorf("a campaign has %d of 36 films for u01, who watched some of them", len(got))
	}
}

// all asks for as many items as there are.
func (w *world) all(in api.GetRecommendationsRequest) []string {
	w.t.Helper()
	in.NumResults = new(500)
	out, err := w.GetRecommendations(w.ctx, &in)
	if err != nil {
		w.t.Fatal(err)
	}
	return ids(out.ItemList)
}

func TestUseCaseForgetsAllButTheNewestHundred(t *testing.T) {
	w := newWorld(t)
	r := w.recommender(w.films(), "aws-vod-top-picks", nil)
	for i := range 100 {
		w.watch("u01", "s1", fmt.Sprintf("f%02d", 24+i%2), "Watch", 1_700_100_000+int64(i))
	}
	got := w.all(api.GetRecommendationsRequest{RecommenderARN: r, UserID: "u01"})
	if slices.Contains(got, "f24") || slices.Contains(got, "f25") {
		t.Error("one of the hundred newest is in the answer")
	}
	if !slices.Contains(got, "f12") {
		t.Error("the 101st newest is still left out")
	}
}

func TestNextAnswerKnowsTheEvent(t *testing.T) {
	w := newWorld(t)
	c := w.campaign(w.version(w.films(), personalization), certain())
	for name, visitor := range map[string]struct{ user, session, as string }{
		"known user":        {"u00", "s1", "u00"},
		"new user":          {"newcomer", "s2", "newcomer"},
		"anonymous session": {"", "s3", "s3"},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			before := w.ask(c, visitor.as)
			for i, item := range []string{"f24", "f25", "f26"} {
				w.watch(visitor.user, visitor.session, item, "Watch", 1_700_200_000+int64(i))
			}
			after := ids(w.ask(c, visitor.as))
			if cmp.Equal(ids(before), after) {
				t.Fatal("the answer did not change")
			}
			if best := after[0]; best < "f24" {
				t.Errorf("after three films of circle 2 the best is %s", best)
			}
		})
	}
}

func TestHiddenUserIsServedAsNeverSeen(t *testing.T) {
	w := newWorld(t)
	films := w.films()
	c := w.campaign(w.version(films, personalization), certain())
	r := w.recommender(films, "aws-vod-top-picks", &api.RecommenderConfig{ItemExplorationConfig: map[string]string{"explorationWeight": "0"}})
	w.watch("u01", "s1", "f20", "Watch", 1_700_100_000)
	nobody, nobodysPicks := w.ask(c, "nobody"), w.askRecommender(r, "nobody")

	cut, err := w.engine.Fence(w.ctx, w.id)
	if err == nil {
		err = w.engine.Hide(w.ctx, w.id, "job1", userset.New([]string{"u01"}), cut)
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(nobody, w.ask(c, "u01")); diff != "" {
		t.Errorf("hidden, u01 still gets something of his own:\n%s", diff)
	}
	if diff := cmp.Diff(nobodysPicks, w.askRecommender(r, "u01")); diff != "" {
		t.Errorf("hidden, u01 still gets picks of his own:\n%s", diff)
	}

	// Somebody who comes back after the cut is a new user, whatever the name.
	w.watch("u01", "s9", "f30", "Watch", 1_700_300_000)
	w.watch("twin", "s8", "f30", "Watch", 1_700_300_000)
	if diff := cmp.Diff(w.ask(c, "twin"), w.ask(c, "u01")); diff != "" {
		t.Errorf("u01 returned and is not served like a newcomer who did the same:\n%s", diff)
	}

	if _, err := w.engine.Erase(w.ctx, []dataset.Table{films}, "job1", nil); err != nil {
		t.Fatal(err)
	}
	live, _ := w.engine.Since(w.id, "u01", 0, false)
	if len(live) != 1 || live[0].Item != "f30" {
		t.Errorf("after the erasure the live state of u01 has %d events, want the one after the cut", len(live))
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	w := newWorld(t)
	films := w.films()
	version := w.version(films, personalization)
	plain := w.campaign(version, certain())
	rich := w.campaign(version, &api.CampaignConfig{EnableMetadataWithRecommendations: new(true)})
	picks := w.recommender(films, "aws-vod-top-picks", nil)
	filter := arnOf(meta.Filter, "f")
	w.insert(meta.Filter, filter, w.group, api.Filter{FilterARN: filter, FilterExpression: `INCLUDE UserID WHERE Users.AGE > 1`}, nil)
	valued, current, foreign := arnOf(meta.Filter, "v"), arnOf(meta.Filter, "c"), arnOf(meta.Filter, "o")
	w.insert(meta.Filter, valued, w.group, api.Filter{FilterARN: valued, FilterExpression: `INCLUDE ItemID WHERE Items.ITEM_ID IN ($I)`}, nil)
	w.insert(meta.Filter, current, w.group, api.Filter{FilterARN: current, FilterExpression: `INCLUDE ItemID WHERE Items.ITEM_ID = CurrentItem.ITEM_ID`}, nil)
	w.insert(meta.Filter, foreign, w.group+"x", api.Filter{FilterARN: foreign, FilterExpression: `INCLUDE ItemID WHERE Items.ITEM_ID IN ("f01")`}, nil)
	columns := func(names ...string) map[string][]string { return map[string][]string{"ITEMS": names} }

	for name, row := range map[string]struct {
		in   api.GetRecommendationsRequest
		want api.Code
	}{
		"no target":                  {api.GetRecommendationsRequest{UserID: "u01"}, api.InvalidInput},
		"two targets":                {api.GetRecommendationsRequest{CampaignARN: plain, RecommenderARN: picks, UserID: "u01"}, api.InvalidInput},
		"unknown campaign":           {api.GetRecommendationsRequest{CampaignARN: plain + "x", UserID: "u01"}, api.ResourceNotFound},
		"recommender as campaign":    {api.GetRecommendationsRequest{CampaignARN: picks, UserID: "u01"}, api.ResourceNotFound},
		"campaign as recommender":    {api.GetRecommendationsRequest{RecommenderARN: plain, UserID: "u01"}, api.ResourceNotFound},
		"no user":                    {api.GetRecommendationsRequest{CampaignARN: plain}, api.InvalidInput},
		"no user for use case":       {api.GetRecommendationsRequest{RecommenderARN: picks}, api.InvalidInput},
		"too many results":           {api.GetRecommendationsRequest{CampaignARN: plain, UserID: "u01", NumResults: new(501)}, api.InvalidInput},
		"too many with metadata":     {api.GetRecommendationsRequest{CampaignARN: rich, UserID: "u01", NumResults: new(51), MetadataColumns: columns("TITLE")}, api.InvalidInput},
		"metadata not enabled":       {api.GetRecommendationsRequest{CampaignARN: plain, UserID: "u01", MetadataColumns: columns("TITLE")}, api.InvalidInput},
		"unknown column":             {api.GetRecommendationsRequest{CampaignARN: rich, UserID: "u01", MetadataColumns: columns("COLOUR")}, api.InvalidInput},
		"columns of another type":    {api.GetRecommendationsRequest{CampaignARN: rich, UserID: "u01", MetadataColumns: map[string][]string{"USERS": {"AGE"}}}, api.InvalidInput},
		"eleven columns":             {api.GetRecommendationsRequest{CampaignARN: rich, UserID: "u01", MetadataColumns: columns(slices.Repeat([]string{"TITLE"}, 11)...)}, api.InvalidInput},
		"unknown filter":             {api.GetRecommendationsRequest{CampaignARN: plain, UserID: "u01", FilterARN: filter + "x"}, api.ResourceNotFound},
		"filter without its value":   {api.GetRecommendationsRequest{CampaignARN: plain, UserID: "u01", FilterARN: valued}, api.InvalidInput},
		"filter with a bad value":    {api.GetRecommendationsRequest{CampaignARN: plain, UserID: "u01", FilterARN: valued, FilterValues: map[string]string{"I": `"f01`}}, api.InvalidInput},
		"filter on the current item": {api.GetRecommendationsRequest{CampaignARN: plain, UserID: "u01", FilterARN: current}, api.InvalidInput},
		"filter of another group":    {api.GetRecommendationsRequest{CampaignARN: plain, UserID: "u01", FilterARN: foreign}, api.InvalidInput},
		"filter of users":            {api.GetRecommendationsRequest{CampaignARN: plain, UserID: "u01", FilterARN: filter}, api.InvalidInput},
		"filter values alone":        {api.GetRecommendationsRequest{CampaignARN: plain, UserID: "u01", FilterValues: map[string]string{"A": "1"}}, api.InvalidInput},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.GetRecommendations(w.ctx, &row.in)
			if code(err) != row.want {
				t.Errorf("got %v, want %s", err, row.want)
			}
			if err != nil && strings.Contains(err.Error(), "u01") {
				t.Errorf("the error names the user: %v", err)
			}
		})
	}

	elsewhere := api.WithCaller(context.Background(), api.Caller{Region: "eu-west-1", Account: account})
	if _, err := w.GetRecommendations(elsewhere, &api.GetRecommendationsRequest{CampaignARN: plain, UserID: "u01"}); code(err) != api.ResourceNotFound {
		t.Errorf("from another region: got %v", err)
	}
}

func TestItemIDAndContextAreIgnoredWhereTheyMeanNothing(t *testing.T) {
	w := newWorld(t)
	c := w.campaign(w.version(w.films(), personalization), certain())
	out, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01", ItemID: "f30", NumResults: new(0),
		Context: map[string]string{"DEVICE": "phone"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.ask(c, "u01"), out.ItemList); diff != "" {
		t.Error(diff)
	}
}

func TestStatusDecidesWhoIsServed(t *testing.T) {
	for name, row := range map[string]struct {
		path []string
		want api.Code
	}{
		"deleting":   {[]string{meta.DeletePending}, api.ResourceNotFound},
		"deleting 2": {[]string{meta.DeletePending, meta.DeleteInProgress}, api.ResourceNotFound},
		"stopping":   {[]string{meta.StopPending}, ""},
		"stopping 2": {[]string{meta.StopPending, meta.StopInProgress}, api.InvalidInput},
		"stopped":    {[]string{meta.StopPending, meta.StopInProgress, meta.Inactive}, api.InvalidInput},
		"starting":   {[]string{meta.StopPending, meta.StopInProgress, meta.Inactive, meta.StartPending}, api.InvalidInput},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.recommender(w.films(), "aws-vod-most-popular", nil)
			w.askRecommender(r, "u01")
			w.status(r, row.path...)
			_, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{RecommenderARN: r, UserID: "u01"})
			if code(err) != row.want {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

func TestChangedRowIsSeenByTheNextRequest(t *testing.T) {
	w := newWorld(t)
	films := w.films()
	personal, popular := w.version(films, personalization), w.version(films, "aws-popularity-count")
	c := w.campaign(personal, certain())
	if w.ask(c, "u01")[0].Score == nil {
		t.Fatal("no scores from user-personalization")
	}
	w.redeploy(c, popular)
	if w.ask(c, "u01")[0].Score != nil {
		t.Error("the campaign still answers from its old version")
	}
}

// redeploy is the end of an UpdateCampaign.
func (w *world) redeploy(campaign, version string) {
	w.t.Helper()
	w.change(campaign, func(r *meta.Resource) error {
		c, err := meta.Doc[api.Campaign](r)
		if err != nil {
			return err
		}
		c.SolutionVersionARN = version
		return r.SetDoc(c)
	})
}

func TestDamagedModelIsNotServed(t *testing.T) {
	w := newWorld(t)
	films := w.films()
	good, bad := w.version(films, personalization), w.version(films, personalization)
	w.damage(bad)
	fresh := w.campaign(bad, certain())
	if _, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{CampaignARN: fresh, UserID: "u01"}); code(err) != api.InternalFailure {
		t.Errorf("got %v, want InternalFailure", err)
	}
	if !strings.Contains(w.log.String(), "cannot be read") {
		t.Error("nothing in the log")
	}

	c := w.campaign(good, certain())
	before := w.ask(c, "u01")
	w.redeploy(c, bad)
	if diff := cmp.Diff(before, w.ask(c, "u01")); diff != "" {
		t.Errorf("the campaign left its good model: %s", diff)
	}
	if strings.Contains(w.log.String(), "u01") {
		t.Error("the log names a user")
	}
}

// damage flips a byte in the largest file of a version's model.
func (w *world) damage(version string) {
	w.t.Helper()
	dir := ""
	w.change(version, func(r *meta.Resource) error {
		p, err := meta.Private[meta.ModelPrivate](r)
		dir = filepath.Join(w.models, p.Model)
		return err
	})
	files, err := os.ReadDir(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	largest, size := "", int64(0)
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.Size() > size && !strings.HasSuffix(f.Name(), ".json") {
			largest, size = filepath.Join(dir, f.Name()), info.Size()
		}
	}
	data, err := os.ReadFile(largest)
	if err != nil {
		w.t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(largest, data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func TestMetadataComesFromTheNewestRecord(t *testing.T) {
	w := newWorld(t)
	c := w.campaign(w.version(w.films(), personalization), &api.CampaignConfig{
		ItemExplorationConfig: certain().ItemExplorationConfig, EnableMetadataWithRecommendations: new(true),
	})
	best := w.ask(c, "u01")[0].ItemID
	put := func(properties string) {
		t.Helper()
		_, err := w.PutItems(w.ctx, &api.PutItemsRequest{DatasetARN: datasetARN(schema.Items), Items: []api.Item{{ItemID: best, Properties: properties}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	metadata := func() map[string]string {
		t.Helper()
		out, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01", NumResults: new(2), MetadataColumns: map[string][]string{
			"items": {"TITLE", "GENRES", "CATEGORY_L1", "CREATION_TIMESTAMP", "PRICE", "IN_STOCK"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if out.ItemList[1].Metadata != nil {
			t.Errorf("an item without a record has metadata")
		}
		return out.ItemList[0].Metadata
	}
	put(`{"title":"Alien","genres":"Horror|SciFi","categoryL1":"film","creationTimestamp":"12","price":9.5,"inStock":true}`)
	want := map[string]string{"title": "Alien", "genres": "Horror|SciFi", "categoryL1": "film", "creationTimestamp": "12", "price": "9.5", "inStock": "true"}
	if diff := cmp.Diff(want, metadata()); diff != "" {
		t.Error(diff)
	}
	put(`{"title":"Aliens"}`)
	if diff := cmp.Diff(map[string]string{"title": "Aliens"}, metadata()); diff != "" {
		t.Errorf("after a replacement: %s", diff)
	}
}

func TestRankingOrdersWhatItIsGiven(t *testing.T) {
	w := newWorld(t)
	films := w.films()
	for _, name := range []string{"aws-personalized-ranking", "aws-personalized-ranking-v2"} {
		c := w.campaign(w.version(films, name), nil)
		in := &api.GetPersonalizedRankingRequest{CampaignARN: c, UserID: "u01", InputList: []string{"no film", "f20", "f14", "f20", "f30", "no film either"}}
		out, err := w.GetPersonalizedRanking(w.ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(out.PersonalizedRanking); n != 5 || !strings.HasPrefix(out.RecommendationID, "RID-") {
			t.Fatalf("%s: %d items, id %s", name, n, out.RecommendationID)
		}
		sum := 0.0
		for k, p := range out.PersonalizedRanking {
			if (p.Score != nil) != (k < 3) {
				t.Errorf("%s: place %d, item %s: score %v", name, k, p.ItemID, p.Score)
			}
			if p.Score != nil {
				sum += *p.Score
			}
		}
		if got := ids(out.PersonalizedRanking)[3:]; !slices.Equal(got, []string{"no film", "no film either"}) || sum < 0.999 || sum > 1.001 {
			t.Errorf("%s: at the end stand %v; scores sum to %v", name, got, sum)
		}
		if _, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01"}); code(err) != api.InvalidInput {
			t.Errorf("%s: GetRecommendations answers with %v", name, err)
		}
		in.UserID = "nobody"
		if out, err = w.GetPersonalizedRanking(w.ctx, in); err != nil || out.PersonalizedRanking[0].Score == nil {
			t.Errorf("%s: an unknown user: %v", name, err)
		}
	}
}

func TestRelatedItemsAnswerForAnItem(t *testing.T) {
	w := newWorld(t)
	c := w.campaign(w.version(w.films(), "aws-sims"), nil)
	ask := func(item string) []string {
		t.Helper()
		out, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{CampaignARN: c, ItemID: item, NumResults: new(10)})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range out.ItemList {
			if p.Score != nil || p.ItemID == item {
				t.Errorf("like %s: %+v", item, p)
			}
		}
		return ids(out.ItemList)
	}
	if list := ask("f14"); len(list) == 0 {
		t.Error("nothing is like f14")
	}
	if diff := cmp.Diff(ask("no film"), ask("nor this")); diff != "" {
		t.Errorf("unknown items get other lists: %s", diff)
	}
	if _, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{CampaignARN: c, UserID: "u01"}); code(err) != api.InvalidInput {
		t.Errorf("without an item: %v", err)
	}
}

func TestOperationsOfOtherRecipesAreRefused(t *testing.T) {
	w := newWorld(t)
	c := w.campaign(w.version(w.films(), personalization), nil)
	items := []string{"f01", "f02"}
	for name, row := range map[string]struct {
		in   api.GetPersonalizedRankingRequest
		want api.Code
	}{
		"wrong recipe":     {api.GetPersonalizedRankingRequest{CampaignARN: c, UserID: "u01", InputList: items}, api.InvalidInput},
		"unknown campaign": {api.GetPersonalizedRankingRequest{CampaignARN: c + "x", UserID: "u01", InputList: items}, api.ResourceNotFound},
		"empty list":       {api.GetPersonalizedRankingRequest{CampaignARN: c, UserID: "u01"}, api.InvalidInput},
		"long list":        {api.GetPersonalizedRankingRequest{CampaignARN: c, UserID: "u01", InputList: slices.Repeat(items, 251)}, api.InvalidInput},
		"empty user":       {api.GetPersonalizedRankingRequest{CampaignARN: c, InputList: items}, api.InvalidInput},
	} {
		if _, err := w.GetPersonalizedRanking(w.ctx, &row.in); code(err) != row.want {
			t.Errorf("ranking, %s: got %v, want %s", name, err, row.want)
		}
	}
	for name, row := range map[string]struct {
		in   api.GetActionRecommendationsRequest
		want api.Code
	}{
		"wrong recipe":     {api.GetActionRecommendationsRequest{CampaignARN: c, UserID: "u01"}, api.InvalidInput},
		"unknown campaign": {api.GetActionRecommendationsRequest{CampaignARN: c + "x", UserID: "u01"}, api.ResourceNotFound},
		"no campaign":      {api.GetActionRecommendationsRequest{UserID: "u01"}, api.InvalidInput},
		"no user":          {api.GetActionRecommendationsRequest{CampaignARN: c}, api.InvalidInput},
		"too many":         {api.GetActionRecommendationsRequest{CampaignARN: c, UserID: "u01", NumResults: new(101)}, api.InvalidInput},
	} {
		if _, err := w.GetActionRecommendations(w.ctx, &row.in); code(err) != row.want {
			t.Errorf("actions, %s: got %v, want %s", name, err, row.want)
		}
	}
}
