package meta

// The kinds of resources, in the words of their ARNs. A solution version has none of its own there (its ARN is a path below the
// solution's), so it gets one here.
const (
	DatasetGroup      = "dataset-group"
	Schema            = "schema"
	Dataset           = "dataset"
	ImportJob         = "dataset-import-job"
	ExportJob         = "dataset-export-job"
	DeletionJob       = "data-deletion-job"
	EventTracker      = "event-tracker"
	Filter            = "filter"
	Solution          = "solution"
	SolutionVersion   = "solution-version"
	Campaign          = "campaign"
	Recommender       = "recommender"
	MetricAttribution = "metric-attribution"
	BatchInferenceJob = "batch-inference-job"
	BatchSegmentJob   = "batch-segment-job"
)
