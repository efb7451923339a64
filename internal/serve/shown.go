package serve

import (
	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/shown"
)

// remember names a response, so that later events can refer to it, and keeps in mind what it showed.
func (s *Service) remember(t *target, list []api.PredictedItem) (recommendationID string) {
	id := shown.NewID()
	if s.shown == nil {
		return id
	}
	items := make([]string, len(list))
	for i := range list {
		items[i] = list[i].ItemID
	}
	s.shown.Note(id, shown.Answer{Target: t.arn, Group: t.events, Items: items, At: s.clock()})
	return id
}

// unkept is what an event shows that its row cannot tell. An explicit impression beats the answer that the event names. Where the schema has a field for either,
// the row keeps it, and automatic updates read it there.
func (s *Service) unkept(d *sink, e *api.Event) (items []string) {
	switch {
	case len(e.Impression) > 0:
		if d.table.Schema.Index("IMPRESSION") < 0 {
			return e.Impression
		}
	case e.RecommendationID != "" && d.table.Schema.Index("RECOMMENDATION_ID") < 0:
		return answers{s.shown, d.table.Group}.Items(e.RecommendationID)
	}
	return nil
}

// answers is what the answers to requests of one dataset group showed.
type answers struct {
	log   *shown.Log
	group string
}

// Items lists what an answer showed. What is unknown, and what another group answered, showed nothing.
func (a answers) Items(recommendationID string) []string {
	if found, ok := a.log.Find(recommendationID); ok && found.Group == a.group {
		return found.Items
	}
	return nil
}

// target is the campaign or recommender that gave an answer, "" if it is unknown or another group's.
func (a answers) target(recommendationID string) string {
	if found, ok := a.log.Find(recommendationID); ok && found.Group == a.group {
		return found.Target
	}
	return ""
}

// AnswerTarget is the campaign or recommender that gave an answer to a request of a dataset group, by the engine's name of it; "" if nobody remembers.
func (s *Service) AnswerTarget(group, recommendationID string) string {
	return answers{s.shown, group}.target(recommendationID)
}

func (a answers) Impressions(yield func(item string)) error {
	return a.log.Impressions(a.group, yield)
}
