package attribution

// Limit makes a report take fewer lines.
func (r *Report) Limit(lines int) { r.most = lines }
