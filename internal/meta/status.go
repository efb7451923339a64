package meta

import (
	"fmt"
	"slices"
)

// The statuses of the API, literally: clients compare these strings.
const (
	CreatePending    = "CREATE PENDING"     // accepted, nothing done yet
	CreateInProgress = "CREATE IN_PROGRESS" // a job works on it
	Active           = "ACTIVE"             // usable
	CreateFailed     = "CREATE FAILED"      // final, see failureReason; may be deleted
	CreateStopping   = "CREATE STOPPING"    // solution version: its training was asked to stop
	CreateStopped    = "CREATE STOPPED"     // solution version: stopped, never deployable
	UpdatePending    = "UPDATE PENDING"     // dataset: a new schema was accepted
	UpdateInProgress = "UPDATE IN_PROGRESS"
	DeletePending    = "DELETE PENDING" // accepted; cannot be stopped
	DeleteInProgress = "DELETE IN_PROGRESS"
	StopPending      = "STOP PENDING" // recommender: ACTIVE -> INACTIVE
	StopInProgress   = "STOP IN_PROGRESS"
	Inactive         = "INACTIVE"      // recommender: serves nothing
	StartPending     = "START PENDING" // recommender: INACTIVE -> ACTIVE
	StartInProgress  = "START IN_PROGRESS"

	// Data deletion jobs only.
	Pending    = "PENDING"
	InProgress = "IN_PROGRESS"
	Completed  = "COMPLETED"
	Failed     = "FAILED"
)

// step is one allowed change of status.
type step struct{ from, to string }

// creation is the life that every asynchronous resource shares. A failure may come before a worker has said that it began.
var creation = []step{
	{CreatePending, CreateInProgress},
	{CreatePending, CreateFailed},
	{CreateInProgress, Active},
	{CreateInProgress, CreateFailed},
}

var deletion = []step{
	{Active, DeletePending},
	{CreateFailed, DeletePending},
	{DeletePending, DeleteInProgress},
}

var datasetUpdate = []step{
	{Active, UpdatePending},
	{UpdatePending, UpdateInProgress},
	{UpdatePending, Active}, // failed before it began: the old schema stays
	{UpdateInProgress, Active},
}

var versionStop = []step{
	{CreatePending, CreateStopped},
	{CreatePending, CreateStopping},
	{CreateInProgress, CreateStopping},
	{CreateStopping, CreateStopped},
	{CreateStopped, DeletePending},
}

var recommenderToggle = []step{
	{Active, StopPending},
	{StopPending, StopInProgress},
	{StopPending, Active},
	{StopInProgress, Inactive},
	{StopInProgress, Active},
	{Inactive, StartPending},
	{StartPending, StartInProgress},
	{StartPending, Inactive},
	{StartInProgress, Active},
	{StartInProgress, Inactive},
	{Inactive, DeletePending},
}

var dataDeletion = []step{
	{Pending, InProgress},
	{Pending, Failed},
	{InProgress, Completed},
	{InProgress, Failed},
}

// steps is the whole state machine. A kind that is not listed has no status that could change.
var steps = map[string][]step{
	DatasetGroup:      slices.Concat(creation, deletion),
	Dataset:           slices.Concat(creation, deletion, datasetUpdate),
	ImportJob:         creation,
	ExportJob:         creation,
	DeletionJob:       dataDeletion,
	EventTracker:      slices.Concat(creation, deletion),
	Filter:            slices.Concat(creation, deletion),
	Solution:          slices.Concat(creation, deletion),
	SolutionVersion:   slices.Concat(creation, deletion, versionStop),
	Campaign:          slices.Concat(creation, deletion, []step{{CreateFailed, Active}}), // UpdateCampaign revives a failed one
	Recommender:       slices.Concat(creation, deletion, recommenderToggle),
	MetricAttribution: slices.Concat(creation, deletion),
	BatchInferenceJob: creation,
	BatchSegmentJob:   creation,
}

// StatusError reports a change of status that the state machine does not have: a bug of ours, never a client's fault.
type StatusError struct{ ARN, Kind, From, To string }

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s cannot go from %q to %q", e.Kind, e.ARN, e.From, e.To)
}

// checkStatus admits staying, and the steps of the kind's table.
func checkStatus(arn, kind, from, to string) error {
	if from == to || slices.Contains(steps[kind], step{from, to}) {
		return nil
	}
	return &StatusError{arn, kind, from, to}
}
