//go:build !amd64

package vec

func dot(half *[DotLanes / 2]float32, x, y []float32) { dotGeneric(half, x, y) }
