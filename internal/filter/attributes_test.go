package filter_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/palate-dev/palate/internal/filter"
)

func TestQueriesOfSegments(t *testing.T) {
	for query, want := range map[string][]filter.Attribute{
		`ITEMS.genres = "Comedy" AND ITEMS.genres = "Action"`:                 {{"genres", "Comedy"}, {"genres", "Action"}},
		"\titems.YEAR=1990 and Items.CATEGORY_L1\n= \"a \\\"b\\\" AND \\\\\"": {{"YEAR", "1990"}, {"CATEGORY_L1", `a "b" AND \`}},
		`ITEMS.PRICE = -0.5`: {{"PRICE", "-0.5"}},
		`ITEMS.G = "購入"`:     {{"G", "購入"}},
	} {
		got, err := filter.ParseAttributes(query)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", query, err, diff)
		}
	}
	for query, want := range map[string]string{
		``:                                 "character 1: expected a field, found the end",
		`ITEMS.G`:                          "character 8: expected =",
		`ITEMS.G IN ("a")`:                 "character 9: expected =, found IN",
		`ITEMS.G != "a"`:                   "character 9: expected =, found !=",
		`ITEMS.G = "a" OR ITEMS.G = "b"`:   "character 15: expected AND, found OR",
		`ITEMS.G = "a" AND`:                "character 18: expected a field",
		`ITEMS.G = $A`:                     "character 11: expected a string or a number, found $A",
		`ITEMS.G = a`:                      "character 11: expected a string",
		`USERS.AGE = 1`:                    "character 1: columns of Items can be tested only",
		`CurrentItem.G = "a"`:              "character 1: CurrentItem can stand",
		`ITEMS.G = "a`:                     "the string is not closed",
		`(ITEMS.G = "a")`:                  "character 1: expected a field, found (",
		`INCLUDE UserID WHERE Users.A = 1`: "INCLUDE is not a dataset",
		"ITEMS.G = \"\xff\"":               "UTF-8",
	} {
		got, err := filter.ParseAttributes(query)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want an error with %q", query, got, err, want)
		}
	}
}
