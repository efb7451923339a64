package control

import (
	"slices"
	"strings"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

// What the statuses allow. How they follow each other stands in package meta, which refuses any other step.
var (
	// pending jobs and resources wait for work or are at work.
	pending = []string{meta.CreatePending, meta.CreateInProgress, meta.CreateStopping, meta.Pending, meta.InProgress}
	// living resources count against the quotas of active ones: those being created take a place already, failed and leaving ones do not.
	living = []string{meta.CreatePending, meta.CreateInProgress, meta.Active, meta.UpdatePending, meta.UpdateInProgress,
		meta.StopPending, meta.StopInProgress, meta.Inactive, meta.StartPending, meta.StartInProgress}
	// deletable is from where a resource may be deleted: these statuses change only when a client asks for it.
	deletable = []string{meta.Active, meta.CreateFailed, meta.Inactive, meta.CreateStopped}
)

// usable checks that a resource can be built upon: it is ACTIVE, or has no status at all.
func usable(r *meta.Resource) error {
	switch r.Status {
	case meta.Active, "":
		return nil
	case meta.CreateFailed, meta.CreateStopped, meta.Inactive:
		return api.Errorf(api.InvalidInput, "Resource %s cannot be used because its status is %s.", r.ARN, r.Status)
	}
	return inUse(r)
}

// inUse is the answer to a call that the resource's status does not admit. Waiting helps only where a status is on its way to another.
func inUse(r *meta.Resource) *api.Error {
	if slices.Contains(deletable, r.Status) {
		return api.Errorf(api.ResourceInUse, "Resource %s has status %s, which does not allow this operation.", r.ARN, r.Status)
	}
	return api.Errorf(api.ResourceInUse, "Resource %s has status %s. Wait until it is complete and try again.", r.ARN, r.Status)
}

// blocked is the answer to the deletion of a resource that another one needs.
func blocked(r, by *meta.Resource) *api.Error {
	return api.Errorf(api.ResourceInUse, "Resource %s is used by %s with status %s.", r.ARN, by.ARN, by.Status)
}

func isPending(r *meta.Resource) bool { return slices.Contains(pending, r.Status) }

// isBusy tells whether a job works on the row that no other may displace. Those of which clients know nothing may be displaced: they
// fall due again.
func isBusy(r *meta.Resource) bool {
	return r.Job.Kind != "" && r.Job.Kind != job.Refresh && r.Job.Kind != job.Retrain
}

func isDeleting(r *meta.Resource) bool { return strings.HasPrefix(r.Status, "DELETE ") }

// pendingLimit checks the quota of jobs that wait or run, before one more is added to n. No limit is 0.
func pendingLimit(limit, n int) error {
	if limit == 0 || n < limit {
		return nil
	}
	return api.Errorf(api.LimitExceeded, "More than %d resources with PENDING or IN_PROGRESS status.", limit)
}

// activeLimit checks the quota of resources that are active, before one more is added to n.
func activeLimit(limit, n int) error {
	if limit == 0 || n < limit {
		return nil
	}
	return api.Errorf(api.LimitExceeded, "More than %d resources in ACTIVE state. Please delete some and try again.", limit)
}

// removable checks that the status of a resource, and work still to be done for it, admit its deletion.
func removable(r *meta.Resource) error {
	if !slices.Contains(deletable, r.Status) {
		return inUse(r)
	}
	if isBusy(r) {
		return api.Errorf(api.ResourceInUse, "Resource %s is being updated. Wait until it is complete and try again.", r.ARN)
	}
	return nil
}
