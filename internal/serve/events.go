package serve

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/schema"
)

// PutEvents stores what a user, or the anonymous visitor of a session, did with items. An event that was sent before its user was deleted and comes late, as
// clients' retries do, is accepted and dropped.
func (s *Service) PutEvents(ctx context.Context, in *api.PutEventsRequest) (*api.PutEventsResponse, error) {
	d, err := s.interactions(ctx, in.TrackingID)
	if err == nil {
		err = s.rates.admit(d.table.ID, s.limits.EventCalls)
	}
	if err != nil {
		return nil, err
	}
	rows := make([]dataset.Row, 0, len(in.EventList))
	var impressions [][]string
	stored := make([]*api.Event, 0, len(in.EventList))
	for i := range in.EventList {
		e := &in.EventList[i]
		row, err := interaction(d.table.Schema, in.UserID, in.SessionID, e)
		if err != nil {
			return nil, at("eventList", i, err)
		}
		if !s.engine.Late(d.table.Group, owner(in.UserID, in.SessionID), e.SentAt.Time) {
			rows = append(rows, row)
			impressions = append(impressions, s.unkept(d, e))
			stored = append(stored, e)
		}
	}
	var counts []dataset.Count
	for i, e := range stored {
		more, err := s.counts(ctx, d, e, rows[i])
		if err != nil {
			return nil, err
		}
		counts = append(counts, more...)
	}
	err = s.store(ctx, d, rows, counts...)
	if errors.Is(err, dataset.ErrNoTable) { // deleted since it was looked up
		err = api.Errorf(api.InvalidInput, "Resource Arn %s is in status %s.", d.arn, meta.DeleteInProgress)
	}
	if err != nil {
		return nil, err
	}
	for _, items := range impressions {
		s.shown.Impression(d.table.Group, items)
	}
	return nil, nil
}

// interaction makes the row of one event. An event without a user belongs to its session, until a training joins the two. itemId and eventValue may stand
// in the properties, as older clients have them; the schema then asks for the itemId.
func interaction(schema *schema.Schema, user, session string, e *api.Event) (dataset.Row, error) {
	source := ""
	if e.MetricAttribution != nil {
		source = e.MetricAttribution.EventAttributionSource
	}
	if err := checkEvent(e, e.Impression, e.EventID, e.EventType, e.ItemID, e.Properties, e.RecommendationID, source); err != nil {
		return dataset.Row{}, err
	}
	r := newRecord(schema)
	r.str("USER_ID", owner(user, session))
	r.str("ITEM_ID", e.ItemID)
	r.str("EVENT_TYPE", e.EventType)
	r.int("TIMESTAMP", e.SentAt.Unix())
	r.float("EVENT_VALUE", e.EventValue)
	r.str("RECOMMENDATION_ID", e.RecommendationID)
	r.str("EVENT_ATTRIBUTION_SOURCE", source)
	if err := r.impression(e.Impression); err != nil {
		return dataset.Row{}, err
	}
	return r.event(e.Properties, session, e.EventID)
}

// PutActionInteractions stores what users did with actions. Late events of deleted users are dropped as PutEvents drops them.
func (s *Service) PutActionInteractions(ctx context.Context, in *api.PutActionInteractionsRequest) (*api.PutActionInteractionsResponse, error) {
	d, err := s.actionInteractions(ctx, in.TrackingID)
	if err == nil {
		err = s.rates.admit(d.table.ID, s.limits.EventCalls)
	}
	if err != nil {
		return nil, err
	}
	rows := make([]dataset.Row, 0, len(in.ActionInteractions))
	for i := range in.ActionInteractions {
		e := &in.ActionInteractions[i]
		row, err := actionInteraction(d.table.Schema, e)
		if err != nil {
			return nil, at("actionInteractions", i, err)
		}
		if !s.engine.Late(d.table.Group, owner(e.UserID, e.SessionID), e.Timestamp.Time) {
			rows = append(rows, row)
		}
	}
	return nil, d.going(s.store(ctx, d, rows))
}

func actionInteraction(schema *schema.Schema, e *api.ActionInteraction) (dataset.Row, error) {
	if err := checkEvent(e, e.Impression, e.ActionID, e.UserID, e.SessionID, e.EventType, e.EventID, e.RecommendationID, e.Properties); err != nil {
		return dataset.Row{}, err
	}
	if !actionEvent(e.EventType) {
		return dataset.Row{}, api.Errorf(api.InvalidInput, "eventType must be Taken, Not Taken or Viewed.")
	}
	r := newRecord(schema)
	r.str("USER_ID", owner(e.UserID, e.SessionID))
	r.str("ACTION_ID", e.ActionID)
	r.str("EVENT_TYPE", e.EventType)
	r.int("TIMESTAMP", e.Timestamp.Unix())
	r.str("RECOMMENDATION_ID", e.RecommendationID)
	if err := r.impression(e.Impression); err != nil {
		return dataset.Row{}, err
	}
	return r.event(e.Properties, e.SessionID, e.EventID)
}

// actionEvent knows the three types in any case, with a space, an underscore or nothing between their words. They are stored as given.
func actionEvent(kind string) bool {
	switch fold(strings.ReplaceAll(kind, " ", "")) {
	case "taken", "nottaken", "viewed":
		return true
	}
	return false
}

// event completes the row of an event.
func (r record) event(properties, session, id string) (dataset.Row, error) {
	values, err := r.values(properties)
	if err != nil {
		return dataset.Row{}, err
	}
	if id == "" {
		id = uuid.NewString()
	}
	return dataset.Row{Values: values, Session: session, EventID: id}, nil
}

// owner is the id that an event is stored under.
func owner(user, session string) string {
	if user != "" {
		return user
	}
	return session
}
