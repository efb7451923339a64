package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/receipt"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/userset"
	"github.com/palate-dev/palate/internal/work"
)

// eraseCommand is what the flags say.
type eraseCommand struct {
	data, group, list, s3, endpoint string
	dryRun, json                    bool
}

func runErase(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c eraseCommand
	flags := flag.NewFlagSet("erase", flag.ContinueOnError)
	flags.BoolVar(&c.dryRun, "dry-run", false, "only tell what would change; required: users are deleted by CreateDataDeletionJob")
	flags.StringVar(&c.data, "data", "palate-data", "`DIR` of the server, running or not")
	flags.StringVar(&c.group, "group", "", "`ARN` of the dataset group")
	flags.StringVar(&c.list, "list", "", "`FILE` with the users: a CSV with the one column USER_ID")
	flags.StringVar(&c.s3, "s3", "", "`s3://BUCKET/KEY` or s3://BUCKET/FOLDER/ with the users, as in dataLocation")
	flags.StringVar(&c.endpoint, "s3-endpoint", "http://127.0.0.1:4725", "`URL` of the S3 of --s3; credentials are PALATE_S3_ACCESS_KEY_ID and PALATE_S3_SECRET_ACCESS_KEY, or any")
	flags.BoolVar(&c.json, "json", false, "print one JSON object")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if !c.dryRun || c.group == "" || (c.list == "") == (c.s3 == "") {
		fmt.Fprintln(stderr, "palate erase: want --dry-run, --group ARN, and either --list FILE or --s3 LOCATION")
		flags.Usage()
		return errUsage
	}
	users, err := c.users(ctx)
	if err != nil {
		return err
	}
	plan, err := c.look(ctx, users)
	if err != nil {
		return err
	}
	if c.json {
		return json.NewEncoder(stdout).Encode(plan)
	}
	return plan.print(stdout)
}

// users reads the list as a data deletion job would.
func (c *eraseCommand) users(ctx context.Context) (*userset.Set, error) {
	if c.s3 != "" {
		s3 := blob.S3Config{Endpoint: c.endpoint, Region: "us-east-1", PathStyle: true, AccessKey: os.Getenv("PALATE_S3_ACCESS_KEY_ID"), SecretKey: os.Getenv("PALATE_S3_SECRET_ACCESS_KEY")}
		if s3.AccessKey == "" {
			s3.AccessKey, s3.SecretKey = "palate", "palate"
		}
		return work.ReadDeletionList(ctx, c.s3, quota.Local(), func(ctx context.Context, name string) (blob.Store, error) { return blob.OpenS3(ctx, s3, name) })
	}
	f, err := os.Open(c.list)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list := userset.NewBuilder()
	if err := rowtext.ReadUserList(ctx, c.list, f, list.Add); err != nil {
		return nil, err
	}
	return list.Set(), nil
}

// An erasePlan is what a deletion would change.
type erasePlan struct {
	Group    string        `json:"datasetGroupArn"`
	Users    int           `json:"distinctUsers"`
	Rows     int64         `json:"rowsToRemove"`
	Datasets []datasetPlan `json:"datasets"`
	Log      logPlan       `json:"eventLog"`
	Staging  int64         `json:"stagingBytes"` // of running imports and rewrites; the deletion waits for imports that were accepted before it
	Models   []modelPlan   `json:"models"`
	Seconds  float64       `json:"estimatedSeconds,omitempty"` // 0: nothing to measure by
	Basis    string        `json:"estimateBasis"`
}

type datasetPlan struct {
	ARN          string `json:"datasetArn"`
	Type         string `json:"datasetType"`
	Rows         int64  `json:"rows"`
	Remove       int64  `json:"rowsToRemove"`
	Files        int    `json:"files"`
	RewriteFiles int    `json:"filesToRewrite"`
	RewriteBytes int64  `json:"bytesToRewrite"`
}

type logPlan struct {
	Rows   int64 `json:"rows"` // not folded into the tables yet
	Remove int64 `json:"rowsToRemove"`
	Bytes  int64 `json:"bytesToDestroy"`
}

type modelPlan struct {
	Resource string `json:"resourceArn"`
	Rebuild  bool   `json:"rebuild"`
	Users    int64  `json:"usersToRemove"` // and sessions
	Events   int64  `json:"events"`        // to train on, at most
}

// look opens the metadata database for reading and the files of the store; nothing is written, and no engine is opened.
func (c *eraseCommand) look(ctx context.Context, users *userset.Set) (*erasePlan, error) {
	path := filepath.Join(c.data, "meta.db")
	db, err := meta.OpenReadOnly(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no palate data in %s", c.data)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer db.Close()
	g, datasets, models, err := c.rows(ctx, db)
	if err != nil {
		return nil, err
	}
	survey, err := dataset.Look(ctx, filepath.Join(c.data, "store"), db.SQL(), g.ID, users)
	if err != nil {
		return nil, err
	}
	plan := &erasePlan{Group: c.group, Users: users.Len(), Datasets: []datasetPlan{}, Models: []modelPlan{}, Staging: survey.Staging,
		Log: logPlan{survey.LogRows, survey.LogMatching, survey.LogBytes}, Rows: survey.LogMatching}
	var stored int64
	for _, t := range survey.Tables {
		stored += t.Rows
		plan.Rows += t.Matching
		plan.Datasets = append(plan.Datasets, datasetPlan{datasets[t.ID], string(t.Type), t.Rows, t.Matching, t.Files, t.RewriteFiles, t.RewriteBytes})
	}
	for _, m := range models {
		p, err := c.model(ctx, db, m, survey.Erased)
		if err != nil {
			return nil, err
		}
		plan.Models = append(plan.Models, p)
	}
	return plan, c.estimate(plan, stored+survey.LogRows)
}

// rows reads what the metadata database says about the group: the ARNs of datasets by table, and the resources that have models.
func (c *eraseCommand) rows(ctx context.Context, db *meta.DB) (g meta.GroupPrivate, datasets map[string]string, models []string, err error) {
	datasets = make(map[string]string)
	err = db.View(ctx, func(tx *meta.Tx) error {
		r, err := tx.Get(c.group)
		if errors.Is(err, meta.ErrNotFound) || err == nil && r.Kind != meta.DatasetGroup {
			return fmt.Errorf("no dataset group %s in %s", c.group, c.data)
		}
		if err != nil {
			return err
		}
		if g, err = meta.Private[meta.GroupPrivate](r); err != nil {
			return err
		}
		for _, kind := range []string{meta.Dataset, meta.SolutionVersion, meta.Recommender} {
			rows, err := tx.Find(meta.Query{Kind: kind, Group: c.group})
			if err != nil {
				return err
			}
			for _, r := range rows {
				if kind != meta.Dataset {
					models = append(models, r.ARN)
					continue
				}
				p, err := meta.Private[meta.DatasetPrivate](r)
				if err != nil {
					return err
				}
				datasets[p.Table] = r.ARN
			}
		}
		return nil
	})
	return g, datasets, models, err
}

// model looks into the model of a resource. One that is replaced while it is read is looked at again under its new name.
func (c *eraseCommand) model(ctx context.Context, db *meta.DB, arn string, ids *userset.Set) (modelPlan, error) {
	plan := modelPlan{Resource: arn}
	for last := ""; ; {
		var p meta.ModelPrivate
		err := db.View(ctx, func(tx *meta.Tx) error {
			r, err := tx.Get(arn)
			if err != nil {
				return err
			}
			p, err = meta.Private[meta.ModelPrivate](r)
			return err
		})
		if errors.Is(err, meta.ErrNotFound) || err == nil && p.Model == "" {
			return plan, nil
		}
		if err != nil {
			return plan, err
		}
		m, err := recipe.Open(filepath.Join(c.data, "store", "models", p.Model))
		if err != nil && p.Model != last {
			last = p.Model
			continue
		}
		if err != nil {
			return plan, fmt.Errorf("%s: %w", arn, err)
		}
		for id := range ids.All() {
			if m.HoldsUser(id) {
				plan.Users++
			}
		}
		plan.Rebuild, plan.Events = plan.Users > 0, m.Manifest().Events
		return plan, m.Close()
	}
}

// estimate tells how long the deletion would take by the last one of the group: its time grows with the rows that are searched and rewritten, and with the models
// that are trained again.
func (c *eraseCommand) estimate(plan *erasePlan, rows int64) error {
	plan.Basis = "no deletion of this dataset group has a receipt yet"
	all, err := receipt.OpenBook(filepath.Join(c.data, work.ReceiptsDir)).All(nil)
	if err != nil {
		return fmt.Errorf("read the receipts of earlier deletions, to tell how long this one would take: %w", err)
	}
	for _, r := range all {
		if r.Group != c.group || r.Hidden.IsZero() {
			continue
		}
		var before int64
		for _, d := range r.Datasets {
			before += d.Before.Rows
		}
		took := r.Finished.Sub(r.Hidden)
		if before == 0 || took <= 0 {
			continue
		}
		plan.Seconds = took.Seconds() * float64(max(rows, 1)) / float64(before)
		plan.Basis = fmt.Sprintf("receipt %d: %s for %d rows, in proportion to the rows of the group", r.Number, took.Round(time.Millisecond), before)
	}
	return nil
}

func (p *erasePlan) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "%d users listed; %d rows would be removed\n\n", p.Users, p.Rows)
	fmt.Fprintln(t, "DATASET\tROWS\tTO REMOVE\tFILES\tTO REWRITE\tBYTES")
	for _, d := range p.Datasets {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\n", d.Type, d.Rows, d.Remove, d.Files, d.RewriteFiles, d.RewriteBytes)
	}
	fmt.Fprintf(t, "event log\t%d\t%d\t\t\t%d\n", p.Log.Rows, p.Log.Remove, p.Log.Bytes)
	if p.Staging > 0 {
		fmt.Fprintf(t, "staging\t\t\t\t\t%d\n", p.Staging)
	}
	fmt.Fprintln(t, "\nMODEL\tUSERS TO REMOVE\tTRAINED AGAIN ON\t\t\t")
	for _, m := range p.Models {
		again := "- (it holds none of them)"
		if m.Rebuild {
			again = fmt.Sprintf("%d events at most", m.Events)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t\t\t\n", m.Resource, m.Users, again)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	took := "unknown"
	if p.Seconds > 0 {
		took = "about " + (time.Duration(p.Seconds * float64(time.Second))).Round(10*time.Millisecond).String()
	}
	_, err := fmt.Fprintf(w, "\ntime: %s (%s)\nnothing was changed\n", took, p.Basis)
	return err
}
