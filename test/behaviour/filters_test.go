package behaviour

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/shop"
)

// TestFiltersCompareNumbersAsTheyWereGiven: prices with cents, of which hardly one is a float of 32 bits, and ids of 19 digits, which no float is, in every place where a filter compares a number. The items
// are imported and put, the operands stand in the expression, in the request and in the item of the request.
func TestFiltersCompareNumbersAsTheyWereGiven(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t), "shop", "")
	h.Interactions = h.Dataset("Interactions", shop.InteractionsSchema)
	h.Items = h.Dataset("Items", schema("Items", "ITEM_ID string", "PRICE float?", "COST double?", "MADE long?"))
	h.Load(h.Interactions, shop.Generate(40, 8, 600, 81).Interactions)
	table := [][]string{{"ITEM_ID", "PRICE", "COST", "MADE"}}
	for n := range 6 {
		table = append(table, []string{fmt.Sprintf("item-%04d", n), fmt.Sprintf("%d.99", n), fmt.Sprintf("%d.99", n+1), fmt.Sprint(1_700_000_000_000_000_001 + n)})
	}
	h.Load(h.Items, table)
	h.Must("PutItems", M{"datasetArn": h.Items, "items": []M{{"itemId": "item-0006", "properties": `{"price":6.99,"cost":"7.99"}`}, {"itemId": "item-0007", "properties": `{"cost":1}`}}})
	popular := h.Make("CreateCampaign", "campaign", M{"name": "popular", "solutionVersionArn": h.Version(h.Solution("aws-popularity-count"))})
	related := h.Make("CreateCampaign", "campaign", M{"name": "related", "solutionVersionArn": h.Version(h.Solution("aws-sims"))})

	for _, c := range []struct{ expression, value, want string }{
		{`INCLUDE ItemID WHERE Items.PRICE = 3.99`, "", "3"},
		{`INCLUDE ItemID WHERE Items.PRICE = 3.990`, "", "3"},
		{`INCLUDE ItemID WHERE Items.PRICE = "6.99"`, "", "6"},
		{`INCLUDE ItemID WHERE Items.PRICE IN (0.99, 6.99, 7)`, "", "0 6"},
		{`INCLUDE ItemID WHERE Items.PRICE <= 2.99`, "", "0 1 2"},
		{`INCLUDE ItemID WHERE Items.PRICE < 2.99`, "", "0 1"},
		{`INCLUDE ItemID WHERE Items.PRICE >= 5.99`, "", "5 6"},
		{`INCLUDE ItemID WHERE Items.PRICE > 5.99`, "", "6"},
		{`INCLUDE ItemID WHERE Items.PRICE != 3.99`, "", "0 1 2 4 5 6 7"},
		{`EXCLUDE ItemID WHERE Items.PRICE NOT IN (3.99, 6.99)`, "", "3 6"},
		{`INCLUDE ItemID WHERE Items.PRICE = $P`, "1.99", "1"},
		{`INCLUDE ItemID WHERE Items.PRICE <= ($P)`, `"1.99"`, "0 1"},
		{`INCLUDE ItemID WHERE Items.PRICE IN ($P)`, `"1.99","6.99"`, "1 6"},
		{`INCLUDE ItemID WHERE Items.PRICE IN $P`, `1.99, 6.99`, "1 6"},
		{`INCLUDE ItemID WHERE Items.COST = 4.99`, "", "3"},
		{`INCLUDE ItemID WHERE Items.COST = 7.99 OR Items.PRICE = 0.99 AND Items.COST = 1.99`, "", "0 6"},
		{`INCLUDE ItemID WHERE Items.MADE = 1700000000000000003`, "", "2"},
		{`INCLUDE ItemID WHERE Items.MADE <= 1700000000000000002`, "", "0 1"},
		{`INCLUDE ItemID WHERE Items.MADE IN ($P)`, `"1700000000000000001","1700000000000000006"`, "0 5"},
		{`INCLUDE ItemID WHERE Items.MADE < CurrentItem.MADE`, "", "0 1"},
		{`INCLUDE ItemID WHERE Items.PRICE = CurrentItem.COST`, "", "3"}, // of item 2, which costs 3.99
		{`INCLUDE ItemID WHERE Items.COST >= CurrentItem.PRICE AND Items.COST < CurrentItem.COST`, "", "1"},
		{`INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE`, "", "0 1"},
	} {
		in := M{"campaignArn": popular, "numResults": 100, "filterArn": filterOf(h, c.expression), "filterValues": M{"P": c.value}}
		if strings.Contains(c.expression, "CurrentItem") {
			in["campaignArn"], in["itemId"] = related, "item-0002"
		}
		for range 2 { // without a view of the items, and soon after with one
			got := itemIDs(h.Must("GetRecommendations", in))
			slices.Sort(got)
			if want := "item-000" + strings.ReplaceAll(c.want, " ", " item-000"); strings.Join(got, " ") != want {
				t.Errorf("%s with %s keeps %v, want %s", c.expression, c.value, got, want)
			}
		}
	}
}
