package control

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
)

// taggable are the kinds that have tags.
var taggable = []string{meta.DatasetGroup, meta.Dataset, meta.ImportJob, meta.ExportJob, meta.DeletionJob, meta.EventTracker, meta.Filter,
	meta.Solution, meta.SolutionVersion, meta.Campaign, meta.Recommender, meta.BatchInferenceJob, meta.BatchSegmentJob}

// maxTagKeys is how many keys UntagResource takes at once.
const maxTagKeys = 50

// TagResource adds tags to a resource; a key that it has already gets the new value.
func (s *Service) TagResource(ctx context.Context, in *api.TagResourceRequest) (*api.TagResourceResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	err := s.meta.Update(ctx, func(tx *meta.Tx) error {
		r, err := s.tagged(ctx, tx, in.ResourceARN)
		if err != nil {
			return err
		}
		if isDeleting(r) {
			return inUse(r)
		}
		tags, err := tx.Tags(r.ARN)
		if err != nil {
			return err
		}
		added := tagMap(in.Tags)
		maps.Copy(tags, added)
		if err := s.tagLimit(len(tags)); err != nil {
			return err
		}
		return tx.SetTags(r.ARN, added)
	})
	return &api.TagResourceResponse{}, err
}

// UntagResource removes tags by key.
func (s *Service) UntagResource(ctx context.Context, in *api.UntagResourceRequest) (*api.UntagResourceResponse, error) {
	err := s.meta.Update(ctx, func(tx *meta.Tx) error {
		r, err := s.tagged(ctx, tx, in.ResourceARN)
		if err != nil {
			return err
		}
		if isDeleting(r) {
			return inUse(r)
		}
		if len(in.TagKeys) > maxTagKeys {
			return api.Errorf(api.TooManyTagKeys, "A request cannot have more than %d tag keys.", maxTagKeys)
		}
		return tx.RemoveTags(r.ARN, in.TagKeys)
	})
	return &api.UntagResourceResponse{}, err
}

// ListTagsForResource returns all tags of a resource, by key.
func (s *Service) ListTagsForResource(ctx context.Context, in *api.ListTagsForResourceRequest) (*api.ListTagsForResourceResponse, error) {
	out := &api.ListTagsForResourceResponse{Tags: []api.Tag{}}
	err := s.meta.View(ctx, func(tx *meta.Tx) error {
		r, err := s.tagged(ctx, tx, in.ResourceARN)
		if err != nil {
			return err
		}
		tags, err := tx.Tags(r.ARN)
		for _, key := range slices.Sorted(maps.Keys(tags)) {
			out.Tags = append(out.Tags, api.Tag{TagKey: key, TagValue: tags[key]})
		}
		return err
	})
	return out, err
}

// tagged returns the resource of an ARN whose kind has tags.
func (s *Service) tagged(ctx context.Context, tx *meta.Tx, arn string) (*meta.Resource, error) {
	kind := arnKind(arn)
	if kind == meta.Solution && strings.Contains(arnPath(arn), "/") {
		kind = meta.SolutionVersion
	}
	if slices.Contains(untaggable, kind) {
		return nil, api.Errorf(api.InvalidInput, "Resources of type %s cannot have tags.", kind)
	}
	if !slices.Contains(taggable, kind) {
		return nil, notFound(arn)
	}
	return lookup(tx, scopeOf(ctx), kind, arn)
}

// untaggable are the words of ARNs that name something, but nothing that has tags.
var untaggable = []string{meta.Schema, meta.MetricAttribution, "recipe", "algorithm", "feature-transformation"}

// checkTags holds the rules of a list of tags that its shape does not: a key once, and not one of Amazon's own.
func checkTags(tags []api.Tag) error {
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		if strings.HasPrefix(strings.ToLower(t.TagKey), "aws:") {
			return api.Errorf(api.InvalidInput, "Tag key %s is not valid: the prefix aws: is reserved.", t.TagKey)
		}
		if seen[t.TagKey] {
			return api.Errorf(api.InvalidInput, "Tag key %s occurs more than once.", t.TagKey)
		}
		seen[t.TagKey] = true
	}
	return nil
}

// tagLimit checks that a resource may have n tags.
func (s *Service) tagLimit(n int) error {
	if s.limits.Tags == 0 || n <= s.limits.Tags {
		return nil
	}
	return api.Errorf(api.TooManyTags, "A resource cannot have more than %d tags.", s.limits.Tags)
}

func tagMap(tags []api.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.TagKey] = t.TagValue
	}
	return m
}
