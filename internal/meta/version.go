package meta

// AutomaticallyUpdated reports whether automatic updates are for an ACTIVE solution version: for the newest of its solution, if that was trained. After one
// that was made in trainingMode UPDATE, which has the items of its own time, they rest until the next training. A data deletion takes those items from it:
// then it gets automatic updates in their place.
func AutomaticallyUpdated(tx *Tx, version *Resource) (bool, error) {
	v, err := Doc[struct {
		TrainingMode string `json:"trainingMode"`
	}](version)
	if err != nil {
		return false, err
	}
	if v.TrainingMode == "UPDATE" {
		p, err := Private[ModelPrivate](version)
		return !p.Updated, err
	}
	newest, err := tx.Find(Query{Kind: SolutionVersion, Parent: version.Parent, Statuses: []string{Active}, Limit: 1})
	return err == nil && len(newest) == 1 && newest[0].ARN == version.ARN, err
}
