package control

import (
	"context"
	"errors"
	"strings"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/recipe"
)

// latestSelector, in place of a version's own suffix, names the newest ACTIVE version of a solution.
const latestSelector = "/$LATEST"

// deployment is a solution version that a campaign is to serve.
type deployment struct {
	version *meta.Resource
	entry   *recipe.Entry
	data    groupData
}

// CreateCampaign deploys a version.
func (s *Service) CreateCampaign(ctx context.Context, in *api.CreateCampaignRequest) (*api.CreateCampaignResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if follows(in.CampaignConfig) && !isLatest(in.SolutionVersionARN) {
		return nil, errSyncWithoutLatest()
	}
	sc := scopeOf(ctx)
	arn := sc.arn(meta.Campaign, in.Name)
	err := s.update(ctx, func(tx *meta.Tx) error {
		named, err := lookupVersion(tx, sc, in.SolutionVersionARN)
		if err != nil {
			return err
		}
		if err := vacant(tx, arn); err != nil {
			return err
		}
		d, err := deployable(tx, named)
		if err != nil {
			return err
		}
		config, err := d.checkConfig(in.CampaignConfig)
		if err != nil {
			return err
		}
		n, err := tx.Count(meta.Query{Kind: meta.Campaign, Group: d.version.Group, Statuses: living})
		if err != nil {
			return err
		}
		if err := activeLimit(s.limits.Campaigns, n); err != nil {
			return err
		}
		r := &meta.Resource{
			ARN: arn, Kind: meta.Campaign, Name: in.Name, Group: d.version.Group, Parent: d.version.Parent, Job: meta.Job{Kind: job.Deploy},
		}
		doc := api.Campaign{Name: in.Name, CampaignARN: arn, SolutionVersionARN: d.version.ARN, MinProvisionedTPS: in.MinProvisionedTPS, CampaignConfig: config}
		if doc.MinProvisionedTPS == nil {
			doc.MinProvisionedTPS = new(1)
		}
		return s.insert(tx, sc, r, doc, nil, in.Tags)
	})
	if err != nil {
		return nil, err
	}
	return &api.CreateCampaignResponse{CampaignARN: arn}, nil
}

func isLatest(version string) bool { return strings.HasSuffix(version, latestSelector) }

// follows tells whether a campaign moves to each new version: to say so in a request takes $LATEST, so that its configuration is all there is to know.
func follows(c *api.CampaignConfig) bool { return c != nil && isTrue(c.SyncWithLatestSolutionVersion) }

func errSyncWithoutLatest() error {
	return api.Errorf(api.InvalidInput, "syncWithLatestSolutionVersion requires a solutionVersionArn of the form {solutionArn}%s.", latestSelector)
}

// lookupVersion returns the version of an ARN, or of $LATEST the solution.
func lookupVersion(tx *meta.Tx, sc scope, arn string) (*meta.Resource, error) {
	if !isLatest(arn) {
		return lookup(tx, sc, meta.SolutionVersion, arn)
	}
	r, err := lookup(tx, sc, meta.Solution, solutionOf(arn))
	if absent := (*api.Error)(nil); errors.As(err, &absent) {
		return nil, notFound(arn)
	}
	return r, err
}

// deployable turns what lookupVersion found into a version that can serve requests in real time.
func deployable(tx *meta.Tx, named *meta.Resource) (d deployment, err error) {
	if err := usable(named); err != nil {
		return d, err
	}
	d.version = named
	if named.Kind == meta.Solution {
		if d.version, err = newestActive(tx, named.ARN); err != nil {
			return d, err
		}
		if d.version == nil {
			return d, api.Errorf(api.InvalidInput, "Solution %s has no ACTIVE solution version.", named.ARN)
		}
	} else if solution, err := tx.Get(named.Parent); err != nil {
		return d, err
	} else if isDeleting(solution) {
		return d, inUse(solution)
	}
	doc, err := meta.Doc[api.SolutionVersion](d.version)
	if err != nil {
		return d, err
	}
	if d.entry, err = lookupRecipe(doc.RecipeARN); err != nil {
		return d, err
	}
	if !d.entry.Has(recipe.RealTime) {
		return d, api.Errorf(api.InvalidInput, "A solution version of recipe %s cannot be deployed in a campaign.", d.entry.Name)
	}
	d.data, err = dataOf(tx, d.version.Group)
	return d, err
}

// newestActive returns the newest ACTIVE version of a solution, nil if it has none.
func newestActive(tx *meta.Tx, solution string) (*meta.Resource, error) {
	found, err := tx.Find(meta.Query{Kind: meta.SolutionVersion, Parent: solution, Statuses: []string{meta.Active}, Limit: 1})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

// checkConfig checks a configuration against the recipe and the data of what is deployed, and returns it with plain names.
func (d deployment) checkConfig(given *api.CampaignConfig) (*api.CampaignConfig, error) {
	if given == nil {
		return nil, nil
	}
	c := *given
	var err error
	if c.ItemExplorationConfig, err = checkExploration(d.entry, c.ItemExplorationConfig); err != nil {
		return nil, err
	}
	if err := checkRankingInfluence(d.entry, c.RankingInfluence); err != nil {
		return nil, err
	}
	return &c, checkMetadata(d.entry, c.EnableMetadataWithRecommendations, d.data)
}

func (s *Service) DescribeCampaign(ctx context.Context, in *api.DescribeCampaignRequest) (*api.DescribeCampaignResponse, error) {
	c, err := describe[api.Campaign](ctx, s, meta.Campaign, in.CampaignARN)
	if err != nil {
		return nil, err
	}
	return &api.DescribeCampaignResponse{Campaign: c}, nil
}

func (s *Service) ListCampaigns(ctx context.Context, in *api.ListCampaignsRequest) (*api.ListCampaignsResponse, error) {
	page, next, err := list[api.CampaignSummary](ctx, s, listing{
		kind: meta.Campaign, parentKind: meta.Solution, parent: in.SolutionARN, nextToken: in.NextToken, maxResults: in.MaxResults,
	})
	if err != nil {
		return nil, err
	}
	return &api.ListCampaignsResponse{Campaigns: page, NextToken: next}, nil
}

// UpdateCampaign writes the change down in latestCampaignUpdate, complete; the old deployment serves until a job has made it ACTIVE.
func (s *Service) UpdateCampaign(ctx context.Context, in *api.UpdateCampaignRequest) (*api.UpdateCampaignResponse, error) {
	if in.SolutionVersionARN != "" && follows(in.CampaignConfig) && !isLatest(in.SolutionVersionARN) {
		return nil, errSyncWithoutLatest()
	}
	err := s.update(ctx, func(tx *meta.Tx) error {
		sc := scopeOf(ctx)
		r, err := lookup(tx, sc, meta.Campaign, in.CampaignARN)
		if err != nil {
			return err
		}
		doc, err := meta.Doc[api.Campaign](r)
		if err != nil {
			return err
		}
		wanted := doc.SolutionVersionARN
		if in.SolutionVersionARN != "" {
			wanted = in.SolutionVersionARN
		}
		named, err := lookupVersion(tx, sc, wanted)
		if err != nil {
			return err
		}
		if err := updatable(r, meta.Active, meta.CreateFailed); err != nil {
			return err
		}
		d, err := deployable(tx, named)
		if err != nil {
			return err
		}
		return s.redeploy(tx, r, doc, d, in)
	})
	if err != nil {
		return nil, err
	}
	return &api.UpdateCampaignResponse{CampaignARN: in.CampaignARN}, nil
}

// redeploy checks an update against the campaign as it is, and enqueues it. What the request leaves out keeps its value.
func (s *Service) redeploy(tx *meta.Tx, r *meta.Resource, doc api.Campaign, d deployment, in *api.UpdateCampaignRequest) error {
	if d.version.Group != r.Group {
		return api.Errorf(api.InvalidInput, "Solution version %s belongs to another dataset group than the campaign.", d.version.ARN)
	}
	config := doc.CampaignConfig
	if in.CampaignConfig != nil {
		config = in.CampaignConfig
	}
	latest := follows(doc.CampaignConfig)
	if in.SolutionVersionARN != "" {
		latest = isLatest(in.SolutionVersionARN)
	}
	if follows(config) && !latest {
		return errSyncWithoutLatest()
	}
	config, err := d.checkConfig(config)
	if err != nil {
		return err
	}
	tps := doc.MinProvisionedTPS
	if in.MinProvisionedTPS != nil {
		tps = in.MinProvisionedTPS
	}
	return s.enqueueDeployment(tx, r, doc, api.CampaignUpdateSummary{SolutionVersionARN: d.version.ARN, MinProvisionedTPS: tps, CampaignConfig: config})
}

// enqueueDeployment writes an update of a campaign down together with its job.
func (s *Service) enqueueDeployment(tx *meta.Tx, r *meta.Resource, doc api.Campaign, u api.CampaignUpdateSummary) error {
	now := api.NewTime(s.now())
	u.Status, u.CreationDateTime, u.LastUpdatedDateTime = meta.CreatePending, now, now
	doc.LatestCampaignUpdate = &u
	r.Job = meta.Job{Kind: job.Update}
	if err := r.SetDoc(doc); err != nil {
		return err
	}
	return tx.Put(r)
}

// DeleteCampaign leaves the solution versions alone.
func (s *Service) DeleteCampaign(ctx context.Context, in *api.DeleteCampaignRequest) (*api.DeleteCampaignResponse, error) {
	if err := s.remove(ctx, meta.Campaign, in.CampaignARN, nil); err != nil {
		return nil, err
	}
	return &api.DeleteCampaignResponse{}, nil
}

// deploys reports whether a campaign serves a version of the solution, or is about to.
func deploys(campaign *meta.Resource, solution string) (bool, error) {
	doc, err := meta.Doc[api.Campaign](campaign)
	if err != nil {
		return false, err
	}
	if solutionOf(doc.SolutionVersionARN) == solution {
		return true, nil
	}
	return campaign.Job.Kind == job.Update && solutionOf(doc.LatestCampaignUpdate.SolutionVersionARN) == solution, nil
}
