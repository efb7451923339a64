package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/rowtext"
)

// rowReportOf returns what is wrong with the rows of an import that failed for them, nil if there is nothing of the kind.
func rowReportOf(r *meta.Resource) *rowtext.RowReport {
	if r.Kind != meta.ImportJob {
		return nil
	}
	p, err := meta.Private[meta.ImportPrivate](r)
	if err != nil || len(p.Report) == 0 {
		return nil
	}
	report := new(rowtext.RowReport)
	if json.Unmarshal(p.Report, report) != nil {
		return nil
	}
	return report
}

func printRowReport(w io.Writer, r *rowtext.RowReport) error {
	looked := fmt.Sprintf("all %d rows", r.Rows)
	if !r.Complete {
		looked = fmt.Sprintf("the first %d rows", r.Rows)
	}
	fmt.Fprintf(w, "\n%d of %s do not conform to the schema\n\n", r.Failed, looked)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "ROWS\tCOLUMN\tCAUSE")
	for _, c := range r.Reasons {
		fmt.Fprintf(t, "%d\t%s\t%s\n", c.Rows, cmp.Or(c.Column, "-"), c.Cause)
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "FILE AND LINE\tCOLUMN\tCAUSE")
	for _, f := range r.First {
		fmt.Fprintf(t, "%s:%d\t%s\t%s\n", f.File, f.Line, cmp.Or(f.Column, "-"), f.Cause)
	}
	if int64(len(r.First)) < r.Failed {
		fmt.Fprintf(t, "... and %d more\n", r.Failed-int64(len(r.First)))
	}
	return t.Flush()
}
