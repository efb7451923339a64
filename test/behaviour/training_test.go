package behaviour

import (
	"fmt"
	"testing"

	"github.com/palate-dev/palate/test/shop"
)

// rows makes n interactions of users who have eight each.
func rows(n int, change func(k int, row []string)) [][]string {
	table := [][]string{{"USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"}}
	for k := range n {
		row := []string{fmt.Sprintf("canary-%d", k/8), fmt.Sprintf("item-%d", k*k%40), fmt.Sprint(1_700_000_000 + 60*k), "view", "1"}
		change(k, row)
		table = append(table, row)
	}
	return table
}

// TestStrangeDataCanBeTrainedOn has a case of each kind that package recipe tests in full, through import, training and answer.
func TestStrangeDataCanBeTrainedOn(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--limits", "aws"))
	solution := h.Solution("aws-user-personalization-v2")
	for name, change := range map[string]func(k int, row []string){
		"milliseconds":               func(_ int, row []string) { row[2] += "000" },
		"before 1970":                func(k int, row []string) { row[2] = fmt.Sprint(-k) },
		"the ends of time":           func(k int, row []string) { row[2] = []string{"-9223372036854775807", "0", "9223372036854775807"}[k%3] },
		"users who are all the same": func(k int, row []string) { row[1], row[2] = fmt.Sprintf("item-%d", k%8), "7" },
		"a bot": func(k int, row []string) {
			if k > 400 {
				row[0] = "canary-bot"
			}
		},
	} {
		h.Load(h.Interactions, rows(2400, change))
		campaign := h.Make("CreateCampaign", "campaign", M{"name": h.Name("campaign"), "solutionVersionArn": h.Version(solution)})
		for _, user := range []string{"canary-1", "canary-bot", "canary-nobody"} {
			if got := h.Recommend(campaign, user, 5); len(got) != 5 {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
}
