package behaviour

import (
	"maps"
	"slices"
	"testing"
)

// showing asks until an answer shows an item and not the other, and returns its recommendationId.
func (s story) showing(campaign, item, other string) (recommendationID string) {
	s.T.Helper()
	for range 5000 {
		out := s.Must("GetRecommendations", M{"campaignArn": campaign, "userId": "canary-anybody", "numResults": 20})
		var items []string
		for _, i := range out["itemList"].([]any) {
			items = append(items, i.(M)["itemId"].(string))
		}
		if slices.Contains(items, item) && !slices.Contains(items, other) {
			return out["recommendationId"].(string)
		}
	}
	s.T.Fatalf("no answer shows %s without %s", item, other)
	return ""
}

// explored counts the answers, of so many, that show an item.
func (s story) explored(campaign, item string, answers int) (n int) {
	s.T.Helper()
	for range answers {
		if slices.Contains(s.Recommend(campaign, "canary-anybody", 100), item) {
			n++
		}
	}
	return n
}

// Neither the shop's schema nor an event of this test has an IMPRESSION: the item was shown by the answers that events name.
func TestItemsThatAnswersShowWithoutAnInteractionAreExploredLess(t *testing.T) {
	t.Parallel()
	s := newStory(t, "--update-period", "200ms")
	tracking := s.Tracker()
	campaign := exploring(s.Shop, s.Version(s.solution))
	s.add("new-1")
	s.add("new-2")
	const answers = 40
	both := func() bool {
		return s.explored(campaign, "new-1", answers) > answers/2 && s.explored(campaign, "new-2", answers) > answers/2
	}
	eventually(t, "both new items are explored", both)

	shown := s.showing(campaign, "new-1", "new-2")
	see := func(recommendationID string) {
		t.Helper()
		s.view(tracking, M{"recommendationId": recommendationID})
	}
	see("RID-00000000-0000-4000-8000-000000000000") // of nobody: accepted, and shows nothing
	see(shown)
	less := func() bool {
		return s.explored(campaign, "new-1", answers) < answers/2 && s.explored(campaign, "new-2", answers) > answers/2
	}
	eventually(t, "an item that is shown often and not taken is explored less", less)
	s.Stop()
	s.Restart()
	eventually(t, "and also after a restart", less)

	// Lists are made for users. When one is forgotten, nobody knows which lists were his: all of the group's go.
	s.Forget("canary-viewer")
	eventually(t, "what was shown before a deletion counts no more", both)
	s.Stop()
	s.Restart()
	eventually(t, "nor after a restart", both)
}

// An event that tells its impression and names an answer, too, was shown what it tells.
func TestAnImpressionOfAnEventCountsMoreThanTheAnswerThatItNames(t *testing.T) {
	t.Parallel()
	s := newStory(t, "--update-period", "200ms")
	tracking := s.Tracker()
	campaign := exploring(s.Shop, s.Version(s.solution))
	s.add("new-1")
	s.add("new-2")
	const answers = 40
	eventually(t, "both new items are explored", func() bool {
		return s.explored(campaign, "new-1", answers) > answers/2 && s.explored(campaign, "new-2", answers) > answers/2
	})
	answer := s.showing(campaign, "new-1", "new-2")
	s.view(tracking, M{"recommendationId": answer, "impression": []string{"item-0004", "new-2"}})
	eventually(t, "what the event says was shown is explored less, and what the answer showed is not", func() bool {
		return s.explored(campaign, "new-2", answers) < answers/2 && s.explored(campaign, "new-1", answers) > answers/2
	})
}

// view puts a hundred views of an old item, which also tell this.
func (s story) view(tracking string, told M) {
	s.T.Helper()
	event := M{"eventType": "view", "itemId": "item-0003", "sentAt": 1_600_000_000}
	maps.Copy(event, told)
	for range 10 {
		s.Must("PutEvents", M{"trackingId": tracking, "sessionId": "canary-session", "userId": "canary-viewer", "eventList": slices.Repeat([]M{event}, 10)})
	}
}
