package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/rowtext"
)

// jobKinds are the resources that are long work.
var jobKinds = []string{meta.ImportJob, meta.ExportJob, meta.DeletionJob, meta.SolutionVersion, meta.Recommender, meta.BatchInferenceJob, meta.BatchSegmentJob}

// A jobLine is one job as `palate jobs` shows it.
type jobLine struct {
	ARN           string        `json:"arn"`
	Kind          string        `json:"kind"`
	Name          string        `json:"name"`
	Status        string        `json:"status"`
	Phase         string        `json:"phase,omitempty"`
	Done          int64         `json:"done,omitempty"`
	Total         int64         `json:"total,omitempty"`
	Unit          string        `json:"unit,omitempty"`
	Detail        string        `json:"detail,omitempty"`
	Overall       float64       `json:"overall,omitempty"` // share of the whole job, 0 to 1; 0 = unknown
	Rate          float64       `json:"ratePerSecond,omitempty"`
	TimeLeft      time.Duration `json:"-"`
	TimeLeftSec   float64       `json:"timeLeftSeconds,omitempty"`
	Attempt       int           `json:"attempt,omitempty"`
	FailureReason string        `json:"failureReason,omitempty"`
	Waiting       string        `json:"waiting,omitempty"` // why it does not go on for now
	Created       time.Time     `json:"creationDateTime"`
	Updated       time.Time     `json:"lastUpdatedDateTime"`

	seq int64 // order of creation, whatever the clock said

	RowReport *rowtext.RowReport `json:"rowReport,omitempty"` // of one job that was asked for
}

func runJobs(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("jobs", flag.ContinueOnError)
	data := flags.String("data", "palate-data", "`DIR` of the server, running or not")
	asJSON := flags.Bool("json", false, "print one JSON object a line")
	watch := flags.Bool("watch", false, "print the jobs again whenever one of them has changed, until all have ended")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "Usage: palate jobs [flags] [ARN]\n\nLists every job, or tells all about one.")
		flags.PrintDefaults()
	}
	named, err := parseAnywhere(flags, args, stderr)
	if err != nil {
		return err
	}
	if len(named) > 1 {
		flags.Usage()
		return errUsage
	}
	list := jobList{json: *asJSON, data: *data, out: stdout}
	if len(named) == 1 {
		list.arn = named[0]
	}
	path := filepath.Join(*data, "meta.db")
	db, err := meta.OpenReadOnly(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no palate data in %s", *data)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer db.Close()
	if *watch {
		return list.watch(ctx, db)
	}
	_, err = list.print(ctx, db, "")
	return err
}

// listJobs reads every job, oldest first.
func listJobs(ctx context.Context, db *meta.DB) ([]jobLine, error) {
	var lines []jobLine
	err := db.View(ctx, func(tx *meta.Tx) error {
		for _, kind := range jobKinds {
			rows, err := tx.Find(meta.Query{Kind: kind})
			if err != nil {
				return err
			}
			for _, r := range rows {
				lines = append(lines, jobOf(r))
			}
		}
		return nil
	})
	slices.SortFunc(lines, func(a, b jobLine) int { return cmp.Compare(a.seq, b.seq) })
	return lines, err
}

func jobOf(r *meta.Resource) jobLine {
	l := jobLine{seq: r.Seq, ARN: r.ARN, Kind: r.Kind, Name: r.Name, Status: r.Status, FailureReason: failureOf(r), Created: r.Created, Updated: r.Updated, RowReport: rowReportOf(r)}
	if r.Job.Kind == "" {
		return l
	}
	l.Attempt = r.Job.Attempt
	var p job.Progress
	if len(r.Job.Progress) == 0 || json.Unmarshal(r.Job.Progress, &p) != nil {
		return l
	}
	l.Overall = p.Overall
	l.Phase, l.Done, l.Total, l.Unit, l.Detail = p.Phase, p.Done, p.Total, p.Unit, p.Detail
	if l.Waiting = p.Waiting; l.Waiting == "" {
		l.Rate, l.TimeLeft = p.Rate(), p.TimeLeft()
	}
	l.TimeLeftSec = l.TimeLeft.Seconds()
	return l
}

// failureOf is why the resource has failed, or why the last regular training of a recommender, which goes on with its old model, has.
func failureOf(r *meta.Resource) string {
	if r.Failure != "" || r.Kind != meta.Recommender {
		return r.Failure
	}
	p, err := meta.Private[meta.ModelPrivate](r)
	if err != nil || p.Failure == "" {
		return ""
	}
	return fmt.Sprintf("the training of %s failed, the older model stays: %s", p.Failed.Local().Format(time.DateTime), p.Failure)
}

func printJobs(w io.Writer, lines []jobLine) error {
	if len(lines) == 0 {
		_, err := fmt.Fprintln(w, "no jobs yet")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "JOB\tNAME\tSTATUS\tPROGRESS\tRATE\tLEFT\tUPDATED\tREASON")
	for _, l := range lines {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Kind, cmp.Or(l.Name, filepath.Base(l.ARN)), l.Status,
			l.progress(), l.rate(), l.left(), l.Updated.Local().Format(time.DateTime), l.reason())
	}
	return t.Flush()
}

// reason is why the job has failed, or why it does not go on.
func (l jobLine) reason() string {
	if l.Waiting != "" {
		return "waits: " + l.Waiting
	}
	return l.FailureReason
}

func (l jobLine) progress() string {
	text := l.phase()
	if l.Detail != "" {
		text += ", " + l.Detail
	}
	if l.Overall > 0 {
		text += fmt.Sprintf(" (%.0f%% of all)", 100*l.Overall)
	}
	return text
}

// phase is how far the current phase is.
func (l jobLine) phase() string {
	switch {
	case l.Phase == "":
		return "-"
	case l.Total > 0:
		return fmt.Sprintf("%s %.0f%% of %d %s", l.Phase, 100*float64(l.Done)/float64(l.Total), l.Total, l.Unit)
	case l.Done > 0:
		return fmt.Sprintf("%s %d %s", l.Phase, l.Done, l.Unit)
	}
	return l.Phase
}

func (l jobLine) rate() string {
	if l.Rate == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %s/s", l.Rate, l.Unit)
}

func (l jobLine) left() string {
	if l.TimeLeft == 0 {
		return "-"
	}
	return l.TimeLeft.Round(time.Second).String()
}
