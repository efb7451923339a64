package serve

import (
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/recipe"
)

// excludeDepth is how many of the newest events of a type the automatic exclusions of use cases look at.
const excludeDepth = 100

// exclude is the automatic exclusion of a use case: items that the user already purchased or watched, by the newest events of that type.
func (t *target) exclude(m *model, q recipe.Query) func(item string) bool {
	done := map[string]bool{}
	seen := 0
	look := func(events []dataset.LiveEvent) {
		for _, e := range slices.Backward(events) {
			if seen == excludeDepth {
				return
			}
			if strings.EqualFold(e.Type, t.recipe.Excludes) {
				done[e.Item] = true
				seen++
			}
		}
	}
	look(q.Live)
	if q.Known {
		look(m.History(q.User))
	}
	if len(done) == 0 {
		return nil
	}
	return func(item string) bool { return done[item] }
}
