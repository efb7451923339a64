package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/receipt"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/work"
)

const receiptUsage = `Usage:
  palate receipt ARN              print the signed receipt of a data deletion job (--text: for people; --salt: also take the salt of its digest, once)
  palate receipt list             list all receipts
  palate receipt key              print the public key that checks them
  palate receipt verify FILE ...  check signatures, and the chain of several (--all: of a data directory; --key FILE: with this public key)
  palate receipt replay ARN       train the models that it names again from their stored input, and compare the hashes
`

// receiptCommand is what the flags of all forms say.
type receiptCommand struct {
	data      string
	json      bool
	text      bool
	salt      bool
	all       bool
	key       string
	book      *receipt.Book
	stdout    io.Writer
	arguments []string
}

func runReceipt(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := receiptCommand{stdout: stdout}
	flags := flag.NewFlagSet("receipt", flag.ContinueOnError)
	flags.StringVar(&c.data, "data", "palate-data", "`DIR` of the server, running or not")
	flags.BoolVar(&c.json, "json", false, "print JSON")
	flags.BoolVar(&c.text, "text", false, "print the receipt for people, not the signed file")
	flags.BoolVar(&c.salt, "salt", false, "also print the salt of the digest and destroy it: it is given once")
	flags.BoolVar(&c.all, "all", false, "verify every receipt of the data directory, and their chain")
	flags.StringVar(&c.key, "key", "", "`FILE` with the public key (PEM) that must have signed")
	flags.Usage = func() {
		fmt.Fprint(stderr, receiptUsage, "\n")
		flags.PrintDefaults()
	}
	var err error
	if c.arguments, err = parseAnywhere(flags, args, stderr); err != nil {
		return err
	}
	c.book = receipt.OpenBook(filepath.Join(c.data, work.ReceiptsDir))
	if len(c.arguments) == 0 {
		flags.Usage()
		return errUsage
	}
	form, rest := c.arguments[0], c.arguments[1:]
	want := 0
	run := c.print
	switch form {
	case "list":
		run = c.list
	case "key":
		run = c.printKey
	case "verify":
		c.arguments = rest
		return c.verify()
	case "replay":
		want = 1
		run = func() error { return c.replay(ctx, rest[0]) }
	}
	if len(rest) != want {
		flags.Usage()
		return errUsage
	}
	return run()
}

// parseAnywhere reads flags that may stand between and after the arguments, and returns those.
func parseAnywhere(flags *flag.FlagSet, args []string, stderr io.Writer) (arguments []string, err error) {
	flags.SetOutput(stderr)
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, errUsage
		}
		if flags.NArg() == 0 {
			return arguments, nil
		}
		arguments = append(arguments, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// find looks a receipt up by the job's ARN, or by its number.
func (c *receiptCommand) find(name string) (*receipt.Receipt, []byte, error) {
	if n, err := strconv.ParseInt(name, 10, 64); err == nil {
		return c.book.Numbered(n)
	}
	r, file, err := c.book.Of(name)
	if errors.Is(err, receipt.ErrNone) {
		return nil, nil, fmt.Errorf("no receipt of %s in %s: the job is not over, failed before it changed anything, or belongs to another data directory", name, c.data)
	}
	return r, file, err
}

func (c *receiptCommand) print() error {
	r, file, err := c.find(c.arguments[0])
	if err != nil {
		return err
	}
	if c.text {
		if err := c.describe(r); err != nil {
			return err
		}
	} else if _, err := c.stdout.Write(file); err != nil {
		return err
	}
	if !c.salt {
		return nil
	}
	salt, err := c.book.TakeSalt(r.Number)
	if errors.Is(err, receipt.ErrNone) {
		return errors.New("the salt was given before, or its 30 days are over")
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stdout, salt)
	return err
}

func (c *receiptCommand) describe(r *receipt.Receipt) error {
	t := tabwriter.NewWriter(c.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "receipt\t%d of %s\n", r.Number, r.Job)
	fmt.Fprintf(t, "status\t%s %s\n", r.Status, r.Reason)
	fmt.Fprintf(t, "created\t%s\n", r.Created.Format(time.RFC3339))
	fmt.Fprintf(t, "hidden\t%s, %s later\n", r.Hidden.Format(time.RFC3339), r.Hidden.Sub(r.Created).Round(time.Millisecond))
	fmt.Fprintf(t, "finished\t%s, %s later\n", r.Finished.Format(time.RFC3339), r.Finished.Sub(r.Created).Round(time.Millisecond))
	fmt.Fprintf(t, "listed\t%d users\n", r.Input.Users)
	fmt.Fprintf(t, "removed\t%d rows\n", r.NumDeleted)
	for _, d := range r.Datasets {
		fmt.Fprintf(t, "  %s\t%d of %d rows\n", d.Type, d.Removed, d.Before.Rows)
	}
	for _, m := range r.Models {
		what := "held none of them"
		switch {
		case m.Removed:
			what = "was deleted"
		case m.Rebuilt:
			what = "rebuilt: " + short(m.Before) + " -> " + short(m.After)
		}
		fmt.Fprintf(t, "  %s\t%s\n", m.Resource, what)
	}
	searched := "found something"
	if r.Verification.Clean {
		searched = "found nothing"
	}
	fmt.Fprintf(t, "search\t%s in %d kinds of places\n", searched, len(r.Verification.Places))
	fmt.Fprintf(t, "build\t%s %s\n", r.Build.Version, r.Build.Go)
	return t.Flush()
}

func short(hash string) string { return hash[:min(12, len(hash))] }

func (c *receiptCommand) list() error {
	all, err := c.book.All(nil)
	if err != nil {
		return err
	}
	if c.json {
		out := json.NewEncoder(c.stdout)
		for _, r := range all {
			if err := out.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(c.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tFINISHED\tSTATUS\tUSERS\tROWS\tMODELS\tJOB")
	for _, r := range all {
		fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%d\t%d\t%s\n", r.Number, r.Finished.Local().Format(time.DateTime), r.Status, r.Input.Users, r.NumDeleted, len(r.Models), r.Job)
	}
	return t.Flush()
}

func (c *receiptCommand) printKey() error {
	public, err := c.book.PublicKey()
	if errors.Is(err, receipt.ErrNone) {
		return fmt.Errorf("%s has no receipts and no key yet", c.data)
	}
	if err != nil {
		return err
	}
	text, err := receipt.EncodePublicKey(public)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "%sSHA-256 %s\n", text, receipt.Fingerprint(public))
	return err
}

func (c *receiptCommand) verify() error {
	var public ed25519.PublicKey
	if c.key != "" {
		text, err := os.ReadFile(c.key)
		if err != nil {
			return err
		}
		if public, err = receipt.ParsePublicKey(text); err != nil {
			return fmt.Errorf("%s: %w", c.key, err)
		}
	}
	if c.all {
		if len(c.arguments) > 0 {
			return errors.New("verify takes either --all or files")
		}
		all, err := c.book.All(public)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.stdout, "%d receipts: every signature and the chain are right\n", len(all))
		return err
	}
	if len(c.arguments) == 0 {
		return errors.New("verify takes --all or files")
	}
	var read []*receipt.Receipt
	for _, name := range c.arguments {
		file, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		r, err := receipt.Verify(file, public)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		read = append(read, r)
		if err := c.say(r, "%s: receipt %d of %s, signature right\n", name, r.Number, r.Job); err != nil {
			return err
		}
	}
	if err := receipt.Chain(read); err != nil {
		return err
	}
	if public == nil && !c.json {
		fmt.Fprintln(c.stdout, "signed with the key that the receipt itself names; --key FILE compares it with one that you trust")
	}
	return nil
}

// say prints v as a line of JSON, or else the text.
func (c *receiptCommand) say(v any, format string, args ...any) error {
	if c.json {
		return json.NewEncoder(c.stdout).Encode(v)
	}
	_, err := fmt.Fprintf(c.stdout, format, args...)
	return err
}

// replayed is the verdict on one model.
type replayed struct {
	Resource string `json:"resourceArn"`
	OK       bool   `json:"ok"` // false: different, or damaged
	Verdict  string `json:"verdict"`
}

// replay trains the models of a receipt again.
func (c *receiptCommand) replay(ctx context.Context, name string) (err error) {
	r, _, err := c.find(name)
	if err != nil {
		return err
	}
	later, err := c.book.All(nil)
	if err != nil {
		return err
	}
	path := filepath.Join(c.data, "meta.db")
	db, err := meta.OpenReadOnly(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer db.Close()
	tmp, err := os.MkdirTemp("", "palate-replay-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blob.DestroyAll(tmp)) }() // models hold ids of users
	different := 0
	for _, m := range r.Models {
		verdict, ok, err := c.replayModel(ctx, db, m, later[min(int(r.Number), len(later)):], filepath.Join(tmp, "model"))
		if err != nil {
			return fmt.Errorf("%s: %w", m.Resource, err)
		}
		if !ok {
			different++
		}
		if err := c.say(replayed{m.Resource, ok, verdict}, "%s\n  %s\n", m.Resource, verdict); err != nil {
			return err
		}
	}
	if len(r.Models) == 0 && !c.json {
		fmt.Fprintln(c.stdout, "the receipt names no model")
	}
	if different > 0 {
		return fmt.Errorf("%d of %d models do not have the bytes that the receipt names", different, len(r.Models))
	}
	return nil
}

// replayModel trains one model again, from the input that it stores. If later deletions rebuilt it once more, their receipts lead to the one of today.
func (c *receiptCommand) replayModel(ctx context.Context, db *meta.DB, m receipt.Model, later []*receipt.Receipt, to string) (verdict string, ok bool, err error) {
	if m.Removed {
		return "was deleted with its resource: nothing to replay", true, nil
	}
	hash, hops := m.After, 0
	for _, r := range later {
		for _, n := range r.Models {
			if n.Resource == m.Resource && n.Before == hash && n.After != hash && !n.Removed {
				hash, hops = n.After, hops+1
			}
		}
	}
	p, err := c.modelNow(ctx, db, m.Resource)
	switch {
	case errors.Is(err, meta.ErrNotFound):
		return "was deleted since: nothing to replay", true, nil
	case err != nil:
		return "", false, err
	case p.Hash != hash:
		return "was trained anew since, with model " + short(p.Hash) + ": nothing to replay", true, nil
	}
	dir := filepath.Join(c.data, "store", "models", p.Model)
	stored, made, err := replayDir(ctx, dir, to)
	if err != nil {
		if now, readErr := c.modelNow(ctx, db, m.Resource); readErr != nil || now.Model != p.Model { // a server that runs destroys what it replaces
			return "", false, errors.New("the model was replaced while it was read; try again")
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, recipe.ErrCorrupt):
		return "DAMAGED: the stored model does not have the hashes of its manifest", false, nil
	case err != nil:
		return "", false, err
	case stored != hash:
		return "DIFFERENT: the stored model is " + short(stored) + ", the receipt says " + short(hash), false, nil
	}
	after := ""
	if hops > 0 {
		after = fmt.Sprintf(" (rebuilt by %d later deletions)", hops)
	}
	if made != hash {
		return "DIFFERENT: trained again it is " + short(made) + ", the receipt says " + short(hash) + strings.TrimRight(after, " "), false, nil
	}
	return "same: trained again it is " + short(hash) + after, true, nil
}

// modelNow reads which model a resource has.
func (c *receiptCommand) modelNow(ctx context.Context, db *meta.DB, resource string) (p meta.ModelPrivate, err error) {
	err = db.View(ctx, func(tx *meta.Tx) error {
		row, err := tx.Get(resource)
		if err != nil {
			return err
		}
		p, err = meta.Private[meta.ModelPrivate](row)
		return err
	})
	return p, err
}

// replayDir returns the hash of a stored model and that of what its input gives now.
func replayDir(ctx context.Context, dir, to string) (stored, made string, err error) {
	m, err := recipe.Open(dir) // checks every array against the manifest, and the manifest's hash
	if err != nil {
		return "", "", err
	}
	stored = m.Manifest().Hash
	if err := m.Close(); err != nil {
		return "", "", err
	}
	again, err := recipe.Replay(ctx, dir, to, nil)
	if err != nil {
		return "", "", err
	}
	return stored, again.Hash, nil
}
