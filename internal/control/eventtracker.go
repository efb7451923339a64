package control

import (
	"context"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

// CreateEventTracker creates the one event tracker of a group. Its ARN ends in a random word, so names are compared here.
func (s *Service) CreateEventTracker(ctx context.Context, in *api.CreateEventTrackerRequest) (*api.CreateEventTrackerResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	sc := scopeOf(ctx)
	doc := api.EventTracker{Name: in.Name, EventTrackerARN: sc.arn(meta.EventTracker, newSuffix()), AccountID: sc.account, TrackingID: newUUID(),
		DatasetGroupARN: in.DatasetGroupARN}
	err := s.update(ctx, func(tx *meta.Tx) error {
		group, err := lookup(tx, sc, meta.DatasetGroup, in.DatasetGroupARN)
		if err != nil {
			return err
		}
		for _, q := range []meta.Query{{Kind: meta.EventTracker, Scope: sc.id(), Name: in.Name}, {Kind: meta.EventTracker, Group: group.ARN}} {
			found, err := tx.Find(q)
			if err != nil {
				return err
			}
			if len(found) > 0 {
				return taken(found[0].ARN)
			}
		}
		if err := usable(group); err != nil {
			return err
		}
		r := &meta.Resource{ARN: doc.EventTrackerARN, Kind: meta.EventTracker, Name: in.Name, Group: group.ARN, Parent: group.ARN, Job: meta.Job{Kind: job.Activate}}
		return s.insert(tx, sc, r, doc, nil, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateEventTrackerResponse{EventTrackerARN: doc.EventTrackerARN, TrackingID: doc.TrackingID}, nil
}

// DescribeEventTracker describes an event tracker.
func (s *Service) DescribeEventTracker(ctx context.Context, in *api.DescribeEventTrackerRequest) (*api.DescribeEventTrackerResponse, error) {
	tracker, err := describe[api.EventTracker](ctx, s, meta.EventTracker, in.EventTrackerARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeEventTrackerResponse{EventTracker: tracker}, nil
}

// ListEventTrackers lists the event trackers of a group, or all of the caller's.
func (s *Service) ListEventTrackers(ctx context.Context, in *api.ListEventTrackersRequest) (*api.ListEventTrackersResponse, error) {
	page, next, err := list[api.EventTrackerSummary](ctx, s, listing{kind: meta.EventTracker, parentKind: meta.DatasetGroup, parent: in.DatasetGroupARN,
		nextToken: in.NextToken, maxResults: in.MaxResults})
	if err != nil {
		return nil, err
	}
	return &api.ListEventTrackersResponse{EventTrackers: page, NextToken: next}, nil
}

// DeleteEventTracker deletes an event tracker. Its dataset and the events it brought stay.
func (s *Service) DeleteEventTracker(ctx context.Context, in *api.DeleteEventTrackerRequest) (*api.DeleteEventTrackerResponse, error) {
	return &api.DeleteEventTrackerResponse{}, s.remove(ctx, meta.EventTracker, in.EventTrackerARN, nil)
}
