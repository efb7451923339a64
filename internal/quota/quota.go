// Package quota holds every limit of the service that an operator may want to move: Amazon's minimums of data, its caps on
// the number of resources and jobs, and the sizes of inputs. Limits of shape (lengths, patterns) belong to package api.
package quota

// Limits is one complete set. A zero value of a field means "no limit".
type Limits struct {
	Schemas                int // per region
	DatasetGroups          int // active, per region
	ImportJobs             int // pending or in progress, per region
	BatchInferenceJobs     int // pending or in progress, per region
	BatchSegmentJobs       int // pending or in progress, per region
	BatchFiles             int // input objects of a batch job
	BatchBytes             int64
	BatchLines             int // lines in an input object of a batch inference job
	ThemeLines             int // ... in mode THEME_GENERATION
	SegmentItems           int // lines in an input object of a batch segment job of item-affinity
	SegmentAttributes      int // ... of item-attribute-affinity
	SolutionVersions       int // pending or in progress, per region
	Solutions              int // active, per group
	Campaigns              int // active, per group
	Recommenders           int // per group
	Filters                int // per group
	FilterFields           int // distinct fields in one filter
	GroupFilterFields      int // distinct fields over all filters of a group
	FilterInteractions     int // newest interactions of a user with items, by event type, that filters look at
	FilterActions          int // ... with actions
	PendingDeletionJobs    int // PENDING, per group
	DeletionInputBytes     int64
	ImportBytes            int64 // FULL
	IncrementalImportBytes int64
	ImportRows             int64 // fewest interactions in one import
	TrainingInteractions   int   // fewest interactions after filtering
	TrainingUsers          int   // fewest users with two interactions
	TrainingUsersPercent   int   // fewest users with two interactions, percent of all users
	EventTypes             int   // most distinct event types in training
	TrainingMemory         int64 // bytes that all trainings may take together
	Tags                   int   // per resource
	EventCalls             int   // PutEvents a second, per group; PutActionInteractions likewise
	RecordCalls            int   // PutItems, PutUsers, PutActions a second, per dataset
}

// AWS is the table of the service's published defaults.
func AWS() Limits {
	return Limits{
		Schemas: 500, DatasetGroups: 5, ImportJobs: 5, BatchInferenceJobs: 5, BatchSegmentJobs: 5,
		BatchFiles: 1000, BatchBytes: 1 << 30, BatchLines: 50_000_000, ThemeLines: 100, SegmentItems: 500, SegmentAttributes: 10, SolutionVersions: 20, Solutions: 10, Campaigns: 5, Recommenders: 5,
		Filters: 30, FilterFields: 10, GroupFilterFields: 20, FilterInteractions: 100, FilterActions: 300, PendingDeletionJobs: 5,
		DeletionInputBytes: 100 << 20, ImportBytes: 100 << 30, IncrementalImportBytes: 1 << 30,
		ImportRows: 1000, TrainingInteractions: 1000, TrainingUsers: 25, TrainingUsersPercent: 1, EventTypes: 10, Tags: 50, EventCalls: 1000, RecordCalls: 10,
	}
}

// Local keeps only the limits that protect the server or belong to the API's contract whatever the machine: the input size and the
// five pending jobs of data deletion, the tags of a resource, what filters look at, and the lines that have themes.
func Local() Limits {
	return Limits{ThemeLines: 100, PendingDeletionJobs: 5, DeletionInputBytes: 100 << 20, Tags: 50, FilterInteractions: 100, FilterActions: 300}
}
