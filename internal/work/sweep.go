package work

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/meta"
)

// SweepModels destroys what interrupted work has left in the directory of models: every entry that no resource and no job's checkpoint names. It runs before
// the queue does.
func SweepModels(ctx context.Context, db *meta.DB, dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep models: %w", err)
	}
	var named strings.Builder
	err = db.View(ctx, func(tx *meta.Tx) error {
		for _, kind := range []string{meta.SolutionVersion, meta.Recommender, meta.DeletionJob} {
			rows, err := tx.Find(meta.Query{Kind: kind})
			if err != nil {
				return err
			}
			for _, r := range rows {
				if kind != meta.DeletionJob { // the receipt of a deletion names models that are gone
					named.Write(r.Private)
				}
				named.Write(r.Job.Checkpoint)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sweep models: %w", err)
	}
	for _, e := range entries {
		if strings.Contains(named.String(), `"`+e.Name()+`"`) {
			continue
		}
		if err := blob.DestroyAll(dir + string(os.PathSeparator) + e.Name()); err != nil {
			return fmt.Errorf("sweep models: %w", err)
		}
	}
	return nil
}
