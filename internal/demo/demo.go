// Package demo goes through the whole main job against a running palate: upload, import, training, campaign, recommendations, an event, export, deletion
// and the proof of it. It talks to the server as any client does, over HTTP and the S3 protocol, and prints for each step how long it took, what came out
// and the aws commands that do the same. The commands work as printed, pasted one after the other into a shell: what a call makes up, such as the ARN
// of a solution version, is kept in a variable, and what takes time is waited for.
package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/blob"
)

// Options say where the server is and what to feed it.
type Options struct {
	Endpoint                   string // of palate, S3 included; it must accept any credentials
	Interactions, Items, Users string // CSV files; without Interactions the films in the binary are used
	Files                      string // directory to write the files to that the printed commands read; "" for none
	Out                        io.Writer
}

const (
	bucket  = "demo"
	group   = "demo"
	roleARN = "arn:aws:iam::000000000000:role/palate"
	visitor = "visitor-from-the-demo" // someone the data does not know
)

// A story is one run of the demo.
type story struct {
	Options
	client *client
	store  blob.Store
	step   int
	start  time.Time

	inputs  []*input // interactions first
	titles  map[string]string
	arns    map[string]string // by what they name: "group", "Interactions", "campaign", ...
	fan     string            // the user with the most events: the one to be forgotten
	fanRows int               // his rows over all inputs
	before  []string          // rows of all other users as exported before the deletion, sorted
}

// Run tells the whole story. It fails at the first thing that is not as promised.
func Run(ctx context.Context, o Options) error {
	s := &story{Options: o, client: &client{endpoint: o.Endpoint}, start: time.Now(), arns: map[string]string{}}
	interactions, items, users, err := load(o)
	if err != nil {
		return err
	}
	s.inputs = slices.DeleteFunc([]*input{interactions, items, users}, func(in *input) bool { return in == nil })
	s.titles = titles(items)
	if err := s.findFan(); err != nil {
		return err
	}
	if err := s.writeFiles(); err != nil {
		return err
	}
	s.prologue()
	steps := []func(context.Context) error{
		s.upload, s.createDatasets, s.importAll, s.train, s.deploy, s.recommend, s.react, s.export, s.forget, s.prove,
	}
	for _, f := range steps {
		if err := f(ctx); err != nil {
			return fmt.Errorf("step %d: %w", s.step, err)
		}
	}
	fmt.Fprintf(o.Out, "\nThe whole main job took %.1f s.\n", time.Since(s.start).Seconds())
	return nil
}

// tell prints one finished step: what was done, its result, and the commands that do the same.
func (s *story) tell(began time.Time, what, result string, commands ...string) {
	s.step++
	fmt.Fprintf(s.Out, "\n%2d. %-46s %6.2f s  %s\n", s.step, what, time.Since(began).Seconds(), result)
	s.commands(commands...)
}

// findFan picks the user with the most events; of several the one with the smallest id.
func (s *story) findFan() error {
	in := s.inputs[0]
	user := in.column("USER_ID")
	if user < 0 || in.column("ITEM_ID") < 0 || in.column("TIMESTAMP") < 0 {
		return fmt.Errorf("%s needs the columns USER_ID, ITEM_ID and TIMESTAMP", in.label)
	}
	counts := map[string]int{}
	for _, row := range in.rows {
		counts[row[user]]++
	}
	s.fan = slices.MinFunc(slices.Collect(maps.Keys(counts)), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for _, in := range s.inputs {
		if c := in.column("USER_ID"); c >= 0 {
			for _, row := range in.rows {
				if row[c] == s.fan {
					s.fanRows++
				}
			}
		}
	}
	return nil
}

func (s *story) upload(ctx context.Context) error {
	began := time.Now()
	store, err := blob.CreateBucket(ctx, blob.S3Config{Endpoint: s.Endpoint, Region: "us-east-1", AccessKey: "demo", SecretKey: "demo", PathStyle: true}, bucket)
	if err != nil {
		return err
	}
	s.store = store
	commands, total := []string{"aws s3 mb s3://" + bucket}, 0
	for _, in := range s.inputs {
		name := in.name() + ".csv"
		if err := s.store.Create(ctx, "in/"+name, bytes.NewReader(in.csv), blob.PutOptions{}); err != nil {
			return err
		}
		total += len(in.csv)
		commands = append(commands, fmt.Sprintf("aws s3 cp %s s3://%s/in/%s", name, bucket, name))
	}
	s.tell(began, "upload the CSV files to S3", fmt.Sprintf("%.1f MB of %s", float64(total)/1e6, s.inputs[0].label), commands...)
	return nil
}

func (s *story) createDatasets(ctx context.Context) error {
	began := time.Now()
	var made api.CreateDatasetGroupResponse
	if err := s.client.control(ctx, "CreateDatasetGroup", api.CreateDatasetGroupRequest{Name: group}, &made); err != nil {
		return err
	}
	s.arns["group"] = made.DatasetGroupARN
	if _, err := s.client.wait(ctx, "DescribeDatasetGroup", made.DatasetGroupARN); err != nil {
		return err
	}
	commands := []string{"aws personalize create-dataset-group --name " + group, ready("dataset-group", made.DatasetGroupARN)}
	for _, in := range s.inputs {
		name := in.name()
		text, err := in.schema()
		if err != nil {
			return err
		}
		var schema api.CreateSchemaResponse
		if err := s.client.control(ctx, "CreateSchema", api.CreateSchemaRequest{Name: name, Schema: text}, &schema); err != nil {
			return err
		}
		var set api.CreateDatasetResponse
		err = s.client.control(ctx, "CreateDataset", api.CreateDatasetRequest{
			Name: name, DatasetType: in.kind, DatasetGroupARN: made.DatasetGroupARN, SchemaARN: schema.SchemaARN,
		}, &set)
		if err != nil {
			return err
		}
		if _, err := s.client.wait(ctx, "DescribeDataset", set.DatasetARN); err != nil {
			return err
		}
		s.arns[in.kind] = set.DatasetARN
		commands = append(commands,
			fmt.Sprintf("aws personalize create-schema --name %s --schema file://%s.json", name, name),
			fmt.Sprintf("aws personalize create-dataset --name %s --dataset-type %s --dataset-group-arn %s --schema-arn %s", name, in.kind, made.DatasetGroupARN, schema.SchemaARN),
			ready("dataset", set.DatasetARN))
	}
	s.tell(began, "create schemas, dataset group and datasets", fmt.Sprintf("%d datasets", len(s.inputs)), commands...)
	return nil
}

func (s *story) importAll(ctx context.Context) error {
	began := time.Now()
	rows := 0
	var commands, jobs []string
	for _, in := range s.inputs {
		name := in.name()
		location := fmt.Sprintf("s3://%s/in/%s.csv", bucket, name)
		var job api.CreateDatasetImportJobResponse
		err := s.client.control(ctx, "CreateDatasetImportJob", api.CreateDatasetImportJobRequest{
			JobName: "import-" + name, DatasetARN: s.arns[in.kind], DataSource: &api.DataSource{DataLocation: location}, RoleARN: roleARN,
		}, &job)
		if err != nil {
			return err
		}
		jobs = append(jobs, job.DatasetImportJobARN)
		rows += len(in.rows)
		commands = append(commands, fmt.Sprintf("aws personalize create-dataset-import-job --job-name import-%s --dataset-arn %s --data-source dataLocation=%s --role-arn %s",
			name, s.arns[in.kind], location, roleARN))
	}
	for _, arn := range jobs {
		if _, err := s.client.wait(ctx, "DescribeDatasetImportJob", arn); err != nil {
			return err
		}
		commands = append(commands, ready("dataset-import-job", arn))
	}
	s.tell(began, "import", fmt.Sprintf("%d rows, %.0f rows/s", rows, float64(rows)/time.Since(began).Seconds()), commands...)
	return nil
}

// train makes two models: the one to serve, and plain popularity to measure it against.
func (s *story) train(ctx context.Context) error {
	recipes := []string{"aws-popularity-count", "aws-user-personalization-v2"}
	quality := map[string]float64{}
	began := time.Now()
	var commands []string
	for _, recipe := range recipes {
		name := strings.TrimPrefix(recipe, "aws-")
		recipeARN := "arn:aws:personalize:::recipe/" + recipe
		var solution api.CreateSolutionResponse
		err := s.client.control(ctx, "CreateSolution", api.CreateSolutionRequest{
			Name: name, DatasetGroupARN: s.arns["group"], RecipeARN: recipeARN, PerformAutoTraining: new(false),
		}, &solution)
		if err != nil {
			return err
		}
		if _, err := s.client.wait(ctx, "DescribeSolution", solution.SolutionARN); err != nil {
			return err
		}
		var version api.CreateSolutionVersionResponse
		if err := s.client.control(ctx, "CreateSolutionVersion", api.CreateSolutionVersionRequest{SolutionARN: solution.SolutionARN}, &version); err != nil {
			return err
		}
		if _, err := s.client.wait(ctx, "DescribeSolutionVersion", version.SolutionVersionARN); err != nil {
			return err
		}
		var metrics api.GetSolutionMetricsResponse
		if err := s.client.control(ctx, "GetSolutionMetrics", api.GetSolutionMetricsRequest(version), &metrics); err != nil {
			return err
		}
		s.arns[recipe] = version.SolutionVersionARN
		quality[recipe] = metrics.Metrics["normalized_discounted_cumulative_gain_at_10"]
		commands = append(commands,
			fmt.Sprintf("aws personalize create-solution --name %s --dataset-group-arn %s --recipe-arn %s --no-perform-auto-training", name, s.arns["group"], recipeARN),
			ready("solution", solution.SolutionARN),
			fmt.Sprintf("version=$(aws personalize create-solution-version --solution-arn %s --query solutionVersionArn --output text)", solution.SolutionARN),
			ready("solution-version", "$version"),
			"aws personalize get-solution-metrics --solution-version-arn $version")
	}
	s.tell(began, "train two models and measure them", fmt.Sprintf("NDCG@10 %.4f (popularity %.4f) on users held out", quality[recipes[1]], quality[recipes[0]]), commands...)
	return nil
}

func (s *story) deploy(ctx context.Context) error {
	began := time.Now()
	version := s.arns["aws-user-personalization-v2"]
	var campaign api.CreateCampaignResponse
	if err := s.client.control(ctx, "CreateCampaign", api.CreateCampaignRequest{Name: "films", SolutionVersionARN: version}, &campaign); err != nil {
		return err
	}
	if _, err := s.client.wait(ctx, "DescribeCampaign", campaign.CampaignARN); err != nil {
		return err
	}
	s.arns["campaign"] = campaign.CampaignARN
	s.tell(began, "deploy a campaign", "", "aws personalize create-campaign --name films --solution-version-arn $version", ready("campaign", campaign.CampaignARN))
	return nil
}

// answer asks the campaign for a user's first five recommendations. An answer in which the recipe explores a new item, as it does once in a while and at
// random, is asked for again: the story compares answers.
func (s *story) answer(ctx context.Context, user string) (items []string, command string, err error) {
	command = fmt.Sprintf("aws personalize-runtime get-recommendations --campaign-arn %s --user-id %s --num-results 5", s.arns["campaign"], quote(user))
	for {
		var out api.GetRecommendationsResponse
		err = s.client.rest(ctx, "/recommendations", api.GetRecommendationsRequest{CampaignARN: s.arns["campaign"], UserID: user, NumResults: new(5)}, &out)
		if slices.ContainsFunc(out.ItemList, func(i api.PredictedItem) bool { return slices.Contains(i.Reason, "Exploration") }) {
			continue
		}
		for _, item := range out.ItemList {
			items = append(items, item.ItemID)
		}
		return items, command, err
	}
}

func (s *story) show(items []string) {
	for i, id := range items {
		fmt.Fprintf(s.Out, "        %d  %s\n", i+1, cmp.Or(s.titles[id], id))
	}
}

func (s *story) recommend(ctx context.Context) error {
	began := time.Now()
	items, command, err := s.answer(ctx, s.fan)
	if err != nil {
		return err
	}
	s.tell(began, "recommend to the most active user", fmt.Sprintf("user %s, %d rows in the data", s.fan, s.fanRows), command)
	s.show(items)
	return nil
}

// react shows a stranger's recommendations before and after one event.
func (s *story) react(ctx context.Context) error {
	began := time.Now()
	var tracker api.CreateEventTrackerResponse
	if err := s.client.control(ctx, "CreateEventTracker", api.CreateEventTrackerRequest{Name: "films", DatasetGroupARN: s.arns["group"]}, &tracker); err != nil {
		return err
	}
	if _, err := s.client.wait(ctx, "DescribeEventTracker", tracker.EventTrackerARN); err != nil {
		return err
	}
	before, _, err := s.answer(ctx, visitor)
	if err != nil {
		return err
	}
	seen := s.anItem()
	events := []api.Event{{EventType: s.eventType(), ItemID: seen, SentAt: api.NewTime(time.Now().Truncate(time.Second))}}
	sent, err := api.Marshal(events)
	if err != nil {
		return err
	}
	request := api.PutEventsRequest{TrackingID: tracker.TrackingID, UserID: visitor, SessionID: "session-1", EventList: events}
	if err := s.client.rest(ctx, "/events", request, nil); err != nil {
		return err
	}
	after, command, err := s.answer(ctx, visitor)
	if err != nil {
		return err
	}
	if slices.Equal(before, after) {
		return errors.New("the event did not change the next answer")
	}
	s.tell(began, "send one event of a new visitor", fmt.Sprintf("on %q, and ask again", cmp.Or(s.titles[seen], seen)),
		fmt.Sprintf("tracking=$(aws personalize create-event-tracker --name films --dataset-group-arn %s --query trackingId --output text)", s.arns["group"]),
		fmt.Sprintf("aws personalize-events put-events --tracking-id $tracking --user-id %s --session-id session-1 --event-list %s", visitor, quote(string(sent))), command)
	fmt.Fprintln(s.Out, "      before")
	s.show(before)
	fmt.Fprintln(s.Out, "      after")
	s.show(after)
	return nil
}

// anItem picks, of the items that the fan knows, one that about every thousandth event is about: neither what everybody knows nor what the model has no
// opinion on.
func (s *story) anItem() string {
	in := s.inputs[0]
	user, item := in.column("USER_ID"), in.column("ITEM_ID")
	counts := map[string]int{}
	for _, row := range in.rows {
		counts[row[item]]++
	}
	best, wanted := "", max(2, len(in.rows)/1000)
	for _, row := range in.rows {
		if row[user] == s.fan && (best == "" || distance(counts[row[item]], wanted) < distance(counts[best], wanted)) {
			best = row[item]
		}
	}
	return best
}

func distance(a, b int) int { return max(a-b, b-a) }

func (s *story) eventType() string {
	if c := s.inputs[0].column("EVENT_TYPE"); c >= 0 {
		return s.inputs[0].rows[0][c]
	}
	return "view"
}

func (s *story) export(ctx context.Context) error {
	began := time.Now()
	rows, commands, err := s.exportRows(ctx, "before")
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.user != s.fan && r.user != visitor {
			s.before = append(s.before, r.text)
		}
	}
	slices.Sort(s.before)
	s.tell(began, "export all interactions to S3", fmt.Sprintf("%d rows", len(rows)), commands...)
	return nil
}

// An exported row: whose it is, and all of it.
type exported struct{ user, text string }

// exportRows runs one export job over the interactions and reads its files back.
func (s *story) exportRows(ctx context.Context, name string) (rows []exported, commands []string, err error) {
	path := fmt.Sprintf("s3://%s/out/", bucket)
	var job api.CreateDatasetExportJobResponse
	err = s.client.control(ctx, "CreateDatasetExportJob", api.CreateDatasetExportJobRequest{
		JobName: name, DatasetARN: s.arns["Interactions"], IngestionMode: "ALL", RoleARN: roleARN,
		JobOutput: &api.DatasetExportJobOutput{S3DataDestination: &api.S3DataConfig{Path: path}},
	}, &job)
	if err != nil {
		return nil, nil, err
	}
	if _, err := s.client.wait(ctx, "DescribeDatasetExportJob", job.DatasetExportJobARN); err != nil {
		return nil, nil, err
	}
	files, err := s.store.List(ctx, "out/"+name+"/")
	if err != nil {
		return nil, nil, err
	}
	for _, f := range files {
		if rows, err = s.readExport(ctx, f.Key, rows); err != nil {
			return nil, nil, err
		}
	}
	return rows, []string{
		fmt.Sprintf("aws personalize create-dataset-export-job --job-name %s --dataset-arn %s --ingestion-mode ALL --role-arn %s --job-output '{\"s3DataDestination\":{\"path\":\"%s\"}}'",
			name, s.arns["Interactions"], roleARN, path),
		ready("dataset-export-job", job.DatasetExportJobARN),
		fmt.Sprintf("aws s3 cp --recursive %s%s/ %s/", path, name, name),
	}, nil
}

func (s *story) readExport(ctx context.Context, key string, rows []exported) ([]exported, error) {
	r, _, err := s.store.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	// Quotes are escaped by a backslash, backslashes too, and both stand in quoted values only.
	records, err := csv.NewReader(strings.NewReader(strings.NewReplacer(`\\`, `\`, `\"`, `""`).Replace(string(text)))).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	user := slices.Index(records[0], "USER_ID")
	for _, rec := range records[1:] {
		rows = append(rows, exported{rec[user], strings.Join(rec, "\x00")})
	}
	return rows, nil
}

// forget deletes the fan and the visitor.
func (s *story) forget(ctx context.Context) error {
	began := time.Now()
	if err := s.store.Create(ctx, "forget/users.csv", bytes.NewReader(s.deletionList()), blob.PutOptions{}); err != nil {
		return err
	}
	location := fmt.Sprintf("s3://%s/forget/users.csv", bucket)
	var job api.CreateDataDeletionJobResponse
	err := s.client.control(ctx, "CreateDataDeletionJob", api.CreateDataDeletionJobRequest{
		JobName: "forget", DatasetGroupARN: s.arns["group"], DataSource: &api.DataSource{DataLocation: location}, RoleARN: roleARN,
	}, &job)
	if err != nil {
		return err
	}
	done, err := s.client.wait(ctx, "DescribeDataDeletionJob", job.DataDeletionJobARN)
	if err != nil {
		return err
	}
	want := s.fanRows + 1 // and the visitor's event
	if done.NumDeleted == nil || *done.NumDeleted != want {
		return fmt.Errorf("numDeleted is not %d", want)
	}
	s.tell(began, "delete both users, everywhere", fmt.Sprintf("%d rows deleted, models rebuilt and verified", want),
		"aws s3 cp users-to-delete.csv "+location,
		fmt.Sprintf("aws personalize create-data-deletion-job --job-name forget --dataset-group-arn %s --data-source dataLocation=%s --role-arn %s", s.arns["group"], location, roleARN),
		ready("data-deletion-job", job.DataDeletionJobARN),
		"aws personalize describe-data-deletion-job --data-deletion-job-arn "+job.DataDeletionJobARN)
	return nil
}

// prove compares what is left with what was given: the deleted users are in no export, every other row is still there, and both are strangers to the model.
func (s *story) prove(ctx context.Context) error {
	began := time.Now()
	rows, commands, err := s.exportRows(ctx, "after")
	if err != nil {
		return err
	}
	after := make([]string, len(rows))
	for i, r := range rows {
		if r.user == s.fan || r.user == visitor {
			return errors.New("the export still holds a deleted user")
		}
		after[i] = r.text
	}
	if slices.Sort(after); !slices.Equal(s.before, after) {
		return errors.New("the rows of other users are not what they were before the deletion")
	}
	stranger, _, err := s.answer(ctx, "someone-never-seen")
	if err != nil {
		return err
	}
	for _, id := range []string{s.fan, visitor} {
		items, _, err := s.answer(ctx, id)
		if err != nil {
			return err
		}
		if !slices.Equal(items, stranger) {
			return errors.New("a deleted user is not served as a stranger")
		}
	}
	s.tell(began, "prove it", fmt.Sprintf("0 rows of theirs, %d rows of others intact, both are strangers now", len(after)), commands...)
	return nil
}
