package recipe

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/schema"
)

// The published description of the recipes, transcribed as it is printed: tables with one line for each row, so that they can be laid beside it. The tests below
// hold the catalogue, and what trainings refuse, to them.
//
// Left out on purpose: the columns of Users that similar items may use (this build reads those of Items only), and the recipes of the first generation, which are retired.

// recipeRows: name | recipeType | algorithm | feature transformation | asked through | needs | dataset types whose columns are used beside the interactions.
const recipeRows = `
aws-user-personalization-v2 | USER_PERSONALIZATION | aws-user-personalization-v2 | aws-user-personalization-v2 | real time, batch | INTERACTIONS | ITEMS USERS
aws-user-personalization | USER_PERSONALIZATION | aws-user-personalization | aws-user-personalization | real time, batch | INTERACTIONS | ITEMS USERS
aws-personalized-ranking-v2 | PERSONALIZED_RANKING | aws-personalized-ranking-v2 | aws-personalized-ranking-v2 | real time, batch | INTERACTIONS | ITEMS USERS
aws-personalized-ranking | PERSONALIZED_RANKING | aws-personalized-ranking | JSON-percentile-filtering | real time, batch | INTERACTIONS | ITEMS USERS
aws-popularity-count | USER_PERSONALIZATION | aws-popularity-count | sims | real time, batch | INTERACTIONS |
aws-trending-now | POPULAR_ITEMS | aws-trending-now-custom | aws-trending-now | real time | INTERACTIONS |
aws-similar-items | RELATED_ITEMS | aws-similar-items | aws-similar-items | real time, batch, themes | INTERACTIONS | ITEMS
aws-sims | RELATED_ITEMS | aws-sims | sims | real time, batch | INTERACTIONS |
aws-semantic-similarity | RELATED_ITEMS | aws-semantic-similarity | aws-semantic-similarity | real time, batch | ITEMS | ITEMS
aws-next-best-action | PERSONALIZED_ACTIONS | aws-next-best-action | aws-next-best-action | real time | ACTIONS INTERACTIONS | ITEMS USERS ACTIONS ACTION_INTERACTIONS
aws-item-affinity | USER_SEGMENTATION | aws-item-affinity | item-affinity | segments | INTERACTIONS | ITEMS USERS
aws-item-attribute-affinity | USER_SEGMENTATION | aws-item-attribute-affinity | item-attribute-affinity | segments | INTERACTIONS ITEMS | ITEMS USERS
`

// useCaseRows: name | domain | event type of the required data | needs | userId | itemId | left out for the user.
const useCaseRows = `
aws-ecomm-popular-items-by-views | ECOMMERCE | View | INTERACTIONS | required | unused |
aws-ecomm-popular-items-by-purchases | ECOMMERCE | Purchase | INTERACTIONS | required | unused |
aws-ecomm-frequently-bought-together | ECOMMERCE | Purchase | INTERACTIONS | filter | required |
aws-ecomm-customers-who-viewed-x-also-viewed | ECOMMERCE | View | INTERACTIONS | required | required | Purchase
aws-ecomm-recommended-for-you | ECOMMERCE | | INTERACTIONS | required | unused | Purchase
aws-vod-because-you-watched-x | VIDEO_ON_DEMAND | Watch | INTERACTIONS | required | required | Watch
aws-vod-more-like-x | VIDEO_ON_DEMAND | | INTERACTIONS ITEMS | required | required | Watch
aws-vod-most-popular | VIDEO_ON_DEMAND | Watch | INTERACTIONS | required | unused |
aws-vod-trending-now | VIDEO_ON_DEMAND | | INTERACTIONS | filter | unused |
aws-vod-top-picks | VIDEO_ON_DEMAND | | INTERACTIONS | required | unused | Watch
`

// abilityRows: what can be done | by which recipes and use cases, without "aws-"; "+" stands for every use case, and "-name" for all but one.
const abilityRows = `
live events | user-personalization user-personalization-v2 personalized-ranking personalized-ranking-v2 next-best-action ecomm-recommended-for-you vod-top-picks
automatic updates | user-personalization user-personalization-v2 next-best-action ecomm-recommended-for-you vod-top-picks
exploration | user-personalization ecomm-recommended-for-you vod-top-picks next-best-action
context | user-personalization user-personalization-v2 personalized-ranking personalized-ranking-v2 ecomm-recommended-for-you vod-top-picks
impressions | user-personalization ecomm-recommended-for-you vod-top-picks
scores | user-personalization user-personalization-v2 personalized-ranking personalized-ranking-v2 next-best-action
metadata always | user-personalization-v2 personalized-ranking-v2 semantic-similarity
metadata if asked for | user-personalization personalized-ranking popularity-count trending-now similar-items sims +
objective | user-personalization personalized-ranking
event weights | user-personalization-v2 personalized-ranking-v2
mode UPDATE | user-personalization
promotions | user-personalization user-personalization-v2 popularity-count trending-now similar-items sims semantic-similarity + -vod-trending-now
CurrentItem | similar-items sims semantic-similarity vod-because-you-watched-x vod-more-like-x ecomm-frequently-bought-together ecomm-customers-who-viewed-x-also-viewed
HPO | user-personalization personalized-ranking sims similar-items
automatic HPO | user-personalization-v2 personalized-ranking-v2
ranking influence | semantic-similarity
incremental update | semantic-similarity
`

var abilities = map[string]Capability{
	"live events": LiveEvents, "automatic updates": AutomaticUpdates, "exploration": Exploration, "context": Context, "impressions": Impressions, "scores": Scores,
	"metadata always": MetadataAlways, "metadata if asked for": MetadataOptIn, "objective": Objective, "event weights": EventWeights, "mode UPDATE": UpdateTraining,
	"promotions": Promotions, "CurrentItem": CurrentItem, "HPO": HPO, "automatic HPO": AutomaticHPO, "ranking influence": RankingInfluence, "incremental update": IncrementalUpdate,
}

// parameterRows: recipes | name | map of the request | type | default | range or values | tunable. The cut-off in days has no published end; below one day it makes no sense.
const parameterRows = `
user-personalization personalized-ranking | hidden_dimension | algorithm | int | 149 | 32..256 | yes
user-personalization personalized-ranking | bptt | algorithm | int | 32 | 2..32 | yes
user-personalization personalized-ranking | recency_mask | algorithm | choice | true | true, false | yes
user-personalization personalized-ranking | min_user_history_length_percentile | feature | float | 0.0 | 0..1 | no
user-personalization personalized-ranking | max_user_history_length_percentile | feature | float | 0.99 | 0..1 | no
user-personalization ecomm-recommended-for-you vod-top-picks next-best-action | explorationWeight | exploration | float | 0.3 | 0..1 | no
user-personalization ecomm-recommended-for-you vod-top-picks next-best-action | explorationItemAgeCutOff | exploration | float | 30 | 1..+Inf | no
user-personalization-v2 personalized-ranking-v2 | apply_recency_bias | algorithm | choice | true | true, false | no
similar-items | item_id_hidden_dim | algorithm | int | 100 | 30..200 | yes
similar-items | item_metadata_hidden_dim | algorithm | int | 100 | 30..200 | yes
sims | popularity_discount_factor | algorithm | float | 0.5 | 0..1 | yes
sims | min_cointeraction_count | algorithm | int | 3 | 0..10 | yes
sims | min_user_history_length_percentile | feature | float | 0.005 | 0..1 | no
sims | max_user_history_length_percentile | feature | float | 0.995 | 0..1 | no
sims | min_item_interaction_count_percentile | feature | float | 0.01 | 0..1 | no
sims | max_item_interaction_count_percentile | feature | float | 0.9 | 0..1 | no
trending-now | trend_discovery_frequency | feature | choice | 3 hours | 30 minutes, 1 hour, 3 hours, 1 day | no
next-best-action | action_optimization_period | feature | int | 14 | 7..28 | no
item-affinity item-attribute-affinity | hidden_dimension | algorithm | int | 149 | 32..256 | no
`

// cells splits the rows of a table.
func cells(table string) (rows [][]string) {
	for line := range strings.Lines(strings.TrimSpace(table)) {
		row := strings.Split(line, "|")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		rows = append(rows, row)
	}
	return rows
}

func TestRecipesAreThoseOfTheirDescription(t *testing.T) {
	types := func(list []schema.Type) string {
		words := make([]string, len(list))
		for i, t := range list {
			words[i] = string(t)
		}
		return strings.Join(words, " ")
	}
	var got [][]string
	for i := range Catalogue {
		e := &Catalogue[i]
		if e.Domain != "" {
			continue
		}
		var ways []string
		for _, way := range []struct {
			name string
			can  Capability
		}{{"real time", RealTime}, {"batch", BatchInference}, {"themes", Themes}, {"segments", BatchSegment}} {
			if e.Has(way.can) {
				ways = append(ways, way.name)
			}
		}
		got = append(got, []string{e.Name, string(e.Type), e.Algorithm, e.FeatureTransformation, strings.Join(ways, ", "), types(e.Requires), types(e.Reads)})
	}
	byName := func(a, b []string) int { return strings.Compare(a[0], b[0]) }
	if diff := gocmp.Diff(slices.SortedFunc(slices.Values(cells(recipeRows)), byName), got); diff != "" {
		t.Errorf("recipes (-want +got):\n%s", diff)
	}

	got = nil
	for i := range Catalogue {
		e := &Catalogue[i]
		if e.Domain == "" {
			continue
		}
		user, item := "filter", "unused"
		if e.NeedsUser {
			user = "required"
		}
		if e.NeedsItem {
			item = "required"
		}
		got = append(got, []string{e.Name, e.Domain, e.EventType, types(e.Requires), user, item, e.Excludes})
		if e.Has(Scores) {
			t.Errorf("%s: recommenders have no scores", e.Name)
		}
	}
	if diff := gocmp.Diff(slices.SortedFunc(slices.Values(cells(useCaseRows)), byName), got); diff != "" {
		t.Errorf("use cases (-want +got):\n%s", diff)
	}
}

func TestAbilitiesAreThoseOfTheDescription(t *testing.T) {
	rows := cells(abilityRows)
	if len(rows) != len(abilities) {
		t.Errorf("%d rows for %d abilities", len(rows), len(abilities))
	}
	for _, row := range rows {
		want := map[string]bool{}
		for word := range strings.FieldsSeq(row[1]) {
			switch {
			case word == "+":
				for _, e := range Catalogue {
					want[e.Name] = want[e.Name] || e.Domain != ""
				}
			case word[0] == '-':
				want["aws-"+word[1:]] = false
			default:
				want["aws-"+word] = true
			}
		}
		for i := range Catalogue {
			if e := &Catalogue[i]; e.Has(abilities[row[0]]) != want[e.Name] {
				t.Errorf("%s: %s is %v", e.Name, row[0], !want[e.Name])
			}
		}
	}
}

func TestHyperparametersAreThoseOfTheDescription(t *testing.T) {
	kinds := map[ParamKind]string{AlgorithmParam: "algorithm", FeatureParam: "feature", ExplorationParam: "exploration"}
	number := map[ParamType]string{Integer: "int", Continuous: "float", Categorical: "choice"}
	var want, got []string
	for _, row := range cells(parameterRows) {
		for name := range strings.FieldsSeq(row[0]) {
			want = append(want, "aws-"+name+" | "+strings.Join(row[1:], " | "))
		}
	}
	for i := range Catalogue {
		for _, p := range Catalogue[i].Params {
			within := fmt.Sprintf("%v..%v", p.Min, p.Max)
			if p.Type == Categorical {
				within = strings.Join(p.Values, ", ")
			}
			tunable := map[bool]string{true: "yes", false: "no"}[p.Tunable]
			got = append(got, strings.Join([]string{Catalogue[i].Name, p.Name, kinds[p.Kind], number[p.Type], p.Default, within, tunable}, " | "))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("hyperparameters (-want +got):\n%s", diff)
	}
}

// Values at the ends of a range are taken, those beyond are refused, and so is what is no value of the type.
func TestRangesIncludeTheirEndsAndNothingBeyond(t *testing.T) {
	for i := range Catalogue {
		for _, p := range Catalogue[i].Params {
			good, bad := []string{p.Default}, []string{"", " ", "x", "NaN", "1e999", "0x10"}
			switch p.Type {
			case Categorical:
				good = append(good, p.Values...)
				bad = append(bad, strings.ToUpper(p.Values[0])+"!", "1 second", "2")
			case Integer:
				good = append(good, strconv.Itoa(int(p.Min)), strconv.Itoa(int(p.Max)))
				bad = append(bad, strconv.Itoa(int(p.Min)-1), strconv.Itoa(int(p.Max)+1), "40.5")
			case Continuous:
				good = append(good, fmt.Sprint(p.Min))
				bad = append(bad, fmt.Sprint(p.Min-0.01), "Inf")
				if !math.IsInf(p.Max, 1) {
					good, bad = append(good, fmt.Sprint(p.Max)), append(bad, fmt.Sprint(p.Max+0.01))
				}
			}
			for _, v := range good {
				if _, err := p.Check(v); err != nil {
					t.Errorf("%s: %s=%s is refused: %v", Catalogue[i].Name, p.Name, v, err)
				}
			}
			for _, v := range bad {
				if got, err := p.Check(v); err == nil {
					t.Errorf("%s: %s=%q is taken as %q", Catalogue[i].Name, p.Name, v, got)
				}
			}
		}
	}
}

// TestEachRecipeSaysWhatDataItLacks trains every recipe and use case, with the minimums of the service, on data that has just enough and on data that just has not.
func TestEachRecipeSaysWhatDataItLacks(t *testing.T) {
	const few, enough = 24, 25
	// views makes n events of a type by so many users with two or more of them each, and by others with one.
	views := func(n, users, once int, kind string) []testEvent {
		var events []testEvent
		for k := range n - once {
			events = append(events, testEvent{fmt.Sprintf("u%02d", k%users), fmt.Sprintf("i%02d", k*7%31), kind, int64(k), 1})
		}
		for k := range once {
			events = append(events, testEvent{fmt.Sprintf("once%04d", k), fmt.Sprintf("i%02d", k%31), kind, int64(k), 1})
		}
		return events
	}
	catalog := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "NAME:string?/itemName", "PLOT:string?/textual", "KIND:string?/categorical"), every)
	for k := range 40 {
		catalog.Add([]schema.Value{str(fmt.Sprintf("i%02d", k)), str(fmt.Sprintf("name %d", k%9)), str("a story"), str(fmt.Sprint(k % 5))})
	}
	items := catalog.Attributes()
	eleven := views(1100, enough, 0, "")
	for k := range eleven {
		eleven[k].kind = fmt.Sprintf("kind%d", k%11)
	}
	for i := range Catalogue {
		e := &Catalogue[i]
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			kind := cmp.Or(e.EventType, "Any")
			of := ""
			if e.EventType != "" {
				of = " after filtering by event type: " + e.EventType
			}
			cfg := Config{Recipe: e.TrainedAs, EventType: e.EventType, CountEvents: e.CountEvents, Excludes: e.Excludes, Params: e.Fixed}
			train := func(events []testEvent) string {
				return reasonOf(t, Data{Events: makeEvents(slices.Clone(events)), Items: items}, cfg)
			}
			needs := slices.Contains(e.Requires, schema.Interactions)
			for _, c := range []struct {
				data   string
				events []testEvent
				want   string
			}{
				{"enough", views(1000, enough, 0, kind), ""},
				{"nothing", nil, "Dataset has fewer than 1000 interactions" + of},
				{"one interaction too few", views(999, enough, 0, kind), "Dataset has fewer than 1000 interactions" + of},
				{"one user too few", views(1100, few, 0, kind), "Dataset has fewer than 25 users with at least 2 interactions each."},
				{"hardly anybody who comes twice", views(3000, enough, 2900, kind), "Less than 1 percent of users have at least 2 interactions."},
				{"one percent who do", views(1000+99*enough, enough, 99*enough, kind), ""},
			} {
				if !needs {
					c.want = ""
				}
				if got := train(c.events); got != c.want {
					t.Errorf("%s: %q, want %q", c.data, got, c.want)
				}
			}
			if got := train(eleven); needs && got != "Interactions dataset has more than 10 unique event types." {
				t.Errorf("eleven types: %q", got)
			}
			if e.EventType == "" {
				return
			}
			lower := views(1000, enough, 0, strings.ToLower(kind))
			if got := train(lower); got != "" {
				t.Errorf("types in another case: %q", got)
			}
			if got := train(append(views(999, enough, 0, kind), views(500, enough, 0, "other")...)); got != "Dataset has fewer than 1000 interactions"+of {
				t.Errorf("enough of another type: %q", got)
			}
			for _, reserved := range []string{"", "EVENT_TYPE", "event_type"} {
				if got := train(views(1100, enough, 0, reserved)); got != "All values in the event_type column are either reserved keywords or null" {
					t.Errorf("the type %q: %q", reserved, got)
				}
			}
		})
	}
	t.Run("segments at one time", func(t *testing.T) {
		same := views(1000, enough, 0, "Any")
		for k := range same {
			same[k].time = 7
		}
		for i := range Catalogue {
			e := &Catalogue[i]
			want := ""
			if e.Type == UserSegmentation {
				want = "All interactions have the same timestamp."
			}
			if got := reasonOf(t, Data{Events: makeEvents(slices.Clone(same)), Items: items}, Config{Recipe: e.TrainedAs}); got != want {
				t.Errorf("%s: %q, want %q", e.Name, got, want)
			}
		}
	})
}

// reasonOf trains under the limits of the service and returns why that failed, "" if it did not.
func reasonOf(t *testing.T, d Data, cfg Config) string {
	t.Helper()
	_, err := Train(t.Context(), d, cfg, quota.AWS(), t.TempDir(), nil)
	if refused := (*DataError)(nil); errors.As(err, &refused) {
		return refused.Reason
	}
	if err != nil {
		t.Error(err)
	}
	return ""
}

// TestEveryRecipeTrainsOnTheEventsOfItsConfigurationOnly compares a model of all events with one that never saw those that the configuration leaves out.
func TestEveryRecipeTrainsOnTheEventsOfItsConfigurationOnly(t *testing.T) {
	var all []testEvent
	for k, e := range walks(17, 60, 30, 12) {
		e.kind, e.value = []string{"watch", "buy", "rate"}[k%3], float32(k%5)
		all = append(all, e)
	}
	three := 3.0
	for _, c := range []struct {
		name   string
		change func(*Config)
		counts func(e testEvent) bool
	}{
		{"eventType", func(c *Config) { c.EventType = "Watch" }, func(e testEvent) bool { return e.kind == "watch" }},
		{"eventValueThreshold", func(c *Config) { c.EventValueThreshold = &three }, func(e testEvent) bool { return e.value >= 3 }},
		{"both", func(c *Config) { c.EventType, c.EventValueThreshold = "buy", &three }, func(e testEvent) bool { return e.kind == "buy" && e.value >= 3 }},
		{"eventsConfig", func(c *Config) {
			c.EventsConfig = []EventWeight{{Type: "WATCH", Weight: 1}, {Type: "buy", Threshold: &three, Weight: 4}, {Type: "rate", Weight: 0}}
		}, func(e testEvent) bool { return e.kind == "watch" || e.kind == "buy" && e.value >= 3 }},
	} {
		var some []testEvent
		for _, e := range all {
			if c.counts(e) {
				some = append(some, e)
			}
		}
		for i := range Catalogue {
			e := &Catalogue[i]
			if e.Domain != "" || e.TrainedAs != e.Name || c.name == "eventsConfig" && !e.Has(EventWeights) {
				continue // use cases take their own types only, see TestEachRecipeSaysWhatDataItLacks
			}
			t.Run(e.Name+" by "+c.name, func(t *testing.T) {
				t.Parallel()
				cfg := Config{Recipe: e.Name, Seed: 2}
				c.change(&cfg)
				data := world(t, nil)
				data.Events = makeEvents(slices.Clone(all))
				whole := trainData(t, data, cfg)
				data.Events = makeEvents(slices.Clone(some))
				if differ := remains(t, contents(t, trainData(t, data, cfg)), whole); len(differ) > 0 {
					t.Errorf("events that do not count are in %v", differ)
				}
			})
		}
	}
}
