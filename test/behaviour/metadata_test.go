package behaviour

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/shop"
)

// filmSchema has a column of every kind that is trained on, and some that never are.
var filmSchema = schema("Items", "ITEM_ID string", "TITLE string? itemName", "GENRES string? categorical", "DIRECTOR string? categorical", "PLOT string? textual",
	"PRICE float", "CREATION_TIMESTAMP long", "SHELF string?", "COLOUR boolean?")

var filmHeader = []string{"ITEM_ID", "TITLE", "GENRES", "DIRECTOR", "PLOT", "PRICE", "CREATION_TIMESTAMP", "SHELF", "COLOUR"}

var filmPlots = []string{
	"A <b>detective</b> hunts a murderer through the rainy city&#46;", "Two lovers meet at a wedding and dance until the morning.",
	"A starship crew explores a distant planet full of robots.", "A cowboy defends the ranch against&nbsp;bandits of the desert.",
}

// film is the row of item n: what it is about goes by the taste that shop.Generate gives it.
func film(id string, n int) []string {
	taste := n % len(filmPlots)
	return []string{id, fmt.Sprintf("The %s %d", []string{"Murder", "Wedding", "Starship", "Ranch"}[taste], n), fmt.Sprintf("taste-%d|film", taste),
		fmt.Sprintf("director-%d", n%20), filmPlots[taste], fmt.Sprint(float64(n%7) + 0.5), fmt.Sprint(1_700_000_000 + 1000*n), fmt.Sprint(n), "true"}
}

// cinema is a dataset group of films with their attributes, the last of which nobody has seen.
func cinema(t *testing.T, seed uint64, unseen ...string) (*shop.Shop, shop.Data) {
	t.Helper()
	h := shop.New(t, start(t), "cinema", "")
	h.Interactions, h.Items, h.People = h.Dataset("Interactions", shop.InteractionsSchema), h.Dataset("Items", filmSchema), h.Dataset("Users", shop.UsersSchema)
	d := shop.Generate(80, 60, 2400, seed)
	d.Items = [][]string{filmHeader}
	for n := range 60 {
		d.Items = append(d.Items, film(fmt.Sprintf("item-%04d", n), n))
	}
	for n, id := range unseen {
		d.Items = append(d.Items, film(id, n))
	}
	h.LoadAll(d)
	return h, d
}

// likes asks a campaign for what is like an item.
func likes(h *shop.Shop, campaign, item string, n int) (items []string) {
	h.T.Helper()
	out := h.Must("GetRecommendations", M{"campaignArn": campaign, "itemId": item, "numResults": n})
	for _, x := range out["itemList"].([]any) {
		if _, scored := x.(M)["score"]; scored {
			h.T.Error("a related item has a score")
		}
		items = append(items, x.(M)["itemId"].(string))
	}
	return items
}

// ofTaste counts the items of a list that have the taste.
func ofTaste(items []string, taste int) (n int) {
	for _, item := range items {
		var at int
		if _, err := fmt.Sscanf(item, "item-%04d", &at); err == nil && at%len(filmPlots) == taste || item == fmt.Sprintf("unseen-%d", taste) {
			n++
		}
	}
	return n
}

func deploy(h *shop.Shop, version string, config M) (campaign string) {
	h.T.Helper()
	return h.Make("CreateCampaign", "campaign", M{"name": h.Name("campaign"), "solutionVersionArn": version, "campaignConfig": config})
}

func TestSimilarItemsKnowWhatNobodyHasSeen(t *testing.T) {
	t.Parallel()
	h, d := cinema(t, 41, "unseen-0", "unseen-1", "unseen-2", "unseen-3")
	config := M{"algorithmHyperParameters": M{"item_id_hidden_dim": "50", "item_metadata_hidden_dim": "60"}}
	version := h.Version(solutionOf(h, "aws-similar-items", M{"solutionConfig": config}))
	metrics := h.Must("GetSolutionMetrics", M{"solutionVersionArn": version})["metrics"].(M)
	if metrics["normalized_discounted_cumulative_gain_at_25"].(float64) == 0 || metrics["coverage"].(float64) == 0 {
		t.Errorf("metrics %v", metrics)
	}
	campaign := deploy(h, version, M{})
	for taste := range filmPlots {
		got := likes(h, campaign, fmt.Sprintf("unseen-%d", taste), 5)
		if len(got) != 5 || ofTaste(got, taste) != 5 {
			t.Errorf("like an unseen film of taste %d are %v", taste, got)
		}
	}
	if got := likes(h, campaign, "item-0001", 25); slices.Contains(got, "item-0001") || !slices.Contains(got, "unseen-1") {
		t.Errorf("like item 1 are %v", got)
	}
	if diff := cmp.Diff(likes(h, campaign, "never heard of", 60), likes(h, campaign, "nor of this", 60)); diff != "" {
		t.Error("unknown items are not answered alike")
	}
	// Whoever goes leaves a model that never knew them: the same as that of a shop without them.
	h.Forget(d.Users[0], d.Users[7])
	other := shop.New(t, start(t), "other", "")
	other.Interactions, other.Items = other.Dataset("Interactions", shop.InteractionsSchema), other.Dataset("Items", filmSchema)
	other.Load(other.Interactions, shop.Without(d.Interactions, d.Users[0], d.Users[7]))
	other.Load(other.Items, d.Items)
	fresh := deploy(other, other.Version(solutionOf(other, "aws-similar-items", M{"solutionConfig": config})), M{})
	for _, item := range column(d.Items, "ITEM_ID") {
		if diff := cmp.Diff(likes(other, fresh, item, 100), likes(h, campaign, item, 100)); diff != "" {
			t.Fatalf("like %s, after an erasure and without the erased: %s", item, diff)
		}
	}
	h.AssertNoBytesOf(d.Users[0], d.Users[7])
}

// Columns that a configuration leaves out are not trained on.
func TestExcludedColumnsAreNotTrainedOn(t *testing.T) {
	t.Parallel()
	h, _ := cinema(t, 42, "unseen-0", "unseen-1", "unseen-2", "unseen-3")
	for name, columns := range map[string]M{
		"excluded": {"excludedDatasetColumns": M{"Items": []string{"GENRES", "DIRECTOR", "PLOT", "price", "CREATION_TIMESTAMP"}}},
		"included": {"includedDatasetColumns": M{"ITEMS": []string{"SHELF", "COLOUR"}}},
	} {
		campaign := deploy(h, h.Version(solutionOf(h, "aws-similar-items", M{"solutionConfig": M{"trainingDataConfig": columns}})), M{})
		popular := likes(h, campaign, "never heard of", 10)
		if diff := cmp.Diff(popular, likes(h, campaign, "unseen-2", 10)); diff != "" {
			t.Errorf("%s: an item without attributes and events: %s", name, diff)
		}
	}
	campaign := deploy(h, h.Version(solutionOf(h, "aws-similar-items", M{"solutionConfig": M{"trainingDataConfig": M{"includedDatasetColumns": M{"ITEMS": []string{"PLOT"}}}}})), M{})
	if got := likes(h, campaign, "unseen-2", 5); ofTaste(got, 2) != 5 {
		t.Errorf("by plot alone, like an unseen film of taste 2 are %v", strings.Join(got, " "))
	}
}

// A solution is trained on the columns that were there when it was created.
func TestColumnsThatCameLaterAreNotTrainedOn(t *testing.T) {
	t.Parallel()
	h, d := cinema(t, 43, "unseen-0", "unseen-1", "unseen-2", "unseen-3")
	bare := M{"solutionConfig": M{"trainingDataConfig": M{"excludedDatasetColumns": M{"ITEMS": []string{"GENRES", "DIRECTOR", "PLOT", "PRICE", "CREATION_TIMESTAMP"}}}}}
	older := solutionOf(h, "aws-similar-items", bare)
	wide := strings.Replace(filmSchema, `{"name":"SHELF"`, `{"name":"STUDIO","type":["string","null"],"categorical":true},{"name":"SHELF"`, 1)
	h.Must("UpdateDataset", M{"datasetArn": h.Items, "schemaArn": h.Schema("wide", wide)})
	h.Watch("dataset", h.Items)
	rows := [][]string{append(slices.Clone(filmHeader), "STUDIO")}
	for n, row := range d.Items[1:] {
		rows = append(rows, append(slices.Clone(row), fmt.Sprintf("studio-%d", n%4))) // of the taste
	}
	h.Load(h.Items, rows)
	newer := solutionOf(h, "aws-similar-items", bare)
	blind, sees := deploy(h, h.Version(older), M{}), deploy(h, h.Version(newer), M{})
	if diff := cmp.Diff(likes(h, blind, "never heard of", 10), likes(h, blind, "unseen-2", 10)); diff != "" {
		t.Errorf("an older solution is trained on a newer column: %s", diff)
	}
	if got := likes(h, sees, "unseen-2", 5); ofTaste(got, 2) != 5 {
		t.Errorf("a newer solution does not know the column: %v", got)
	}
}

func TestSemanticSimilarityNeedsNoInteractions(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t), "library", "")
	nameless := h.Dataset("Items", schema("Items", "ITEM_ID string", "TITLE string?", "PLOT string? textual"))
	if m := h.Refused("InvalidInputException", "CreateSolution", M{"name": "s", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-semantic-similarity"}); !strings.Contains(m, "itemName column") {
		t.Errorf("without names: %q", m)
	}
	h.Must("DeleteDataset", M{"datasetArn": nameless})
	h.WatchGone("dataset", nameless)
	h.Items = h.Must("CreateDataset", M{"name": "films", "datasetType": "Items", "schemaArn": h.Schema("films", filmSchema), "datasetGroupArn": h.Group})["datasetArn"].(string)
	h.Watch("dataset", h.Items)
	rows := [][]string{filmHeader}
	for n := range 40 {
		rows = append(rows, film(fmt.Sprintf("item-%04d", n), n))
	}
	h.Load(h.Items, rows)
	version := h.Version(solutionOf(h, "aws-semantic-similarity", nil))
	metrics := h.Must("GetSolutionMetrics", M{"solutionVersionArn": version})["metrics"].(M)
	for _, name := range []string{"item_popularity", "item_freshness", "item_similarity", "coverage"} {
		if _, ok := metrics[name]; !ok || len(metrics) != 4 {
			t.Errorf("metrics %v", metrics)
		}
	}
	plain, fresh := deploy(h, version, M{}), deploy(h, version, M{"rankingInfluence": M{"FRESHNESS": 1}})
	for taste := range filmPlots {
		item := fmt.Sprintf("item-%04d", taste)
		if got := likes(h, plain, item, 5); len(got) != 5 || ofTaste(got, taste) != 5 {
			t.Errorf("like %s are %v", item, got)
		}
		newest := fmt.Sprintf("item-%04d", 36+taste)
		if got := likes(h, fresh, item, 5); len(got) != 5 || got[0] != newest {
			t.Errorf("like %s and fresh are %v", item, got)
		}
	}
	if got := likes(h, plain, "never heard of", 5); len(got) != 0 {
		t.Errorf("like an unknown item are %v", got)
	}
	out := h.Must("GetRecommendations", M{"campaignArn": plain, "itemId": "item-0003", "metadataColumns": M{"ITEMS": []string{"TITLE"}}, "numResults": 1})
	if m, _ := out["itemList"].([]any)[0].(M)["metadata"].(M); m["title"] == "" {
		t.Errorf("metadata %v", m)
	}
	lines := batch(h, version, M{"numResults": 5, "batchInferenceJobConfig": M{"rankingInfluence": M{"FRESHNESS": 1}}}, `{"itemId":"item-0001"}`)
	if diff := cmp.Diff(likes(h, fresh, "item-0001", 5), lines[0].Output.RecommendedItems); diff != "" || lines[0].Output.Scores != nil {
		t.Errorf("a batch: %s", diff)
	}
}

func TestIncrementalUpdatesBringNewItems(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t, "--trend-refresh", "100ms"), "library", "")
	h.Items = h.Dataset("Items", filmSchema)
	rows := [][]string{filmHeader}
	for n := range 40 {
		rows = append(rows, film(fmt.Sprintf("item-%04d", n), n))
	}
	h.Load(h.Items, rows)
	still := deploy(h, h.Version(solutionOf(h, "aws-semantic-similarity", nil)), M{})
	version := h.Version(solutionOf(h, "aws-semantic-similarity", M{"performIncrementalUpdate": true}))
	moving := deploy(h, version, M{})
	h.Must("PutItems", M{"datasetArn": h.Items, "items": []M{{"itemId": "unseen-2", "properties": `{"title":"The Starship 99","plot":"A starship crew explores a distant planet.","price":1,"creationTimestamp":1700000000}`}}})
	for deadline := time.Now().Add(time.Minute); !slices.Contains(likes(h, moving, "item-0002", 40), "unseen-2"); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a new item is not recommended within a minute")
		}
	}
	if got := likes(h, moving, "unseen-2", 5); ofTaste(got, 2) != 5 {
		t.Errorf("like a new film of taste 2 are %v", got)
	}
	if slices.Contains(likes(h, still, "item-0002", 40), "unseen-2") {
		t.Error("a solution without performIncrementalUpdate knows the new item")
	}
	if d, _ := h.Describe("solutionVersion", version); d["status"] != "ACTIVE" {
		t.Errorf("the version is %v", d["status"])
	}
}

func TestAnObjectivePutsWhatIsWorthMoreFirst(t *testing.T) {
	t.Parallel()
	h, d := cinema(t, 44)
	price := map[string]float64{}
	for _, row := range d.Items[1:] {
		p, err := strconv.ParseFloat(row[5], 64)
		if err != nil {
			t.Fatal(err)
		}
		price[row[0]] = p
	}
	means := map[string]float64{}
	for _, sensitivity := range []string{"OFF", "HIGH"} {
		config := M{"optimizationObjective": M{"itemAttribute": "PRICE", "objectiveSensitivity": sensitivity}}
		version := h.Version(solutionOf(h, "aws-user-personalization", M{"solutionConfig": config}))
		metrics := h.Must("GetSolutionMetrics", M{"solutionVersionArn": version})["metrics"].(M)
		if v, ok := metrics["average_rewards_at_k"].(float64); !ok || v <= 0 || v > 1 {
			t.Errorf("%s: metrics %v", sensitivity, metrics)
		}
		campaign := deploy(h, version, M{"itemExplorationConfig": M{"explorationWeight": "0"}})
		for _, user := range d.Users[:20] {
			for _, item := range h.Recommend(campaign, user, 10) {
				means[sensitivity] += price[item] / 200
			}
		}
	}
	if means["HIGH"] < means["OFF"]+0.5 {
		t.Errorf("mean prices are %v", means)
	}
	ranking := h.Version(solutionOf(h, "aws-personalized-ranking", M{"solutionConfig": M{"optimizationObjective": M{"itemAttribute": "PRICE", "objectiveSensitivity": "LOW"}}}))
	if metrics := h.Must("GetSolutionMetrics", M{"solutionVersionArn": ranking})["metrics"].(M); metrics["average_rewards_at_k"] == nil {
		t.Errorf("ranking: %v", metrics)
	}
}

func TestABatchNamesThemes(t *testing.T) {
	t.Parallel()
	h, d := cinema(t, 45, "unseen-0", "unseen-1")
	version := h.Version(solutionOf(h, "aws-similar-items", nil))
	themes := M{"batchInferenceJobMode": "THEME_GENERATION", "themeGenerationConfig": M{"fieldsForThemeGeneration": M{"itemName": "TITLE"}}, "numResults": 6}
	got := batch(h, version, themes, `{"itemId":"unseen-1"}`, `{"itemId":"item-0002"}`, `{"userId":"x"}`)
	for n, want := range []string{"Wedding", "Starship"} {
		out := got[n].Output
		if out == nil || len(out.RecommendedItems) != 6 || len(out.Relevance) != 6 || out.Scores != nil {
			t.Fatalf("line %d: %+v", n, out)
		}
		if ofTaste(out.RecommendedItems, n+1) == 6 && !strings.Contains(out.Theme, fmt.Sprintf("taste-%d", n+1)) || out.Theme == "" {
			t.Errorf("the theme of films like %s is %q", want, out.Theme)
		}
		if !slices.IsSortedFunc(out.Relevance, func(a, b float64) int { return int(1e7 * (b - a)) }) || out.Relevance[0] <= 0 {
			t.Errorf("relevance %v", out.Relevance)
		}
	}
	if got[2].Error == nil || got[2].Output != nil {
		t.Errorf("a bad line: %+v", got[2])
	}
	if plain := batch(h, version, M{"numResults": 6}, `{"itemId":"item-0002"}`); plain[0].Output.Theme != "" || plain[0].Output.Relevance != nil {
		t.Errorf("a plain batch has a theme: %+v", plain[0].Output)
	}
	var many []string
	for range 101 {
		many = append(many, fmt.Sprintf(`{"itemId":%q}`, d.Items[1][0]))
	}
	h.Upload(h.Objects, "ask/many.json", strings.Join(many, "\n"))
	arn, _ := h.StartBatch(shop.Inference, version, "ask/many.json", themes)
	if reason := failure(h, "batchInferenceJob", arn); !strings.Contains(reason, "more than 100 lines") {
		t.Errorf("101 lines: %q", reason)
	}
}
