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
	"strings"
	"text/tabwriter"
	"time"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/meta"
)

// What a user of another engine types. docs/open-tables.md shows the same lines; a test holds the two together and runs them.
const (
	pyicebergLines = `from pyiceberg.catalog.sql import SqlCatalog
table = SqlCatalog("palate", uri="sqlite:///DATA/meta.db").load_table(("GROUP", "TABLE"))
rows = table.scan().to_arrow()
`
	sparkLines = `from pyspark.sql import SparkSession
palate = {
    "spark.jars.packages": "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0,org.xerial:sqlite-jdbc:3.53.4.0",
    "spark.sql.catalog.palate": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.catalog.palate.type": "jdbc",
    "spark.sql.catalog.palate.uri": "jdbc:sqlite:DATA/meta.db",
    "spark.sql.catalog.palate.warehouse": "file://DATA/store",
    "spark.sql.catalog.palate.cache-enabled": "false",
}
rows = SparkSession.builder.config(map=palate).getOrCreate().table("palate.` + "`GROUP`.`TABLE`" + `")
`
)

// A tableLine is one dataset as `palate tables` shows it.
type tableLine struct {
	GroupName string    `json:"datasetGroup"`
	Name      string    `json:"dataset"`
	Type      string    `json:"datasetType"`
	ARN       string    `json:"datasetArn"`
	Namespace string    `json:"namespace"`
	Table     string    `json:"table"`
	Location  string    `json:"metadataLocation"`
	Pending   bool      `json:"pending,omitempty"`
	Outcome   string    `json:"otherEngine,omitempty"`
	OutcomeAt time.Time `json:"otherEngineDateTime,omitzero"`
}

func runTables(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("tables", flag.ContinueOnError)
	data := flags.String("data", "palate-data", "`DIR` of the server, running or not")
	asJSON := flags.Bool("json", false, "print one JSON object a line")
	pyiceberg := flags.Bool("pyiceberg", false, "print the lines of Python that read each table with pyiceberg")
	spark := flags.Bool("spark", false, "print the lines of Python that read each table with Apache Spark 4")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	root, err := filepath.Abs(*data)
	if err != nil {
		return err
	}
	path := filepath.Join(root, "meta.db")
	db, err := meta.OpenReadOnly(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no palate data in %s", *data)
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer db.Close()
	lines, err := listTables(ctx, db)
	if err != nil {
		return err
	}
	switch {
	case *asJSON:
		out := json.NewEncoder(stdout)
		for _, l := range lines {
			if err := out.Encode(l); err != nil {
				return err
			}
		}
		return nil
	case *pyiceberg:
		return printLines(stdout, lines, root, pyicebergLines)
	case *spark:
		return printLines(stdout, lines, root, sparkLines)
	}
	return printTables(stdout, lines)
}

// listTables reads every dataset that has a table, by group and type.
func listTables(ctx context.Context, db *meta.DB) (lines []tableLine, err error) {
	listed, err := dataset.List(ctx, db.SQL())
	if err != nil {
		return nil, err
	}
	err = db.View(ctx, func(tx *meta.Tx) error {
		found, err := tx.Find(meta.Query{Kind: meta.Dataset})
		if err != nil {
			return err
		}
		for _, r := range found {
			p, err := meta.Private[meta.DatasetPrivate](r)
			if err != nil {
				return err
			}
			at := slices.IndexFunc(listed, func(l dataset.Listing) bool { return l.Group == p.Group && l.ID == p.Table })
			if at < 0 {
				continue // being created, or on its way out
			}
			group, err := tx.Get(r.Group)
			if err != nil {
				return err
			}
			l := listed[at]
			lines = append(lines, tableLine{GroupName: group.Name, Name: r.Name, Type: p.Type, ARN: r.ARN, Namespace: l.Group, Table: l.ID, Location: l.Location,
				Pending: l.Pending, Outcome: l.Outcome, OutcomeAt: l.OutcomeAt})
		}
		return nil
	})
	slices.SortFunc(lines, func(a, b tableLine) int {
		return cmp.Or(strings.Compare(a.GroupName, b.GroupName), strings.Compare(a.Type, b.Type))
	})
	return lines, err
}

func printTables(w io.Writer, lines []tableLine) error {
	if len(lines) == 0 {
		_, err := fmt.Fprintln(w, "no datasets yet")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "GROUP\tDATASET\tTYPE\tICEBERG TABLE\tLAST COMMIT OF ANOTHER ENGINE")
	for _, l := range lines {
		last := cmp.Or(l.Outcome, "-")
		if l.Outcome != "" {
			last = l.OutcomeAt.Local().Format(time.DateTime) + " " + last
		}
		if l.Pending {
			last = "not looked at yet"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s.%s\t%s\n", l.GroupName, l.Name, l.Type, l.Namespace, l.Table, last)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\n\"palate tables --pyiceberg\" and \"--spark\" print the lines that read a table, \"--json\" where its metadata stands.")
	return err
}

// printLines prints a template for every table.
func printLines(w io.Writer, lines []tableLine, data, template string) error {
	for i, l := range lines {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fill := strings.NewReplacer("DATA", data, "GROUP", l.Namespace, "TABLE", l.Table)
		if _, err := fmt.Fprintf(w, "# %s, %s\n%s", l.GroupName, l.Type, fill.Replace(template)); err != nil {
			return err
		}
	}
	return nil
}
