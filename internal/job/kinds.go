package job

// The kinds of jobs: what control asks for and package work does. Statuses are those of the row at its end.
const (
	Activate  = "activate"    // CREATE PENDING -> CREATE IN_PROGRESS -> ACTIVE, for what needs no further work
	Remove    = "remove"      // DELETE PENDING -> DELETE IN_PROGRESS -> the row is gone
	Import    = "import"      // dataset import job
	Export    = "export"      // dataset export job
	Erase     = "erase"       // data deletion job: PENDING -> IN_PROGRESS -> COMPLETED or FAILED
	Train     = "train"       // solution version
	Recommend = "recommender" // recommender: trains and deploys
	Deploy    = "deploy"      // campaign
	Infer     = "infer"       // batch inference job
	Segment   = "segment"     // batch segment job
	Update    = "update"      // the update of an ACTIVE resource: latest*Update of a campaign, recommender, solution; UPDATE PENDING of a dataset
	Refresh   = "refresh"     // solution version or recommender: its model is made anew from new data, while it stays ACTIVE
	Retrain   = "retrain"     // recommender: its regular full training, while it stays ACTIVE
	Toggle    = "toggle"      // recommender: STOP PENDING -> INACTIVE, START PENDING -> ACTIVE
)
