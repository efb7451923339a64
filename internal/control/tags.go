package control

import (
	"strings"

	"github.com/palate-dev/palate/internal/api"
)

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
