package shop

import "strings"

// The kinds of batch jobs, as in CreateBatchInferenceJob.
const (
	Inference = "Inference"
	Segment   = "Segment"
)

// StartBatch starts a batch job of a kind over the object at key, or the folder if it ends in a slash, and returns the folder of its results.
func (h *Shop) StartBatch(kind, version, key string, with M) (arn, folder string) {
	h.T.Helper()
	name := h.Name(strings.ToLower(kind))
	request := M{"jobName": name, "solutionVersionArn": version, "roleArn": Role, "jobInput": M{"s3DataSource": M{"path": "s3://shop/" + key}},
		"jobOutput": M{"s3DataDestination": M{"path": "s3://shop/results/" + name}}}
	for member, value := range with {
		request[member] = value
	}
	return h.Must("CreateBatch"+kind+"Job", request)["batch"+kind+"JobArn"].(string), "results/" + name + "/"
}

// Batch runs a batch job of a kind over one object with the given lines and returns the lines of its result.
func (h *Shop) Batch(kind, version string, with M, lines ...string) []string {
	h.T.Helper()
	key := "ask/" + h.Name("lines") + ".json"
	h.Upload(h.Objects, key, strings.Join(lines, "\n"))
	arn, folder := h.StartBatch(kind, version, key, with)
	if d := h.Wait("batch"+kind+"Job", arn); d["status"] != "ACTIVE" {
		h.T.Fatalf("batch job: %v", d["failureReason"])
	}
	if check := h.Download(h.Objects, folder+"_CHECK"); len(check) != 1 {
		h.T.Error("there is no object _CHECK")
	}
	return h.ResultOf(folder + strings.TrimPrefix(key, "ask/") + ".out")
}

// ResultOf returns the lines of one result.
func (h *Shop) ResultOf(key string) (lines []string) {
	h.T.Helper()
	texts := h.Download(h.Objects, key)
	if len(texts) != 1 {
		h.T.Fatalf("%d objects are called %s", len(texts), key)
	}
	for line := range strings.Lines(texts[0]) {
		lines = append(lines, line)
	}
	return lines
}
