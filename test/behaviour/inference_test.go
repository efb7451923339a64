package behaviour

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// answers is what the specification says of the requests to campaigns of a recipe.
type answers struct {
	recipe    string
	operation string
	needs     string // "user", "item" or ""
	scored    bool   // items have scores
	opens     bool   // metadata without opting in
	promotes  bool
	current   bool // filters on CurrentItem
}

var answering = []answers{
	{recipe: "aws-user-personalization-v2", operation: "GetRecommendations", needs: "user", scored: true, opens: true, promotes: true},
	{recipe: "aws-user-personalization", operation: "GetRecommendations", needs: "user", scored: true, promotes: true},
	{recipe: "aws-popularity-count", operation: "GetRecommendations", promotes: true},
	{recipe: "aws-trending-now", operation: "GetRecommendations", promotes: true},
	{recipe: "aws-sims", operation: "GetRecommendations", needs: "item", promotes: true, current: true},
	{recipe: "aws-similar-items", operation: "GetRecommendations", needs: "item", promotes: true, current: true},
	{recipe: "aws-semantic-similarity", operation: "GetRecommendations", needs: "item", opens: true, promotes: true, current: true},
	{recipe: "aws-personalized-ranking-v2", operation: "GetPersonalizedRanking", needs: "user", scored: true, opens: true},
	{recipe: "aws-personalized-ranking", operation: "GetPersonalizedRanking", needs: "user", scored: true},
	{recipe: "aws-next-best-action", operation: "GetActionRecommendations", needs: "user", scored: true},
}

var listsOf = map[string]string{"GetRecommendations": "itemList", "GetPersonalizedRanking": "personalizedRanking", "GetActionRecommendations": "actionList"}

// inquiry asks campaigns of one recipe.
type inquiry struct {
	*shop.Shop
	answers
	t              *testing.T
	plain, opted   string // campaigns; of the second, metadata is enabled
	user           string
	items, listing []string // of the catalogue, and what a ranking is of
}

// request is one that has to succeed, changed by pairs of member and value; nil drops the member.
func (q *inquiry) request(campaign string, change ...any) M {
	in := M{"campaignArn": campaign}
	if q.needs != "" {
		in["userId"] = q.user
	}
	if q.needs == "item" {
		in["itemId"] = q.items[3]
		delete(in, "userId")
	}
	if q.operation == "GetPersonalizedRanking" {
		in["inputList"] = q.listing
	}
	for i := 0; i < len(change); i += 2 {
		if in[change[i].(string)] = change[i+1]; change[i+1] == nil {
			delete(in, change[i].(string))
		}
	}
	return in
}

var recommendationID = regexp.MustCompile(`^RID-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// ask returns the list of an answer, which must have n entries unless n is below 0, and checks what holds of every list.
func (q *inquiry) ask(n int, in M) (list []M) {
	q.t.Helper()
	out, err := q.Call(q.operation, in)
	if err != nil {
		q.t.Errorf("%s is refused %v: %v", q.recipe, in, err)
		return nil
	}
	if id, _ := out["recommendationId"].(string); !recommendationID.MatchString(id) {
		q.t.Errorf("%s: recommendationId %q", q.recipe, id)
	}
	last, sum := 1.0, 0.0
	for _, x := range out[listsOf[q.operation]].([]any) {
		entry := x.(M)
		list = append(list, entry)
		score, has := entry["score"].(float64)
		if reasons, _ := entry["reason"].([]any); has != (q.scored && !slices.Contains(reasons, any("Popular item")) && entry["itemId"] != unheard) {
			q.t.Errorf("%s: %v", q.recipe, entry)
		}
		if _, promoted := entry["promotionName"]; has && !promoted {
			if score < 0 || score > last {
				q.t.Errorf("%s: the score %v comes after %v", q.recipe, score, last)
			}
			last = score
		}
		sum += score
	}
	if sum > 1.00001 && q.operation != "GetActionRecommendations" {
		q.t.Errorf("%s: scores sum to %v", q.recipe, sum)
	}
	if n >= 0 && len(list) != n {
		q.t.Errorf("%s: %d entries instead of %d to %v", q.recipe, len(list), n, in)
	}
	return list
}

// refused asserts an exception.
func (q *inquiry) refused(code, why string, in M) {
	q.t.Helper()
	q.refusedBy(q.operation, code, why, in)
}

func (q *inquiry) refusedBy(operation, code, why string, in M) {
	q.t.Helper()
	out, err := q.Call(operation, in)
	var e *server.APIError
	if !errors.As(err, &e) || e.Code != code {
		q.t.Errorf("%s, %s, %s: answered %v %v, want %s", q.recipe, operation, why, out, err, code)
	}
}

const unheard = "unheard-of" // an item

const invalid, unknown = "InvalidInputException", "ResourceNotFoundException"

func idsOf(list []M) (ids []string) {
	for _, entry := range list {
		ids = append(ids, entry["itemId"].(string))
	}
	return ids
}

// TestEveryParameterOfRequestsForEveryRecipe holds the requests of the runtime to the specification, recipe by recipe.
func TestEveryParameterOfRequestsForEveryRecipe(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t), "shop", "")
	h.Interactions, h.People, h.Items = h.Dataset("Interactions", shop.InteractionsSchema), h.Dataset("Users", shop.UsersSchema), h.Dataset("Items", filmSchema)
	users := loyalty(t, h)
	d := shop.Generate(80, 60, 2000, 51)
	h.Imported(h.StartImport(h.Interactions, d.Interactions, "INCREMENTAL"))
	profiles := slices.Clone(d.Profiles)
	for _, user := range users {
		profiles = append(profiles, []string{user, "gold"})
	}
	h.Load(h.People, profiles)
	films := [][]string{filmHeader}
	q := inquiry{Shop: h, t: t, user: users[0]}
	for n := range 60 {
		q.items = append(q.items, fmt.Sprintf("item-%04d", n))
		films = append(films, film(q.items[n], n))
	}
	h.Load(h.Items, films)
	q.listing = append(slices.Clone(q.items[:20]), unheard)

	other := h.Make("CreateDatasetGroup", "datasetGroup", M{"name": "other"})
	h.Make("CreateDataset", "dataset", M{"name": "other", "datasetType": "Items", "datasetGroupArn": other, "schemaArn": h.Schema("others", shop.ItemsSchema)})
	f := filters{
		ofItems: filterOf(h, `EXCLUDE ItemID WHERE Items.ITEM_ID IN ("item-0004")`), ofActions: filterOf(h, `EXCLUDE ActionID WHERE Actions.VALUE > 8`),
		ofUsers: filterOf(h, `INCLUDE UserID WHERE Users.TIER IN ("gold")`), onUser: filterOf(h, `EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (*)`),
		onItem: filterOf(h, `EXCLUDE ItemID WHERE Items.ITEM_ID = CurrentItem.ITEM_ID`), chosen: filterOf(h, `INCLUDE ItemID WHERE Items.ITEM_ID IN ($ids)`),
		left:    filterOf(h, `EXCLUDE ItemID WHERE Items.ITEM_ID IN ($ids)`),
		foreign: h.Make("CreateFilter", "filter", M{"name": "foreign", "datasetGroupArn": other, "filterExpression": `EXCLUDE ItemID WHERE Items.ITEM_ID IN ("a")`}),
	}
	for _, q.answers = range answering {
		version := h.Version(h.Solution(q.recipe))
		with := func(config M) string {
			if strings.HasPrefix(q.recipe, "aws-user-personalization") && q.recipe != "aws-user-personalization-v2" || q.recipe == "aws-next-best-action" {
				config["itemExplorationConfig"] = M{"explorationWeight": "0"}
			}
			in := M{"name": h.Name("campaign"), "solutionVersionArn": version}
			if len(config) > 0 {
				in["campaignConfig"] = config
			}
			return h.Make("CreateCampaign", "campaign", in)
		}
		q.plain, q.opted = with(M{}), ""
		if !q.opens && q.operation != "GetActionRecommendations" {
			q.opted = with(M{"enableMetadataWithRecommendations": true})
		}
		q.identifiers()
		q.filtered(f)
		switch q.operation {
		case "GetPersonalizedRanking":
			q.ranks()
		case "GetActionRecommendations":
			q.acts()
		default:
			q.sizes(25, 500)
			q.promoted(f)
		}
		if q.operation != "GetActionRecommendations" {
			q.described()
			q.situated()
		}
	}
}

// filters are ARNs of filters, by what they select or read.
type filters struct{ ofItems, ofActions, ofUsers, onUser, onItem, chosen, left, foreign string }

// identifiers asks with and without what a request has to name.
func (q *inquiry) identifiers() {
	q.t.Helper()
	q.refused(unknown, "a campaign that does not exist", q.request(q.plain+"x"))
	q.refused(invalid, "no campaign", q.request(q.plain, "campaignArn", nil))
	if q.operation == "GetRecommendations" {
		q.refused(invalid, "a campaign and a recommender", q.request(q.plain, "recommenderArn", q.plain))
		q.refused(unknown, "a campaign as recommender", q.request(q.plain, "recommenderArn", q.plain, "campaignArn", nil))
	}
	for operation := range listsOf {
		if operation != q.operation {
			q.refusedBy(operation, invalid, "another operation", q.request(q.plain, "userId", q.user, "itemId", nil, "inputList", q.items[:1]))
		}
	}
	long := strings.Repeat("x", 257)
	q.refused(invalid, "a long userId", q.request(q.plain, "userId", long))
	strangers := q.ask(-1, q.request(q.plain, "userId", canary+"-stranger"))
	if len(strangers) == 0 {
		q.t.Errorf("%s has nothing for a stranger", q.recipe)
	}
	if q.needs == "user" {
		q.refused(invalid, "no userId", q.request(q.plain, "userId", nil))
		q.refused(invalid, "an empty userId", q.request(q.plain, "userId", ""))
	}
	if q.operation != "GetRecommendations" {
		return
	}
	q.refused(invalid, "a long itemId", q.request(q.plain, "itemId", long))
	if q.needs != "item" {
		if with, without := idsOf(q.steady(q.request(q.plain, "itemId", q.items[7]))), idsOf(q.steady(q.request(q.plain))); !slices.Equal(with, without) {
			q.t.Errorf("%s does not ignore itemId", q.recipe)
		}
		return
	}
	q.refused(invalid, "no itemId", q.request(q.plain, "itemId", nil, "userId", q.user))
	if list := idsOf(q.ask(-1, q.request(q.plain, "numResults", 500))); slices.Contains(list, q.items[3]) {
		q.t.Errorf("%s recommends the item that it was asked for", q.recipe)
	}
	if list := q.ask(-1, q.request(q.plain, "itemId", unheard)); len(list) == 0 {
		q.t.Errorf("%s has nothing popular for an unknown item", q.recipe)
	}
}

// steady is ask for a list in which nothing is explored.
func (q *inquiry) steady(in M) []M {
	q.t.Helper()
	for {
		list := q.ask(-1, in)
		if !slices.ContainsFunc(list, func(m M) bool { return fmt.Sprint(m["reason"]) == "[Exploration]" }) {
			return list
		}
	}
}

// sizes asks for numbers of results.
func (q *inquiry) sizes(usual, most int) {
	q.t.Helper()
	q.ask(usual, q.request(q.plain))
	q.ask(usual, q.request(q.plain, "numResults", 0))
	q.ask(1, q.request(q.plain, "numResults", 1))
	q.ask(-1, q.request(q.plain, "numResults", most))
	q.refused(invalid, "too many results", q.request(q.plain, "numResults", most+1))
	q.refused(invalid, "a negative number of results", q.request(q.plain, "numResults", -1))
}

// filtered asks under filters that fit the campaign and under others.
func (q *inquiry) filtered(f filters) {
	q.t.Helper()
	fits, misses := f.ofItems, f.ofActions
	if q.operation == "GetActionRecommendations" {
		fits, misses = misses, fits
	}
	q.refused(unknown, "a filter that does not exist", q.request(q.plain, "filterArn", fits+"x"))
	q.refused(invalid, "a filter of another entity", q.request(q.plain, "filterArn", misses))
	q.refused(invalid, "a filter of users", q.request(q.plain, "filterArn", f.ofUsers))
	q.refused(invalid, "a filter of another group", q.request(q.plain, "filterArn", f.foreign))
	values := M{}
	for n := range 26 {
		values[fmt.Sprintf("V%d", n)] = `"1` // nobody reads it
	}
	q.refused(invalid, "26 filter values", q.request(q.plain, "filterArn", fits, "filterValues", values))
	q.refused(invalid, "a long filter value", q.request(q.plain, "filterArn", fits, "filterValues", M{"V": strings.Repeat("1", 1001)}))
	delete(values, "V25")
	list := q.ask(-1, q.request(q.plain, "filterArn", fits, "filterValues", values)) // ones that the filter does not have
	if q.operation == "GetActionRecommendations" {
		if slices.ContainsFunc(list, func(m M) bool { return m["actionId"] == "new-high" }) || len(list) == 0 {
			q.t.Errorf("%s: %v passed", q.recipe, list)
		}
		return
	}
	if ids := idsOf(list); slices.Contains(ids, "item-0004") || len(ids) == 0 {
		q.t.Errorf("%s: %v passed", q.recipe, ids)
	}
	q.refused(invalid, "a filter without its value", q.request(q.plain, "filterArn", f.chosen))
	q.refused(invalid, "a filter with a bad value", q.request(q.plain, "filterArn", f.chosen, "filterValues", M{"ids": `"item-0001`}))
	want := []string{"item-0005", "item-0006"}
	got := idsOf(q.ask(2, q.request(q.plain, "filterArn", f.chosen, "filterValues", M{"ids": `"item-0005","item-0006"`})))
	if slices.Sort(got); !slices.Equal(got, want) {
		q.t.Errorf("%s: of two items %v passed", q.recipe, got)
	}
	all := len(q.ask(-1, q.request(q.plain)))
	q.ask(all, q.request(q.plain, "filterArn", f.left)) // an expression that excludes counts for nothing without its value
	if q.current {
		q.ask(-1, q.request(q.plain, "filterArn", f.onItem))
	} else {
		q.refused(invalid, "a filter on the current item", q.request(q.plain, "filterArn", f.onItem))
	}
	q.ask(-1, q.request(q.plain, "filterArn", f.onUser, "userId", q.user))
	q.refused(invalid, "a filter on the user without a user", q.request(q.plain, "filterArn", f.onUser, "userId", nil))
}

// promoted asks with promotions.
func (q *inquiry) promoted(f filters) {
	q.t.Helper()
	with := func(more M) M {
		p := M{"name": "sale", "percentPromotedItems": 20, "filterArn": f.chosen, "filterValues": M{"ids": `"item-0001","item-0002","item-0005"`}}
		maps.Copy(p, more)
		return q.request(q.plain, "numResults", 10, "promotions", []M{p})
	}
	for percent, count := range map[int]int{1: 1, 14: 1, 15: 2, 20: 2, 100: 3} {
		n := 0
		for _, entry := range q.ask(10, with(M{"percentPromotedItems": percent})) {
			if name, promoted := entry["promotionName"]; promoted {
				n++
				if name != "sale" || !slices.Contains([]string{"item-0001", "item-0002", "item-0005"}, entry["itemId"].(string)) {
					q.t.Errorf("%s promotes %v", q.recipe, entry)
				}
			}
		}
		if n != count {
			q.t.Errorf("%s: %d %% of ten are %d, want %d", q.recipe, percent, n, count)
		}
	}
	q.refused(invalid, "a promotion of 0 percent", with(M{"percentPromotedItems": 0}))
	q.refused(invalid, "a promotion of 101 percent", with(M{"percentPromotedItems": 101}))
	q.refused(invalid, "a promotion without a filter", with(M{"filterArn": ""}))
	q.refused(invalid, "a promotion of actions", with(M{"filterArn": f.ofActions}))
	q.refused(unknown, "a promotion by a filter that does not exist", with(M{"filterArn": f.chosen + "x"}))
	q.refused(invalid, "a promotion without the filter's value", with(M{"filterValues": M{}}))
	p := M{"name": "p", "percentPromotedItems": 10, "filterArn": f.ofItems}
	q.refused(invalid, "two promotions", q.request(q.plain, "promotions", []M{p, p}))
	q.refused(invalid, "a promotion without a share", q.request(q.plain, "promotions", []M{{"name": "p", "filterArn": f.ofItems}}))
}

// described asks for columns of items.
func (q *inquiry) described() {
	q.t.Helper()
	campaign := q.plain
	if !q.opens {
		q.refused(invalid, "metadata that is not enabled", q.request(q.plain, "metadataColumns", M{"ITEMS": []string{"TITLE"}}))
		campaign = q.opted
	}
	columns := func(names ...string) M { return q.request(campaign, "metadataColumns", M{"items": names}) }
	for _, entry := range q.ask(-1, columns("TITLE", "plot", "CREATION_TIMESTAMP")) {
		m, _ := entry["metadata"].(M)
		if !slices.Contains(q.items, entry["itemId"].(string)) {
			continue // has no record
		}
		if m["title"] == nil || m["creationTimestamp"] == nil || len(m) > 3 {
			q.t.Errorf("%s: the metadata of %v are %v", q.recipe, entry["itemId"], m)
		}
	}
	q.refused(invalid, "a column that does not exist", columns("NO_SUCH_COLUMN"))
	q.refused(invalid, "eleven columns", columns(slices.Repeat([]string{"TITLE"}, 11)...))
	q.refused(invalid, "columns of users", q.request(campaign, "metadataColumns", M{"USERS": []string{"TIER"}}))
	if q.operation == "GetRecommendations" {
		size := func(n int) M {
			return q.request(campaign, "metadataColumns", M{"ITEMS": []string{"TITLE"}}, "numResults", n)
		}
		q.ask(-1, size(50))
		q.refused(invalid, "51 results with metadata", size(51))
	}
}

// situated asks with context, which recipes that know none ignore.
func (q *inquiry) situated() {
	q.t.Helper()
	for _, context := range []M{{"EVENT_VALUE": "3"}, {"event_value": "never seen"}, {"NO_SUCH_FIELD": "1"}} {
		q.ask(-1, q.request(q.plain, "context", context))
	}
	many := M{}
	for n := range 151 {
		many[fmt.Sprintf("F%d", n)] = "1"
	}
	q.refused(invalid, "151 entries of context", q.request(q.plain, "context", many))
	q.refused(invalid, "a bad name in the context", q.request(q.plain, "context", M{"A-B": "1"}))
	q.refused(invalid, "a long name in the context", q.request(q.plain, "context", M{strings.Repeat("F", 151): "1"}))
	q.refused(invalid, "a long value in the context", q.request(q.plain, "context", M{"EVENT_VALUE": strings.Repeat("x", 1001)}))
}

// ranks asks for rankings of listsOf.
func (q *inquiry) ranks() {
	q.t.Helper()
	q.refused(invalid, "an empty list", q.request(q.plain, "inputList", []string{}))
	q.refused(invalid, "no list", q.request(q.plain, "inputList", nil))
	many := make([]string, 501)
	for n := range many {
		many[n] = fmt.Sprintf("item-%04d", n)
	}
	q.refused(invalid, "501 items", q.request(q.plain, "inputList", many))
	metadata, campaign := M{"ITEMS": []string{"TITLE"}}, cmp.Or(q.opted, q.plain)
	q.refused(invalid, "51 items with metadata", q.request(campaign, "inputList", many[:51], "metadataColumns", metadata))
	list := func(in M) (out []M) {
		q.t.Helper()
		answer, err := q.Call(q.operation, in)
		if err != nil {
			q.t.Errorf("%s: %v", q.recipe, err)
			return nil
		}
		for _, x := range answer["personalizedRanking"].([]any) {
			out = append(out, x.(M))
		}
		return out
	}
	if n := len(list(q.request(campaign, "inputList", many[:50], "metadataColumns", metadata))); n != 50 {
		q.t.Errorf("%s: %d of 50 items are ranked", q.recipe, n)
	}
	if n := len(list(q.request(q.plain, "inputList", many[:500]))); n != 500 {
		q.t.Errorf("%s: %d of 500 items are ranked", q.recipe, n)
	}
	ranked := list(q.request(q.plain, "inputList", []string{"z", "item-0002", "y", "item-0001", "item-0002", "item-0003", "z"}))
	sum := 0.0
	for place, entry := range ranked {
		score, has := entry["score"].(float64)
		if has != (place < 3) {
			q.t.Errorf("%s: place %d is %v", q.recipe, place, entry)
		}
		sum += score
	}
	if ids := idsOf(ranked); len(ids) != 5 || !slices.Equal(ids[3:], []string{"z", "y"}) || sum < 0.99999 || sum > 1.00001 {
		q.t.Errorf("%s: ranked %v, scores sum to %v", q.recipe, ids, sum)
	}
}

// acts asks for actions.
func (q *inquiry) acts() {
	q.t.Helper()
	q.sizes(5, 100)
}
