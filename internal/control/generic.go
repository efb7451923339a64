package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

// lookup returns the resource of an ARN. An ARN of another kind, region or account names nothing.
func lookup(tx *meta.Tx, sc scope, kind, arn string) (*meta.Resource, error) {
	r, err := tx.Get(arn)
	if errors.Is(err, meta.ErrNotFound) || err == nil && (r.Kind != kind || r.Scope != sc.id()) {
		return nil, notFound(arn)
	}
	return r, err
}

func notFound(arn string) *api.Error {
	return api.Errorf(api.ResourceNotFound, "Resource Arn %s does not exist.", arn)
}

// vacant checks that nothing has the ARN of a resource to be created, not even something that is being deleted.
func vacant(tx *meta.Tx, arn string) error {
	_, err := tx.Get(arn)
	if errors.Is(err, meta.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return taken(arn)
}

func taken(arn string) *api.Error {
	return api.Errorf(api.ResourceAlreadyExists, "Another resource with Arn %s already exists.", arn)
}

// insert adds a resource with its Describe shape doc, its private part (nil: none) and its tags. r brings ARN, Kind, Name, Group, Parent and Job;
// the status is CREATE PENDING unless r says another.
func (s *Service) insert(tx *meta.Tx, sc scope, r *meta.Resource, doc, private any, tags []api.Tag) error {
	if err := s.tagLimit(len(tags)); err != nil {
		return err
	}
	r.Scope = sc.id()
	if r.Status == "" && r.Kind != meta.Schema {
		r.Status = meta.CreatePending
	}
	if err := errors.Join(r.SetDoc(doc), r.SetPrivate(private)); err != nil {
		return err
	}
	if err := tx.Insert(r); err != nil {
		if errors.Is(err, meta.ErrExists) {
			return taken(r.ARN)
		}
		return err
	}
	return tx.SetTags(r.ARN, tagMap(tags))
}

// describe answers a Describe operation.
func describe[T any](ctx context.Context, s *Service, kind, arn string) (shape *T, err error) {
	err = s.meta.View(ctx, func(tx *meta.Tx) error {
		r, err := lookup(tx, scopeOf(ctx), kind, arn)
		if err != nil {
			return err
		}
		shape, err = shapeOf[T](r)
		return err
	})
	return shape, err
}

// shapeOf decodes a resource into its Describe shape, or into the smaller shape of its List.
func shapeOf[T any](r *meta.Resource) (*T, error) {
	text, err := r.Describe()
	if err != nil {
		return nil, err
	}
	shape := new(T)
	if err := json.Unmarshal(text, shape); err != nil {
		return nil, fmt.Errorf("decode %s: %w", r.ARN, err)
	}
	return shape, nil
}

// listing is a List request.
type listing struct {
	kind       string
	parentKind string   // kind of the resource that the list may be restricted to
	parent     string   // its ARN, "" = all of the caller's resources of the kind
	missing    api.Code // the answer to a parent that does not exist; "" = InvalidInput
	nextToken  string
	maxResults *int
}

// list answers a List operation: newest first.
func list[S any](ctx context.Context, s *Service, l listing) (page []S, nextToken string, err error) {
	sc := scopeOf(ctx)
	p := pages{kind: l.kind, filter: l.parent, scope: sc.id()}
	err = s.meta.View(ctx, func(tx *meta.Tx) error {
		if err := l.checkParent(tx, sc); err != nil {
			return err
		}
		key, err := tx.PageKey()
		if err != nil {
			return err
		}
		before, err := p.position(key, l.nextToken)
		if err != nil {
			return err
		}
		limit := pageSize(l.maxResults)
		found, err := tx.Find(meta.Query{Kind: l.kind, Scope: sc.id(), Parent: l.parent, Before: before, Limit: limit + 1})
		if err != nil {
			return err
		}
		if len(found) > limit { // one more is there, so there is a next page
			found = found[:limit]
			nextToken = p.token(key, found[limit-1].Seq)
		}
		for _, r := range found {
			summary, err := shapeOf[S](r)
			if err != nil {
				return err
			}
			page = append(page, *summary)
		}
		return nil
	})
	return page, nextToken, err
}

func (l listing) checkParent(tx *meta.Tx, sc scope) error {
	if l.parent == "" {
		return nil
	}
	_, err := lookup(tx, sc, l.parentKind, l.parent)
	var absent *api.Error
	if errors.As(err, &absent) && l.missing == "" {
		return api.Errorf(api.InvalidInput, "%s", absent.Message)
	}
	return err
}

// remove answers a Delete operation: the resource goes to DELETE PENDING and leaves by a job. check names what still needs it; nil: nothing can.
func (s *Service) remove(ctx context.Context, kind, arn string, check func(tx *meta.Tx, r *meta.Resource) error) error {
	return s.update(ctx, func(tx *meta.Tx) error {
		r, err := lookup(tx, scopeOf(ctx), kind, arn)
		if err != nil {
			return err
		}
		if err := removable(r); err != nil {
			return err
		}
		if check != nil {
			if err := check(tx, r); err != nil {
				return err
			}
		}
		r.Status = meta.DeletePending
		r.Job = meta.Job{Kind: job.Remove}
		return tx.Put(r)
	})
}

// none checks that no resource matches a query: r cannot go while one does.
func none(tx *meta.Tx, r *meta.Resource, q meta.Query) error {
	q.Limit = 1
	found, err := tx.Find(q)
	if err != nil || len(found) == 0 {
		return err
	}
	return blocked(r, found[0])
}
