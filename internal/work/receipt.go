package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/receipt"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/verify"
)

// noteBefore writes down when the mask came into force and what the tables were like then, for the receipt.
func (e *erasureRun) noteBefore(ctx context.Context) error {
	datasets, err := e.find(ctx, meta.Query{Kind: meta.Dataset, Group: e.group.ARN})
	if err != nil {
		return err
	}
	e.state.Hidden, e.state.Before = time.Now(), make(map[string]receipt.Files)
	for _, r := range datasets {
		t, err := tableOf(r)
		if err != nil {
			return err
		}
		var f receipt.Files
		if f.Files, f.Rows, f.SHA256, err = e.Engine.Fingerprint(ctx, t); err != nil {
			return err
		}
		e.state.Before[t.ID] = f
	}
	return e.task.Save(ctx, e.state)
}

// receipt is the last step.
func (e *erasureRun) receipt(ctx context.Context) error {
	if err := e.writeReceipt(ctx, ""); err != nil {
		return err
	}
	return e.Engine.Unhide(ctx, e.id, e.state.ID)
}

// writeReceipt signs what the deletion has done; leak says what the search found, "" if nothing. A job that is repeated keeps the receipt that it has.
func (e *erasureRun) writeReceipt(ctx context.Context, leak string) error {
	row := e.task.Resource()
	r := receipt.Receipt{
		Erasure: e.state.ID, Reapplied: e.state.Reapplied, Job: row.ARN, Group: e.group.ARN, Status: meta.Completed, Created: row.Created.UTC(), Hidden: e.state.Hidden.UTC(), Finished: time.Now().UTC(), Cut: e.state.Cut,
		Input:        receipt.Input{Users: e.state.Users, Digest: e.state.Digest},
		Datasets:     []receipt.Dataset{},
		Models:       []receipt.Model{},
		Verification: receipt.Verification{Clean: leak == ""},
		Build:        receipt.Build{Version: e.Version, Go: runtime.Version()},
	}
	if leak != "" {
		r.Status, r.Reason = meta.Failed, leak
	}
	for _, p := range verify.Places() {
		r.Verification.Places = append(r.Verification.Places, receipt.Place{Name: p.Name, Checked: e.state.Checked[p.Name]})
	}
	datasets, err := e.find(ctx, meta.Query{Kind: meta.Dataset, Group: e.group.ARN})
	if err != nil {
		return err
	}
	for _, row := range datasets {
		d, err := e.datasetOf(ctx, row)
		if err != nil {
			return err
		}
		r.NumDeleted += d.Removed + d.KeptOut
		r.Datasets = append(r.Datasets, d)
	}
	for _, m := range e.state.Models {
		model, err := e.modelFor(m)
		if err != nil {
			return err
		}
		r.Models = append(r.Models, model)
	}
	salt := e.state.Salt
	if e.state.Digest == "" { // applied once more, from the ledger: its list is not at hand as it was
		salt = ""
	}
	if err := e.receipts.Append(r, salt, time.Now()); err != nil {
		return fmt.Errorf("write the receipt: %w", err)
	}
	return nil
}

// ReceiptsDir is the directory of the receipts below the data directory.
const ReceiptsDir = "receipts"

func (e *erasureRun) datasetOf(ctx context.Context, row *meta.Resource) (d receipt.Dataset, err error) {
	doc, err := meta.Doc[api.Dataset](row)
	if err != nil {
		return d, err
	}
	t, err := tableOf(row)
	if err != nil {
		return d, err
	}
	d = receipt.Dataset{Dataset: row.ARN, Type: doc.DatasetType, Removed: e.state.Removed[t.ID], KeptOut: e.state.KeptOut[t.ID], Before: e.state.Before[t.ID]}
	d.After.Files, d.After.Rows, d.After.SHA256, err = e.Engine.Fingerprint(ctx, t)
	return d, err
}

// modelFor describes a model as it is now. Its directory may be gone: a later training may have replaced it.
func (e *erasureRun) modelFor(m rebuiltModel) (receipt.Model, error) {
	out := receipt.Model{Resource: m.ARN, Before: m.OldHash, After: m.OldHash}
	dir := m.Old
	switch {
	case m.Leaves:
		out.Removed, out.After = true, ""
		return out, nil
	case m.New != "":
		out.Rebuilt, out.After, dir = true, m.NewHash, m.New
	}
	out.Replaced = m.OldManifest
	var err error
	out.Manifest, err = e.manifestOf(dir)
	return out, err
}

// manifestOf reads the manifest of a model; nil if the model is gone.
func (w *worker) manifestOf(dir string) (json.RawMessage, error) {
	text, err := os.ReadFile(filepath.Join(w.model(dir), recipe.ManifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}
