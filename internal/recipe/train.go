package recipe

import (
	"context"
	"errors"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/quota"
)

var errNotBuilt = errors.New("recipe: training is not built yet")

// Train trains cfg's recipe on the events and writes the model into the new directory dir, durably and as a whole. items are the ids of the
// Items dataset. Progress may be nil.
func Train(ctx context.Context, ev *dataset.Events, items []string, cfg Config, lim quota.Limits, dir string, progress Progress) (*Manifest, error) {
	return nil, errNotBuilt
}

// Retrain writes into the new directory to what Train would have written on the data of the model in from without some users. touched says
// whether any of them had been in it. The limits of data do not apply: an erasure may leave less than a training may start from.
func Retrain(ctx context.Context, from string, without *dataset.UserSet, to string, progress Progress) (m *Manifest, touched bool, err error) {
	return nil, false, errNotBuilt
}
