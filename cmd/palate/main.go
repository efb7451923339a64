// Command palate serves the Amazon Personalize API, with real storage, real training and real deletion, from one binary.
//
//	palate serve   start the server
//	palate demo    run the whole main job on real films, in a temporary directory
//	palate jobs    list every job of a data directory with its progress, or show one with the row report of a failed import
//	palate receipt print, verify and replay the receipts of data deletions
//	palate tables  list the Iceberg table of every dataset, and how other engines read it
//	palate explain tell what puts an item where it is in an answer, or keeps it out
//	palate erase   tell what a data deletion would change (--dry-run)
//	palate version print the version
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// A command is one subcommand. run gets the arguments after its name and must end when ctx does.
type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func commands() []command {
	return []command{
		{"serve", "start the server", runServe},
		{"demo", "run the whole main job on real films in a temporary directory", runDemo},
		{"jobs", "list every job with its status, progress and time left; jobs ARN shows one, and the rows that failed an import", runJobs},
		{"receipt", "print, verify and replay the signed receipts of data deletions", runReceipt},
		{"tables", "list the Iceberg table of every dataset, and print the lines that read it", runTables},
		{"explain", "tell which events, attributes and parts of the model put an item where it is, and why a filter drops it", runExplain},
		{"erase", "tell what a data deletion would change, without changing anything (--dry-run)", runErase},
		{"version", "print the version", runVersion},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// errUsage ends a command whose flags are wrong; the flag package has printed why.
var errUsage = errors.New("usage")

// run is main without the process: it returns the exit status, 0 for success, 1 for a failure told in one line, 2 for wrong usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return 2
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		switch err := c.run(ctx, args[1:], stdout, stderr); {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return 0
		case errors.Is(err, errUsage):
			return 2
		default:
			fmt.Fprintf(stderr, "palate %s: %v\n", c.name, err)
			return 1
		}
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(stdout)
		return 0
	}
	fmt.Fprintf(stderr, "palate: unknown command %q\n", args[0])
	usage(stderr)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "palate speaks the Amazon Personalize API on your own machine.\n\nUsage: palate COMMAND [flags]")
	fmt.Fprintln(w)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.summary)
	}
	fmt.Fprintln(w, "\n\"palate COMMAND -h\" lists the flags of a command.")
}

// parse reads flags that were declared on fs and refuses anything left over.
func parse(fs *flag.FlagSet, args []string, stderr io.Writer) error {
	fs.SetOutput(stderr)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(stderr, "palate %s: unexpected argument %q\n", fs.Name(), fs.Arg(0))
		return errUsage
	}
	return nil
}
