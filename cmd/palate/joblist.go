package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/palate-dev/palate/internal/meta"
)

// jobList prints the jobs of a data directory, or one of them.
type jobList struct {
	arn, data string
	json      bool
	out       io.Writer
}

// print prints the jobs unless that says what was printed last, and returns what it says; "" if nobody works or waits any more.
func (l jobList) print(ctx context.Context, db *meta.DB, last string) (text string, err error) {
	lines, err := listJobs(ctx, db)
	if err != nil {
		return "", err
	}
	if l.arn != "" {
		n := 0
		for _, j := range lines {
			if j.ARN == l.arn {
				lines[n], n = j, n+1
			}
		}
		if lines = lines[:n]; n == 0 {
			return "", fmt.Errorf("no job %s in %s", l.arn, l.data)
		}
	}
	working := false
	for i := range lines {
		working = working || lines[i].working()
		if l.arn == "" {
			lines[i].RowReport = nil
		}
	}
	var b strings.Builder
	if err := l.write(&b, lines); err != nil {
		return "", err
	}
	if text = b.String(); text != last {
		if _, err := io.WriteString(l.out, text); err != nil {
			return "", err
		}
	}
	if !working {
		return "", nil
	}
	return text, nil
}

func (l jobList) write(w io.Writer, lines []jobLine) error {
	if l.json {
		out := json.NewEncoder(w)
		for _, j := range lines {
			if err := out.Encode(j); err != nil {
				return err
			}
		}
		return nil
	}
	if l.arn == "" {
		return printJobs(w, lines)
	}
	for _, j := range lines {
		if err := j.describe(w); err != nil {
			return err
		}
	}
	return nil
}

// watch prints until every job has ended.
func (l jobList) watch(ctx context.Context, db *meta.DB) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for last := ""; ; {
		text, err := l.print(ctx, db, last)
		if err != nil || text == "" {
			return err
		}
		last = text
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// working tells whether the job waits or runs.
func (l jobLine) working() bool {
	return strings.HasSuffix(l.Status, "PENDING") || strings.HasSuffix(l.Status, "IN_PROGRESS") || strings.HasSuffix(l.Status, "STOPPING")
}

// describe tells all about one job.
func (l jobLine) describe(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "job\t%s\nkind\t%s\nstatus\t%s\n", l.ARN, l.Kind, l.Status)
	if reason := l.reason(); reason != "" {
		fmt.Fprintf(t, "reason\t%s\n", reason)
	}
	fmt.Fprintf(t, "created\t%s\nupdated\t%s\n", l.Created.Local().Format(time.DateTime), l.Updated.Local().Format(time.DateTime))
	if l.Phase != "" {
		fmt.Fprintf(t, "phase\t%s\n", l.phase())
	}
	if l.Overall > 0 {
		fmt.Fprintf(t, "whole job\t%.0f%%\n", 100*l.Overall)
	}
	if l.Rate > 0 {
		fmt.Fprintf(t, "rate\t%s\n", l.rate())
	}
	if l.TimeLeft > 0 {
		fmt.Fprintf(t, "left\t%s\n", l.left())
	}
	if l.Attempt > 0 {
		fmt.Fprintf(t, "attempt\t%d\n", l.Attempt)
	}
	if err := t.Flush(); err != nil || l.RowReport == nil {
		return err
	}
	return printRowReport(w, l.RowReport)
}
