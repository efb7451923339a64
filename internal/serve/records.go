package serve

import (
	"context"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/schema"
)

// PutItems stores items; each replaces the record of its id as a whole.
func (s *Service) PutItems(ctx context.Context, in *api.PutItemsRequest) (*api.PutItemsResponse, error) {
	return nil, put(ctx, s, in.DatasetARN, schema.Items, "items", in.Items, func(i *api.Item) (field, id, properties string) {
		return "ITEM_ID", i.ItemID, i.Properties
	})
}

// PutUsers stores users; each replaces the record of its id as a whole.
func (s *Service) PutUsers(ctx context.Context, in *api.PutUsersRequest) (*api.PutUsersResponse, error) {
	return nil, put(ctx, s, in.DatasetARN, schema.Users, "users", in.Users, func(u *api.User) (field, id, properties string) {
		return "USER_ID", u.UserID, u.Properties
	})
}

// PutActions stores actions; each replaces the record of its id as a whole.
func (s *Service) PutActions(ctx context.Context, in *api.PutActionsRequest) (*api.PutActionsResponse, error) {
	return nil, put(ctx, s, in.DatasetARN, schema.Actions, "actions", in.Actions, func(a *api.Action) (field, id, properties string) {
		return "ACTION_ID", a.ActionID, a.Properties
	})
}

// put stores the records of one call, in their order: of two with the same id the later one stays.
func put[T any](ctx context.Context, s *Service, arn string, kind schema.Type, member string, records []T, read func(*T) (field, id, properties string)) error {
	d, err := s.dataset(ctx, arn, kind)
	if err == nil {
		err = s.rates.admit(d.table.ID, s.limits.RecordCalls)
	}
	if err != nil {
		return err
	}
	rows := make([]dataset.Row, len(records))
	for i := range records {
		field, id, properties := read(&records[i])
		r := newRecord(d.table.Schema)
		r.str(field, id)
		values, err := r.values(properties)
		if err != nil {
			return at(member, i, err)
		}
		rows[i].Values = values
	}
	return d.going(s.store(ctx, d, rows))
}
