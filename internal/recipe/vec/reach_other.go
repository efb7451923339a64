//go:build !amd64

package vec

func reach(v, floor []float32) uint32 { return reachGeneric(v, floor) }
