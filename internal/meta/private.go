package meta

import (
	"encoding/json"
	"time"
)

// What control, work and serve keep about a resource beside its Describe shape. Directory and table names are random: nothing that a
// customer chose ever becomes part of a path. Old rows are read by newer builds, so members are only ever added.

// GroupPrivate belongs to a dataset group.
type GroupPrivate struct {
	ID       string `json:"id"`                 // the dataset engine's name of the group
	Erasures int64  `json:"erasures,omitempty"` // grows when the mask of a data deletion comes into force; a training whose snapshot is older restarts
}

// DatasetPrivate belongs to a dataset. It holds the text of its schema, so that a dataset.Table can be built from this row alone:
// Table{Group: p.Group, ID: p.Table, Schema: ParseSchema(p.Schema, p.Domain)}.
type DatasetPrivate struct {
	Group      string `json:"group"`                // GroupPrivate.ID
	Table      string `json:"table"`                // the dataset engine's name of the table
	Type       string `json:"type"`                 // schema.Type, upper case
	Domain     string `json:"domain,omitempty"`     // of the group and of the schema
	Schema     string `json:"schema"`               // text of the schema in force
	NextSchema string `json:"nextSchema,omitempty"` // while an UpdateDataset runs: text of the schema to come; its ARN stands in Doc's latestDatasetUpdate
	// Added tells of each column that an UpdateDataset brought when it came into force: solutions that are older are not trained on it.
	Added map[string]time.Time `json:"added,omitempty"`
	Size  int64                `json:"size,omitempty"` // bytes of CSV of the newest import
}

// ImportPrivate belongs to an import job: what it needs of its dataset, as it was at creation, and what came out.
type ImportPrivate struct {
	ID     string          `json:"id"`               // unique name of the import for the engine, which runs it once whatever crashes
	Rows   int64           `json:"rows,omitempty"`   // imported
	Report json.RawMessage `json:"report,omitempty"` // rowtext.RowReport of an import that failed for its rows
	// Attribution is what the import is measured for, nil for nothing: the group's metric attribution as it was when the import was accepted.
	Attribution *ImportAttribution `json:"attribution,omitempty"`
}

// ImportAttribution says how an import counts for a metric attribution.
type ImportAttribution struct {
	ID        int64               `json:"id"` // Seq of the attribution
	Metrics   []AttributionMetric `json:"metrics"`
	Path      string              `json:"path,omitempty"` // where the report goes; "": none is wanted
	KMSKeyARN string              `json:"kmsKeyArn,omitempty"`

	// Set when the job begins.
	After int64  `json:"after,omitempty"` // its rows have greater sequence numbers
	Key   string `json:"key,omitempty"`   // of the report
}

// ExportPrivate belongs to an export job.
type ExportPrivate struct {
	Rows int64 `json:"rows,omitempty"` // written
}

// DeletionPrivate belongs to a data deletion job.
type DeletionPrivate struct {
	ID string `json:"id"` // the engine's name of the erasure
	// Imports of the group whose Seq is smaller were accepted before the cut: they must not bring the users back, whenever they run. 0: no cut yet.
	Covers int64 `json:"covers,omitempty"`
	// Reapplied tells that the deletion comes from the ledger: the data directory was restored from a backup that is older than it.
	Reapplied bool `json:"reapplied,omitempty"`
}

// ModelPrivate belongs to what has a model: a solution version or a recommender.
type ModelPrivate struct {
	Model   string             `json:"model,omitempty"`   // directory under DATA/store/models; "" until trained
	Hash    string             `json:"hash,omitempty"`    // of the model's manifest
	Metrics map[string]float64 `json:"metrics,omitempty"` // answer of GetSolutionMetrics, modelMetrics of a recommender
	Seq     int64              `json:"seq,omitempty"`     // the training knew the group's events up to here
	Read    time.Time          `json:"read,omitzero"`     // when the training read its data
	Updated bool               `json:"updated,omitempty"` // the model has fresh items of its own, see recipe.Update
	Search  string             `json:"search,omitempty"`  // of a scheduled training to come: SearchAnew, SearchReused or ""

	// Of the last training or refresh, which may come long after the training (job.Refresh).
	Evaluated time.Time `json:"evaluated,omitzero"`
	Seen      int64     `json:"seen,omitempty"` // it knew the events up to here, or the items if the recipe follows these

	// Of the last regular training of a recommender (job.Retrain), if it failed.
	Failed  time.Time `json:"failed,omitzero"`
	Failure string    `json:"failure,omitempty"` // why, in words for the customer
}

// What a training that the schedule started does about hyperparameters that nobody has asked it to optimize.
const (
	SearchAnew   = "anew"   // it searches
	SearchReused = "reused" // it takes what the solution's last search chose
)

// AttributionPrivate belongs to a metric attribution, whose Seq names it in the tally of its dataset group.
type AttributionPrivate struct {
	Metrics []AttributionMetric `json:"metrics"` // in order of addition
}

// AttributionMetric is one metric, in the API's members.
type AttributionMetric struct {
	EventType  string `json:"eventType"`
	MetricName string `json:"metricName"`
	Expression string `json:"expression"`
}
