package serve

// WaitForViews returns when no view of a model is being made.
func (s *Service) WaitForViews() { s.builds.work.Wait() }
