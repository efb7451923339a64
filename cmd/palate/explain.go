package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/serve"
	"github.com/palate-dev/palate/internal/signed"
)

// explainCommand is what the flags say.
type explainCommand struct {
	endpoint, region string
	ask              serve.ExplainRequest
	json             bool
}

func runExplain(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c explainCommand
	flags := flag.NewFlagSet("explain", flag.ContinueOnError)
	flags.StringVar(&c.endpoint, "endpoint", cmp.Or(os.Getenv("AWS_ENDPOINT_URL"), "http://127.0.0.1:4725"), "`URL` of the running server; it is asked with PALATE_ACCESS_KEY_ID and PALATE_SECRET_ACCESS_KEY or those of AWS, or any")
	flags.StringVar(&c.region, "region", cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")), "`REGION` to ask in (default: that of the ARN)")
	flags.StringVar(&c.ask.CampaignARN, "campaign", "", "`ARN` of the campaign that is asked")
	flags.StringVar(&c.ask.RecommenderARN, "recommender", "", "`ARN` of the recommender that is asked")
	flags.StringVar(&c.ask.UserID, "user", "", "`ID` of the user who asks")
	flags.StringVar(&c.ask.ItemID, "item", "", "`ID` of the item, or the action, that is to be explained")
	flags.StringVar(&c.ask.RelatedTo, "related-to", "", "`ID` of the item that a request for related items names")
	flags.StringVar(&c.ask.FilterARN, "filter", "", "`ARN` of the filter of the request")
	flags.Func("filter-values", "`JSON` object of the filterValues of the request", object(&c.ask.FilterValues))
	flags.Func("context", "`JSON` object of the context of the request", object(&c.ask.Context))
	flags.BoolVar(&c.json, "json", false, "print one JSON object")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if (c.ask.CampaignARN == "") == (c.ask.RecommenderARN == "") || c.ask.ItemID == "" {
		fmt.Fprintln(stderr, "palate explain: want --campaign ARN or --recommender ARN, and --item ID")
		flags.Usage()
		return errUsage
	}
	text, err := c.send(ctx)
	if err != nil {
		return err
	}
	var e serve.Explained
	if err := json.Unmarshal(text, &e); err != nil || e.Explanation == nil {
		return fmt.Errorf("%s does not answer as palate does", c.endpoint)
	}
	if c.json {
		_, err := fmt.Fprintf(stdout, "%s\n", text)
		return err
	}
	return describeExplanation(stdout, &c.ask, &e)
}

// object reads a flag that is a JSON object of strings.
func object(into *map[string]string) func(string) error {
	return func(text string) error {
		if json.Unmarshal([]byte(text), into) != nil {
			return errors.New(`want a JSON object of strings such as {"NAME":"value"}`)
		}
		return nil
	}
}

// send asks the server, signed as clients of the API sign.
func (c *explainCommand) send(ctx context.Context) ([]byte, error) {
	body, err := json.Marshal(c.ask)
	if err != nil {
		return nil, err
	}
	req, err := signed.Caller{Credentials: callerCredentials(), Region: c.regionOf()}.Request(ctx, strings.TrimSuffix(c.endpoint, "/")+serve.ExplainPath, body)
	if err != nil {
		return nil, fmt.Errorf("--endpoint must be a URL, not %q", c.endpoint)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no server answers at %s: %w", c.endpoint, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		var refused struct{ Message string }
		if json.Unmarshal(text, &refused) != nil || refused.Message == "" {
			refused.Message = fmt.Sprintf("%s answers %s", c.endpoint, resp.Status)
		}
		return nil, errors.New(refused.Message)
	}
	return text, nil
}

// regionOf is the region that the resources are looked for in.
func (c *explainCommand) regionOf() string {
	if c.region != "" {
		return c.region
	}
	if part := strings.Split(c.ask.CampaignARN+c.ask.RecommenderARN, ":"); len(part) > 3 && part[3] != "" {
		return part[3]
	}
	return "us-east-1"
}

// callerCredentials are those of the environment, or any: a server without credentials takes all.
func callerCredentials() aws.Credentials {
	for _, of := range []string{"PALATE_", "AWS_"} {
		if key := os.Getenv(of + "ACCESS_KEY_ID"); key != "" {
			return aws.Credentials{AccessKeyID: key, SecretAccessKey: os.Getenv(of + "SECRET_ACCESS_KEY"), SessionToken: os.Getenv(of + "SESSION_TOKEN")}
		}
	}
	return aws.Credentials{AccessKeyID: "palate", SecretAccessKey: "palate"}
}

// describeExplanation writes an explanation for people.
func describeExplanation(w io.Writer, ask *serve.ExplainRequest, e *serve.Explained) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	switch {
	case e.Answer == nil:
	case *e.Answer == 0:
		line("%s is not in the longest answer of the request (%s).", ask.ItemID, e.Recipe)
	default:
		line("%s has place %d in the longest answer of the request (%s).", ask.ItemID, *e.Answer, e.Recipe)
	}
	if e.Place > 0 {
		line("Before exclusions and filters it has place %d of %d.", e.Place, e.Of)
	}
	for _, text := range []string{e.Dataset, e.Excluded, e.Reason, e.Order, e.Basis, e.Exploration} {
		if text != "" {
			line("%s", text)
		}
	}
	if e.Filter != nil {
		describeFilter(&b, e.Filter)
	}
	if len(e.Parts) > 0 {
		t := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
		fmt.Fprintln(t, "\nADDS\tFROM")
		for _, p := range e.Parts {
			fmt.Fprintf(t, "%+.6f\t%s\n", p.Adds, partText(p))
		}
		if e.Relevance != nil {
			fmt.Fprintf(t, "%+.6f\t= relevance\n", *e.Relevance)
		}
		t.Flush()
	}
	if e.RankedBy != nil {
		line("It is ranked by %.6g: %s.", *e.RankedBy, e.Ranking)
	}
	if e.Score != nil {
		line("Its score is %.7f.", *e.Score)
	}
	if len(e.Like) > 0 {
		line("\nIt is estimated by the items that are most like it:")
		t := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
		fmt.Fprintln(t, "WEIGHT\tITEM\tBOTH HAVE")
		for _, n := range e.Like {
			var shared []string
			for _, l := range n.Shared {
				shared = append(shared, l.Column+" "+l.Value)
			}
			fmt.Fprintf(t, "%.3f\t%s\t%s\n", n.Weight, n.Item, strings.Join(shared, ", "))
		}
		t.Flush()
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func partText(p recipe.Part) string {
	switch p.From {
	case recipe.FromEvent:
		when := time.Unix(p.Time, 0).UTC().Format(time.DateTime)
		if p.Live {
			when += ", since the training"
		}
		return fmt.Sprintf("%s: %s %s, %s", p.From, cmp.Or(p.Type, "event"), p.Item, when)
	case recipe.FromContext:
		text := fmt.Sprintf("%s: %s %s", p.From, p.Column, p.Value)
		if p.Factor != 0 {
			text += fmt.Sprintf(", which multiplies by %.4g", p.Factor)
		}
		return text
	case recipe.FromAttribute:
		return fmt.Sprintf("%s: %s %s", p.From, p.Column, p.Value)
	case recipe.FromLikeness:
		return fmt.Sprintf("%s to %s", p.From, p.Item)
	}
	return p.From
}

// describeFilter tells which rule keeps the item or drops it, test by test.
func describeFilter(b *strings.Builder, f *serve.ExplainedFilter) {
	verdict := "drops"
	if f.Keeps {
		verdict = "keeps"
	}
	fmt.Fprintf(b, "\nThe filter %s it:\n", verdict)
	for _, r := range f.Rules {
		fmt.Fprintf(b, "  %s\n", r.Rule)
		switch {
		case r.Skipped != "":
			fmt.Fprintf(b, "    does not count: %s\n", r.Skipped)
		case r.Holds:
			fmt.Fprintln(b, "    holds")
		default:
			fmt.Fprintln(b, "    does not hold")
		}
		for _, t := range r.If {
			fmt.Fprintf(b, "      IF %s\n", testText(t))
		}
		for _, conjunction := range r.Tests {
			var tests []string
			for _, t := range conjunction {
				tests = append(tests, testText(t))
			}
			fmt.Fprintf(b, "      %s\n", strings.Join(tests, "; and "))
		}
	}
}

func testText(t filter.Tested) string {
	text, found := t.Test, "null"
	if len(t.Found) > 0 {
		found = strings.Join(t.Found, ", ")
	}
	if len(t.With) > 0 {
		text += " with " + strings.Join(t.With, ", ")
	}
	holds := "no"
	if t.Holds {
		holds = "yes"
	}
	return fmt.Sprintf("%s: %s, for it is %s", text, holds, found)
}
