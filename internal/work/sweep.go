package work

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/meta"
)

// SweepModels destroys what interrupted work has left in the directory of models: every entry that no resource and no job's checkpoint names. It runs before
// the queue does.
func SweepModels(ctx context.Context, db *meta.DB, dir string) error {
	names, err := unnamedModels(ctx, db, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := blob.DestroyAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("sweep models: %w", err)
		}
	}
	return nil
}

// destroyUnnamed is SweepModels beside running jobs.
func (w *worker) destroyUnnamed(ctx context.Context) error {
	names, err := unnamedModels(ctx, w.Meta, w.Models)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := w.destroyModel(name); err != nil {
			return fmt.Errorf("sweep models: %w", err)
		}
	}
	return nil
}

// unnamedModels lists the model directories that no resource and no job's checkpoint names. Every job writes the name of a directory down before it makes it, so
// what is listed first and looked up afterwards is not a directory that is being made.
func unnamedModels(ctx context.Context, db *meta.DB, dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sweep models: %w", err)
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
		return nil, fmt.Errorf("sweep models: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !strings.Contains(named.String(), `"`+e.Name()+`"`) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
